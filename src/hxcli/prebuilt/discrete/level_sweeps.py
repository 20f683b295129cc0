"""The messages of `sweeps` level by level in numpy, with nothing to compile, for trees with many nodes in a level.

Reading the compiled sweeps of a fit from the cache and tracing them takes half a second, and a sweep over 1,000 tips a
millisecond either way. For matrices whose eigenvectors are well conditioned (`Spectral`); K columns stand before the S
states, nodes last, so that one product of matrices takes all nodes of a level.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray, IntArray, Topology
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.sweeps import FEW_CHILDREN, picked
from hxcli.prebuilt.discrete.transitions import NEARLY_EQUAL, SMALLEST, Spectral

# Levels of a tree above which compiled sweeps, which need longer to begin and not so long for a level, are faster.
MOST_LEVELS = 1000


class Level(NamedTuple):
    """The nodes of one depth below the root.

    Attributes:
        nodes: Where they stand: a slice, or their places grouped by parent.
        parents: (n,) the parent of each.
        above: (m,) the distinct parents, ascending.
        starts: (m,) where the children of each begin.
        two: Whether all have two.
        few: Whether none has more than `FEW_CHILDREN`.
        zero: Places among the n of edges of length 0.
    """

    nodes: Any
    parents: IntArray
    above: IntArray
    starts: NDArray[np.intp]
    two: bool
    few: bool
    zero: NDArray[np.intp]


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


class Upwards(NamedTuple):
    """What the sweep up leaves.

    Attributes:
        partial: (K, S, N) likelihood of what is at and below a node given its state, the largest entry 1.
        message: (K, S, N) the same of the parent's state, by way of the edge.
        turned: (K, S, N) `partial` in the basis.
        grown: (K, S, N) real part of e^(value t) - 1.
        turning: (K, P, N) its imaginary part for the first of each pair.
        log_scale: (K,) the logarithm of what was taken out.
    """

    partial: FloatArray
    message: FloatArray
    turned: FloatArray
    grown: FloatArray
    turning: FloatArray
    log_scale: FloatArray


def levels_of(topology: Topology, lengths: FloatArray) -> tuple[Level, ...]:
    """The levels of a tree of N nodes below its root, the highest first."""
    starts, found = topology.level_starts.tolist(), []
    roots = starts[1]
    in_order = np.array_equal(topology.children, np.arange(roots, topology.size))
    for first, last in pairwise(starts[1:]):
        nodes = topology.children[first - roots : last - roots]
        parents = topology.parents[nodes]
        new = np.flatnonzero(np.diff(parents, prepend=-1))
        counts = np.diff(new, append=len(parents))
        found.append(
            Level(
                slice(first, last) if in_order else nodes,
                parents,
                parents[new],
                new,
                bool((counts == 2).all()),
                int(counts.max()) <= FEW_CHILDREN,
                np.flatnonzero(lengths[nodes] == 0),
            )
        )
    return tuple(found)


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


def sweep_up(levels: tuple[Level, ...], lengths: FloatArray, seen: FloatArray, basis: Basis) -> Upwards:
    """The messages from the tips to the root.

    Args:
        levels: Of a tree of N nodes.
        lengths: (N,).
        seen: (S, N) probability of what was seen at a tip, given its state.
        basis: Of K rate matrices.
    """
    shape = (len(basis.right), *seen.shape)
    grown, turning = _grown(basis, lengths)
    partial, message = np.broadcast_to(seen, shape).copy(), np.ones(shape)
    turned, log_scale = np.empty(shape), np.zeros(shape[0])
    # No edge leads to the root, which has no part in any sum over edges.
    turned[..., 0] = 0
    for level in reversed(levels):
        nodes = level.nodes
        here = partial[..., nodes]
        in_basis = turned[..., nodes] = basis.left @ here
        moved = basis.right @ _moved(grown[..., nodes], turning[..., nodes], in_basis, 1)
        # Every state can be reached in any time, which rounding must not deny.
        said = np.maximum(here + moved, SMALLEST)
        if len(level.zero):
            said[..., level.zero] = here[..., level.zero]
        message[..., nodes] = said
        joined, logs = _joined(said, level)
        largest = joined.max(1, keepdims=True)
        with np.errstate(divide="ignore"):
            log_scale += (logs + np.log(largest[:, 0])).sum(-1)
        partial[..., level.above] = joined / np.where(largest > 0, largest, 1)
    return Upwards(partial, message, turned, grown, turning, log_scale)


def _moved(grown: FloatArray, turning: FloatArray, in_basis: FloatArray, side: int) -> FloatArray:
    """(K, S, n) e^(value t) - 1 applied to what stands in the basis: from below (side 1) or from above (-1)."""
    moved = grown * in_basis
    if twice := 2 * turning.shape[1]:
        moved[:, 0:twice:2] -= side * turning * in_basis[:, 1:twice:2]
        moved[:, 1:twice:2] += side * turning * in_basis[:, 0:twice:2]
    return moved


def _joined(said: FloatArray, level: Level) -> tuple[FloatArray, Any]:
    """(K, S, m) the products of the messages of siblings, and the logarithms of what was taken out, (K, m) or 0."""
    if level.two:
        return said[..., 0::2] * said[..., 1::2], 0.0
    if level.few:
        return np.multiply.reduceat(said, level.starts, axis=-1), 0.0
    with np.errstate(divide="ignore"):
        logs = np.add.reduceat(np.log(said), level.starts, axis=-1)
    highest = logs.max(1, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, 0)
    return np.exp(logs - highest), highest[:, 0]


def sweep_down(levels: tuple[Level, ...], up: Upwards, basis: Basis, seed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The messages from the root's seed (K, S) to the tips.

    Returns:
        (K, S, N) what the seed becomes at every node, and (K, S, N) what stands above every edge in the basis, 0 at the
        root.
    """
    to_basis, back = basis.right.swapaxes(1, 2), basis.left.swapaxes(1, 2)
    posterior, turned = np.empty_like(up.partial), np.empty_like(up.turned)
    posterior[..., 0], turned[..., 0] = seed, 0
    for level in levels:
        nodes = level.nodes
        said = up.message[..., nodes]
        above = posterior[..., level.parents] / np.where(said > 0, said, 1)
        if len(level.zero):
            above = np.where(said > 0, above, 0)
        in_basis = turned[..., nodes] = to_basis @ above
        moved = back @ _moved(up.grown[..., nodes], up.turning[..., nodes], in_basis, -1)
        posterior[..., nodes] = up.partial[..., nodes] * (above + moved)
    return posterior, turned


def draw_down(
    levels: tuple[Level, ...], up: Upwards, basis: Basis, root: NDArray[np.intp], chances: FloatArray
) -> NDArray[np.intp]:
    """(K, N) states of all nodes drawn jointly given all tips, one draw for every rate matrix.

    Args:
        levels: Of a tree of N nodes.
        up: Of K rate matrices.
        basis: Of these.
        root: (K,) the root's states.
        chances: (K, N) numbers between 0 and 1 that pick the states.
    """
    to_basis, back = basis.right.swapaxes(1, 2), basis.left.swapaxes(1, 2)
    columns, states, size = up.partial.shape
    found = np.empty((columns, size), np.intp)
    found[:, 0] = root
    places = np.arange(states)[:, None]
    for level in levels:
        nodes = level.nodes
        unit = (places == found[:, None, level.parents]).astype(float)
        moved = back @ _moved(up.grown[..., nodes], up.turning[..., nodes], to_basis @ unit, -1)
        row = np.maximum(unit + moved, SMALLEST)
        if len(level.zero):
            row[..., level.zero] = unit[..., level.zero]
        found[:, nodes] = picked((row * up.partial[..., nodes]).swapaxes(1, 2), chances[:, nodes], np)
    return found


def matrices_of(up: Upwards, basis: Basis) -> FloatArray:
    """(N, S, S) the transition matrices of all edges, for one rate matrix."""
    states = basis.right.shape[1]
    units = np.eye(states)[:, :, None]
    columns = [basis.right @ _moved(up.grown, up.turning, basis.left @ unit, 1) for unit in units]
    return np.eye(states) + np.stack([column[0].T for column in columns], -1)


def slopes_of(up: Upwards, above: FloatArray, basis: Basis, lengths: FloatArray) -> FloatArray:
    """(K, S, S) derivative by every cell of the rate matrices, from both sweeps."""
    right, left, values = basis.along
    twice = 2 * basis.pairs
    if not twice:
        cells = _divided_sums(values, lengths, up.grown, above, up.turned)
    else:
        grown, complex_above, complex_below = (np.array(each, complex) for each in (up.grown, above, up.turned))
        first, second = slice(0, twice, 2), slice(1, twice, 2)
        grown[:, first] += 1j * up.turning
        complex_above[:, first] -= 1j * above[:, second]
        complex_below[:, first] = (up.turned[:, first] + 1j * up.turned[:, second]) / 2
        for each in (grown, complex_above, complex_below):
            each[:, second] = each[:, first].conj()
        cells = _divided_sums(values, lengths, grown, complex_above, complex_below)
    found: FloatArray = np.real(left.swapaxes(1, 2) @ cells @ right.swapaxes(1, 2))
    return found


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
