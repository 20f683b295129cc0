"""Painting: regimes of the edges of a tree, whose edges are cut where the regime changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import NameIndex
from hxcli.engine.topology import Topology, from_parents
from hxcli.errors import InputError
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations


class RegimeRow(NamedTuple):
    """One row of a table of regimes.

    Attributes:
        node: Label of a node; "" together with empty tips for the rest of the tree.
        tip_a, tip_b: Two tips whose most recent common ancestor is meant; "" where `node` says.
        regime: Its regime.
        stem: Share of the edge above that has the regime.
        line: Of the file, for messages.
    """

    node: str
    tip_a: str
    tip_b: str
    regime: str
    stem: float
    line: int


@dataclass(frozen=True)
class RegimeTable:
    """A table of regimes as read.

    Attributes:
        file: Its path, for messages.
        rows: Its rows, of which later ones overrule earlier ones; None for the labels of the tree's nodes.
    """

    file: str
    rows: tuple[RegimeRow, ...] | None


@dataclass(frozen=True, eq=False)
class Painted:
    """A tree with regimes, its edges cut into nodes with one child where the regime changes.

    Attributes:
        phylogeny: M nodes, at least the N of the tree as it was.
        regimes: Names of the regimes, in code-point order; empty without any.
        of_edge: (M,) number of the regime of the edge above every node; the root's own at the root.
        nodes: (N,) where the nodes of the tree as it was are.
    """

    phylogeny: Phylogeny
    regimes: tuple[str, ...]
    of_edge: NDArray[np.intp]
    nodes: NDArray[np.intp]

    def observations(self, given: Observations) -> Observations:
        """Observations at the nodes of the tree as it was, at those of this one."""
        nodes = self.nodes[given.nodes]
        order = np.argsort(nodes, kind="stable")
        states = tuple(column.rows(order) for column in given.states)
        return Observations(
            nodes[order], given.values[order], given.standard_errors[order], given.traits, states=states
        )


def unpainted(phylogeny: Phylogeny) -> Painted:
    """A tree without regimes."""
    size = phylogeny.topology.size
    return Painted(phylogeny, (), np.zeros(size, np.intp), np.arange(size))


def paint(phylogeny: Phylogeny, table: RegimeTable) -> Painted:
    """Paints a tree: every row gives a clade, and a share of the edge above it, a regime; later rows overrule.

    Raises:
        InputError: A row that names no node; an edge, or the root, without a regime.
    """
    rows = _rows_of_labels(phylogeny, table.file) if table.rows is None else table.rows
    regimes = tuple(sorted({row.regime for row in rows}))
    rest = [row for row in rows if not (row.node or row.tip_a)]
    # The rest comes first, wherever it stands.
    ordered = [*rest, *(row for row in rows if row.node or row.tip_a)]
    finder = NodeFinder(phylogeny, table.file)
    nodes = np.array([finder.node(row) for row in ordered[len(rest) :]], np.intp)
    size, parents, is_root = phylogeny.topology.size, phylogeny.topology.parents, phylogeny.topology.is_root
    last = np.full(size, len(rest) - 1, np.intp)
    full = last.copy()
    partial: dict[int, list[int]] = {}
    for number, node in enumerate(nodes.tolist(), len(rest)):
        last[node] = number
        if ordered[number].stem == 1 or is_root[node]:
            full[node] = number
        else:
            partial.setdefault(node, []).append(number)
    own_root = last[0]
    below = _highest_of_ancestors(last, parents)
    # Row of the whole edge; at the root its own.
    whole = np.where(is_root, own_root, np.maximum(full, below[parents]))
    pieces: dict[int, list[tuple[float, int]]] = {}
    for node, numbers in partial.items():
        found = [(1.0, int(whole[node]))]
        for number in numbers:
            stem = ordered[number].stem
            if number > whole[node] and stem > 0:
                found = [
                    *((end, row) for end, row in found if end < 1 - stem),
                    (1 - stem, _at(found, 1 - stem)),
                    (1.0, number),
                ]
        if len(found) > 1:
            pieces[node] = found
    bare = [node for node in np.flatnonzero(whole < 0).tolist() if node not in pieces or pieces[node][0][1] < 0]
    if bare:
        what = "the root" if bare[0] == 0 else f"the edge above {_called(phylogeny, bare[0])}"
        raise InputError(
            f"{what} has no regime",
            "add a row with an empty node, which gives the rest of the tree one",
            file=table.file,
        )
    number_of = {name: number for number, name in enumerate(regimes)}
    of_row = np.array([number_of[row.regime] for row in ordered], np.intp)
    return cut(phylogeny, regimes, of_row, whole, pieces)


def _at(pieces: list[tuple[float, int]], share: float) -> int:
    """The row of the piece in which a share of the edge lies, counted from its upper end."""
    return next(row for end, row in pieces if share <= end)


def _highest_of_ancestors(values: NDArray[np.intp], parents: NDArray[np.int32]) -> NDArray[np.intp]:
    """(N,) the largest value at every node and its ancestors; pointer doubling, whatever the depth."""
    found, ancestor = values.copy(), parents
    while np.any(ancestor):
        found = np.maximum(found, found[ancestor])
        ancestor = ancestor[ancestor]
    return np.maximum(found, found[0])


def cut(
    phylogeny: Phylogeny,
    regimes: tuple[str, ...],
    of_row: NDArray[np.intp],
    whole: NDArray[np.intp],
    pieces: Mapping[int, Sequence[tuple[float, int]]],
) -> Painted:
    """The tree with a node of one child wherever the regime changes along an edge.

    Args:
        phylogeny: N nodes.
        regimes: Names of the regimes.
        of_row: (R,) number of the regime of every row.
        whole: (N,) row of every edge that is in one piece, and of the root.
        pieces: Node -> up to which share of the edge above it, from its upper end, and which row.
    """
    size = phylogeny.topology.size
    if not pieces:
        return Painted(phylogeny, regimes, of_row[whole], np.arange(size))
    parents = phylogeny.topology.parents.astype(np.int64)
    lengths: list[float] = phylogeny.lengths.tolist()
    above, length, row = parents.tolist(), lengths, whole.tolist()
    for node, parts in pieces.items():
        upper, start = int(parents[node]), 0.0
        total = float(phylogeny.lengths[node])
        for end, number in parts[:-1]:
            above.append(upper)
            length.append(total * (end - start))
            row.append(number)
            upper, start = len(above) - 1, end
        above[node], length[node], row[node] = upper, total * (1 - start), parts[-1][1]
    order, topology = _breadth_first(np.array(above))
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    labels = [*phylogeny.labels.array, *[""] * (len(order) - size)]
    painted = Phylogeny(
        topology=topology,
        edge_lengths=np.array(length)[order],
        labels=Texts([labels[i] for i in order.tolist()]),
        support=Texts.blank(len(order)),
        rooted=phylogeny.rooted,
        name=phylogeny.name,
    )
    return Painted(painted, regimes, of_row[np.array(row)[order]], place[:size])


def _breadth_first(above: NDArray[np.int64]) -> tuple[NDArray[np.intp], Topology]:
    """Nodes level by level, children in the order of their parents and numbers, and the topology in that order."""
    depths, ancestor = (above != np.arange(len(above))).astype(np.int64), above
    while np.any(ancestor):
        depths = depths + depths[ancestor]
        ancestor = ancestor[ancestor]
    order = np.zeros(1, np.intp)
    place = np.zeros(len(above), np.intp)
    by_depth = np.argsort(depths, kind="stable")
    bounds = np.searchsorted(depths[by_depth], np.arange(depths.max() + 2))
    levels = [order]
    for depth in range(1, int(depths.max()) + 1):
        nodes = by_depth[bounds[depth] : bounds[depth + 1]]
        nodes = nodes[np.argsort(place[above[nodes]], kind="stable")]
        place[nodes] = bounds[depth] + np.arange(len(nodes))
        levels.append(nodes)
    order = np.concatenate(levels)
    return order, from_parents(place[above[order]])


def _rows_of_labels(phylogeny: Phylogeny, file: str) -> tuple[RegimeRow, ...]:
    """A row for every inner node, its label the regime of its edge; tips have that of their parent."""
    labels = np.where(phylogeny.labels.array == "", phylogeny.support.array, phylogeny.labels.array)
    inner = np.flatnonzero(~phylogeny.topology.is_leaf).tolist()
    for node in inner:
        if not labels[node]:
            raise InputError(
                f"--regimes labels: {_called(phylogeny, node)} has no label",
                "label every inner node, or give a table of regimes",
                file=file,
            )
    return tuple(RegimeRow(f"#{node}", "", "", str(labels[node]), 1.0, 0) for node in inner)


def _called(phylogeny: Phylogeny, node: int) -> str:
    label = phylogeny.labels[node]
    if label:
        return f"node {label!r}"
    tips = phylogeny.tips
    path = tips.astype(np.int64)
    while not np.any(path == node):
        path = phylogeny.topology.parents[path].astype(np.int64)
    return f"an inner node above tip {phylogeny.labels[int(tips[np.argmax(path == node)])]!r}"


class NodeFinder:
    """Finds the nodes that rows of a table name.

    Args:
        phylogeny: N nodes.
        file: The table's path, for messages.
        names: (N,) further names of the nodes, of which a label of the tree goes before an equal one.
    """

    def __init__(self, phylogeny: Phylogeny, file: str, names: Sequence[str] = ()) -> None:
        self._parents, self._depths = phylogeny.topology.parents, phylogeny.topology.node_depths
        self._file = file
        self._nodes: dict[str, list[int]] = {}
        for node, label in enumerate(phylogeny.labels.array):
            if label:
                self._nodes.setdefault(label, []).append(node)
        for node, name in enumerate(names):
            self._nodes.setdefault(name, [node])
        self._is_tip = phylogeny.topology.is_leaf
        self._index: NameIndex | None = None

    def knows(self, name: str) -> bool:
        """Whether a node goes by this name."""
        return name in self._nodes

    def node(self, row: RegimeRow) -> int:
        """The node that a row names.

        Raises:
            InputError: There is no such node, or there are several.
        """
        if row.node.startswith("#") and row.line == 0:
            return int(row.node[1:])
        if row.node:
            return self._named(row.node, row.line, tips_only=False)
        first, second = (self._named(tip, row.line, tips_only=True) for tip in (row.tip_a, row.tip_b))
        while first != second:
            if self._depths[first] < self._depths[second]:
                first, second = second, first
            first = int(self._parents[first])
        return first

    def _named(self, name: str, line: int, *, tips_only: bool) -> int:
        nodes = [node for node in self._nodes.get(name, []) if self._is_tip[node] or not tips_only]
        if len(nodes) == 1:
            return nodes[0]
        if nodes:
            raise InputError(
                f"{len(nodes)} nodes are called {name!r}", "name two tips (tip_a, tip_b)", file=self._file, line=line
            )
        self._index = self._index or NameIndex(self._nodes)
        close = self._index.closest(name)
        advice = f"did you mean {close!r}?" if close else "use the tree's own names"
        raise InputError(f"no {'tip' if tips_only else 'node'} is called {name!r}", advice, file=self._file, line=line)
