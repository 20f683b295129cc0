"""Tables of figures pooled over a sample of trees: phylogenetic signal, and regressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses.tree_samples.ledger import Ledger
from hxcli.analyses.tree_samples.pooling import pool, sample_ends
from hxcli.analyses.tree_samples.sample_setting import SampleSetting
from hxcli.analyses.tree_samples.tables_one_by_one import SE, P
from hxcli.close_names import counted
from hxcli.findings import TableFindings
from hxcli.phylogeny import FloatArray
from hxcli.run.sample_tables import equal_traits, trees_table

Figures = Mapping[str, FloatArray]


def figures_of(analysis: str, setting: SampleSetting, ledger: Ledger) -> TableFindings:
    """What all trees say together.

    A figure without a standard error has its mean, its standard deviation between the trees (divisor m) and the
    quantiles of its values on the trees; a coefficient is pooled as states are.

    Args:
        analysis: `signal` or `regress`.
        setting, ledger: Of the sample.
    """
    order = np.argsort(ledger.numbers, kind="stable")
    numbers, rows = ledger.numbers[order], ledger.parameters[:, order]
    traits: dict[str, dict[str, FloatArray]] = {}
    for (trait, _, name), values in zip(setting.rows, rows, strict=True):
        traits.setdefault(trait, {})[name] = values
    used = tuple(int(of[".n"].max()) for of in traits.values())
    if analysis == "signal":
        tables = {"signal table": _spread(traits, setting.level)}
        shown = tables["signal table"]
        owners = shown["trait"]
    else:
        ((response, of),) = traits.items()
        tables = {"coefficients table": _coefficients(of, setting.level)}
        rest = {name: values for name, values in of.items() if not _is_coefficient(name, of)}
        tables["regression table"] = _spread({response: rest}, setting.level)
        shown = tables["coefficients table"]
        owners = [response] * len(shown["term"])
    header = tuple(shown)
    return TableFindings(
        phylogeny=setting.summary,
        traits=tuple(traits),
        tips_used=used,
        method=f"{setting.method}; {counted(len(numbers), 'tree')}",
        tables={
            **tables,
            "trees table": trees_table(
                setting, np.zeros((0, len(setting.observations.traits), len(numbers))), rows, numbers
            ),
        },
        header=header,
        rows=[(owner, tuple(_cell(shown[name][place]) for name in header)) for place, owner in enumerate(owners)],
        about_traits=[{"over_trees": _as_json(_spread({trait: of}, setting.level))} for trait, of in traits.items()],
        warnings=(
            *(equal_traits(setting.observations).values() if analysis == "signal" else ()),
            *(
                f"trait {trait!r}: {name} has no value on {missing} of {counted(len(numbers), 'tree')}"
                for trait, of in traits.items()
                for name, values in of.items()
                if 0 < (missing := int(np.isnan(values).sum())) < len(numbers)
            ),
        ),
    )


def _spread(traits: Mapping[str, Figures], level: float) -> dict[str, Any]:
    """A row for every trait and figure."""
    told = [
        (trait, name, values) for trait, of in traits.items() for name, values in of.items() if not name.startswith(".")
    ]
    values = np.array([each for _, _, each in told])
    there = np.isfinite(values)
    number = np.maximum(there.sum(1), 1)
    mean = np.where(there.any(1), np.where(there, values, 0).sum(1) / number, np.nan)
    away = np.where(there, values - mean[:, None], 0)
    lower, upper = sample_ends(np.where(there, values, np.nan), level)
    return {
        "trait": [trait for trait, _, _ in told],
        "n": [int(traits[trait][".n"].max()) for trait, _, _ in told],
        "figure": [name for _, name, _ in told],
        "mean": mean,
        "sd": np.where(there.any(1), np.sqrt((away**2).sum(1) / number), np.nan),
        "lower": lower,
        "upper": upper,
        "trees": there.sum(1),
    }


def _is_coefficient(name: str, of: Figures) -> bool:
    return any(f"{name.removesuffix(end)}{SE}" in of for end in ("", SE, P))


def _coefficients(of: Figures, level: float) -> dict[str, Any]:
    """A row for every coefficient, pooled as the states of a clade are."""
    terms = [name for name in of if f"{name}{SE}" in of]
    estimates, errors = np.array([of[name] for name in terms]), np.array([of[f"{name}{SE}"] for name in terms])
    there = np.isfinite(estimates) & np.isfinite(errors)
    found = pool(estimates, errors, there, level)
    return {
        "term": terms,
        "estimate": found.estimate,
        "se": found.se,
        "se_within": found.within,
        "se_between": found.between,
        "lower": found.lower,
        "upper": found.upper,
        "trees": there.sum(1),
    }


def _as_json(table: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {
        name: {key: float(table[key][place]) for key in ("mean", "sd", "lower", "upper")}
        for place, name in enumerate(table["figure"])
    }


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.6g}"
