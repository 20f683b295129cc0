"""Regimes: tables `node,regime` or `tip_a,tip_b,regime`, optionally `stem`; or painted trees."""

from __future__ import annotations

import re

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.tables.delimited import Grid, read_grid
from hxcli.formats.trees.painted_tree import is_tree, read_painted_tree
from hxcli.painting import RegimeRow, RegimeTable
from hxcli.regime_tree import RegimeTree

_COLUMNS = ("node", "tip_a", "tip_b", "regime", "stem")


def read_regimes(source: Source) -> RegimeTable | RegimeTree:
    """Reads a table of regimes, or a painted tree.

    Raises:
        InputError: A tree that is not painted; a column that is not known or lacks, a row without a regime, a stem that
            is no share.
    """
    if is_tree(source):
        return read_painted_tree(source)
    grid = read_grid(source)
    header = [str(name) for name in grid.header()[0].to_list()]
    for name in header:
        if name not in _COLUMNS:
            raise InputError(
                f"column {name!r} is none of a table of regimes",
                f"its columns are {', '.join(_COLUMNS)}",
                file=grid.file,
                line=grid.header_line,
            )
    by_node = "node" in header and "tip_a" not in header and "tip_b" not in header
    if "regime" not in header or not (by_node or {"tip_a", "tip_b"} <= set(header)):
        raise InputError(
            "a table of regimes needs a column 'regime', and 'node' or both 'tip_a' and 'tip_b'",
            file=grid.file,
            line=grid.header_line,
        )
    place = {name: number for number, name in enumerate(header)}
    return RegimeTable(grid.file, tuple(_row(grid, number, place) for number in range(len(grid.lines))))


def _row(grid: Grid, number: int, place: dict[str, int]) -> RegimeRow:
    line = int(grid.lines[number])

    def cell(name: str) -> str:
        return grid.cell(number, place[name]) if name in place else ""

    node, tip_a, tip_b, regime, stem = (cell(name) for name in _COLUMNS)
    if not regime:
        raise InputError("a row without a regime", "name one, or delete the row", file=grid.file, line=line)
    if any(c in regime for c in '(){},;=[]"'):
        raise InputError(
            f"the regime {regime!r} has a character that its parameters' names cannot have",
            "use letters, digits, _ and -",
            file=grid.file,
            line=line,
        )
    if bool(tip_a) != bool(tip_b):
        raise InputError("one tip of a pair lacks", "name the same tip twice for a tip", file=grid.file, line=line)
    share = 1.0
    if stem:
        share = float(stem) if re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", stem, re.ASCII) else -1.0
        if not 0 <= share <= 1:
            raise InputError(f"stem {stem!r} is no share of an edge", "from 0 to 1", file=grid.file, line=line)
    return RegimeRow(node, tip_a, tip_b, regime, share, line)
