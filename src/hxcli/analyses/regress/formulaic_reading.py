"""Formulas of any kind, by formulaic."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, model_matrix
from numpy.typing import NDArray

from hxcli.analyses.regress.sum_of_columns import Columns, Evaluated, Reading
from hxcli.close_names import did_you_mean, listed
from hxcli.errors import OptionError
from hxcli.phylogeny import FloatArray


def read_formula(formula: str, columns: Columns) -> Reading:
    """Reads a formula.

    Args:
        formula: Such as `log(y) ~ x * C(diet)`.
        columns: Of the table.

    Raises:
        OptionError: A formula that cannot be read, or that names no column of the table.
    """
    parsed = _parsed(formula)
    left, right = (_variables(formula, side, columns) for side in (parsed.lhs, parsed.rhs))

    def evaluate(rows: Columns) -> Evaluated:
        data = pd.DataFrame({name: _column(values) for name, values in rows.items()})
        response, matrix = _evaluated(formula, parsed, data)
        spec = matrix.model_spec

        def at(others: Columns) -> FloatArray:
            table = pd.DataFrame({name: _column(values) for name, values in others.items()})
            return np.asarray(spec.get_model_matrix(table), float)

        terms = tuple(str(name) for name in spec.column_names)
        return Evaluated(np.asarray(response, float), np.asarray(matrix, float), terms, at)

    return Reading(str(parsed.lhs), left, right, evaluate)


def _parsed(formula: str) -> Any:
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
    # Of texts, sorted, so that the first level is the one that the others are compared with.
    return pd.Series([value if value else None for value in values.tolist()], dtype=object)


def _evaluated(formula: str, parsed: Any, data: Any) -> tuple[Any, Any]:
    try:
        # No names but the table's: a formula means the same wherever it is used.
        with np.errstate(all="ignore"):
            both = model_matrix(parsed, data, context={}, na_action="ignore")
    except Exception as error:
        raise OptionError(f"formula {formula!r}: {_one_line(error)}") from error
    return both.lhs, both.rhs


def _one_line(error: Exception) -> str:
    # formulaic marks places with colours.
    text = re.sub(r"\x1b\[[0-9;]*m|[\u29da\u29db]", "", str(error))
    text = " ".join(text.split()).rstrip(".")
    return text[:200] or type(error).__name__
