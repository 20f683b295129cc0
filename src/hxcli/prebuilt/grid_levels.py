"""The sweeps of `grid` on the host, a level of the tree at a time, by the eigenvectors of the walk; and their slopes.

A walk between neighbouring cells is reversible: with D the roots of the weights that it keeps, D Q D^-1 is symmetric
and tridiagonal, so that exp(t Q) = D^-1 V exp(t L) V' D for every edge at the price of two products of matrices. Its
rounding is that of the largest numbers, where `grid_transition` keeps the digits of the smallest: the first-order
change that it could make of the log likelihood is summed up beside it, and a caller who finds that too large takes the
other way. Slopes are by divided differences of the exponential (Kalbfleisch and Lawless 1985, J. Am. Stat. Assoc.
80:863).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray

# Below it a chance counts as this, so that its logarithm is finite.
_TINY = 1e-300
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


class Found(NamedTuple):
    """What two sweeps give, of N nodes and k cells.

    Attributes:
        log_likelihood: Of the observations, without their own factors.
        density: (N, k) chance of every cell given all observations; no rows after one sweep only.
        doubt: How much rounding may change the log likelihood, to first order; nan after one sweep only.
        slopes: Of the log likelihood; None where nobody asked.
    """

    log_likelihood: float
    density: FloatArray
    doubt: float
    slopes: Slopes | None


class Slopes(NamedTuple):
    """Derivatives of the log likelihood.

    Attributes:
        up, down, lost: (k,) by the rates of the walk.
        time: (N,) by the edges' lengths.
        likelihood: (N, k) by the tips' own likelihoods.
        root: (k,) by the root's weights; 0 where there are none.
    """

    up: FloatArray
    down: FloatArray
    lost: FloatArray
    time: FloatArray
    likelihood: FloatArray
    root: FloatArray


def spectrum_of(up: FloatArray, down: FloatArray, lost: FloatArray) -> Spectrum | None:
    """The eigenvectors of a walk; None where it is not reversible, or its weights differ by too much.

    Args:
        up, down: (k,) rates to the next and to the previous cell.
        lost: (k,) rate of leaving altogether.
    """
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
    values, vectors = np.linalg.eigh(np.diag(-(up + down + lost)) + np.diag(side, 1) + np.diag(side, -1))
    roots = np.exp(logs)
    if not lost.any():
        # What the walk keeps is known better than by rounding.
        values[-1], vectors[:, -1] = 0.0, roots / np.linalg.norm(roots)
    return Spectrum(np.minimum(values, 0.0), vectors, roots)


def swept(*given: Any, slopes: bool, only_up: bool = False) -> Found:
    """Both sweeps.

    Args:
        given: The topology of N nodes; the walk's `Spectrum`; (N,) edge lengths; (N, k) likelihoods of the tips' own
            observations, of no account elsewhere; (k,) weights of the root's cells, or None for the state at which the
            observations are most likely.
        slopes: Whether they are wanted.
        only_up: Whether the log likelihood is all that is wanted.
    """
    # What is beyond rounding is doubtful, and no number is: the caller goes the other way.
    with np.errstate(all="ignore"):
        return _swept(*given, slopes=slopes, only_up=only_up)


def _swept(
    topology: Topology,
    spectrum: Spectrum,
    time: FloatArray,
    likelihood: FloatArray,
    root: FloatArray | None,
    *,
    slopes: bool,
    only_up: bool,
) -> Found:
    values, vectors, roots = spectrum
    size, parents = topology.size, topology.parents
    below = np.array(likelihood, float)
    over, near = np.empty_like(below), np.empty_like(below)
    grown = np.exp(time[:, None] * values)
    log_scale = np.zeros(size)
    # Roots are in the matrices, so that vectors are not multiplied by them.
    there, back = roots[:, None] * vectors, vectors.T / roots

    def cross(nodes: Any) -> None:
        """Takes likelihoods from the ends of edges to their starts."""
        near[nodes] = below[nodes] @ there
        moved = (near[nodes] * grown[nodes]) @ back
        still = time[nodes] <= 0
        if still.any():
            moved[still] = below[nodes][still]
        over[nodes] = np.maximum(moved, _TINY, out=moved)

    tips = np.flatnonzero(topology.is_leaf)
    cross(tips)
    for nodes, first, inner in _families(topology):
        if len(inner):
            cross(inner)
        logs = np.add.reduceat(np.log(over[nodes]), first, axis=0)
        top = logs.max(1)
        above = parents[nodes[first]]
        below[above] = np.exp(logs - top[:, None])
        log_scale[above] = np.add.reduceat(log_scale[nodes], first) + top
    if root is None:
        value, weights = _best(below[0])
    else:
        weights = root
        value = float(np.log(max(float(root @ below[0]), _TINY)))
    if only_up:
        return Found(float(value) + float(log_scale[0]), below[:0], np.nan, None)
    density, outside, arriving, far = (np.zeros_like(below) for _ in range(4))
    away, home = back.T, there.T
    first_density = weights * below[0]
    density[0] = first_density / first_density.sum()
    starts = topology.level_starts
    for level in range(1, len(starts) - 1):
        nodes = np.arange(starts[level], starts[level + 1])
        given = density[parents[nodes]] / over[nodes]
        given /= abs(given).max(1, keepdims=True)
        outside[nodes], far[nodes] = given, given @ away
        moved = (far[nodes] * grown[nodes]) @ home
        still = time[nodes] <= 0
        if still.any():
            moved[still] = given[still]
        if root is not None:
            np.maximum(moved, 0.0, out=moved)
        arriving[nodes] = moved
        joint = moved * below[nodes]
        density[nodes] = joint / joint.sum(1, keepdims=True)
    total = np.einsum("nk,nk->n", outside[1:], over[1:])
    moving = time[1:] > 0
    part = abs(outside[1:]) @ (1 / roots) * np.sqrt(below[1:] ** 2 @ roots**2) / abs(total)
    doubt = float(_ROUNDING * part[moving].sum()) if moving.any() else 0.0
    found = Found(float(value) + float(log_scale[0]), density, doubt, None)
    if not slopes or not np.isfinite(doubt):
        return found
    pulled = far[1:] / total[:, None]
    return found._replace(
        slopes=_slopes(spectrum, time[1:], near[1:], grown[1:], pulled)._replace(
            likelihood=_own_slopes(arriving, likelihood, topology.is_leaf),
            root=np.zeros(len(values)) if root is None else below[0] / (root @ below[0]),
        )
    )


def _families(topology: Topology) -> Iterator[tuple[Any, Any, Any]]:
    """From the deepest level to the root's children: nodes, where every parent's begin, and those with children."""
    starts, parents, leaf = topology.level_starts, topology.parents, topology.is_leaf
    for level in range(len(starts) - 2, 0, -1):
        nodes = np.arange(starts[level], starts[level + 1])
        own = parents[nodes]
        first = np.flatnonzero(np.concatenate([[True], own[1:] != own[:-1]]))
        yield nodes, first, nodes[~leaf[nodes]]


def _best(at_root: FloatArray) -> tuple[float, FloatArray]:
    """As `grid`'s: the top of the parabola through the best cell and its neighbours, and weights that move as it."""
    logs = np.log(np.maximum(at_root, _TINY))
    best = int(np.clip(np.argmax(logs), 1, len(logs) - 2))
    low, middle, high = logs[best - 1 : best + 2]
    bend = low - 2 * middle + high
    place = float(np.clip((low - high) / (2 * bend) if bend < 0 else 0.0, -1.5, 1.5))
    shares = np.array([place * (place - 1) / 2, 1 - place**2, place * (place + 1) / 2])
    weights = np.zeros_like(logs)
    weights[best - 1 : best + 2] = shares / np.maximum(at_root[best - 1 : best + 2], _TINY)
    return float(shares @ logs[best - 1 : best + 2]), weights


def _own_slopes(arriving: FloatArray, likelihood: FloatArray, leaf: Any) -> FloatArray:
    total = np.einsum("nk,nk->n", arriving, likelihood)
    used = leaf & (total > _TINY)
    return np.where(used[:, None], arriving / np.where(used, total, 1.0)[:, None], 0.0)


def _slopes(spectrum: Spectrum, time: FloatArray, near: FloatArray, grown: FloatArray, pulled: FloatArray) -> Slopes:
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
    by_time = np.concatenate([[0.0], (moved * near) @ values])
    nothing = np.zeros(0)
    return Slopes(forth - diagonal, back - diagonal, -diagonal, by_time, nothing, nothing)
