"""Names for all nodes: the tree's own where they serve, and the two tips whose common ancestor a node is."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.formats.below import fold_below
from hxcli.names import listed
from hxcli.phylogeny import Phylogeny, TextArray


def node_names(phylogeny: Phylogeny) -> TextArray:
    """(N,) a name for every node, no two equal.

    A label that stands once in the tree is the node's name, and every tip keeps its own. Any other node is
    `n<index>`, its number in breadth-first order, with `_` behind it as long as that is a label too.
    """
    labels = phylogeny.labels.tolist()
    names = pl.Series("name", labels, dtype=pl.String)
    named = (names.is_unique() & (names != "")).to_numpy() | phylogeny.topology.is_leaf
    result = phylogeny.labels.copy()
    taken = set(labels)
    for node in np.flatnonzero(~named).tolist():
        name = f"n{node}"
        while name in taken:
            name += "_"
        result[node] = name
    return result


def made_names_notes(phylogeny: Phylogeny) -> tuple[str, ...]:
    """A sentence where nodes go by a name that the tree's file does not give them, which programs look up there."""
    names = node_names(phylogeny)
    made = np.flatnonzero(names != phylogeny.labels)
    if not made.size:
        return ()
    return (
        f"{listed(names[made].tolist(), 3)} of the node data are no names of the tree's file: give augur the tree that "
        "--named-tree F.nwk writes",
    )


def mrca_tips(phylogeny: Phylogeny) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(N,) and (N,) the tips (node numbers) that name every node as their most recent common ancestor.

    Of the smallest tip name (by code point) below every child the two smallest, in order; for a tip, itself
    twice; for a node with one child, that child's two, because no pair of tips meets in it.
    """
    topology, tips = phylogeny.topology, phylogeny.tips
    # UTF-8 sorts by code point.
    order = pl.Series(phylogeny.tip_names.tolist(), dtype=pl.String).arg_sort().to_numpy()
    none = len(tips)
    smallest = np.full(topology.size, none, np.int64)
    smallest[tips[order]] = np.arange(none)
    first = fold_below(topology, smallest, "min")

    second = np.where(topology.is_leaf, first, none)
    children = np.flatnonzero(~topology.is_root)
    parents = topology.parents[children]
    # All children but the one that gave the parent its smallest name; tips are in one child only.
    others = first[children] != first[parents]
    np.minimum.at(second, parents[others], first[children[others]])
    second = _from_only_child(topology, second, none)
    node_of = tips[order]
    return node_of[first], node_of[second]


def _from_only_child(topology: Topology, second: NDArray[np.int64], none: int) -> NDArray[np.int64]:
    """Gives nodes with one child the value of the first node below that is not one of them."""
    single = topology.child_counts == 1
    if not single.any():
        return second
    # Every such node points to its child; doubling the steps ends at a node that has no pointer.
    target = np.arange(topology.size)
    target[single] = topology.children[topology.first_child[single]]
    while single[target].any():
        target = target[target]
    return second[target]
