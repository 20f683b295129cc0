"""Observations that are left out, one after the other: what all others predict of them, as a table and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.close_names import listed
from hxcli.errors import Note
from hxcli.phylogeny import FloatArray

# The kind of product, which is the table's name too.
LEFT_OUT = "leave-one-out table"
# With which parameters tips are predicted, where those are estimated, and where they have a posterior.
ESTIMATED, HELD = "estimated from all tips", "held at their posterior given all tips"
# Standard deviations from its prediction beyond which a tip is suspected of a mistake.
_SUSPECT = 3.0
_COLUMNS = ("node", "trait", "observed", "mean", "sd", "z", "log_density")


class Predicted(NamedTuple):
    """Predictions of T observations, (T,) each; nan where the others say nothing.

    Attributes:
        mean, deviation: Of the prediction.
        log_density: Log density of what was observed in it.
    """

    mean: FloatArray
    deviation: FloatArray
    log_density: FloatArray


class LeftOutRows(NamedTuple):
    """Of one trait.

    Attributes:
        columns: Of the table.
        record: For the run record, as JSON values.
        warnings: What the user should know.
    """

    columns: dict[str, list[Any]]
    record: dict[str, Any]
    warnings: list[str]


def predicted(observed: FloatArray, centre: FloatArray, spread: FloatArray, weights: FloatArray) -> Predicted:
    """The predictions of mixtures of J normal distributions.

    Args:
        observed: (T,).
        centre, spread: (T, J) means and variances.
        weights: (J,) adding up to 1.
    """
    mean = (weights * centre).sum(1)
    deviation = np.sqrt((weights * (spread + (centre - mean[:, None]) ** 2)).sum(1))
    with np.errstate(divide="ignore"):
        away = (observed[:, None] - centre) ** 2 / np.where(spread > 0, spread, np.nan)
        log_density = -(np.log(2 * np.pi * spread) + away) / 2
    top = log_density.max(1)
    return Predicted(mean, deviation, top + np.log((weights * np.exp(log_density - top[:, None])).sum(1)))


def left_out_rows(
    tips: Sequence[str], trait: str, observed: FloatArray, found: Predicted, parameters: str
) -> LeftOutRows:
    """The rows of one trait, in its own units, and the tips that do not fit.

    Args:
        tips: (T,) names.
        trait: Name.
        observed: (T,).
        found: What is predicted.
        parameters: Which ones it is predicted with.
    """
    z = (observed - found.mean) / found.deviation
    columns = {"node": list(tips), "trait": [trait] * len(tips), "observed": observed.tolist()}
    figures = {"mean": found.mean, "sd": found.deviation, "z": z, "log_density": found.log_density}
    columns |= {name: each.tolist() for name, each in figures.items()}
    known = np.isfinite(z)
    order = np.argsort(-np.abs(np.where(known, z, 0)), kind="stable")
    suspects = [int(i) for i in order if known[i] and abs(z[i]) > _SUSPECT]
    record = {
        "leave_one_out": {
            "parameters": parameters,
            "log_predictive_density": float(found.log_density[known].sum()),
            "tips": int(known.sum()),
            "suspects": [{"tip": tips[i], "z": float(z[i])} for i in suspects],
        }
    }
    warnings: list[str] = []
    if suspects:
        count = f"{len(suspects)} tip{'s' * (len(suspects) > 1)}"
        shown = listed([f"{tips[i]} ({z[i]:+.1f} sd)" for i in suspects])
        warnings.append(Note(f"trait {trait!r}: {count} beyond 3 sd of what all other tips predict: {shown}"))
    if not known.all():
        unknown = [tips[i] for i in np.flatnonzero(~known).tolist()]
        warnings.append(Note(f"trait {trait!r}: nothing is predicted by the others for {listed(unknown)}"))
    return LeftOutRows(columns, record, warnings)


def left_out_table(parts: Sequence[LeftOutRows]) -> dict[str, list[Any]]:
    """The tables of several traits as one."""
    return {key: [value for part in parts for value in part.columns[key]] for key in _COLUMNS}
