"""Tables of edges for models of one's own: `node` or `tip_a,tip_b`, and columns of numbers."""

from __future__ import annotations

import math

import numpy as np

from hxcli.edge_data import OF_EVERY_EDGE, EdgeTable
from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.tables.delimited import Grid, read_grid
from hxcli.painting import RegimeRow

_WHERE = ("node", "tip_a", "tip_b")


def read_edge_data(source: Source) -> EdgeTable:
    """Reads a table of edges.

    Raises:
        InputError: A column that lacks or has a name that is taken, a cell that is no number, half a pair of tips.
    """
    grid = read_grid(source)
    header = [str(name) for name in grid.header()[0].to_list()]
    by_node = "node" in header and "tip_a" not in header and "tip_b" not in header
    names = [name for name in header if name not in _WHERE]
    if not names or not (by_node or {"tip_a", "tip_b"} <= set(header)):
        raise InputError(
            "a table of edges needs 'node' or both 'tip_a' and 'tip_b', and a column of numbers",
            file=grid.file,
            line=grid.header_line,
        )
    for name in names:
        if not name.isidentifier() or name in OF_EVERY_EDGE:
            why = "every edge has one already" if name in OF_EVERY_EDGE else "it is no name in Python"
            raise InputError(
                f"column {name!r} cannot be edge.{name}: {why}", "rename it", file=grid.file, line=grid.header_line
            )
    place = {name: number for number, name in enumerate(header)}
    count = len(grid.lines)
    rows = tuple(_row(grid, number, place) for number in range(count))
    columns = {name: np.array([_number(grid, i, place[name], name) for i in range(count)]) for name in names}
    return EdgeTable(grid.file, rows, columns)


def _row(grid: Grid, number: int, place: dict[str, int]) -> RegimeRow:
    node, tip_a, tip_b = (grid.cell(number, place[name]) if name in place else "" for name in _WHERE)
    line = int(grid.lines[number])
    if bool(tip_a) != bool(tip_b):
        raise InputError("one tip of a pair lacks", "name the same tip twice for a tip", file=grid.file, line=line)
    return RegimeRow(node, tip_a, tip_b, "", 1.0, line)


def _number(grid: Grid, row: int, column: int, name: str) -> float:
    text = grid.cell(row, column)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{text!r} in column {name!r} is no number", "numbers only", file=grid.file, line=int(grid.lines[row])
        )
    return value
