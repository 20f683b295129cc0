"""What rate matrices with well-conditioned eigenvectors do along the edges of a tree, in numpy (`Spectral`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.transitions import NEARLY_EQUAL, SMALLEST, Spectral


class Basis(NamedTuple):
    """K rate matrices by their eigenvectors, in real numbers: P pairs of complex eigenvalues first, then real ones.

    Of a pair v, conj(v) the real vectors Re v and -Im v stand for both, between which e^(value t) turns.

    Attributes:
        right, left: (K, S, S) vectors as columns of `right`, and its inverse.
        along: The same with complex numbers, where there are pairs.
        pairs: P.
    """

    right: FloatArray
    left: FloatArray
    along: Spectral
    pairs: int


class SpectralEdges:
    """The `LevelEdges` of K rate matrices by their eigenvectors.

    Args:
        basis: Of the matrices.
        lengths: (N,).
    """

    # Every state can be reached in any time, which rounding must not deny.
    least = SMALLEST

    def __init__(self, basis: Basis, lengths: FloatArray) -> None:
        self._basis, self._lengths = basis, lengths
        self._grown, self._turning = _grown(basis, lengths)

    def said(self, nodes: Any, below: FloatArray) -> FloatArray:
        """(K, S, n) exp(Q t) times vectors (K, S, n)."""
        in_basis = self._basis.left @ below
        found: FloatArray = below + self._basis.right @ self._moved(nodes, in_basis, 1)
        return found

    def reached(self, nodes: Any, above: FloatArray) -> FloatArray:
        """(K, S, n) vectors (K, S, n) times exp(Q t)."""
        in_basis = self._basis.right.swapaxes(1, 2) @ above
        found: FloatArray = above + self._basis.left.swapaxes(1, 2) @ self._moved(nodes, in_basis, -1)
        return found

    def slopes(self, above: FloatArray, below: FloatArray) -> FloatArray:
        """(K, S, S) derivative by every cell, from what stands above and below all edges, (K, S, N)."""
        right, left, values = self._basis.along
        above, below = self._basis.right.swapaxes(1, 2) @ above, self._basis.left @ below
        twice = 2 * self._basis.pairs
        if not twice:
            cells = _divided_sums(values, self._lengths, self._grown, above, below)
        else:
            grown, complex_above, complex_below = (np.array(each, complex) for each in (self._grown, above, below))
            first, second = slice(0, twice, 2), slice(1, twice, 2)
            grown[:, first] += 1j * self._turning
            complex_above[:, first] -= 1j * above[:, second]
            complex_below[:, first] = (below[:, first] + 1j * below[:, second]) / 2
            for each in (grown, complex_above, complex_below):
                each[:, second] = each[:, first].conj()
            cells = _divided_sums(values, self._lengths, grown, complex_above, complex_below)
        found: FloatArray = np.real(left.swapaxes(1, 2) @ cells @ right.swapaxes(1, 2))
        return found

    def _moved(self, nodes: Any, in_basis: FloatArray, side: int) -> FloatArray:
        """(K, S, n) e^(value t) - 1 applied to what stands in the basis: from below (side 1) or from above (-1)."""
        moved = self._grown[..., nodes] * in_basis
        if twice := 2 * self._basis.pairs:
            turning = self._turning[..., nodes]
            moved[:, 0:twice:2] -= side * turning * in_basis[:, 1:twice:2]
            moved[:, 1:twice:2] += side * turning * in_basis[:, 0:twice:2]
        return moved


def bases_of(parts: Spectral, sound: BoolArray) -> Iterator[tuple[NDArray[np.intp], Basis]]:
    """The bases of those matrices that have one, matrices with equally many complex eigenvalues together.

    Args:
        parts: K matrices by their eigenvectors.
        sound: (K,) which of them have any.

    Returns:
        The places of each basis' matrices, and the basis.
    """
    pairs = np.where(sound, (np.imag(parts.values) > 0).sum(1), -1)
    for count in np.unique(pairs[pairs >= 0]).tolist():
        places = np.flatnonzero(pairs == count)
        right, left, values = (field[places] for field in parts)
        if not count:
            yield places, Basis(right.real, left.real, Spectral(right.real, left.real, values.real), 0)
            continue
        # Conjugates beside each other, the one that turns forwards first, and what is real behind them.
        order = np.lexsort((-values.imag, values.real, values.imag == 0))
        right, values = np.take_along_axis(right, order[:, None, :], 2), np.take_along_axis(values, order, 1)
        left = np.take_along_axis(left, order[:, :, None], 1)
        of_right, of_left = right.real.copy(), left.real.copy()
        first, second = slice(0, 2 * count, 2), slice(1, 2 * count, 2)
        of_right[:, :, second] = -right.imag[:, :, first]
        of_left[:, first], of_left[:, second] = 2 * left.real[:, first], 2 * left.imag[:, first]
        yield places, Basis(of_right, of_left, Spectral(right, left, values), count)


def _divided_sums(values: Any, lengths: FloatArray, grown: Any, above: Any, below: Any) -> Any:
    """(K, S, S) sums over edges of above_i (e^(v_i t) - e^(v_j t)) / (v_i - v_j) below_j, as `transitions.slopes`."""
    gap = values[:, :, None] - values[:, None, :]
    cells = (_products(above * grown, below) - _products(above, grown * below)) / np.where(gap == 0, 1, gap)
    near = abs(gap) * lengths.max(initial=0.0) < NEARLY_EQUAL
    if not near[:, ~np.eye(values.shape[1], dtype=bool)].any():
        same = np.arange(values.shape[1])
        cells[:, same, same] = (above * (1 + grown) * below * lengths).sum(-1)
        return cells
    half = np.exp(values[..., None] * (lengths / 2))
    above, below = above * half * lengths, below * half
    series = _products(above, below)
    # Of values far from each other it means nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        for power, weight in ((2, 24), (4, 1920)):
            series = series + gap**power / weight * _products(above * lengths**power, below)
    return np.where(near, series, cells)


def _products(above: Any, below: Any) -> Any:
    """(K, S, S) sums over the nodes of the products of all pairs of states."""
    if not np.iscomplexobj(above):
        return above @ below.swapaxes(1, 2)
    # Products of complex matrices are spread over threads, which costs more than it brings for matrices so narrow.
    parts = np.ascontiguousarray(above.real), np.ascontiguousarray(above.imag)
    real, imaginary = (np.ascontiguousarray(part.swapaxes(1, 2)) for part in (below.real, below.imag))
    return (parts[0] @ real - parts[1] @ imaginary) + 1j * (parts[0] @ imaginary + parts[1] @ real)


def _grown(basis: Basis, lengths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(K, S, N) and (K, P, N) the parts of e^(value t) - 1."""
    values, twice = basis.along.values, 2 * basis.pairs
    grown = np.expm1(values.real[..., None] * lengths)
    if not twice:
        return grown, np.zeros((len(values), 0, len(lengths)))
    # e^x (cos y + i sin y) - 1, whose first part is e^x - 1 - 2 e^x sin(y / 2)^2: neither cancels on short edges.
    angle = values.imag[:, 0:twice:2, None] * lengths
    size = 1 + grown[:, 0:twice:2]
    grown[:, 0:twice:2] -= 2 * size * np.sin(angle / 2) ** 2
    grown[:, 1:twice:2] = grown[:, 0:twice:2]
    return grown, size * np.sin(angle)
