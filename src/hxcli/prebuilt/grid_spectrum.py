"""A walk between cells by its eigenvectors: any number of edges at the price of two products of matrices.

A walk between neighbouring cells is reversible: with D the roots of the weights that it keeps, D Q D^-1 is symmetric
and tridiagonal, so that exp(t Q) = D^-1 V exp(t L) V' D. Its rounding is that of the largest numbers, where
`grid_squares` keeps the digits of the smallest: the first-order change that it could make of the log likelihood is
summed up beside it, and a caller who finds that too large takes the other way. Slopes are by divided differences of
the exponential (Kalbfleisch and Lawless 1985, J. Am. Stat. Assoc. 80:863).
"""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np

from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_levels import RateSlopes

# Logarithms of the weights' roots may differ by this much.
_MOST_RANGE = 600.0
# Rates above it are no walk that anybody asks about.
_FASTEST = 1e150
# Rounding of a product with the eigenvectors, as a share of the largest numbers.
_ROUNDING = 4e-15
# Difference of eigenvalues times the longest edge below which divided differences are a series.
_NEARLY_EQUAL = 1e-2


class Spectrum(NamedTuple):
    """A walk between k cells by its eigenvectors.

    Attributes:
        values: (k,) eigenvalues, none above 0.
        vectors: (k, k) eigenvectors of the symmetric walk, as columns.
        roots: (k,) roots of the weights that the walk keeps, up to a factor.
    """

    values: FloatArray
    vectors: FloatArray
    roots: FloatArray


def spectrum_of(up: FloatArray, down: FloatArray, lost: FloatArray) -> Spectrum | None:
    """The eigenvectors of a walk; None where it is not reversible, or its weights differ by too much.

    Args:
        up, down: (k,) rates to the next and to the previous cell.
        lost: (k,) rate of leaving altogether.
    """
    from scipy.linalg import LinAlgError, eigh_tridiagonal

    forth, back = up[:-1], down[1:]
    if not (np.isfinite([up, down, lost]).all() and (forth > 0).all() and (back > 0).all()):
        return None
    if max(up.max(), down.max(), lost.max()) > _FASTEST:
        return None
    logs = np.concatenate([[0.0], np.cumsum(np.log(forth) - np.log(back))]) / 2
    logs -= (logs.max() + logs.min()) / 2
    if np.ptp(logs) > _MOST_RANGE:
        return None
    side = np.sqrt(forth) * np.sqrt(back)
    try:
        values, vectors = eigh_tridiagonal(-(up + down + lost), side, lapack_driver="stevd")
    except LinAlgError:
        return None
    roots = np.exp(logs)
    if not lost.any():
        # What the walk keeps is known better than by rounding.
        values[-1], vectors[:, -1] = 0.0, roots / np.linalg.norm(roots)
    return Spectrum(np.minimum(values, 0.0), vectors, roots)


class SpectralEdges:
    """Edges under a walk that has a spectrum; as `grid_levels.Edges` wants them.

    Attributes:
        least: Below it a chance is rounding, and counts as this.
    """

    least = 1e-150

    def __init__(self, spectrum: Spectrum, time: FloatArray) -> None:
        """Prepares exp(t Q) of N edges.

        Args:
            spectrum: Of Q.
            time: (N,) their lengths.
        """
        self._spectrum = spectrum
        _, vectors, roots = spectrum
        # Roots are in the matrices, so that vectors are not multiplied by them.
        self._there, self._back = roots[:, None] * vectors, np.ascontiguousarray(vectors.T) / roots
        self._last(time)

    def copies(self, edge: int, count: int) -> SpectralEdges:
        """So many edges that are all as this one is."""
        found = copy(self)
        found._last(np.full(count, self.time[edge]))
        return found

    def _last(self, time: FloatArray) -> None:
        self.time, self._grown = time, np.exp(time[:, None] * self._spectrum.values)
        self._near, self._far = np.empty_like(self._grown), np.empty_like(self._grown)

    def backwards(self, edges: slice, ended: FloatArray) -> FloatArray:
        """(n, k) likelihoods at the starts of edges from those at their ends."""
        near = np.matmul(ended, self._there, out=self._near[edges])
        return self._kept(edges, (near * self._grown[edges]) @ self._back, ended)

    def forwards(self, edges: slice, begun: FloatArray) -> FloatArray:
        """(n, k) weights of the cells at the ends of edges from those at their starts."""
        far = np.matmul(begun, self._back.T, out=self._far[edges])
        return self._kept(edges, (far * self._grown[edges]) @ self._there.T, begun)

    def _kept(self, edges: slice, moved: FloatArray, given: FloatArray) -> FloatArray:
        still = self.time[edges] <= 0
        if still.any():
            moved[still] = given[still]
        return moved

    def doubt(self, below: FloatArray, outside: FloatArray, total: FloatArray) -> float:
        """How much rounding may change the log likelihood, to first order.

        Args:
            below: (N, k) likelihoods at the ends of edges.
            outside: (N, k) weights of the cells at their starts.
            total: (N,) likelihood, by every edge.
        """
        roots, moving = self._spectrum.roots, self.time > 0
        part = abs(outside) @ (1 / roots) * np.sqrt(below**2 @ roots**2) / abs(total)
        return float(_ROUNDING * part[moving].sum()) if moving.any() else 0.0

    def slopes(self, below: FloatArray, over: FloatArray, outside: FloatArray, total: FloatArray) -> RateSlopes:
        """Slopes by rates and lengths of the log likelihood, after both sweeps.

        Args:
            below, over: (N, k) likelihoods at the ends and at the starts of edges.
            outside: (N, k) weights of the cells at their starts, as `forwards` was given them.
            total: (N,) likelihood, by every edge.
        """
        del below, over, outside
        pulled = self._far / total[:, None]
        return _slopes(self._spectrum, self.time, self._near, self._grown, pulled)


def _slopes(spectrum: Spectrum, time: FloatArray, near: FloatArray, grown: FloatArray, pulled: Any) -> RateSlopes:
    """By the rates and the times, from what comes from both ends of every edge in the space of the eigenvectors."""
    values, vectors, roots = spectrum
    k = len(values)
    moved = pulled * grown
    gap = values[:, None] - values[None]
    apart = (moved.T @ near - pulled.T @ (near * grown)) / np.where(gap == 0, 1.0, gap)
    close = abs(gap) * time.max(initial=0.0) < _NEARLY_EQUAL
    if close.sum() > k:
        half = np.exp(time[:, None] * values / 2)
        left, right, square = pulled * half * time[:, None], near * half, time[:, None] ** 2
        series = left.T @ right + gap**2 / 24 * ((left * square).T @ right)
        series += gap**4 / 1920 * ((left * square**2).T @ right)
        both = np.where(close, series, apart)
    else:
        both = apart
        np.fill_diagonal(both, np.einsum("ni,ni,n->i", moved, near, time))
    turned = vectors @ both
    diagonal = np.einsum("ij,ij->i", turned, vectors)
    forth, back = np.zeros(k), np.zeros(k)
    forth[:-1] = roots[:-1] / roots[1:] * np.einsum("ij,ij->i", turned[:-1], vectors[1:])
    back[1:] = roots[1:] / roots[:-1] * np.einsum("ij,ij->i", turned[1:], vectors[:-1])
    return RateSlopes(forth - diagonal, back - diagonal, -diagonal, (moved * near) @ values)
