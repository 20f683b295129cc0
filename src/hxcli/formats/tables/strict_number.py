"""One cell as a number, by the grammar of trait tables."""

from __future__ import annotations

import math
import re

from hxcli.errors import InputError
from hxcli.formats.tables.delimited import Grid

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def strict_number(grid: Grid, row: int, column: int) -> float:
    """The number in a cell.

    Raises:
        InputError: It is no finite number; names line and column.
    """
    text = grid.cell(row, column)
    if _NUMBER.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    header = grid.header()[0].to_list()[column]
    raise InputError(f"{text!r} in column {header!r} is no number", file=grid.file, line=int(grid.lines[row]))
