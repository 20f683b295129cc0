"""Trait tables from what a program has in memory: polars and pandas frames, and dicts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from hxcli.formats.source import HeldFile, Source, checked_source
from hxcli.traits import TraitTable


def is_table(value: Any) -> bool:
    """Whether `held_table` takes the value."""
    return isinstance(value, (pl.DataFrame, pl.LazyFrame, Mapping, TraitTable)) or _is_pandas(value)


def held_table(value: Any, name: str) -> HeldFile:
    """What stands for a file of the table: Parquet where that is accepted, which keeps every bit, else CSV.

    The first column has the names, as in a file. Of a pandas frame that is its index, unless the index only counts.
    A dict has columns (`{"tip": [...], "mass": [...]}`), or rows (`{"Homo": {"mass": 60.0}}`), or one value for every
    tip (`{"Homo": 60.0}`), which is the trait `trait`.

    Args:
        value: As `is_table` has it.
        name: What messages call the table.

    Raises:
        TypeError: Columns that are neither numbers nor text.
    """
    frame = _frame(value)

    def give(parquet: bool) -> Source:
        stream = io.BytesIO()
        if not parquet:
            frame.write_csv(stream)
            return checked_source(name, stream.getvalue())
        frame.write_parquet(stream, compression="uncompressed")
        data = stream.getvalue()
        return Source(name, data, sha256="")

    return give


def _frame(value: Any) -> pl.DataFrame:
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, TraitTable):
        value = _columns_of_table(value)
    elif isinstance(value, Mapping):
        value = _columns_of_mapping(value)
    elif _is_pandas(value):
        value = _columns_of_pandas(value)
    frame = value if isinstance(value, pl.DataFrame) else pl.DataFrame(value, strict=False)
    for column in frame.iter_columns():
        if column.dtype == pl.Object:
            raise TypeError(f"column {column.name!r} holds values that are neither numbers nor text")
    return frame


def _columns_of_mapping(values: Mapping[Any, Any]) -> dict[str, Any]:
    rows = list(values.values())
    if rows and all(isinstance(row, Mapping) for row in rows):
        traits = list(dict.fromkeys(str(name) for row in rows for name in row))
        return {"tip": list(map(str, values)), **{trait: [row.get(trait) for row in rows] for trait in traits}}
    if rows and all(row is None or np.ndim(row) == 0 for row in rows):
        return {"tip": list(map(str, values)), "trait": rows}
    return {str(name): column for name, column in values.items()}


def _columns_of_table(table: TraitTable) -> dict[str, Any]:
    columns: dict[str, Any] = {table.id_header or "tip": table.names.column}
    for index, trait in enumerate(table.traits):
        columns[trait] = table.values[:, index]
        if table.standard_errors[:, index].any():
            columns[f"{trait}_se"] = table.standard_errors[:, index]
    return columns


def _is_pandas(value: Any) -> bool:
    # Known without importing it: who has none has no frame of it.
    return any(
        kind.__module__.partition(".")[0] == "pandas" and kind.__name__ in ("DataFrame", "Series")
        for kind in type(value).__mro__
    )


def _columns_of_pandas(value: Any) -> dict[str, Any]:
    frame = value if hasattr(value, "columns") else value.to_frame(value.name if value.name is not None else "trait")
    counts = type(frame.index).__name__ == "RangeIndex" and frame.index.name is None
    frame = frame if counts else frame.reset_index(names=frame.index.name or "tip")
    return {str(name): _values_of_pandas(column) for name, column in frame.items()}


def _values_of_pandas(column: Any) -> Any:
    if column.dtype.kind in "iu" and not column.isna().any():
        return column.to_numpy(dtype=np.int64)
    if column.dtype.kind in "iuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return [None if gone else str(cell) for cell, gone in zip(column, column.isna(), strict=True)]
