"""Fits of models pooled over a sample of trees."""

from __future__ import annotations

from collections.abc import Mapping
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
    parameters = [
        (fit["trait"], fit["model"], name, *_parameter(of, name, setting.level))
        for fit in fits
        for of in [models[fit["trait"], fit["model"]]]
        for name in [name.removeprefix(".lower ") for name in of if name.startswith(".lower ")]
    ]
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


def _parameter(of: Mapping[str, FloatArray], name: str, level: float) -> tuple[Any, ...]:
    """Value, lower, upper, how and spread between the trees of a parameter."""
    from scipy.special import ndtri

    values, how = of[name][None], f"mean over {counted(len(of[name]), 'tree')}"
    there = np.isfinite(values)
    if not there.any():
        return np.nan, np.nan, np.nan, how, np.nan
    if of[f".given {name}"].all():
        return float(values[0, 0]), np.nan, np.nan, "given", 0.0
    mean = np.where(there, values, 0).sum(1) / there.sum(1)
    between = np.sqrt(np.where(there, (values - mean[:, None]) ** 2, 0).sum(1) / there.sum(1))
    ends = []
    for side, label in enumerate(("lower", "upper")):
        end = of[f".{label} {name}"][None]
        if not np.isfinite(end[there]).all():
            # On some tree the likelihood never falls far enough.
            ends.append(np.nan)
            continue
        errors = np.where(there, abs(end - values), 1.0) / float(ndtri((1 + level) / 2))
        unit = np.sqrt((np.where(there, errors, 0) ** 2).sum(1) / there.sum(1) + between**2)
        centred = np.where(there, values, mean[:, None])
        ends.append(float(mixture_ends(centred, errors, there, mean, unit, level)[side][0]))
    return float(mean[0]), *ends, how, float(between[0])
