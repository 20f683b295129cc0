"""Trait tables in Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import polars as pl

from hxcli.errors import InputError
from hxcli.formats.tables.numeric_columns import Columns, equal_marks, numbers_of
from hxcli.text_columns import Texts

# A few bytes of Parquet can stand for billions of equal cells.
_MOST_CELLS = 500_000_000


def columns_of_parquet(data: bytes, file: str, na: Sequence[str]) -> Columns:
    """Reads a Parquet file; numeric columns keep their values, all others are read as their text.

    Raises:
        InputError: A damaged file, no rows, one column, or more than 500 million cells.
    """
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
        rows = int(pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item())
        if rows * len(schema) > _MOST_CELLS:
            raise InputError(f"{rows} rows of {len(schema)} columns are too many", "split the table", file=file)
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0][:100]
        raise InputError(f"the Parquet file cannot be read: {reason}", "is it complete?", file=file) from None
    if not frame.height:
        raise InputError("a header and no rows", "expected one row for each tip", file=file)
    if frame.width < 2:
        raise InputError("only one column", "expected tip names and at least one trait", file=file)
    shape = (frame.height, frame.width)
    values, missing, wrong = np.full(shape, np.nan), np.zeros(shape, bool), np.zeros(shape, bool)
    marked = np.zeros((len(na), frame.width), bool)
    texts: list[pl.Series] = []
    for index, column in enumerate(frame.iter_columns()):
        texts.append(_text(column, file))
        if column.dtype.is_numeric():
            numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            found = equal_marks(numbers, na)
            numbers = np.where(found.any(axis=0), np.nan, numbers)
            values[:, index], missing[:, index], wrong[:, index] = numbers, np.isnan(numbers), np.isinf(numbers)
        else:
            values[:, index], missing[:, index], wrong[:, index], found = numbers_of(texts[index], na)
        marked[:, index] = found.any(axis=1)
    return Columns(
        header=tuple(name.strip() for name in frame.columns),
        values=values,
        missing=missing,
        wrong=wrong,
        text=lambda row, column: str(texts[column][row]),
        names=lambda column: Texts(texts[column]),
        lines=np.arange(1, frame.height + 1),
        marked=marked,
        file=file,
    )


def _text(column: pl.Series, file: str) -> pl.Series:
    try:
        return column.cast(pl.String).fill_null("").str.strip_chars()
    except pl.exceptions.PolarsError:
        found = f"column {column.name!r} holds {column.dtype}, neither numbers nor text"
        raise InputError(found, "leave the column out of the file", file=file) from None
