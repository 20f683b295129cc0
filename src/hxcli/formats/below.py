"""Figures of whole subtrees, and the order in which a tree is written down. No recursion, whatever the depth."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology

# Below this depth one numpy call a level is cheap.
_DEEP = 1000


def fold_below(topology: Topology, values: NDArray[np.int64], how: Literal["sum", "min"]) -> NDArray[np.int64]:
    """(N,) the sum, or the smallest, of the (N,) `values` at and below every node."""
    folded = np.asarray(values, np.int64).copy()
    parents, starts = topology.parents, topology.level_starts
    ufunc = np.add if how == "sum" else np.minimum
    if topology.depth < _DEEP:
        for level in range(topology.depth, 0, -1):
            nodes = slice(starts[level], starts[level + 1])
            ufunc.at(folded, parents[nodes], folded[nodes])
        return folded
    # A deep tree has small levels: plain integers are faster than one numpy call a level.
    above, below = parents.tolist(), folded.tolist()
    if how == "sum":
        for node in range(topology.size - 1, 0, -1):
            below[above[node]] += below[node]
    else:
        for node in range(topology.size - 1, 0, -1):
            parent = above[node]
            if below[node] < below[parent]:
                below[parent] = below[node]
    return np.asarray(below, np.int64)


def preorder_ranks(topology: Topology, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) place of every node when each comes before its children and these in their own order.

    Args:
        topology: One tree.
        sizes: (N,) number of nodes at and below every node.
    """
    children = topology.children
    before = np.cumsum(sizes[children]) - sizes[children]
    group = topology.first_child[topology.parents[children]]
    ranks = np.zeros(topology.size, np.int64)
    ranks[children] = 1 + before - before[group]
    ancestor = topology.parents
    # Pointer doubling sums the steps from the root in log2(depth) passes.
    while np.any(ancestor):
        ranks = ranks + ranks[ancestor]
        ancestor = ancestor[ancestor]
    return ranks


def is_last_child(topology: Topology) -> NDArray[np.bool_]:
    """(N,) true for the last child of every node; false at the root."""
    parents = np.flatnonzero(~topology.is_leaf)
    last = np.zeros(topology.size, bool)
    last[topology.children[topology.first_child[parents] + topology.child_counts[parents] - 1]] = True
    return last


def preorder_with_ends(topology: Topology) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) the nodes in preorder, and (N,) how many nodes end with each: 0 for one with children.

    A tip ends, and with it every node whose last tip it is.
    """
    sizes = fold_below(topology, np.ones(topology.size, np.int64), "sum")
    order = np.argsort(preorder_ranks(topology, sizes))
    depths = topology.node_depths[order].astype(np.int64)
    ends = np.empty(topology.size, np.int64)
    # The next node is a child (nothing ends), a sibling (one ends) or a relative further up.
    ends[order] = depths - np.append(depths[1:], 0) + 1
    return order, ends
