"""Parametric bootstrap of models against Brownian motion: p of the likelihood ratio, power, and percentile intervals.

Traits are drawn under the fitted bm, and bm and every model are fitted to them: the distribution of the likelihood
ratio where bm is true. Traits are drawn under every fitted model too, and it and bm are fitted to them: how often the
ratio would tell the model from bm, and how its parameters scatter (Boettiger, Coop and Ralph 2012, Evolution 66:2240).
p = (b + 1) / (B + 1) with b ratios at least as large as the observed one (Davison and Hinkley 1997, Bootstrap Methods).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.analyses.fit.drawing import drawn
from hxcli.analyses.fit.fit import NULL
from hxcli.analyses.fit.fitted import FittedModel, in_units, quantities_of
from hxcli.errors import OptionError
from hxcli.inference.many_maxima import Maxima, maximise_each
from hxcli.inference.simulated_traits import Simulated, SimulatedLikelihood
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.units import Units

# The share of the ratios under bm that lie below the critical one.
_CRITICAL = 0.95
# Log likelihoods, twice, that differ by less are the same: a model that holds bm often ends in it.
_SAME = 1e-4

COLUMNS = ("trait", "model", "quantity", "value", "lower", "upper", "p", "critical", "power", "replicates")


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """What replicates say of one fitted model.

    Attributes:
        fitted: The model.
        replicates: How many traits were drawn under each of the two models.
        ratio: Twice the difference of the log likelihoods of the model and of bm; nan for bm.
        ratio_interval: Its quantiles where the model is true.
        p: Of the ratio where bm is true.
        critical: Quantile 0.95 of the ratio there.
        power: Share of the ratios above the critical one where the model is true.
        intervals: Reported name -> quantiles of the estimates where the model is true.
    """

    fitted: FittedModel
    replicates: int
    ratio: float
    ratio_interval: tuple[float, float]
    p: float
    critical: float
    power: float
    intervals: Mapping[str, tuple[float, float]]

    def rows(self) -> list[tuple[Any, ...]]:
        """Rows of the table, in the order of `COLUMNS`."""
        who = (self.fitted.trait, self.fitted.name)
        rows: list[tuple[Any, ...]] = []
        if self.fitted.bound.model.built_in != NULL:
            figures = (self.p, self.critical, self.power, self.replicates)
            rows.append((*who, "likelihood_ratio", self.ratio, *self.ratio_interval, *figures))
        nothing = (np.nan, np.nan, np.nan, self.replicates)
        return rows + [
            (*who, name, self.fitted.parameters[name].value, *ends, *nothing) for name, ends in self.intervals.items()
        ]

    def about(self) -> dict[str, Any]:
        """For the run record, as JSON values."""
        found: dict[str, Any] = {
            "replicates": self.replicates,
            "intervals": {name: {"lower": low, "upper": high} for name, (low, high) in self.intervals.items()},
        }
        if self.fitted.bound.model.built_in == NULL:
            return found
        return {
            "likelihood_ratio": self.ratio,
            "p": self.p,
            "critical": self.critical,
            "power": self.power,
            **found,
        }


def bootstrap(
    fitted: Sequence[FittedModel], null: FittedModel, count: int, seed: int, level: float
) -> list[Bootstrapped]:
    """What replicates say of models of one trait; nothing where bm has no likelihood.

    Args:
        fitted: The models.
        null: The same trait under bm.
        count: Number of replicates under each model.
        seed: Of the random numbers, which do not depend on the other models and traits.
        level: Probability of the intervals.

    Raises:
        OptionError: A model whose likelihood does not compare with that of bm.
    """
    for each in fitted:
        _refuse_other_likelihood(each, null)
    if not np.isfinite(null.log_likelihood):
        return []
    under_null = drawn(null, count, seed)
    null_there = _maxima(null, under_null, null)

    def compared(each: FittedModel) -> Bootstrapped:
        if each.bound.model.built_in == NULL:
            nan = float("nan")
            intervals = _intervals(each, null_there, level)
            return Bootstrapped(each, count, nan, (nan, nan), nan, nan, nan, intervals)
        at_null = _ratios(each, _maxima(each, under_null, null), null, null_there)
        own = drawn(each, count, seed)
        own_there = _maxima(each, own, each)
        at_own = _ratios(each, own_there, null, _maxima(null, own, each))
        ratio = 2 * (each.log_likelihood - null.log_likelihood)
        critical = float(np.quantile(at_null, _CRITICAL))
        return Bootstrapped(
            each,
            count,
            ratio,
            _quantiles(at_own, level),
            (1 + int((at_null >= ratio - _SAME).sum())) / (count + 1),
            critical,
            float((at_own > critical + _SAME).mean()),
            _intervals(each, own_there, level),
        )

    return in_threads(compared, [each for each in fitted if np.isfinite(each.log_likelihood)])


def _refuse_other_likelihood(each: FittedModel, null: FittedModel) -> None:
    if each.estimator != null.estimator:
        raise OptionError(
            f"--bootstrap with --estimator reml: {each.name} is fitted by ML, and its likelihood does not compare with "
            "the restricted one of bm (use --estimator ml)"
        )


def _maxima(fitted: FittedModel, traits: Simulated, drawn_under: FittedModel) -> Maxima:
    """The model fitted to traits that were drawn under another, in whose units they are."""
    seen = (np.asarray(fitted.likelihood.tree["number"])[: len(traits.means)].sum(1) > 0)[:, None]
    means = np.where(seen, _from_units(_in_units(traits.means, drawn_under.units), fitted.units), 0)
    return maximise_each(SimulatedLikelihood(fitted.likelihood, traits._replace(means=means)), fitted.optimum.x[None])


def _in_units(values: FloatArray, units: Units) -> FloatArray:
    return values * float(units.scale[0]) + float(units.location[0])


def _from_units(values: FloatArray, units: Units) -> FloatArray:
    return (values - float(units.location[0])) / float(units.scale[0])


def _ratios(each: FittedModel, there: Maxima, null: FittedModel, null_there: Maxima) -> FloatArray:
    """(B,) twice the differences of the log likelihoods in the trait's units; -inf where there is none."""
    one, other = (
        maxima.figures.log_likelihood - float(fitted.optimum.figures.size[0]) * np.log(float(fitted.units.scale[0]))
        for fitted, maxima in ((each, there), (null, null_there))
    )
    with np.errstate(invalid="ignore"):
        ratios = 2 * (one - other)
    return np.where(np.isnan(ratios), -np.inf, ratios)


def _intervals(fitted: FittedModel, there: Maxima, level: float) -> dict[str, tuple[float, float]]:
    found = {}
    for quantity in quantities_of(fitted.likelihood):
        if quantity.name in fitted.parameters:
            values = quantity.values(there.x, there.figures.rate, there.figures.beta)
            found[quantity.name] = _quantiles(in_units(fitted.likelihood, fitted.units, quantity.name, values), level)
    return {name: found[name] for name in fitted.parameters if name in found}


def _quantiles(values: FloatArray, level: float) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
