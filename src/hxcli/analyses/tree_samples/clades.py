"""Clades as sets of tips: one 128-bit number for each, equal in every tree that has the clade."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.tree_batch import TreeBatch

Words = NDArray[np.uint64]
# Added for every further node that has the same tips as the one below it: odd, so that no number of them is 0.
_STEP = np.uint64(0x9E3779B97F4A7C15)

# Slots for a clade, at least.
_ROOM = 8


class CladeKeys(NamedTuple):
    """Keys of n clades; two clades have the same key with a chance of 2^-128.

    Attributes:
        low, high: (n,) both halves.
    """

    low: Words
    high: Words

    def at(self, places: NDArray[np.integer]) -> CladeKeys:
        """The keys at some places."""
        return CladeKeys(self.low[places], self.high[places])


def taxon_keys(names: Sequence[str]) -> CladeKeys:
    """A key for each name that depends on nothing else, so that it is the same in every process."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=16).digest() for name in names)
    halves = np.frombuffer(digests, "<u8").reshape(len(names), 2).astype(np.uint64)
    return CladeKeys(halves[:, 0].copy(), halves[:, 1].copy())


def clade_keys(topology: Topology, taxa: NDArray[np.integer], names: CladeKeys, *, chains: bool = True) -> CladeKeys:
    """(N,) the key of every node: the sum of its tips' keys, modulo 2^128 in two halves.

    Args:
        topology: N nodes of one or several trees.
        taxa: (N,) the name of every tip; -1 at internal nodes and at tips that do not count.
        names: The names' keys.
        chains: Whether a node with one child is another clade than that child: the first above it, the second, ...
    """
    counted = taxa >= 0
    keys = []
    for half in names:
        sums = np.zeros(topology.size, np.uint64)
        sums[counted] = half[taxa[counted]]
        keys.append(sum_below(topology, sums))
    single = np.flatnonzero((topology.child_counts == 1) & chains)
    if len(single):
        height = np.zeros(topology.size, np.uint64)
        children, first = topology.children, topology.first_child
        for node in single[::-1].tolist():
            height[node] = height[children[first[node]]] + np.uint64(1)
        keys[0] += height * _STEP
    return CladeKeys(*keys)


def sum_below(topology: Topology, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(N,) the sums, modulo 2^64, of the values at and below every node; overwrites them."""
    for children, parents, families in families_of_levels(topology):
        values[parents] += np.add.reduceat(values[children], families)
    return values


def families_of_levels(topology: Topology) -> Iterator[tuple[Any, NDArray[np.integer], NDArray[np.intp]]]:
    """For every level but the root's, the lowest first: its nodes by parent, those parents, and where each one's begin.

    What is made of the nodes with `reduceat` at these places takes a tenth of what `ufunc.at` takes.
    """
    starts = topology.level_starts.tolist()
    for first, last in zip(starts[-2:0:-1], starts[:1:-1], strict=True):
        above = topology.parents[first:last]
        nodes: Any = slice(first, last)
        if (above[1:] < above[:-1]).any():
            order = np.argsort(above, kind="stable")
            nodes, above = first + order, above[order]
        families = np.flatnonzero(np.append(True, above[1:] != above[:-1]))
        yield nodes, above[families], families


@dataclass(frozen=True, eq=False)
class CladeIndex:
    """Finds clades of a summary tree by their keys.

    Attributes:
        keys: (C,) keys, in the order of the summary's nodes.
    """

    keys: CladeKeys

    def __post_init__(self) -> None:
        slots = self._slots(self.keys.low)
        # Of equal keys the first is found.
        self._first[slots[::-1]] = np.arange(len(slots))[::-1]
        object.__setattr__(self, "_order", np.argsort(self.keys.low, kind="stable"))

    @cached_property
    def _first(self) -> NDArray[np.int32]:
        """The first clade of every slot, -1 for an empty one: most have one clade at most."""
        return np.full(_ROOM << len(self.keys.low).bit_length(), -1, np.int32)

    def _slots(self, low: Words) -> NDArray[np.intp]:
        return (low & np.uint64(len(self._first) - 1)).astype(np.intp)

    @cached_property
    def _crowded(self) -> NDArray[np.bool_]:
        """Which slots have several clades."""
        return np.bincount(self._slots(self.keys.low), minlength=len(self._first)) > 1

    def places(self, keys: CladeKeys) -> NDArray[np.intp]:
        """(n,) where clades stand in the summary; -1 for those that it lacks."""
        slots = self._slots(keys.low)
        found = self._same(self._first[slots].astype(np.intp), keys)
        open_ones = np.flatnonzero(self._crowded[slots] & (found < 0))
        if len(open_ones):
            some, order = keys.at(open_ones), self._order  # type: ignore[attr-defined]
            at = np.minimum(np.searchsorted(self.keys.low[order], some.low), len(order) - 1)
            found[open_ones] = self._same(order[at], some)
        return found

    def _same(self, places: NDArray[np.intp], keys: CladeKeys) -> NDArray[np.intp]:
        """The places whose keys these are; -1 for the others."""
        same = (self.keys.low[places] == keys.low) & (self.keys.high[places] == keys.high) & (places >= 0)
        return np.where(same, places, -1)


def nodes_of_clades(batch: TreeBatch, clades: NDArray[np.intp], count: int) -> NDArray[np.int32]:
    """(C, B) the node of every clade of the summary in every tree; -1 where a tree lacks it.

    Of several nodes with the same tips the lowest is taken.

    Args:
        batch: The trees.
        clades: (N,) the clade of every node, as `CladeIndex.places` gives it.
        count: Number of clades C.
    """
    nodes = np.full((count, batch.count), -1, np.int32)
    there = np.flatnonzero(clades >= 0)
    # Ascending, and so the lowest node of a clade is written last.
    nodes[clades[there], batch.trees[there]] = there
    return nodes
