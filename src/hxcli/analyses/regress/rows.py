"""What regressions of all families say of the rows of a table, and how they show a figure."""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.analyses.regress.formula import Design
from hxcli.close_names import counted, listed
from hxcli.errors import Note


def left_out(made: Design, names: list[str]) -> tuple[str, ...]:
    """A sentence for the rows that are not used and one for those that are not predicted, with their names."""
    found = []
    for rows, said in (
        (made.incomplete, Note("left out, because a predictor is missing")),
        (made.unseen, Note("not predicted, because their level has no row with a response")),
    ):
        if rows.any():
            which = listed([names[i] for i in np.flatnonzero(rows)], 8)
            found.append(f"{counted(int(rows.sum()), 'row')} {said}: {which}")
    return tuple(found)


def row_cell(value: Any) -> str:
    """A figure as a person reads it; empty for none."""
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.6g}"
