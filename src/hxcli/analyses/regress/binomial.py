"""Logistic regression as `hx regress --family binomial` reports it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hxcli.analyses.regress.formula import Design
from hxcli.analyses.regress.line import line
from hxcli.analyses.regress.logistic import Logistic, logistic
from hxcli.analyses.regress.rows import left_out, row_cell
from hxcli.analyses.regress.sum_of_columns import Columns
from hxcli.close_names import counted
from hxcli.errors import Doubt, Note
from hxcli.findings import TableFindings
from hxcli.inference.akaike import aic, aicc
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations


def regress_binomial(
    phylogeny: Phylogeny, observations: Observations, made: Design, columns: Columns, names: list[str], level: float
) -> TableFindings:
    """Fits and reports.

    Args:
        phylogeny: N nodes.
        observations: M rows.
        made: The design.
        columns: Of the table.
        names: (M,) of the rows.
        level: Probability of the intervals, which are normal.

    Raises:
        InputError: A response that is not 0 or 1, or always the same.
    """
    from scipy.special import ndtri

    found = logistic(phylogeny, observations, made)
    n, k = int(made.used.sum()), len(made.terms) + 1
    whole: dict[str, list[Any]] = {
        "formula": [made.formula],
        "model": ["logistic"],
        "n": [n],
        "k": [k],
        "sigma2": [math.nan],
        "alpha": [found.alpha],
        "log_likelihood": [found.log_likelihood],
        "aic": [aic(found.log_likelihood, k)],
        "aicc": [aicc(found.log_likelihood, k, n)],
        "r_squared": [math.nan],
        "penalized_log_likelihood": [found.penalised],
    }
    coefficients = _coefficients(found, made, level)
    notes = left_out(made, names)
    if found.at_end:
        told = "no phylogenetic signal" if found.at_end == "upper" else "the strongest signal that is looked for"
        notes += (Note(f"alpha is at the {found.at_end} end of its range: {told}"),)
    if not found.converged:
        notes += (Doubt("the search for the coefficients did not end at a certain maximum"),)
    return TableFindings(
        phylogeny=phylogeny,
        traits=(made.response,),
        tips_used=(n,),
        method=(
            f"{made.formula}; logistic (penalised likelihood), alpha {found.alpha:.6g}; log likelihood "
            f"{found.log_likelihood:.6g}; {counted(n, 'row')}"
        ),
        tables={
            "coefficients table": coefficients,
            "regression table": whole,
            "residuals table": _residuals(found, made, names, level),
            "regression picture": line(
                made,
                columns,
                found.beta,
                found.covariance,
                float(-ndtri((1 - level) / 2)),
                lambda mean: 1 / (1 + np.exp(-mean)),
            ),
        },
        header=tuple(coefficients),
        rows=[
            (made.response, tuple(row_cell(values[i]) for values in coefficients.values()))
            for i in range(len(made.terms))
        ],
        about_all={
            "regression": {name: values[0] for name, values in whole.items()},
            "certificate": {"converged": found.converged},
            "rows_left_out": [names[i] for i in np.flatnonzero(made.incomplete)],
        },
        warnings=notes,
    )


def _coefficients(found: Logistic, made: Design, level: float) -> dict[str, Any]:
    from scipy.special import ndtr, ndtri

    errors = np.sqrt(np.diag(found.covariance))
    ratio = found.beta / errors
    half = -ndtri((1 - level) / 2) * errors
    return {
        "term": list(made.terms),
        "estimate": found.beta,
        "se": errors,
        "t": ratio,
        # A normal quantile: no degrees of freedom.
        "df": np.full(len(ratio), math.nan),
        "p": 2 * ndtr(-np.abs(ratio)),
        "lower": found.beta - half,
        "upper": found.beta + half,
    }


def _residuals(found: Logistic, made: Design, names: list[str], level: float) -> dict[str, Any]:
    """By tip; what is predicted is the probability of a 1, with the interval of the coefficients' uncertainty."""
    from scipy.special import expit, ndtri

    rows = np.flatnonzero(made.used | made.predicted)
    nothing = np.full(len(names), math.nan)
    design = np.where(made.predicted[:, None], made.matrix, math.nan)
    middle, error = design @ found.beta, np.sqrt(np.einsum("ip,pq,iq->i", design, found.covariance, design))
    half = -ndtri((1 - level) / 2) * error
    predicted = np.where(made.predicted, found.probabilities, math.nan)
    columns = {
        "observed": made.values,
        "fitted": found.probabilities,
        "residual": made.values - found.probabilities,
        "leverage": nothing,
        "predict": predicted,
        # To the first order; the interval is that of the linear predictor, so that it stays between 0 and 1.
        "predict_se": predicted * (1 - predicted) * error,
        "predict_lower": expit(middle - half),
        "predict_upper": expit(middle + half),
    }
    return {"tip": [names[row] for row in rows], **{name: values[rows] for name, values in columns.items()}}
