"""Columns of numbers for the edges of a tree, which a model's function sees as `edge.NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.errors import InputError
from hxcli.painting import NodeFinder, Painted, RegimeRow
from hxcli.phylogeny import FloatArray

# In the place of a file: the tree's own annotations.
OF_TREE = "tree"
# What every edge has already, as `edge.NAME`.
OF_EVERY_EDGE = ("length", "start", "end", "is_tip", "tree_height", "regime")


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """A table of edges as read.

    Attributes:
        file: Its path, for messages.
        rows: (R,) which edge every row means, the one above a node; the rest of the tree for a row that names none.
        columns: Name -> (R,) values.
    """

    file: str
    rows: tuple[RegimeRow, ...]
    columns: Mapping[str, FloatArray]


def edge_columns(painted: Painted, table: EdgeTable | None) -> dict[str, Any]:
    """Name -> (M,) value of every edge; whole numbers as integers, so that they can index.

    Raises:
        InputError: A row that names no node, an edge named twice, or one without a row.
    """
    if table is None:
        return {}
    phylogeny = painted.phylogeny
    size, finder = phylogeny.topology.size, NodeFinder(phylogeny, table.file)
    row_of = np.full(size, -1)
    for number, row in enumerate(table.rows):
        if not (row.node or row.tip_a):
            continue
        node = finder.node(row)
        if row_of[node] >= 0:
            raise InputError(
                f"the edge has a row already, in line {table.rows[row_of[node]].line}", file=table.file, line=row.line
            )
        row_of[node] = number
    # Pieces of an edge that regimes have cut have what the whole edge has.
    whole = np.isin(np.arange(size), painted.nodes)
    parents = phylogeny.topology.parents
    for node in np.flatnonzero(~whole)[::-1].tolist():
        row_of[node] = row_of[np.flatnonzero(parents == node)[-1]]
    rest = [number for number, row in enumerate(table.rows) if not (row.node or row.tip_a)]
    bare = np.flatnonzero((row_of < 0) & (np.arange(size) > 0))
    if len(bare) and not rest:
        label = phylogeny.labels[int(bare[0])]
        raise InputError(
            f"{len(bare)} edges have no row{f', such as that above {label!r}' if label else ''}",
            "add rows, or one with an empty node for the rest",
            file=table.file,
        )
    # The root has no edge: it takes what the rest has.
    row_of[row_of < 0] = rest[0] if rest else 0
    return {name: _whole(values[row_of]) for name, values in table.columns.items()}


def _whole(values: FloatArray) -> Any:
    rounded = values.astype(np.int64)
    return rounded if np.array_equal(rounded, values) else values
