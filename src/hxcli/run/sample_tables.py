"""What all trees of a sample say together of traits of states, and the table of every tree's figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.tree_samples.figures import Row
from hxcli.analyses.tree_samples.pooling import sample_ends
from hxcli.analyses.tree_samples.sample_setting import SampleSetting
from hxcli.close_names import counted
from hxcli.errors import Note, doubted
from hxcli.phylogeny import FloatArray
from hxcli.state_findings import TraitStates
from hxcli.text_columns import Texts
from hxcli.traits import Observations

# What a flag of single trees means.
_WORDS = {
    "at_lower_bound": "an estimate is at the lower end of its support",
    "at_upper_bound": "an estimate is at the upper end of its support",
    "rates_not_identified": "the tips do not determine all rates",
    "optimum_not_certain": "the search found no clear maximum",
    "not_settled": "the quadrature has not settled, or the sampler has not converged",
}
# What makes figures untrustworthy.
_DOUBTED = ("optimum_not_certain", "not_settled")


class PooledStates:
    """Probabilities of states at the summary's nodes, clade by clade.

    Args:
        setting: Of the sample.
        frequency: (N,) share of the trees that have each clade.
    """

    def __init__(self, setting: SampleSetting, frequency: FloatArray) -> None:
        self._setting, self._frequency = setting, frequency
        self._means = [trait.known.copy() for trait in setting.states]
        self._spread = [np.where(np.isnan(trait.known), np.nan, 0.0) for trait in setting.states]
        for each in (*self._means, *self._spread):
            each[frequency == 0] = np.nan

    def add(self, nodes: NDArray[np.intp], rows: FloatArray) -> None:
        """Takes the figures of some nodes, (n, F, T), those of all states one behind the other."""
        first = 0
        for mean, spread in zip(self._means, self._spread, strict=True):
            for state in range(mean.shape[1]):
                values = rows[:, first + state]
                there = ~np.isnan(values)
                number = there.sum(1)
                average = np.where(there, values, 0).sum(1) / np.maximum(number, 1)
                squares = np.where(there, (values - average[:, None]) ** 2, 0).sum(1) / np.maximum(number, 1)
                for pooled, found in ((mean, average), (spread, np.sqrt(squares))):
                    open_here = np.isnan(pooled[nodes, state]) & (number > 0)
                    pooled[nodes, state] = np.where(open_here, found, pooled[nodes, state])
            first += mean.shape[1]

    def found(self, rows: FloatArray) -> tuple[TraitStates, ...]:
        """The traits; `rows`, (R, T), are the further figures of every tree."""
        setting = self._setting
        return tuple(
            self._trait(
                place, {row[2]: values for row, values in zip(setting.rows, rows, strict=True) if row[0] == name}
            )
            for place, name in enumerate(trait.name for trait in setting.states)
        )

    def _trait(self, place: int, figures: Mapping[str, FloatArray]) -> TraitStates:
        trait, trees = self._setting.states[place], len(next(iter(figures.values())))
        how = f"mean over {counted(trees, 'tree')}"
        level = self._setting.level
        means = {name: float(figures[name].mean()) for name in trait.rates}
        ends = {name: sample_ends(figures[name][None], level) for name in trait.rates}
        tips = self._setting.summary.tips
        return TraitStates(
            name=trait.name,
            states=trait.states,
            observed=Texts(trait.observed),
            probabilities=self._means[place],
            model=trait.model,
            log_likelihood=float(figures[trait.fitted].mean()),
            rates=tuple((name, means[name], float(low[0]), float(high[0]), how) for name, (low, high) in ends.items()),
            count=trait.count,
            root_prior=(trait.root_prior, np.zeros(0)),
            tips_used=sum(trait.observed[tip] != "" for tip in tips.tolist()),
            columns={"frequency": self._frequency, "se_between": self._spread[place]},
            fitted=trait.fitted,
        )


def trees_table(
    setting: SampleSetting, values: FloatArray, rows: FloatArray, numbers: NDArray[np.int64]
) -> dict[str, Any]:
    """One row for every tree, trait, model where there are several, and figure.

    Args:
        setting: Of the sample.
        values: (P, D, T) the parameters of traits of numbers.
        rows: (R, T) further figures.
        numbers: (T,) places of the trees in the files.
    """
    own: list[Row] = [(trait, "", name) for trait in setting.observations.traits for name in setting.parameters]
    own = own if len(values) else []
    told = [place for place, row in enumerate(setting.rows) if not row[2].startswith(".")]
    keys = own + [setting.rows[place] for place in told]
    trees = len(numbers)
    every = np.concatenate([values.transpose(1, 0, 2).reshape(-1, trees), rows[told]])
    models = {"model": [model for _, model, _ in keys] * trees} if any(model for _, model, _ in keys) else {}
    return {
        "tree": np.repeat(numbers, len(keys)),
        "trait": [trait for trait, _, _ in keys] * trees,
        **models,
        "parameter": [name for _, _, name in keys] * trees,
        "value": np.ascontiguousarray(every.T).ravel(),
    }


def equal_traits(observations: Observations) -> dict[str, str]:
    """Trait -> a sentence, for those that do not vary, which is all there is to say of them."""
    found: dict[str, str] = {}
    for d, trait in enumerate(observations.traits):
        seen = observations.values[:, d][~np.isnan(observations.values[:, d])]
        if len(seen) > 1 and np.ptp(seen) == 0 and not observations.standard_errors[:, d].any():
            found[trait] = Note(f"trait {trait!r}: all values are equal, which tells nothing of how it evolves")
    return found


def flag_warnings(rows: Sequence[Row], values: FloatArray, without: Collection[str] = frozenset()) -> tuple[str, ...]:
    """A sentence for every flag that single trees have, `without` those of some traits."""
    said = []
    for (trait, model, name), each in zip(rows, values, strict=True):
        flag = name.removeprefix(".")
        if not name.startswith(".") or flag not in _WORDS or trait in without:
            continue
        if trees := int(np.nansum(each)):
            under = f" under {model}" if model else ""
            told = Note(f"trait {trait!r}{under}: on {trees} of {counted(len(each), 'tree')} {_WORDS[flag]}")
            said.append(doubted(told) if flag in _DOUBTED else told)
    return tuple(said)
