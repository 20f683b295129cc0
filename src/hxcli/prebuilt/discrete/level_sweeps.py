"""The messages of `sweeps` level by level in numpy, with nothing to compile, for trees with many nodes in a level.

Reading the compiled sweeps of a fit from the cache and tracing them takes half a second, and a sweep over 1,000 tips a
millisecond either way. K columns stand before the S states, nodes last, so that one product of matrices takes all nodes
of a level. What an edge does to a message is told by `LevelEdges`, in one of two ways.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import IntArray, Topology
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.sweeps import FEW_CHILDREN, picked

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


class LevelEdges(Protocol):
    """What K rate matrices do along the N edges of a tree.

    Attributes:
        least: What no transition that takes time is less than.
    """

    least: float

    def said(self, nodes: Any, below: FloatArray) -> FloatArray:
        """(K, S, n) exp(Q t) of the edges above some nodes, times vectors (K, S, n): what children say."""

    def reached(self, nodes: Any, above: FloatArray) -> FloatArray:
        """(K, S, n) the vectors (K, S, n), which may be negative, times exp(Q t): what comes down to children."""

    def slopes(self, above: FloatArray, below: FloatArray) -> FloatArray:
        """(K, S, S) derivative by every cell of Q of the sum over edges of above . exp(Q t) below, (K, S, N) each."""


class Upwards(NamedTuple):
    """What the sweep up leaves.

    Attributes:
        partial: (K, S, N) likelihood of what is at and below a node given its state, the largest entry 1.
        message: (K, S, N) the same of the parent's state, by way of the edge.
        log_scale: (K,) the logarithm of what was taken out.
    """

    partial: FloatArray
    message: FloatArray
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


def sweep_up(levels: tuple[Level, ...], seen: FloatArray, edges: LevelEdges, columns: int) -> Upwards:
    """The messages from the tips to the root.

    Args:
        levels: Of a tree of N nodes.
        seen: (S, N) probability of what was seen at a tip, given its state.
        edges: Of K rate matrices.
        columns: K.
    """
    shape = (columns, *seen.shape)
    partial, message, log_scale = np.broadcast_to(seen, shape).copy(), np.ones(shape), np.zeros(columns)
    for level in reversed(levels):
        nodes = level.nodes
        here = partial[..., nodes]
        said = np.maximum(edges.said(nodes, here), edges.least)
        if len(level.zero):
            said[..., level.zero] = here[..., level.zero]
        message[..., nodes] = said
        joined, logs = _joined(said, level)
        largest = joined.max(1, keepdims=True)
        with np.errstate(divide="ignore"):
            log_scale += (logs + np.log(largest[:, 0])).sum(-1)
        partial[..., level.above] = joined / np.where(largest > 0, largest, 1)
    return Upwards(partial, message, log_scale)


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


def sweep_down(
    levels: tuple[Level, ...], up: Upwards, edges: LevelEdges, seed: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The messages from the root's seed (K, S) to the tips.

    Returns:
        (K, S, N) what the seed becomes at every node, and (K, S, N) what stands above every edge, 0 at the root.
    """
    posterior, outside = np.empty_like(up.partial), np.empty_like(up.partial)
    posterior[..., 0], outside[..., 0] = seed, 0
    for level in levels:
        nodes = level.nodes
        said = up.message[..., nodes]
        above = posterior[..., level.parents] / np.where(said > 0, said, 1)
        if len(level.zero):
            above = np.where(said > 0, above, 0)
        outside[..., nodes] = above
        posterior[..., nodes] = up.partial[..., nodes] * edges.reached(nodes, above)
    return posterior, outside


def draw_down(
    levels: tuple[Level, ...], up: Upwards, edges: LevelEdges, root: NDArray[np.intp], chances: FloatArray
) -> NDArray[np.intp]:
    """(K, N) states of all nodes drawn jointly given all tips, one draw for every rate matrix.

    Args:
        levels: Of a tree of N nodes.
        up: Of K rate matrices.
        edges: Of these.
        root: (K,) the root's states.
        chances: (K, N) numbers between 0 and 1 that pick the states.
    """
    columns, states, size = up.partial.shape
    found = np.empty((columns, size), np.intp)
    found[:, 0] = root
    places = np.arange(states)[:, None]
    for level in levels:
        nodes = level.nodes
        unit = (places == found[:, None, level.parents]).astype(float)
        row = np.maximum(edges.reached(nodes, unit), edges.least)
        if len(level.zero):
            row[..., level.zero] = unit[..., level.zero]
        found[:, nodes] = picked((row * up.partial[..., nodes]).swapaxes(1, 2), chances[:, nodes], np)
    return found


def matrices_of(edges: LevelEdges, states: int, size: int) -> FloatArray:
    """(N, S, S) the transition matrices of all edges, for one rate matrix."""
    units = np.broadcast_to(np.eye(states)[:, None, :, None], (states, 1, states, size))
    columns = [edges.said(slice(None), unit)[0] for unit in units]
    return np.stack([column.T for column in columns], -1)
