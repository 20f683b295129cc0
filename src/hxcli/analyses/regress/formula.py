"""A formula and a table become a response and a design matrix; what cannot be used is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.regress.sum_of_columns import Columns, sum_of_columns
from hxcli.close_names import counted
from hxcli.engine.topology import BoolArray
from hxcli.errors import InputError
from hxcli.phylogeny import FloatArray

# A column whose part that the columns before it do not explain is smaller than this share of it says nothing new.
_OWN_SHARE = 1e-9


@dataclass(frozen=True, eq=False)
class Design:
    """What a formula makes of M rows of a table.

    Attributes:
        formula: As it was given.
        response: Its left side.
        source: The column that the response is, None where it is made of several or of a function.
        terms: (P,) names of the columns of the design.
        matrix: (M, P), nan in rows that cannot be used.
        values: (M,) of the response; nan where it is missing.
        used: (M,) rows with a response and all predictors.
        predicted: (M,) rows with all predictors and no response.
        incomplete: (M,) rows without some predictor.
        predictors: Names of the table's columns on the right side.
        unseen: (M,) rows without a response that have a level that no row with one has.
        at: Columns of the table at other values -> the design there, (R, P).
    """

    formula: str
    response: str
    source: str | None
    terms: tuple[str, ...]
    matrix: FloatArray
    values: FloatArray
    used: BoolArray
    predicted: BoolArray
    incomplete: BoolArray
    predictors: tuple[str, ...]
    unseen: BoolArray
    at: Callable[[Columns], FloatArray]


def design(formula: str, columns: Columns, names: list[str]) -> Design:
    """Evaluates a formula.

    Args:
        formula: Such as `y ~ x + C(diet)`.
        columns: Name -> (M,) numbers, nan for none, or texts, "" for none.
        names: (M,) of the rows, for messages.

    Raises:
        OptionError: A formula that cannot be read, or that names no column of the table.
        InputError: Too few rows; a response that is text; values that are not finite; columns that say the same.
    """
    read = sum_of_columns(formula, columns)
    if read is None:
        # Here, because what it needs takes longer to import than JAX.
        from hxcli.analyses.regress.formulaic_reading import read_formula

        read = read_formula(formula, columns)
    complete, answered = (_there(columns, side, len(names)) for side in (read.right, read.left))
    used = complete & answered
    if used.sum() < 2:
        raise InputError(
            f"formula {formula!r}: {counted(int(used.sum()), 'row')} with a value in all of its columns",
            "fill gaps, or leave out the column with the most",
        )
    numbers, matrix, terms, at = read.evaluate(_rows(columns, (*read.left, *read.right), used))
    _refuse_text(formula, numbers)
    whole = np.full((len(names), len(terms)), np.nan)
    whole[used] = matrix
    values = np.full(len(names), np.nan)
    values[used] = numbers[:, 0]
    _refuse_infinite(np.column_stack([values[used], whole[used]]), (read.response, *terms), names, np.flatnonzero(used))
    _refuse_dependent(formula, whole[used], terms)
    missing = complete & ~answered
    unseen = _unseen(columns, read.right, used, missing)
    predicted = missing & ~unseen
    if predicted.any():
        whole[predicted] = at(_rows(columns, read.right, predicted)) if read.right else 1.0
        predicted &= np.isfinite(whole).all(1)
    label = read.response
    source = read.left[0] if label.strip("`") in read.left else None
    return Design(
        formula, label, source, terms, whole, values, used, predicted, ~complete, read.right, unseen, at,
    )  # fmt: skip


def contains(larger: FloatArray, smaller: FloatArray) -> bool:
    """Whether every column of the smaller design is a combination of columns of the larger."""
    basis, _ = np.linalg.qr(_scaled(larger))
    small = _scaled(smaller)
    return bool(np.linalg.norm(small - basis @ (basis.T @ small), axis=0).max(initial=0.0) < _OWN_SHARE**0.5)


def _there(columns: Columns, names: tuple[str, ...], count: int) -> BoolArray:
    """(M,) rows that have a value in all of some columns."""
    found = np.ones(count, bool)
    for name in names:
        values = columns[name]
        found &= ~np.isnan(values) if values.dtype.kind == "f" else np.array([bool(text) for text in values.tolist()])
    return found


def _rows(columns: Columns, names: tuple[str, ...], rows: BoolArray) -> Columns:
    return {name: columns[name][rows] for name in names}


def _unseen(columns: Columns, names: tuple[str, ...], used: BoolArray, missing: BoolArray) -> BoolArray:
    found = np.zeros(len(used), bool)
    for name in names:
        if columns[name].dtype.kind != "f":
            levels = {*columns[name][used].tolist()}
            found |= missing & np.array([text not in levels for text in columns[name].tolist()])
    return found


def _refuse_text(formula: str, numbers: FloatArray) -> None:
    if numbers.shape[1] != 1:
        raise InputError(
            f"formula {formula!r}: the response has {numbers.shape[1]} columns",
            "a response is one column of numbers",
        )


def _refuse_infinite(values: FloatArray, labels: tuple[str, ...], names: list[str], rows: NDArray[np.intp]) -> None:
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"{labels[column]} of {names[rows[row]]!r} is no finite number", "correct the value, or the function of it"
        )


def _refuse_dependent(formula: str, matrix: FloatArray, terms: tuple[str, ...]) -> None:
    if not terms:
        return
    if "Intercept" in terms:
        # What lies far from 0 is no combination of the constant for that.
        is_constant = np.array(terms) == "Intercept"
        matrix = np.where(is_constant, matrix, matrix - (matrix / max(len(matrix), 1)).sum(0))
    scaled = _scaled(matrix)
    own = np.abs(np.diagonal(np.linalg.qr(scaled, mode="r"))) if len(matrix) >= len(terms) else np.zeros(len(terms))
    own = np.where(np.abs(matrix).max(0, initial=0.0) > 0, own, 0.0)
    if own.min() > _OWN_SHARE:
        return
    if len(matrix) < len(terms):
        raise InputError(
            f"formula {formula!r}: {len(matrix)} complete rows for {len(terms)} coefficients", "use fewer terms"
        )
    term = terms[int(np.argmax(own <= _OWN_SHARE))]
    raise InputError(
        f"formula {formula!r}: {term} is a combination of the terms before it, so its coefficient has no value",
        "leave the term out",
    )


def _scaled(matrix: FloatArray) -> FloatArray:
    # First by the largest, whose square may be no number.
    largest = np.abs(matrix).max(0, initial=0.0)
    scaled = matrix / np.where(largest > 0, largest, 1)
    size = np.linalg.norm(scaled, axis=0)
    return np.asarray(scaled / np.where(size > 0, size, 1))
