"""Tables that a model makes beside the table of all nodes, such as that of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import polars as pl

Columns = Mapping[str, Any]


def write_csv(stream: BinaryIO, columns: Columns) -> None:
    """CSV: empty where there is no number, the shortest text that reads back the same double.

    Args:
        stream: Takes the bytes.
        columns: Name -> texts or numbers, all of one length; nan and None for none.
    """
    _frame(columns).write_csv(stream)


def write_tsv(stream: BinaryIO, columns: Columns) -> None:
    """As `write_csv`, with tabs."""
    _frame(columns).write_csv(stream, separator="\t")


def write_parquet(stream: BinaryIO, columns: Columns) -> None:
    """As Parquet."""
    _frame(columns).write_parquet(stream)


def _frame(columns: Columns) -> pl.DataFrame:
    return pl.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: Any) -> pl.Series:
    if any(isinstance(value, str) for value in values) or all(value is None for value in values):
        return pl.Series(list(values), dtype=pl.String)
    numbers = np.asarray(values)
    return pl.Series(numbers.astype(np.float64)).fill_nan(None) if numbers.dtype.kind == "f" else pl.Series(numbers)
