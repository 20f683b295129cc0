"""Which column of a table holds the tip names, where the one that is taken may not be the one that is meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import permutations

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.tables.numeric_columns import MISSING
from hxcli.text_columns import Texts
from hxcli.traits import Cells

# Headers that R, pandas and others give to the numbers of rows; "" is one.
_ROW_NUMBER_HEADERS = re.compile(
    r"|x(\.\d+)?|unnamed: ?\d+.*|\.\.\.\d+|(__)?index(_level_\d+__)?|level_\d+|rn|"
    r"row[ ._-]?(name|number|num|id|index)?s?",
    re.IGNORECASE,
)
_INTEGER = re.compile(r"([0-9]+)(?:\.0*)?")
# Rows looked at first: a column of which none of these is a tip is none of tip names.
_SAMPLE = 8
# Part of a column's cells that must be tips, all different, before it is taken for a column of tip names.
_MOST = 0.8


def name_key(name: str) -> str:
    """What names are compared by: `_` is a space, Unicode composed, a whole number without its decimals."""
    plain = name.replace("_", " ")
    whole = _INTEGER.fullmatch(plain)
    return whole[1] if whole else plain if plain.isascii() else unicodedata.normalize("NFC", plain)


def refuse_row_numbers(cells: Cells, tips: Texts, file: str) -> None:
    """Raises where the names that are taken may be the numbers of the rows, and another column holds tip names too.

    Args:
        cells: The table.
        tips: (L,) the tip names.
        file: The table's path.

    Raises:
        InputError: Names both columns.
    """
    if cells.chosen or not _may_be_row_numbers(cells):
        return
    known = {name_key(tip) for tip in tips}
    taken: list[str] | None = None
    for index, keys, found in _columns_of_names(cells, known):
        taken = taken or [name_key(name) for name in cells.column(cells.id_index)]
        if known.isdisjoint(taken):
            # Only the other can be meant, which is said elsewhere.
            return
        # The same names in the same order can be read in one way only.
        if found >= 2 and any(key in known and key != mine for key, mine in zip(keys, taken, strict=True)):
            first, second = (called(cells.header[column]) for column in (cells.id_index, index))
            raise InputError(
                f"two columns could hold the tip names: {first}, which may be the numbers of the rows, and {second}",
                f"say which: --id-column {shell_word(cells.header[index])}, or "
                f"--id-column {shell_word(cells.header[cells.id_index])}",
                file=file,
            )


def better_column(cells: Cells, tips: Texts, matched: int) -> tuple[str, int] | None:
    """The column that holds the most tips, and how many, where it holds more than are matched; None without one."""
    if cells.chosen:
        return None
    known = {name_key(tip) for tip in tips}
    found = [(count, -index) for index, _, count in _columns_of_names(cells, known) if count > matched]
    if not found:
        return None
    count, index = max(found)
    return cells.header[-index], count


def two_columns_of_names(cells: Cells, tips: Texts) -> tuple[str, str, str] | None:
    """Two columns that give the tips only together, such as genus and species, and a tip; None without such."""
    if cells.chosen:
        return None
    known = {name_key(tip): tip for tip in tips}
    columns = {index: cells.column(index) for index in range(len(cells.header)) if cells.is_text[index]}
    columns[cells.id_index] = cells.column(cells.id_index)
    for first, second in permutations(columns, 2):
        keys = [name_key(f"{one} {other}") for one, other in zip(columns[first], columns[second], strict=True)]
        found = [key for key in keys if key in known]
        if len(found) >= _MOST * min(len(keys), len(known)) and len(set(found)) == len(found):
            return called(cells.header[first]), called(cells.header[second]), known[found[0]]
    return None


def called(header: str) -> str:
    """A column in a message."""
    return f"column {header!r}" if header else "the first column (without a name)"


def shell_word(text: str) -> str:
    """Text as a shell takes it for one word."""
    return text if re.fullmatch(r"[\w./:@%+-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _may_be_row_numbers(cells: Cells) -> bool:
    if _ROW_NUMBER_HEADERS.fullmatch(cells.header[cells.id_index].strip()):
        return True
    names = cells.column(cells.id_index)
    if not _ascend(names[:_SAMPLE].tolist()):
        return False
    return _ascend(names.tolist())


def _ascend(names: list[str]) -> bool:
    """Whether names are whole numbers that grow from row to row, as those of rows do, some left out or not."""
    last = -1
    for name in names:
        number = _INTEGER.fullmatch(name)
        if number is None or len(number[1]) > 18 or int(number[1]) <= last:
            return False
        last = int(number[1])
    return True


def _columns_of_names(cells: Cells, known: set[str]) -> Iterator[tuple[int, list[str], int]]:
    """Columns beside the one that is taken whose cells are tips, each another: number, keys of the cells, tips."""
    rows = len(cells.column(cells.id_index))
    sample = np.unique(np.linspace(0, rows - 1, _SAMPLE).astype(int)).tolist()
    for index in range(len(cells.header)):
        if index == cells.id_index or not any(name_key(cells.cell(row, index)) in known for row in sample):
            continue
        keys = ["" if text in MISSING else name_key(text) for text in cells.column(index)]
        tips = [key for key in keys if key in known]
        filled = sum(map(bool, keys))
        if len(set(tips)) == len(tips) and len(tips) >= _MOST * filled and 2 * filled >= rows:
            yield index, keys, len(tips)
