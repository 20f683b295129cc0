"""TreeBatch: many trees side by side as one topology with many roots, their tips numbered alike; host arrays only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray, IntArray, Topology
from hxcli.errors import InputError
from hxcli.phylogeny import FloatArray, Phylogeny, fold_below
from hxcli.text_columns import Texts


class TaxonNames:
    """The tip names of a sample of trees, numbered in the order in which they were met first."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of a name, a new one if it was not met before."""
        found = self._numbers.setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
        return found

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class TreeBatch:
    """B trees of a sample, whose nodes are numbered by levels: first all roots, then all their children, and so on.

    Attributes:
        topology: N nodes, of which the first B are the roots.
        edge_lengths: (N,) nan where there is none.
        trees: (N,) the tree of every node, from 0.
        taxa: (N,) number of every tip's name; -1 at internal nodes.
        numbers: (B,) place of every tree in the files, from 1.
        names: (B,) the trees' names; "" for none.
        rooted: (B,) what the files state: 1 rooted, 0 unrooted, -1 nothing.
        refuse: Makes the error about a node: `refuse(node, found, advice)`.
    """

    topology: Topology
    edge_lengths: FloatArray
    trees: IntArray
    taxa: IntArray
    numbers: NDArray[np.int64]
    names: Sequence[str]
    rooted: NDArray[np.int8]
    refuse: Callable[[int, str, str], InputError] = field(repr=False)

    @property
    def count(self) -> int:
        """Number of trees B."""
        return len(self.numbers)

    @cached_property
    def lengths(self) -> FloatArray:
        """(N,) edge lengths with 0 at the roots."""
        lengths = self.edge_lengths.copy()
        lengths[: self.count] = 0.0
        lengths.setflags(write=False)
        return lengths

    @cached_property
    def tips(self) -> NDArray[np.intp]:
        """Node numbers of all tips, ascending."""
        return np.flatnonzero(self.taxa >= 0)

    @cached_property
    def root_distances(self) -> FloatArray:
        """(N,) distance of every node from its root; missing lengths count as 0."""
        distances = np.nan_to_num(self.lengths, nan=0.0)
        starts, parents = self.topology.level_starts.tolist(), self.topology.parents
        for first, last in pairwise(starts[1:]):
            distances[first:last] += distances[parents[first:last]]
        return distances

    @cached_property
    def tip_counts(self) -> NDArray[np.int64]:
        """(N,) number of tips at or below every node."""
        return fold_below(self.topology, self.topology.is_leaf.astype(np.int64), "sum")

    def nodes_of(self, tree: int) -> NDArray[np.intp]:
        """The nodes of one of the trees, in its own breadth-first order."""
        order, starts = self._by_tree
        return order[starts[tree] : starts[tree + 1]]

    @cached_property
    def _by_tree(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        order = np.argsort(self.trees, kind="stable")
        return order, np.searchsorted(self.trees[order], np.arange(self.count + 1))

    def phylogeny(self, tree: int, taxa: TaxonNames) -> Phylogeny:
        """One of the trees by itself; its internal nodes have no labels.

        Args:
            tree: Its place in the batch.
            taxa: The names of the tips.
        """
        nodes = self.nodes_of(tree)
        place = np.zeros(self.topology.size, np.int32)
        place[nodes] = np.arange(len(nodes), dtype=np.int32)
        topology = Topology(place[self.topology.parents[nodes]], self.topology.node_depths[nodes])
        labels = [taxa.names[taxon] if taxon >= 0 else "" for taxon in self.taxa[nodes].tolist()]
        rooted = None if self.rooted[tree] < 0 else bool(self.rooted[tree])
        lengths = self.edge_lengths[nodes]
        return Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(nodes)), {}, rooted, self.names[tree])

    def with_lengths(self, edge_lengths: FloatArray) -> TreeBatch:
        """The same trees with other edge lengths."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return TreeBatch(**{**fields, "edge_lengths": edge_lengths})

    def has_polytomies(self) -> BoolArray:
        """(B,) whether a tree has a node with more than two children."""
        found = np.zeros(self.count, bool)
        found[self.trees[self.topology.child_counts > 2]] = True
        return found
