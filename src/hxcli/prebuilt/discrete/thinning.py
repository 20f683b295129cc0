"""A tree with fewer tips, on which a search for rates begins: no kind of observation is lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.prebuilt.discrete.likelihood import StateTree

# Tips that are kept of every kind of observation, if there are so many.
_KEPT = 50


def thinned(tree: StateTree, tips: int) -> StateTree:
    """The tree of some of the tips, spread evenly over those where the same was seen.

    Args:
        tree: N nodes.
        tips: About how many are kept.
    """
    nodes = np.flatnonzero(tree.topology.is_leaf)
    _, kinds = np.unique(tree.seen[nodes], axis=0, return_inverse=True)
    kinds = kinds.ravel()
    kept = np.zeros(tree.size, np.int64)
    for kind, count in enumerate(np.bincount(kinds).tolist()):
        wanted = min(count, max(_KEPT, round(count * tips / len(nodes))))
        of_kind = nodes[kinds == kind]
        kept[of_kind[(np.arange(wanted) * count) // wanted]] = 1
    return _pruned(tree, kept)


def _pruned(tree: StateTree, kept: NDArray[np.int64]) -> StateTree:
    """The tree of the tips that are marked in `kept`, (N,), without nodes that have one child."""
    topology = tree.topology
    parents, starts = topology.parents, topology.level_starts.tolist()
    branches, lengths = kept.copy(), tree.lengths.copy()
    # How many children of each node have something kept at or below them.
    for first, last in zip(starts[-2:0:-1], starts[:1:-1], strict=True):
        there = np.flatnonzero(branches[first:last]) + first
        np.add.at(branches, parents[there], 1)
    stays = (branches > 1) | (kept > 0)
    stays[0] = True
    above = np.zeros(tree.size, np.intp)
    depths = np.zeros(tree.size, np.int32)
    for first, last in pairwise(starts[1:]):
        here = np.arange(first, last)
        parent = parents[here]
        through = ~stays[parent]
        above[here] = np.where(through, above[parent], parent)
        lengths[here] += np.where(through, lengths[parent], 0)
        depths[here] = depths[above[here]] + 1
    nodes = np.flatnonzero(stays)
    # By depth, and among siblings' parents in their order: breadth-first.
    nodes = nodes[np.argsort(depths[nodes], kind="stable")]
    place = np.zeros(tree.size, np.int32)
    place[nodes] = np.arange(len(nodes), dtype=np.int32)
    topology = Topology(place[above[nodes]], depths[nodes])
    lengths = lengths[nodes]
    lengths[0] = 0
    return StateTree(topology, lengths, tree.seen[nodes])
