"""The order in which a tree is written down. No recursion, whatever the depth."""

from __future__ import annotations

import numpy as np

from hxcli.engine.topology import BoolArray, IntArray, Topology
from hxcli.phylogeny import fold_below


def preorder_ranks(topology: Topology) -> tuple[IntArray, IntArray]:
    """(N,) place of every node when each comes before its children and these in their own order.

    Args:
        topology: One tree.

    Returns:
        The ranks, and (N,) the number of nodes at and below every node.
    """
    sizes = fold_below(topology, np.ones(topology.size, np.int32), "sum")
    children = topology.children
    below = sizes[children]
    before = np.cumsum(below, dtype=np.int64) - below
    # Of the elder siblings only.
    before -= before[topology.first_child[topology.parents[children]]]
    ranks = np.zeros(topology.size, np.int32)
    ranks[children] = 1 + before
    ancestor = topology.parents
    # Pointer doubling sums the steps from the root in log2(depth) passes.
    while np.any(ancestor):
        ranks += ranks[ancestor]
        ancestor = ancestor[ancestor]
    return ranks, sizes


def postorder(topology: Topology) -> tuple[IntArray, IntArray]:
    """The order in which Newick has the nodes: each after its children, and these in their own order.

    Returns:
        (N,) the nodes, and (N,) how many brackets open before each of them.
    """
    before, sizes = preorder_ranks(topology)
    order = np.empty(topology.size, np.int32)
    order[before - topology.node_depths + sizes - 1] = np.arange(topology.size, dtype=np.int32)
    leaf = topology.is_leaf[order]
    opens = np.zeros(topology.size, np.int32)
    # As many before a tip as nodes stand, in preorder, between it and the tip before it.
    opens[leaf] = np.diff(before[order[leaf]], prepend=-1) - 1
    return order, opens


def is_last_child(topology: Topology) -> BoolArray:
    """(N,) true for the last child of every node; false at the root."""
    parents = np.flatnonzero(~topology.is_leaf)
    last = np.zeros(topology.size, bool)
    last[topology.children[topology.first_child[parents] + topology.child_counts[parents] - 1]] = True
    return last


def preorder_with_ends(topology: Topology) -> tuple[IntArray, IntArray]:
    """(N,) the nodes in preorder, and (N,) how many nodes end with each: 0 for one with children.

    A tip ends, and with it every node whose last tip it is.
    """
    order = np.argsort(preorder_ranks(topology)[0]).astype(np.int32)
    depths = topology.node_depths[order]
    ends = np.empty(topology.size, np.int32)
    # The next node is a child (nothing ends), a sibling (one ends) or a relative further up.
    ends[order] = depths - np.append(depths[1:], np.int32(0)) + 1
    return order, ends
