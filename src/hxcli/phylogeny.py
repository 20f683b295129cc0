"""Phylogeny: one tree as a file tells it - shape, edge lengths, names - validated once, host arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.text_columns import Texts

FloatArray = NDArray[np.float64]
Integers = TypeVar("Integers", NDArray[np.int32], NDArray[np.int64])
# Mean number of nodes in a level from which a numpy call for each level pays.
_FEW = 50


@dataclass(frozen=True)
class Origin:
    """Where a tree was read from.

    Attributes:
        file: Path as the user gave it.
        format: Of the file, such as `newick`.
        sha256: Hex digest of the file's bytes.
        notes: What a reader of the file should know, a sentence each.
    """

    file: str
    format: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Phylogeny:
    """A tree with edge lengths and labels, nodes in the breadth-first order of its topology.

    Siblings keep the order of the file. Arrays are read-only.

    Attributes:
        topology: Who is whose parent; N nodes, L tips.
        edge_lengths: (N,) length of the edge above every node; nan where the file gives none. The root's is
            kept so that it can be written back; no analysis uses it.
        labels: (N,) names without their quotes; "" for none. Tips are named and unique.
        support: (N,) support values as the file wrote them (`95`, `100/0.99`); "" for none. A tree has either
            internal labels or support values, never both; beside support values the root may have a label.
        annotations: Node -> the texts of its bracketed annotations without the brackets (`&rate=0.1`,
            `&&NHX:S=human`), in the file's order.
        rooted: What the file states (`[&R]`, `[&U]`), None where it states nothing.
        name: The tree's name in its file; "" for none.
        origin: Where it was read from, for the records of runs; None where nobody said.
        header: Texts of the annotations that stand before the tree (`&clockrate=0.01`), but for `&R` and `&U`.
        beside_names: Tip name -> the label as it stands in the file, where a comment touches it.
    """

    topology: Topology
    edge_lengths: FloatArray
    labels: Texts
    support: Texts
    annotations: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    rooted: bool | None = None
    name: str = ""
    origin: Origin | None = None
    header: tuple[str, ...] = ()
    beside_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for values in (self.edge_lengths, self.labels, self.support):
            if len(values) != self.topology.size:
                raise ValueError(f"expected one entry for each of {self.topology.size} nodes, got {len(values)}")
        # Read-only, because several stages share them.
        self.edge_lengths.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        """True for the same nodes in the same order with the same bits, labels, support and annotations."""
        return (
            isinstance(other, Phylogeny)
            and self.topology == other.topology
            and self.edge_lengths.tobytes() == other.edge_lengths.tobytes()
            and self.labels == other.labels
            and self.support == other.support
            and dict(self.annotations) == dict(other.annotations)
            and (self.rooted, self.name) == (other.rooted, other.name)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"Phylogeny({name}{len(self.tips)} tips, {self.topology.size} nodes)"

    @cached_property
    def tips(self) -> NDArray[np.intp]:
        """(L,) node numbers of the tips, ascending."""
        return np.flatnonzero(self.topology.is_leaf)

    @cached_property
    def tip_names(self) -> Texts:
        """(L,) names of the tips, in node order."""
        return self.labels[self.tips]

    @cached_property
    def lengths(self) -> FloatArray:
        """(N,) edge lengths with 0 at the root: what an analysis uses."""
        lengths = np.where(self.topology.is_root, 0.0, self.edge_lengths)
        lengths.setflags(write=False)
        return lengths

    @property
    def missing_lengths(self) -> int:
        """Number of nodes other than the root without an edge length."""
        return int(np.isnan(self.lengths).sum())

    @property
    def negative_lengths(self) -> int:
        """Number of nodes other than the root with a negative edge length."""
        return int((self.lengths < 0).sum())

    @property
    def zero_lengths(self) -> int:
        """Number of nodes other than the root with an edge length of 0."""
        return int(((self.lengths == 0) & ~self.topology.is_root).sum())

    @cached_property
    def root_distances(self) -> FloatArray:
        """(N,) sum of the edge lengths between the root and every node; missing lengths count as 0."""
        distances = np.nan_to_num(self.lengths, nan=0.0)
        ancestor = self.topology.parents
        # Pointer doubling, as in `depths_of`: log2(depth) passes whatever the depth.
        while np.any(ancestor):
            distances = distances + distances[ancestor]
            ancestor = ancestor[ancestor]
        return distances

    @cached_property
    def tip_counts(self) -> NDArray[np.int64]:
        """(N,) number of tips at or below every node."""
        return fold_below(self.topology, self.topology.is_leaf.astype(np.int64), "sum")


def fold_below(topology: Topology, values: Integers, how: Literal["sum", "min"]) -> Integers:
    """(N,) the sum, or the smallest, of the (N,) integers `values` at and below every node, of one or several trees."""
    folded = values.copy()
    ufunc = np.add if how == "sum" else np.minimum
    children, first, starts = topology.children, topology.first_child, topology.level_starts
    if topology.size < _FEW * topology.depth:
        # A deep tree has small levels: plain integers are faster than one numpy call a level.
        return _folded_singly(topology, folded, how)
    inner = np.flatnonzero(~topology.is_leaf)
    bounds = np.searchsorted(inner, starts)
    for level in range(topology.depth - 1, -1, -1):
        parents = inner[bounds[level] : bounds[level + 1]]
        begin, last = first[parents[0]], parents[-1]
        below = folded[children[begin : first[last] + topology.child_counts[last]]]
        folded[parents] = ufunc(folded[parents], ufunc.reduceat(below, first[parents] - begin))
    return folded


def _folded_singly(topology: Topology, values: Integers, how: Literal["sum", "min"]) -> Integers:
    parents, below = topology.parents.tolist(), values.tolist()
    for node in range(topology.size - 1, 0, -1):
        parent = parents[node]
        if parent == node:
            # Of several trees side by side, a root.
            break
        if how == "sum":
            below[parent] += below[node]
        elif below[node] < below[parent]:
            below[parent] = below[node]
    return np.asarray(below, values.dtype)


def relabel(phylogeny: Phylogeny, **changes: Any) -> Phylogeny:
    """A copy with the named attributes replaced, such as `edge_lengths`."""
    return Phylogeny(**{name: changes.get(name, getattr(phylogeny, name)) for name in phylogeny.__dataclass_fields__})


def canonical_order(phylogeny: Phylogeny) -> NDArray[np.intp]:
    """(N,) nodes in an order that does not depend on that of children: by the smallest tip's name below, then depth."""
    topology, tips = phylogeny.topology, phylogeny.tips
    rank = np.full(topology.size, len(tips), np.int64)
    names = phylogeny.tip_names.tolist()
    rank[tips[sorted(range(len(tips)), key=names.__getitem__)]] = np.arange(len(tips))
    return np.lexsort((topology.node_depths, fold_below(topology, rank, "min")))
