"""A formula and a table become a response and a design matrix, by formulaic; what cannot be used is named."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import counted, did_you_mean, listed
from hxcli.engine.topology import BoolArray
from hxcli.errors import InputError, OptionError
from hxcli.phylogeny import FloatArray

# A column whose part that the columns before it do not explain is smaller than this share of it says nothing new.
_OWN_SHARE = 1e-9
Columns = Mapping[str, NDArray[Any]]


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
    import pandas as pd

    parsed = _parsed(formula)
    left, right = (_variables(formula, side, columns) for side in (parsed.lhs, parsed.rhs))
    data = pd.DataFrame({name: _column(columns[name]) for name in (*left, *right)})
    complete = data[list(right)].notna().all(axis=1).to_numpy() if right else np.ones(len(names), bool)
    answered = data[list(left)].notna().all(axis=1).to_numpy()
    used = complete & answered
    if used.sum() < 2:
        raise InputError(
            f"formula {formula!r}: {counted(int(used.sum()), 'row')} with a value in all of its columns",
            "fill gaps, or leave out the column with the most",
        )
    response, matrix = _evaluated(formula, parsed, data[used])
    spec = matrix.model_spec
    terms = tuple(str(name) for name in spec.column_names)
    numbers = np.asarray(response, float)
    _refuse_text(formula, response, numbers)
    whole = np.full((len(names), len(terms)), np.nan)
    whole[used] = np.asarray(matrix, float)
    values = np.full(len(names), np.nan)
    values[used] = numbers[:, 0]
    _refuse_infinite(
        np.column_stack([values[used], whole[used]]), (str(parsed.lhs), *terms), names, np.flatnonzero(used)
    )
    _refuse_dependent(formula, whole[used], terms)
    missing = complete & ~answered
    unseen = _unseen(data, right, used, missing)
    predicted = missing & ~unseen
    if predicted.any():
        whole[predicted] = np.asarray(spec.get_model_matrix(data[predicted]), float)
        predicted &= np.isfinite(whole).all(1)
    label = str(parsed.lhs)

    def at(others: Columns) -> FloatArray:
        table = pd.DataFrame({name: _column(values) for name, values in others.items()})
        return np.asarray(spec.get_model_matrix(table), float)

    return Design(
        formula, label, left[0] if label.strip("`") in left else None, terms, whole, values, used, predicted,
        ~complete, tuple(right), unseen, at,
    )  # fmt: skip


def contains(larger: FloatArray, smaller: FloatArray) -> bool:
    """Whether every column of the smaller design is a combination of columns of the larger."""
    basis, _ = np.linalg.qr(_scaled(larger))
    small = _scaled(smaller)
    return bool(np.linalg.norm(small - basis @ (basis.T @ small), axis=0).max(initial=0.0) < _OWN_SHARE**0.5)


def _parsed(formula: str) -> Any:
    from formulaic import Formula

    try:
        parsed = Formula(formula)
    except Exception as error:
        raise OptionError(f"formula {formula!r}: {_one_line(error)} (write it as 'y ~ x + z')") from error
    if not hasattr(parsed, "lhs"):
        raise OptionError(f"formula {formula!r}: no response (write it as 'y ~ x', with the response before ~)")
    if any(isinstance(side, tuple) for side in (parsed.lhs, parsed.rhs)):
        raise OptionError(f"formula {formula!r}: several parts, with | between (give one)")
    if len(list(parsed.lhs)) != 1:
        raise OptionError(f"formula {formula!r}: {len(list(parsed.lhs))} responses (give one before ~)")
    return parsed


def _variables(formula: str, side: Any, columns: Columns) -> tuple[str, ...]:
    """The columns that a side of a formula names, in order of their names."""
    found: set[str] = set()
    for factor in (factor for term in side for factor in term.factors):
        text = str(factor.expr)
        quoted = re.findall(r"`([^`]+)`", text)
        if factor.eval_method.value == "lookup":
            found.add(text.strip("`"))
        elif factor.eval_method.value == "python":
            found |= {*quoted, *_names(re.sub(r"`[^`]+`", "0", text))}
    for name in sorted(found):
        if name not in columns:
            advice = did_you_mean(name, columns)
            raise OptionError(
                f"formula {formula!r}: the table has no column {name!r} "
                f"({advice or 'its columns are ' + listed(sorted(columns), 8)})"
            )
    return tuple(sorted(found))


def _names(expression: str) -> set[str]:
    """The names in a piece of Python that are neither functions nor modules nor keywords of calls."""
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError:
        # formulaic says what is wrong with it.
        return set()
    nodes = list(ast.walk(tree))
    used = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    used |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in used}


def _column(values: NDArray[Any]) -> Any:
    if values.dtype.kind == "f":
        return values
    import pandas as pd

    # Of texts, sorted, so that the first level is the one that the others are compared with.
    return pd.Series([value if value else None for value in values.tolist()], dtype=object)


def _evaluated(formula: str, parsed: Any, data: Any) -> tuple[Any, Any]:
    from formulaic import model_matrix

    try:
        # No names but the table's: a formula means the same wherever it is used.
        with np.errstate(all="ignore"):
            both = model_matrix(parsed, data, context={}, na_action="ignore")
    except Exception as error:
        raise OptionError(f"formula {formula!r}: {_one_line(error)}") from error
    return both.lhs, both.rhs


def _refuse_text(formula: str, response: Any, numbers: FloatArray) -> None:
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
    scaled = _scaled(matrix)
    own = np.abs(np.diagonal(np.linalg.qr(scaled, mode="r"))) if len(matrix) >= len(terms) else np.zeros(len(terms))
    own = np.where(np.linalg.norm(matrix, axis=0) > 0, own, 0.0)
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
    size = np.linalg.norm(matrix, axis=0)
    return matrix / np.where(size > 0, size, 1)


def _unseen(data: Any, right: tuple[str, ...], used: BoolArray, missing: BoolArray) -> BoolArray:
    found = np.zeros(len(data), bool)
    for name in right:
        if data[name].dtype == object:
            found |= missing & ~data[name].isin(data[name][used]).to_numpy()
    return found


def _one_line(error: Exception) -> str:
    # formulaic marks places with colours.
    text = re.sub(r"\x1b\[[0-9;]*m|[\u29da\u29db]", "", str(error))
    text = " ".join(text.split()).rstrip(".")
    return text[:200] or type(error).__name__
