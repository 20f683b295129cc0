"""Several rows of one tip as one: means, and the error of the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.analyses.regress.formula import Design
from hxcli.close_names import counted
from hxcli.errors import InputError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_contradictions
from hxcli.traits import Observations


@dataclass(frozen=True, eq=False)
class Averaged:
    """Rows of which every tip has one.

    Attributes:
        rows: Means, and their standard errors.
        notes: What was done, a sentence.
        differing: Column of text -> a tip whose rows differ in it, and two of their texts.
    """

    rows: Observations
    notes: tuple[str, ...]
    differing: dict[str, tuple[str, str, str]]

    def refuse_differing(self, made: Design) -> None:
        """Raises where a formula needs one text a tip and there are several.

        Raises:
            InputError: Names the tip and the column.
        """
        for column in made.predictors:
            if column in self.differing:
                tip, one, other = self.differing[column]
                raise InputError(
                    f"--replicates: the rows of {tip!r} have {one!r} and {other!r} in column {column!r}",
                    "a text of a predictor is the same in all rows of a tip",
                )


def one_row_a_tip(phylogeny: Phylogeny, observations: Observations) -> Averaged:
    """Averages the rows of every tip.

    In a column with known standard errors rows count by the inverse of their squares, an exact row alone. In any
    other the error of a tip's mean is the standard deviation within tips, the same for all of them, over the root of
    the tip's number of rows.

    Args:
        phylogeny: N nodes.
        observations: M rows.

    Raises:
        ModelError: Exact rows of one tip that contradict each other, in a column with known errors.
    """
    tips, place = np.unique(observations.nodes, return_inverse=True)
    repeated = int((np.bincount(place) > 1).sum())
    if not repeated:
        return Averaged(observations, (), {})
    means, errors = np.empty((2, len(tips), len(observations.traits)))
    for trait, name in enumerate(observations.traits):
        known = observations.standard_errors[:, trait]
        if known.any():
            alone = Observations(observations.nodes, observations.values[:, [trait]], known[:, None], (name,))
            refuse_contradictions(phylogeny, alone, exact_ones(alone))
        means[:, trait], errors[:, trait] = _mean(observations.values[:, trait], known, place, len(tips))
    first = np.searchsorted(observations.nodes, tips)
    texts: dict[str, Any] = {}
    differing: dict[str, tuple[str, str, str]] = {}
    for column, cells in observations.texts.items():
        texts[column] = cells[first].copy()
        for row, tip in enumerate(place):
            kept = texts[column][tip]
            if not kept:
                texts[column][tip] = cells[row]
            elif cells[row] and cells[row] != kept:
                pair = sorted((str(kept), str(cells[row])))
                differing.setdefault(column, (phylogeny.labels[tips[tip]], pair[0], pair[1]))
    note = f"{counted(repeated, 'tip')} with several rows: means are used, and the error of the mean within tips"
    return Averaged(Observations(tips, means, errors, observations.traits, texts), (note,), differing)


def _mean(values: FloatArray, known: FloatArray, place: Any, count: int) -> tuple[FloatArray, FloatArray]:
    """Both (count,): means of every tip's values, nan for none, and their standard errors."""
    there = ~np.isnan(values)
    if known[there].any():
        exact = np.bincount(place, there & (known == 0), count) > 0
        weight = np.where(exact[place], known == 0, 1 / np.where(known > 0, known, 1) ** 2) * there
    else:
        exact, weight = np.zeros(count, bool), there.astype(float)
    total = np.bincount(place, weight, count)
    found = np.full(count, np.nan)
    some = total > 0
    # Around the first value of every tip, so that equal values stay what they are.
    start = np.zeros(count)
    start[place[there][::-1]] = values[there][::-1]
    away = np.where(there, values - start[place], 0)
    found[some] = start[some] + np.bincount(place, weight * away, count)[some] / total[some]
    if known[there].any():
        error = np.where(exact, 0, 1 / np.sqrt(np.where(some, total, 1)))
        return found, np.where(some, error, 0)
    freedom = there.sum() - some.sum()
    squares = float((np.where(there, values - found[place], 0) ** 2).sum())
    within = squares / freedom if freedom > 0 else 0.0
    return found, np.where(some, np.sqrt(within / np.where(some, total, 1)), 0)
