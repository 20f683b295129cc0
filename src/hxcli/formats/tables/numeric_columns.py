"""Cells as numbers: one strict grammar, the marks of missing values, and what every column holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hxcli.errors import InputError, Note
from hxcli.formats.tables.delimited import Grid
from hxcli.phylogeny import FloatArray
from hxcli.text_columns import Texts

# ASCII only and finite: Python's float() also takes 1_000, full-width digits and `infinity`.
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
MISSING = ("", "NA", "Na", "na", "NaN", "nan", "NAN", "N/A", "n/a", "NULL", "Null", "null", "?", "-")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
# Either 12.345 or 12345.
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_SEPARATED = re.compile(r"[+-]?[0-9]{1,3}([ ,'\u00a0\u202f_][0-9]{3})+(\.[0-9]*)?")
_PERCENT = re.compile(r"[+-]?[0-9.]+\s*%")


@dataclass(frozen=True, eq=False)
class Columns:
    """A table whose cells have been tried as numbers; R rows, C columns, the names among them.

    Attributes:
        header: (C,) column names.
        values: (R, C) the numbers; nan where there is none.
        missing: (R, C) true where a cell marks a missing value.
        wrong: (R, C) true where a cell is neither a finite number nor missing.
        text: (row, column) -> the cell as text.
        names: column -> its (R,) cells.
        lines: (R,) line (Parquet: row number) of every row.
        marked: (K, C) true where a column holds the k-th of the user's marks of missing values.
        header_line: Line of the header, None where there are no lines.
        file: Path for messages.
        notes: What was passed over in reading.
    """

    header: tuple[str, ...]
    values: FloatArray
    missing: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    text: Callable[[int, int], str]
    names: Callable[[int], Texts]
    lines: NDArray[np.intp]
    marked: NDArray[np.bool_]
    file: str
    notes: tuple[str, ...] = ()
    header_line: int | None = None

    @cached_property
    def has_numbers(self) -> NDArray[np.bool_]:
        """(C,) true where a column holds a finite number."""
        return np.asarray(~(self.missing | self.wrong).all(axis=0))

    @cached_property
    def has_wrong(self) -> NDArray[np.bool_]:
        """(C,) true where a column holds a cell that is neither a finite number nor missing."""
        return np.asarray(self.wrong.any(axis=0))

    def numbers(self, column: int) -> NDArray[np.bool_]:
        """(R,) true where the cell is a finite number."""
        return ~(self.missing[:, column] | self.wrong[:, column])

    def infinite(self, column: int) -> NDArray[np.bool_]:
        """(R,) true where the cell is a number that is not finite: `inf`, 1e400."""
        infinite = self.wrong[:, column] & np.isinf(self.values[:, column])
        return np.asarray(infinite)

    def all_written_otherwise(self, column: int) -> bool:
        """True when every cell that holds something is a number as spreadsheets show it: 1,5 or 1,234.5 or 5 %."""
        rows = np.flatnonzero(self.wrong[:, column]).tolist()
        return bool(rows) and all(
            any(form.fullmatch(text) for form in (_DECIMAL_COMMA, _SEPARATED, _PERCENT)) and "_" not in text
            for text in (self.text(row, column) for row in rows)
        )

    def hint(self, text: str) -> str:
        """What to do about a cell that is no number."""
        if _THOUSANDS.fullmatch(text):
            return "decimal comma? write 1.5; separator of thousands? write 1000"
        if _DECIMAL_COMMA.fullmatch(text):
            return "decimal comma? write 1.5"
        if _SEPARATED.fullmatch(text):
            return "write numbers without separators"
        if _PERCENT.fullmatch(text):
            return "write numbers without %"
        return "write a plain decimal number, or mark missing values NA or with --na"

    def refusal(self, found: str, advice: str = "", *, row: int | None = None, header: bool = False) -> InputError:
        """The refusal of a row, or of the header."""
        line = self.header_line if header else None
        if row is not None and self.header_line is None:
            found = f"row {row + 1}: {found}"
        elif row is not None:
            line = int(self.lines[row])
        return InputError(found, advice, file=self.file, line=line)


def columns_of_grid(grid: Grid, na: Sequence[str]) -> Columns:
    """Tries every cell of a text table as a number.

    Args:
        grid: The table.
        na: Texts that mark a missing value beside `MISSING`.
    """
    shape = (len(grid.lines), grid.width)
    values, missing, wrong = np.empty(shape), np.empty(shape, bool), np.empty(shape, bool)
    marked = np.zeros((len(na), grid.width), bool)
    header, stripped = grid.header()

    def fill(rows: slice) -> tuple[NDArray[np.bool_], bool]:
        cells, bared = grid.block(rows)
        *found, marks = numbers_of(cells, na)
        for whole, part in zip((values, missing, wrong), found, strict=True):
            whole[rows] = part.reshape(-1, grid.width)
        count = rows.stop - rows.start
        return np.asarray(marks.reshape(len(na), count, grid.width).any(axis=1)), bared

    # Two at once: little of what each does is done by several threads.
    with ThreadPoolExecutor(2) as threads:
        for marks, bared in threads.map(fill, grid.blocks()):
            marked |= marks
            stripped |= bared
    return Columns(
        header=tuple(header.to_list()),
        values=values,
        missing=missing,
        wrong=wrong,
        text=grid.cell,
        names=grid.column,
        lines=grid.lines,
        marked=marked,
        file=grid.file,
        notes=(*grid.notes, *(Note("white space around cells was stripped"),) * stripped),
        header_line=grid.header_line,
    )


def numbers_of(
    cells: pl.Series, na: Sequence[str]
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """The (n,) values, which of the cells are missing, and which are neither that nor a finite number.

    The last of the four is (K, n), true where a cell is the k-th text of `na`, or a number equal to it. Values are
    bit-identical to Python's float(); those that overflow are infinite and count as wrong.
    """
    marks = [mark.strip() for mark in na]
    missing = cells.is_in([*MISSING, *marks]).to_numpy().copy()
    cast = cells.cast(pl.Float64, strict=False)
    values = cast.fill_null(float("nan")).to_numpy().copy()
    values[missing] = np.nan
    wrong = ~missing & ~np.isfinite(values)
    if wrong.any():
        # What polars cannot cast though the grammar has it.
        places = np.flatnonzero(wrong)
        doubtful = cells.gather(places)
        right = doubtful.str.contains(NUMBER).to_numpy()
        values[places[right]] = [float(text) for text in doubtful.filter(right).to_list()]
        wrong[places] = ~np.isfinite(values[places])
    marked = np.zeros((len(marks), len(cells)), bool)
    for mark, found in zip(marks, marked, strict=True):
        found |= (cells == mark).to_numpy()
    marked |= equal_marks(values, na)
    hidden = marked.any(axis=0)
    values[hidden] = np.nan
    return values, missing | hidden, wrong & ~hidden, marked


def equal_marks(values: FloatArray, na: Sequence[str]) -> NDArray[np.bool_]:
    """(K, n) true where one of the (n,) values is equal to the k-th text of `na`, which then is a number itself."""
    numbers = [float(mark) if re.match(NUMBER, mark.strip()) else np.nan for mark in na]
    return np.array([values == number for number in numbers], bool).reshape(len(na), len(values))
