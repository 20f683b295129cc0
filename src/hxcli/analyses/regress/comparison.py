"""Comparison of a regression with smaller ones that are nested in it: F tests and likelihood ratio tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from hxcli.analyses.regress.formula import Design, contains
from hxcli.analyses.regress.generalised import Regression
from hxcli.errors import OptionError


def compared(fitted: Regression, smaller: Sequence[Design]) -> dict[str, Any]:
    """A row for the regression and for each smaller one.

    F compares the sums of squares at the larger one's shape parameters; the likelihood ratio, always of plain
    likelihoods, lets the smaller one have shape parameters of its own.

    Args:
        fitted: The larger regression.
        smaller: Designs that are nested in it, on the same rows.
    """
    # Not scipy.stats, which takes as long to import as JAX.
    from scipy.special import chdtrc, fdtrc

    made, setting = fitted.design, dataclasses.replace(fitted.setting, restricted=False)
    full = Regression(setting, made) if fitted.setting.restricted else fitted
    rows: list[tuple[Any, ...]] = [
        (made.formula, len(made.terms), fitted.freedom, fitted.rss, np.nan, np.nan, np.nan, full.log_likelihood, np.nan,
        np.nan)
    ]  # fmt: skip
    for each in smaller:
        fewer = len(made.terms) - len(each.terms)
        alike, alone = Regression(fitted.setting, each, fitted.x), Regression(setting, each)
        left = fitted.rss / fitted.freedom if fitted.likelihood.profiled else 1.0
        ratio = (alike.rss - fitted.rss) / fewer / left
        gained = max(2 * (full.log_likelihood - alone.log_likelihood), 0.0)
        rows.append((
            each.formula, len(each.terms), alike.freedom, alike.rss, fewer, ratio, fdtrc(fewer, fitted.freedom, ratio),
            alone.log_likelihood, gained, chdtrc(fewer, gained),
        ))  # fmt: skip
    names = ("formula", "terms", "df", "rss", "f_df", "f", "p", "log_likelihood", "lr", "lr_p")
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def refuse_unnested(made: Design, smaller: Sequence[Design]) -> None:
    """Raises unless all smaller designs are nested in the larger one.

    Raises:
        OptionError: Names the formula and says why.
    """
    for each in smaller:
        if each.response != made.response:
            raise OptionError(
                f"--against {each.formula!r}: another response than {made.formula!r} has (compare the same)"
            )
        if not np.array_equal(each.used, made.used):
            raise OptionError(
                f"--against {each.formula!r}: a predictor is missing in rows of {made.formula!r} (leave it out)"
            )
        if len(each.terms) >= len(made.terms) or not contains(made.matrix[made.used], each.matrix[each.used]):
            raise OptionError(
                f"--against {each.formula!r}: not nested in {made.formula!r} (give one with fewer of its terms)"
            )
