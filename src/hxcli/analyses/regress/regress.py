"""Regression of one trait on others, with residuals that are related as the tips are (Grafen 1989; Martins 1997)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from hxcli.analyses.regress.comparison import compared, refuse_unnested
from hxcli.analyses.regress.formula import Design, design
from hxcli.analyses.regress.generalised import Regression, Setting, width_for
from hxcli.analyses.regress.line import line
from hxcli.analyses.regress.replicates import one_row_a_tip
from hxcli.analyses.regress.rows import left_out, row_cell
from hxcli.analyses.regress.sum_of_columns import Columns
from hxcli.close_names import counted
from hxcli.errors import Doubt, InputError, Note, OptionError
from hxcli.findings import TableFindings
from hxcli.inference.likelihood_columns import framed
from hxcli.inference.quantity import Interval
from hxcli.models import named_model
from hxcli.models.bound_model import BoundModel
from hxcli.models.edge_fields import edge_fields
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_coincident, refuse_contradictions
from hxcli.traits import Observations

# Those with one rate for the whole tree whose mean a formula can take the place of.
MODELS = ("bm", "lambda", "ou", "eb", "acdc", "kappa", "delta", "white")


def regress(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    formula: str,
    family: Literal["gaussian", "binomial"] = "gaussian",
    against: Sequence[str] = (),
    model: str | None = None,
    ou_root: str | None = None,
    estimator: Literal["ML", "REML"] = "ML",
    level: float = 0.95,
    profile: bool = False,
    held: Mapping[str, float] | None = None,
) -> TableFindings:
    """Generalised least squares of a formula under a model of the residuals.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M rows with columns of text; those of one tip are averaged (`one_row_a_tip`).
        formula: Such as `y ~ x + C(diet)`.
        family: Of the response: numbers, or 0 and 1 (`logistic`).
        against: Smaller formulas, nested in it, to compare it with.
        model: A name in `MODELS`; None for `bm`.
        ou_root: Root of an `ou`: `theta` or `stationary`.
        estimator: Of the shape parameters and sigma2.
        level: Probability of the intervals.
        profile: Whether the coefficients' intervals are by profile likelihood, and not given the shape parameters.
        held: Shape parameters that are given.

    Raises:
        InputError: The formula cannot be evaluated on these rows, rows of one tip differ in a text of it,
            or the response is the same in all rows.
        ModelError: Error-free observations at no distance from each other.
        OptionError: A formula that cannot be read; options that do not go together.
    """
    averaged = one_row_a_tip(phylogeny, observations)
    if family == "binomial" and averaged.notes:
        raise OptionError("--replicates: a response of 0 and 1 has one row a tip (leave --replicates out)")
    observations = averaged.rows
    names = [phylogeny.labels[node] for node in observations.nodes]
    columns: Columns = {
        **{name: observations.values[:, i] for i, name in enumerate(observations.traits)},
        **observations.texts,
    }
    made = design(formula, columns, names)
    averaged.refuse_differing(made)
    if family == "binomial":
        for option, given in (("model", model), ("against", against), ("set", held), ("ou-root", ou_root)):
            if given:
                raise OptionError(f"--{option} is for --family gaussian (leave one of them out)")
        # Here, because its programs and its optimiser take long to load.
        from hxcli.analyses.regress.binomial import regress_binomial

        return regress_binomial(phylogeny, observations, made, columns, names, level)
    values = made.values[made.used]
    if "Intercept" in made.terms and len(values) > 1 and np.ptp(values) == 0:
        raise InputError(
            f"{made.response} is {values[0]:g} in all {len(values)} rows", "there is nothing to explain: name another"
        )
    model = model or "bm"
    bound = _bound(phylogeny, model, ou_root)
    errors, notes = _errors(observations, made)
    if model != "white":
        _refuse_coincident(phylogeny, observations, made, errors)
    smaller = [design(each, _only(columns, made.used), names) for each in against]
    # Before anything is computed.
    refuse_unnested(made, smaller)
    setting = Setting(
        bound,
        framed(bound.fields.columns, phylogeny),
        observations.nodes,
        errors,
        estimator == "REML",
        dict(held or {}),
        level,
        width_for(len(made.terms)),
    )
    fitted = Regression(setting, made)
    shape = _shape(fitted)
    from scipy.special import stdtrit

    nothing = design(f"{formula.split('~', 1)[0]} ~ 1", _only(columns, made.used), names)
    rest = Regression(setting, nothing, fitted.x)
    r_squared = 1 - fitted.rss / rest.rss if rest.rss > 0 else math.nan
    profiles = fitted.profiles(profile) if shape or profile else {}
    coefficients = _coefficients(fitted, profiles if profile else None)
    whole: dict[str, list[Any]] = {
        "formula": [formula],
        "model": [model],
        "n": [fitted.n],
        "k": [fitted.k],
        "sigma2": [fitted.sigma2],
        **{name: [value] for name, value in shape.items()},
        "log_likelihood": [fitted.log_likelihood],
        "aic": [fitted.aic],
        "aicc": [fitted.aicc],
        "r_squared": [r_squared],
    }
    tables: dict[str, Mapping[str, Any]] = {
        "coefficients table": coefficients,
        "regression table": whole,
        "residuals table": _residuals(fitted, names),
        "regression picture": line(
            made, columns, fitted.beta, fitted.covariance, float(-stdtrit(max(fitted.freedom, 1), (1 - level) / 2))
        ),
    }
    if smaller:
        tables["comparison table"] = compared(fitted, smaller)
    intervals = {
        name: {"lower": float(ends.lower), "upper": float(ends.upper)}
        for name, ends in profiles.items()
        if name in shape
    }
    return TableFindings(
        phylogeny=phylogeny,
        traits=(made.response,),
        tips_used=(fitted.n,),
        method=_method(formula, model, estimator, fitted, shape, r_squared),
        tables=tables,
        header=tuple(coefficients),
        rows=[
            (made.response, tuple(row_cell(values[i]) for values in coefficients.values()))
            for i in range(len(made.terms))
        ],
        about_all={
            "regression": {name: values[0] for name, values in whole.items()},
            "shape_intervals": intervals,
            "certificate": fitted.certificate(),
            "rows_left_out": [names[i] for i in np.flatnonzero(made.incomplete)],
        },
        warnings=(*averaged.notes, *notes, *_notes(fitted, names)),
    )


def _bound(phylogeny: Phylogeny, model: str, ou_root: str | None) -> BoundModel:
    if model not in MODELS:
        raise OptionError(f"--model {model}: hx regress has no such model (use one of {', '.join(MODELS)})")
    if ou_root == "free":
        raise OptionError(f"--ou-root {ou_root}: the mean of a regression is its formula (use theta or stationary)")
    if ou_root is not None and model != "ou":
        raise OptionError(f"--ou-root is for --model ou, not {model} (leave it out)")
    return named_model(model, ou_root).on(edge_fields(phylogeny))


def _errors(observations: Observations, made: Design) -> tuple[Any, tuple[str, ...]]:
    """(M,) known standard errors of the response, and what is said of others."""
    known = dict(zip(observations.traits, observations.standard_errors.T, strict=True))
    notes = tuple(
        Note(f"the standard errors of {name!r} are not used: a predictor is taken as known")
        for name in made.predictors
        if name in known and np.any(known[name])
    )
    if made.source is not None:
        return known[made.source], notes
    for name, errors in known.items():
        if name in made.response and np.any(errors):
            notes += (Note(f"the standard errors of {name!r} are not used: the response is a function of it"),)
    return np.zeros(len(observations.nodes)), notes


def _refuse_coincident(phylogeny: Phylogeny, observations: Observations, made: Design, errors: Any) -> None:
    seen = Observations(
        observations.nodes[made.used], made.values[made.used, None], errors[made.used, None], (made.response,)
    )
    exact = exact_ones(seen)
    refuse_contradictions(phylogeny, seen, exact)
    refuse_coincident(phylogeny, seen, exact)


def _only(columns: Columns, rows: Any) -> Columns:
    """The columns with nothing in all other rows."""
    return {
        name: np.where(rows, values, np.nan if values.dtype.kind == "f" else "") for name, values in columns.items()
    }


def _shape(fitted: Regression) -> dict[str, float]:
    """The model's parameters but for sigma2."""
    found = dict(fitted.parameters)
    if "alpha" in found:
        found["half_life"] = math.log(2) / found["alpha"]
        found["stationary_variance"] = fitted.sigma2 / (2 * found["alpha"])
    return found


def _coefficients(fitted: Regression, profiles: Mapping[str, Interval] | None) -> dict[str, Any]:
    # Not scipy.stats, which takes as long to import as JAX.
    from scipy.special import stdtr, stdtrit

    errors = np.sqrt(np.diag(fitted.covariance))
    freedom = fitted.freedom
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = fitted.beta / errors
    known = freedom > 0
    p = 2 * stdtr(freedom, -np.abs(ratio)) if known else np.full(len(ratio), np.nan)
    half = -stdtrit(freedom, (1 - fitted.setting.level) / 2) * errors if known else np.full(len(ratio), np.nan)
    lower, upper = fitted.beta - half, fitted.beta + half
    if profiles is not None:
        lower, upper = (np.array([float(profiles[term][side]) for term in fitted.design.terms]) for side in (0, 1))
    return {
        "term": list(fitted.design.terms),
        "estimate": fitted.beta,
        "se": errors,
        "t": ratio,
        "df": [freedom] * len(ratio),
        "p": p,
        "lower": lower,
        "upper": upper,
    }


def _residuals(fitted: Regression, names: list[str]) -> dict[str, Any]:
    from scipy.special import stdtrit

    made, freedom = fitted.design, fitted.freedom
    rows = np.flatnonzero(made.used | made.predicted)
    mean, error = fitted.predictions() if made.predicted.any() else (np.full(len(names), np.nan),) * 2
    half = -stdtrit(freedom, (1 - fitted.setting.level) / 2) * error if freedom > 0 else error * np.nan
    fits = fitted.fitted
    columns = {
        "observed": made.values,
        "fitted": fits,
        "residual": made.values - fits,
        "leverage": fitted.leverage(),
        "predict": mean,
        "predict_se": error,
        "predict_lower": mean - half,
        "predict_upper": mean + half,
    }
    return {"tip": [names[row] for row in rows], **{name: values[rows] for name, values in columns.items()}}


def _method(
    formula: str, model: str, estimator: str, fitted: Regression, shape: Mapping[str, float], r_squared: float
) -> str:
    figures = "".join(f", {name} {value:.6g}" for name, value in shape.items())
    kind = "log likelihood" if estimator == "ML" else "restricted log likelihood"
    return (
        f"{formula}; {model} ({estimator}){figures}, sigma2 {fitted.sigma2:.6g}; {kind} {fitted.log_likelihood:.6g}, "
        f"R2 {r_squared:.4g}; {counted(fitted.n, 'row')}"
    )


def _notes(fitted: Regression, names: list[str]) -> tuple[str, ...]:
    found = list(left_out(fitted.design, names))
    if fitted.freedom < 1:
        found.append(Note("as many coefficients as rows: nothing is left to estimate errors from, so they are empty"))
    assert fitted.optimum is not None
    certificate = fitted.optimum.certificate
    for side, ends in (("lower", certificate.at_lower), ("upper", certificate.at_upper)):
        found += [Note(f"{name} is at the {side} end of its range") for name in ends]
    if not certificate.converged:
        found.append(Doubt("the search for the shape parameters did not end at a certain maximum (see the record)"))
    return tuple(found)
