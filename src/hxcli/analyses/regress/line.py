"""What a picture of a regression shows: the rows, and the line with its band."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hxcli.analyses.regress.formula import Design
from hxcli.analyses.regress.sum_of_columns import Columns
from hxcli.phylogeny import FloatArray

_POINTS = 101


def line(
    made: Design,
    columns: Columns,
    beta: FloatArray,
    covariance: FloatArray,
    quantile: float,
    response: Callable[[FloatArray], FloatArray] = lambda mean: mean,
) -> dict[str, Any]:
    """Points and, over the one predictor that is a number, the mean with its band; else the fitted values.

    Args:
        made: The design.
        columns: Of the table.
        beta, covariance: (P,) and (P, P).
        quantile: How many standard errors the band is wide on either side.
        response: From the linear predictor to the mean.

    Returns:
        `x`, `y` of the rows, `x_label`, `y_label`, and `grid`, `mean`, `lower`, `upper` of the line.
    """
    used = made.used
    one = len(made.predictors) == 1 and columns[made.predictors[0]].dtype.kind == "f"
    if not one:
        fitted = response(made.matrix[used] @ beta)
        ends = np.array([fitted.min(), fitted.max()])
        nothing = np.full(2, np.nan)
        return {
            "x": fitted, "y": made.values[used], "x_label": "fitted", "y_label": made.response,
            "grid": ends, "mean": ends, "lower": nothing, "upper": nothing,
        }  # fmt: skip
    name = made.predictors[0]
    x = columns[name][used]
    grid = np.linspace(x.min(), x.max(), _POINTS)
    matrix = made.at({name: grid})
    middle = matrix @ beta
    half = quantile * np.sqrt(np.maximum(np.einsum("ip,pq,iq->i", matrix, covariance, matrix), 0))
    return {
        "x": x, "y": made.values[used], "x_label": name, "y_label": made.response,
        "grid": grid, "mean": response(middle), "lower": response(middle - half), "upper": response(middle + half),
    }  # fmt: skip
