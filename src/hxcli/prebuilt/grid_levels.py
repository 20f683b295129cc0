"""The sweeps of `grid` on the host, a level of the tree at a time, and the slopes of the log likelihood.

What an edge does is asked of `Edges`: by eigenvectors (`grid_spectrum`), or by squares, which keep the digits of small
chances (`grid_squares`). Where edges have walks of their own, each asks its group's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray

# Below it a chance counts as this, so that its logarithm is finite.
_TINY = 1e-300


class RateSlopes(NamedTuple):
    """Derivatives of a sum over n edges.

    Attributes:
        up, down, lost: (k,) by the rates of the walk.
        time: (n,) by the edges' lengths.
    """

    up: FloatArray
    down: FloatArray
    lost: FloatArray
    time: FloatArray


class Edges(Protocol):
    """What n edges under one walk do to k cells; those asked for are slices. See `grid_spectrum.SpectralEdges`.

    Attributes:
        least: Below it a chance counts as this.
        time: (n,) lengths.
    """

    least: float
    time: FloatArray

    def backwards(self, edges: slice, ended: FloatArray) -> FloatArray: ...

    def forwards(self, edges: slice, begun: FloatArray) -> FloatArray: ...

    def copies(self, edge: int, count: int) -> Edges: ...

    def doubt(self, below: FloatArray, outside: FloatArray, total: FloatArray) -> float: ...

    def slopes(self, below: FloatArray, over: FloatArray, outside: FloatArray, total: FloatArray) -> RateSlopes: ...


class GroupedEdges:
    """The edges of a tree of N nodes, in G groups of one walk each; those asked for are slices of the nodes below them.

    Attributes:
        least: Below it a chance counts as this.
    """

    def __init__(
        self,
        time: FloatArray,
        group: NDArray[np.intp],
        make: Callable[[int, FloatArray], Edges],
        most: int | None = None,
    ) -> None:
        """Prepares the edges.

        Args:
            time: (N,) lengths; the root has no edge.
            group: (N,) of every edge.
            make: From the number of a group and the lengths of its edges to what these do.
            most: How many groups are held at a time; the others are made when they are asked for. None for all.
        """
        self._time, self._make = time, make
        count = int(group.max(initial=0)) + 1
        self._nodes = [np.flatnonzero(group[1:] == number) + 1 for number in range(count)]
        self._most, self._made = most or count, dict[int, Edges]()
        self.least = self._edges(0).least

    def _edges(self, number: int) -> Edges:
        if number not in self._made:
            if len(self._made) >= self._most:
                del self._made[next(iter(self._made))]
            self._made[number] = self._make(number, self._time[self._nodes[number]])
        return self._made[number]

    def by_group(self, nodes: slice) -> Iterator[tuple[Any, slice, Edges]]:
        """Every group among some nodes: which of them are its (all of them as a slice), and which of its edges."""
        for number, own in enumerate(self._nodes):
            some = slice(*np.searchsorted(own, [nodes.start, nodes.stop]))
            if some.stop - some.start == nodes.stop - nodes.start:
                yield slice(None), some, self._edges(number)
                return
            if some.stop > some.start:
                yield own[some] - nodes.start, some, self._edges(number)

    def backwards(self, nodes: slice, ended: FloatArray) -> FloatArray:
        """(n, k) likelihoods at the starts of edges from those at their ends."""
        found = np.empty_like(ended)
        for rows, some, edges in self.by_group(nodes):
            moved = edges.backwards(some, ended[rows])
            if isinstance(rows, slice):
                return moved
            found[rows] = moved
        return found

    def forwards(self, nodes: slice, begun: FloatArray) -> FloatArray:
        """(n, k) weights of the cells at the ends of edges from those at their starts."""
        found = np.empty_like(begun)
        for rows, some, edges in self.by_group(nodes):
            moved = edges.forwards(some, begun[rows])
            if isinstance(rows, slice):
                return moved
            found[rows] = moved
        return found

    def copies(self, node: int, count: int) -> Edges:
        """So many edges that are all as the one above a node is."""
        ((_, some, edges),) = self.by_group(slice(node, node + 1))
        return edges.copies(some.start, count)

    def doubt(self, below: FloatArray, outside: FloatArray, total: FloatArray) -> float:
        """How much rounding may change the log likelihood, to first order; see `slopes`."""
        every = self.by_group(slice(1, len(self._time)))
        return sum(edges.doubt(below[1:][rows], outside[1:][rows], total[1:][rows]) for rows, _, edges in every)

    def slopes(self, below: FloatArray, over: FloatArray, outside: FloatArray, total: FloatArray) -> RateSlopes:
        """Slopes by rates, (G, k) each, and lengths, (N,), of the log likelihood, after both sweeps.

        Args:
            below, over: (N, k) likelihoods at the ends and at the starts of edges.
            outside: (N, k) weights of the cells at their starts, as `forwards` was given them.
            total: (N,) likelihood, by every edge.
        """
        by_time, found = np.zeros(len(total)), []
        for rows, _, edges in self.by_group(slice(1, len(self._time))):
            found.append(edges.slopes(*(each[1:][rows] for each in (below, over, outside, total))))
            by_time[1:][rows] = found[-1].time
        up, down, lost = (np.stack([getattr(each, rate) for each in found]) for rate in ("up", "down", "lost"))
        return RateSlopes(up, down, lost, by_time)


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
        up, down, lost: (G, k) by the rates of the walks.
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


def swept(
    topology: Topology,
    edges: GroupedEdges,
    likelihood: FloatArray,
    root: FloatArray | None,
    *,
    slopes: bool,
    only_up: bool = False,
    most_doubt: float = np.inf,
) -> Found:
    """Both sweeps.

    Args:
        topology: Of N nodes.
        edges: Theirs.
        likelihood: (N, k) of the tips' own observations, of no account elsewhere.
        root: (k,) weights of the root's cells, or None for the state at which the observations are most likely.
        slopes: Whether they are wanted.
        only_up: Whether the log likelihood is all that is wanted.
        most_doubt: Nobody wants slopes of what is more doubtful.
    """
    # What is beyond rounding is doubtful, and no number is: the caller goes the other way.
    with np.errstate(all="ignore"):
        return _swept(topology, edges, likelihood, root, slopes, only_up, most_doubt)


def _swept(
    topology: Topology,
    edges: GroupedEdges,
    likelihood: FloatArray,
    root: FloatArray | None,
    slopes: bool,
    only_up: bool,
    most_doubt: float,
) -> Found:
    parents, starts = topology.parents, topology.level_starts
    below, over, log_scale = swept_up(topology, edges, likelihood)
    value, weights = _at_root(below[0], root)
    value += float(log_scale[0])
    if only_up:
        return Found(value, below[:0], np.nan, None)
    outside, arriving, density = np.empty_like(below), np.empty_like(below), np.empty_like(below)
    over[0] = outside[0] = arriving[0] = 0.0
    joint = weights * below[0]
    density[0] = joint / joint.sum()
    for level in range(1, len(starts) - 1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        given = np.divide(density[parents[nodes]], over[nodes], out=outside[nodes])
        given /= np.maximum(given.max(1), -given.min(1))[:, None]
        moved = edges.forwards(nodes, given)
        if root is not None:
            np.maximum(moved, 0.0, out=moved)
        arriving[nodes] = moved
        inner = moved * below[nodes]
        inner /= inner.sum(1, keepdims=True)
        density[nodes] = inner
    total = np.einsum("nk,nk->n", outside, over)
    doubt = edges.doubt(below, outside, total)
    found = Found(value, density, doubt, None)
    if not (slopes and doubt <= most_doubt and np.isfinite(doubt)):
        return found
    return found._replace(
        slopes=Slopes(
            *edges.slopes(below, over, outside, total),
            _own_slopes(arriving, likelihood, topology.is_leaf),
            np.zeros_like(below[0]) if root is None else below[0] / (root @ below[0]),
        )
    )


def swept_up(
    topology: Topology, edges: GroupedEdges, likelihood: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Likelihoods at the ends and at the starts of edges, (N, k) each, and (N,) logs of what was taken out below."""
    parents, starts = topology.parents, topology.level_starts
    below = np.array(likelihood, float)
    over = np.empty_like(below)
    log_scale = np.zeros(topology.size)
    for level in range(len(starts) - 2, 0, -1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        moved = edges.backwards(nodes, below[nodes])
        over[nodes] = np.maximum(moved, edges.least, out=moved)
        own, scales = parents[nodes], log_scale[nodes]
        if (own[1:] < own[:-1]).any():
            # Siblings need not be neighbours, and here they must.
            order = np.argsort(own, kind="stable")
            own, moved, scales = own[order], moved[order], scales[order]
        first = np.flatnonzero(np.concatenate([[True], own[1:] != own[:-1]]))
        above = own[first]
        together, logs = _products(moved, first, edges.least)
        below[above] = together
        log_scale[above] = np.add.reduceat(scales, first) + logs
    return below, over, log_scale


def drawn_cells(
    topology: Topology, edges: GroupedEdges, likelihood: FloatArray, root: FloatArray, chances: FloatArray
) -> NDArray[np.intp]:
    """(K, N) joint draws of the cells of all nodes: the root's given all tips, then every node's given its parent's.

    Args:
        topology: Of N nodes.
        edges: Theirs, of a walk none of whose chances is negative.
        likelihood: (N, k) of the tips' own observations.
        root: (k,) weights of the root's cells.
        chances: (K, N) uniform random numbers.
    """
    starts = topology.level_starts
    with np.errstate(all="ignore"):
        below, _, _ = swept_up(topology, edges, likelihood)
        cells = np.empty(chances.shape, np.intp)
        cells[:, 0] = _chosen(np.maximum(root, 0.0) * below[0], chances[:, 0])
        for level in range(1, len(starts) - 1):
            nodes = slice(int(starts[level]), int(starts[level + 1]))
            for rows, some, walked in edges.by_group(nodes):
                there, reached = np.arange(nodes.start, nodes.stop)[rows], below[nodes][rows]
                for draw, own in zip(cells, chances, strict=True):
                    begun = np.zeros_like(reached)
                    begun[np.arange(len(there)), draw[topology.parents[there]]] = 1.0
                    ended = np.maximum(walked.forwards(some, begun), edges.least)
                    draw[there] = _chosen(ended * reached, own[there])
    return cells


def _chosen(weights: FloatArray, chances: FloatArray) -> Any:
    """(n,) places where sums of weights, (n, k) or the same k for all, reach shares of their totals."""
    sums = np.cumsum(weights, axis=-1)
    reached = sums / sums[..., -1:] < chances[:, None]
    return np.minimum(reached.sum(1), weights.shape[-1] - 1)


def _products(over: FloatArray, first: Any, least: float) -> tuple[FloatArray, FloatArray]:
    """Products of the children's likelihoods, largest 1, and the logs of what was taken out, parents (P, k) and (P,).

    Args:
        over: (n, k) at the starts of edges, none below `least`.
        first: (P,) where every parent's edges begin.
        least: See `Edges`.
    """
    most = int(np.diff(np.append(first, len(over))).max())
    if most * np.log(least) > np.log(_TINY) - 1:
        found = np.multiply.reduceat(over, first, axis=0)
        top = found.max(1)
        return found / top[:, None], np.log(top)
    logs = np.add.reduceat(np.log(over), first, axis=0)
    highest = logs.max(1)
    return np.exp(logs - highest[:, None]), highest


def _at_root(below: FloatArray, root: FloatArray | None) -> tuple[float, FloatArray]:
    """Log likelihood at the root, and weights of its cells whose sum of likelihoods moves as it does."""
    if root is not None:
        return float(np.log(max(float(root @ below), _TINY))), root
    # As `grid`'s: the top of the parabola through the best cell and its neighbours.
    logs = np.log(np.maximum(below, _TINY))
    best = int(np.clip(np.argmax(logs), 1, len(logs) - 2))
    low, middle, high = logs[best - 1 : best + 2]
    bend = low - 2 * middle + high
    place = float(np.clip((low - high) / (2 * bend) if bend < 0 else 0.0, -1.5, 1.5))
    shares = np.array([place * (place - 1) / 2, 1 - place**2, place * (place + 1) / 2])
    weights = np.zeros_like(logs)
    weights[best - 1 : best + 2] = shares / np.maximum(below[best - 1 : best + 2], _TINY)
    return float(shares @ logs[best - 1 : best + 2]), weights


def _own_slopes(arriving: FloatArray, likelihood: FloatArray, leaf: Any) -> FloatArray:
    found, tips = np.zeros_like(arriving), np.flatnonzero(leaf)
    reached = arriving[tips]
    total = np.einsum("nk,nk->n", reached, likelihood[tips])
    used = total > _TINY
    found[tips[used]] = reached[used] / total[used, None]
    return found
