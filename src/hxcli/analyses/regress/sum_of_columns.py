"""Formulas that are sums of columns of numbers, such as `y ~ x + z`: read without a library."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray

Columns = Mapping[str, NDArray[Any]]
_NAME = r"[A-Za-z_]\w*"
_SUM = re.compile(rf"\s*({_NAME})\s*~\s*(1|{_NAME}(?:\s*\+\s*{_NAME})*)\s*", re.ASCII)


class Evaluated(NamedTuple):
    """What a formula makes of rows without gaps.

    Attributes:
        numbers: (M, R) of the response, one column where it is one.
        matrix: (M, P).
        terms: (P,) names of its columns.
        at: Columns at other rows -> the matrix there.
    """

    numbers: FloatArray
    matrix: FloatArray
    terms: tuple[str, ...]
    at: Callable[[Columns], FloatArray]


class Reading(NamedTuple):
    """A formula that was read.

    Attributes:
        response: Its left side.
        left, right: Names of the columns of either side, in order.
        evaluate: Of the columns of both sides.
    """

    response: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    evaluate: Callable[[Columns], Evaluated]


def sum_of_columns(formula: str, columns: Columns) -> Reading | None:
    """The formula, if it is the sum of an intercept and different columns of numbers; None for any other.

    Args:
        formula: In words.
        columns: Of the table.
    """
    found = _SUM.fullmatch(formula)
    if found is None:
        return None
    response = found[1]
    terms = () if found[2] == "1" else tuple(re.split(r"\s*\+\s*", found[2]))
    if len({response, *terms}) <= len(terms):
        return None
    if not all(name in columns and columns[name].dtype.kind == "f" for name in (response, *terms)):
        return None

    def at(rows: Columns) -> FloatArray:
        each = [rows[name] for name in terms]
        return np.column_stack([np.ones(len(each[0])), *each])

    def evaluate(rows: Columns) -> Evaluated:
        numbers = np.asarray(rows[response], float)[:, None]
        matrix = at(rows) if terms else np.ones((len(numbers), 1))
        return Evaluated(numbers, matrix, ("Intercept", *terms), at)

    return Reading(response, (response,), tuple(sorted(terms)), evaluate)
