"""Names for all nodes: the tree's own where they serve, and the two tips whose common ancestor a node is."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hxcli.close_names import listed
from hxcli.engine.topology import IntArray, Topology
from hxcli.errors import Note
from hxcli.formats.memo import kept
from hxcli.phylogeny import Phylogeny, fold_below


@kept
def node_names(phylogeny: Phylogeny) -> pl.Series:
    """(N,) a name for every node, no two equal.

    A label that stands once in the tree is the node's name, and every tip keeps its own. Any other node is
    `n<index>`, its number in breadth-first order, with `_` behind it as long as that is a label too.
    """
    labels = phylogeny.labels.column.alias("name")
    named = phylogeny.topology.is_leaf | (labels != "").to_numpy()
    if not np.array_equal(named, phylogeny.topology.is_leaf):
        named &= phylogeny.topology.is_leaf | labels.is_unique().to_numpy()
    unnamed = np.flatnonzero(~named).astype(np.int32)
    numbered = pl.select(pl.format("n{}", pl.Series(unnamed))).to_series()
    taken = labels.filter(labels.str.contains("^n[0-9]+_*$"))
    if len(taken):
        known = set(taken.to_list())
        clashing = numbered.is_in(taken.implode()).arg_true()
        numbered = numbered.scatter(clashing, [_free(name, known) for name in numbered.gather(clashing).to_list()])
    return labels.scatter(unnamed, numbered)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def made_names_notes(phylogeny: Phylogeny) -> tuple[str, ...]:
    """A sentence where nodes go by a name that the tree's file does not give them, which programs look up there."""
    names = np.array(node_names(phylogeny).to_list(), object)
    made = np.flatnonzero(names != phylogeny.labels.array)
    if not made.size:
        return ()
    return (
        Note(
            f"{listed(names[made].tolist(), 3)} of the node data are no names of the tree's file: give augur the tree "
            "that --named-tree F.nwk writes"
        ),
    )


@kept
def mrca_tips(phylogeny: Phylogeny) -> tuple[IntArray, IntArray]:
    """(N,) and (N,) the tips (node numbers) that name every node as their most recent common ancestor.

    Of the smallest tip name (by code point) below every child the two smallest, in order; for a tip, itself
    twice; for a node with one child, that child's two, because no pair of tips meets in it.
    """
    topology, tips = phylogeny.topology, phylogeny.tips.astype(np.int32)
    # UTF-8 sorts by code point.
    order = phylogeny.tip_names.column.arg_sort().to_numpy()
    none = len(tips)
    node_of = tips[order]
    smallest = np.full(topology.size, none, np.int32)
    smallest[node_of] = np.arange(none, dtype=np.int32)
    first = fold_below(topology, smallest, "min")

    second = np.where(topology.is_leaf, first, np.int32(none))
    children = topology.children
    below = first[children]
    # All children but the one that gave the parent its smallest name; tips are in one child only.
    below[below == first[topology.parents[children]]] = none
    if len(children):
        inner = np.flatnonzero(~topology.is_leaf)
        second[inner] = np.minimum.reduceat(below, topology.first_child[inner])
    second = _from_only_child(topology, second)
    return _frozen(node_of[first]), _frozen(node_of[second])


def _frozen(nodes: IntArray) -> IntArray:
    nodes.setflags(write=False)
    return nodes


def _from_only_child(topology: Topology, second: IntArray) -> IntArray:
    """Gives nodes with one child the value of the first node below that is not one of them."""
    single = topology.child_counts == 1
    if not single.any():
        return second
    # Every such node points to its child; doubling the steps ends at a node that has no pointer.
    target: NDArray[np.intp] = np.arange(topology.size)
    target[single] = topology.children[topology.first_child[single]]
    while single[target].any():
        target = target[target]
    return second[target]
