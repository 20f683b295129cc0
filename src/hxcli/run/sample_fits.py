"""Fits of models pooled over a sample of trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hxcli.analyses.tree_samples.fits_one_by_one import CODES
from hxcli.analyses.tree_samples.ledger import Ledger
from hxcli.analyses.tree_samples.pooling import mixture_ends
from hxcli.analyses.tree_samples.sample_setting import SampleSetting
from hxcli.close_names import counted
from hxcli.findings import TableFindings
from hxcli.phylogeny import FloatArray
from hxcli.run.sample_tables import equal_traits, flag_warnings, trees_table

_FITS = (
    *("trait", "model", "n", "k", "log_likelihood", "aic", "aicc", "delta_aicc", "weight", "converged", "flags"),
    "best_on",
)
_PARAMETERS = ("trait", "model", "parameter", "value", "lower", "upper", "how", "se_between")


def fits_of(setting: SampleSetting, ledger: Ledger) -> TableFindings:
    """Fits of models pooled over the trees.

    Likelihoods, criteria and weights are means over the trees, and so are parameters. An interval is one of the mixture
    of normal distributions that have each tree's estimate as their mean and half of its interval as so many standard
    deviations, as states are pooled.
    """
    order = np.argsort(ledger.numbers, kind="stable")
    numbers, rows = ledger.numbers[order], ledger.parameters[:, order]
    trees = len(numbers)
    models: dict[tuple[str, str], dict[str, FloatArray]] = {}
    for (trait, model, name), values in zip(setting.rows, rows, strict=True):
        models.setdefault((trait, model), {})[name] = values
    traits = tuple(dict.fromkeys(trait for trait, _ in models))
    fits = [fit for trait in traits for fit in _compared(trait, {m: of for (t, m), of in models.items() if t == trait})]
    told = [
        (fit["trait"], fit["model"], name.removeprefix(".lower "))
        for fit in fits
        for name in models[fit["trait"], fit["model"]]
        if name.startswith(".lower ")
    ]
    parameters = _parameters([(*row, models[row[:2]]) for row in told], setting.level)
    equal = equal_traits(setting.observations)
    return TableFindings(
        phylogeny=setting.summary,
        traits=traits,
        tips_used=tuple(next(fit["n"] for fit in fits if fit["trait"] == trait) for trait in traits),
        method=f"{setting.method}; means over {counted(trees, 'tree')}",
        tables={
            "fits table": {name: [fit[name] for fit in fits] for name in _FITS},
            "parameter table": {name: [row[place] for row in parameters] for place, name in enumerate(_PARAMETERS)},
            "trees table": trees_table(setting, np.zeros((0, len(setting.observations.traits), trees)), rows, numbers),
        },
        header=("trait", "model", "log likelihood", "k", "AICc", "difference", "weight", "best on", "flags"),
        rows=[(fit["trait"], _summary_row(fit)) for fit in fits],
        about_traits=[{"models": [fit for fit in fits if fit["trait"] == trait]} for trait in traits],
        warnings=(*equal.values(), *flag_warnings(setting.rows, rows, equal)),
    )


def _compared(trait: str, models: Mapping[str, Mapping[str, FloatArray]]) -> list[dict[str, Any]]:
    """The models of a trait, the best first."""
    means = {model: float(of["aicc"].mean()) for model, of in models.items()}
    least = min(means.values())
    lowest = np.min([of["aicc"] for of in models.values()], axis=0)
    found = []
    for model in sorted(models, key=lambda model: (means[model], model)):
        of = models[model]
        figures = (
            trait,
            model,
            int(of[".n"].max()),
            int(of[".k"].max()),
            *(float(of[name].mean()) for name in ("log_likelihood", ".aic", "aicc")),
            means[model] - least if np.isfinite(least) else np.inf,
            float(of["weight"].mean()),
            bool((of[".converged"] == 1).all()),
            ";".join(code for code in CODES if of[f".{code}"].any()),
            float(((of["aicc"] == lowest) & np.isfinite(lowest)).mean()),
        )
        found.append(dict(zip(_FITS, figures, strict=True)))
    return found


def _summary_row(fit: Mapping[str, Any]) -> tuple[str, ...]:
    figures = (f"{fit['log_likelihood']:.6g}", str(fit["k"]), f"{fit['aicc']:.6g}", f"{fit['delta_aicc']:.4g}")
    shares = (f"{fit['weight']:.3f}", f"{100 * fit['best_on']:.3g} %")
    return (fit["trait"], fit["model"], *figures, *shares, fit["flags"])


def _parameters(told: Sequence[tuple[str, str, str, Mapping[str, FloatArray]]], level: float) -> list[tuple[Any, ...]]:
    """Trait, model, name, value, lower, upper, how and spread between the trees of every parameter.

    Args:
        told: Trait, model and name of every parameter, and the figures of that model.
        level: Probability of the intervals.
    """
    from scipy.special import ndtri

    if not told:
        return []
    values, lower, upper, given = (
        np.stack([of[f"{label}{name}"] for _, _, name, of in told]) for label in ("", ".lower ", ".upper ", ".given ")
    )
    there = np.isfinite(values)
    number = np.maximum(there.sum(1), 1)
    mean = np.where(there.any(1), np.where(there, values, 0).sum(1) / number, np.nan)
    between = np.sqrt(np.where(there, (values - mean[:, None]) ** 2, 0).sum(1) / number)
    is_given = there.any(1) & (given == 1).all(1)
    ends = np.full((2, len(told)), np.nan)
    for side, end in enumerate((lower, upper)):
        # On some tree the likelihood may never fall far enough.
        some = np.flatnonzero((there <= np.isfinite(end)).all(1) & there.any(1) & ~is_given)
        if len(some):
            here = there[some]
            errors = np.where(here, abs(end[some] - values[some]), 1.0) / float(ndtri((1 + level) / 2))
            unit = np.sqrt((np.where(here, errors, 0) ** 2).sum(1) / number[some] + between[some] ** 2)
            centred = np.where(here, values[some], mean[some, None])
            ends[side, some] = mixture_ends(centred, errors, here, mean[some], unit, level)[side]
    over = f"mean over {counted(values.shape[1], 'tree')}"
    return [
        (trait, model, name, *figures, "given" if fixed else over, 0.0 if fixed else spread)
        for (trait, model, name, _), figures, fixed, spread in zip(
            told,
            zip(np.where(is_given, values[:, 0], mean).tolist(), *ends.tolist(), strict=True),
            is_given.tolist(),
            np.where(there.any(1), between, np.nan).tolist(),
            strict=True,
        )
    ]
