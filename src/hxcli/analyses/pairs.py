"""Two nodes together: the difference of their states, its interval, their correlation, which is above the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from hxcli.inference.normal_mixture import Components, Mixture, node_figures
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.path_gains import Shared

# The kind of product, which is the table's name too.
PAIRS = "pairs table"
# Standard deviations of states, as a share of the largest difference, that are rounding.
ROUNDING = 1e-7


class PairStates(NamedTuple):
    """Two nodes of P pairs under J normal distributions, (P, J) each.

    Attributes:
        first_mean, second_mean: Means of both states.
        first, second: Their variances.
        covariance: Of both states.
        spread: Variance of the first state less the second.
    """

    first_mean: FloatArray
    second_mean: FloatArray
    first: FloatArray
    second: FloatArray
    covariance: FloatArray
    spread: FloatArray

    @property
    def difference(self) -> FloatArray:
        """(P, J) mean of the first state less the second."""
        return self.first_mean - self.second_mean

    @property
    def unit(self) -> float:
        """How far states of these pairs are apart at most, about; 1 where that is nothing."""
        deviation = np.sqrt(self.spread)
        apart = np.nanmax(np.abs(self.difference), initial=0.0) + np.nanmax(deviation, initial=0.0)
        return float(apart) or 1.0

    def in_unit(self, scale: float, location: float) -> PairStates:
        """The same where a state x is `x * scale + location`."""
        means = (each * scale + location for each in self[:2])
        return PairStates(*means, *(each * scale * scale for each in self[2:]))


class PairFigures(NamedTuple):
    """What is told of P pairs, (P,) each; nan where the data determine nothing.

    Attributes:
        difference, se, lower, upper: Of the first node's state less the second's; the ends are equal-tailed.
        hpd_lower, hpd_upper: Ends of the shortest interval.
        correlation: Of both states; nan where one of them is certain.
        p_greater: Probability that the first node's state is above the second's.
        error: Largest difference that fewer distributions make; 0 where there are no fewer.
    """

    difference: FloatArray
    se: FloatArray
    lower: FloatArray
    upper: FloatArray
    hpd_lower: FloatArray
    hpd_upper: FloatArray
    correlation: FloatArray
    p_greater: FloatArray
    error: FloatArray


def joined(
    shared: Shared,
    at_meeting: FloatArray,
    means: tuple[FloatArray, FloatArray],
    variances: tuple[FloatArray, FloatArray],
    of_means: tuple[FloatArray, FloatArray] = (np.zeros(1), np.zeros(1)),
) -> PairStates:
    """Two nodes from what they share.

    Args:
        shared: What their states owe to the node where their paths meet.
        at_meeting: (P, K) variance of that node's state.
        means, variances: Of both states, (P, K) each; variances with the uncertainty of the unknowns of the mean.
        of_means: Covariance of both states, and variance of their difference, that come from those unknowns, (P, K)
            each; zeros where the root's state is the only one and part of what is shared.
    """
    covariance = shared.first * shared.second * at_meeting + of_means[0]
    spread = shared.own + (shared.first - shared.second) ** 2 * at_meeting + of_means[1]
    return PairStates(*means, *variances, covariance, spread)


def pair_figures(
    states: PairStates, weights: FloatArray, level: float, coarse: tuple[PairStates, FloatArray] | None = None
) -> PairFigures:
    """The figures of P pairs.

    Args:
        states: Of P pairs, J distributions each.
        weights: (J,) adding up to 1.
        level: Probability of the intervals.
        coarse: The same with fewer distributions, which then give the ends of the intervals.
    """
    middle = states.difference @ weights
    deviation = np.sqrt((states.spread + (states.difference - middle[:, None]) ** 2) @ weights)
    error = np.zeros(len(middle))
    if len(weights) == 1:
        # The lower tail, which keeps its digits where 1 + level would round to 2.
        half = -NormalDist().inv_cdf((1 - level) / 2) * deviation
        ends = (middle - half, middle + half, middle - half, middle + half)
    else:
        # In a unit of order one.
        unit = float(np.nanmax(np.abs(states.difference), initial=0.0) + np.nanmax(deviation, initial=0.0)) or 1.0
        fine = _mixture(states, weights, unit)
        found = node_figures(fine, fine if coarse is None else _mixture(*coarse, unit), level)
        names = ("lower", "upper", "shortest_lower", "shortest_upper")
        lower, upper, *shortest = (np.where(deviation == 0, middle, getattr(found, name) * unit) for name in names)
        ends = lower, upper, shortest[0], shortest[1]
        error = np.asarray(found.error)
    return PairFigures(middle, deviation, *ends, _correlation(states, weights), _above(states) @ weights, error)


def pair_table(
    pairs: NodePairs, traits: Sequence[str], figures: Sequence[PairFigures | None], shortest: bool = False
) -> dict[str, Any]:
    """A row for every trait and pair.

    Args:
        pairs: P pairs.
        traits: Names of D traits.
        figures: Of every trait; None for one of which nothing is known.
        shortest: Whether to tell the shortest intervals too.
    """
    count = len(pairs.first)
    table: dict[str, Any] = {
        "trait": [trait for trait in traits for _ in range(count)],
        "node_a": [*pairs.first_names] * len(traits),
        "node_b": [*pairs.second_names] * len(traits),
    }
    names = ["difference", "se", "lower", "upper", *(["hpd_lower", "hpd_upper"] if shortest else [])]
    nothing = np.full(count, np.nan)
    for name in (*names, "correlation", "p_greater"):
        table[name] = np.concatenate([nothing if each is None else getattr(each, name) for each in figures])
    return table


def pair_details(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Trait -> what the run record says of its pairs, as JSON values."""
    found: dict[str, dict[str, Any]] = {}
    names = [name for name in table if name != "trait"]
    rows = zip(*(table[name] for name in names), strict=True)
    for trait, row in zip(table["trait"], rows, strict=True):
        told = {name: each if isinstance(each, str) else float(each) for name, each in zip(names, row, strict=True)}
        found.setdefault(trait, {"pairs": []})["pairs"].append(told)
    return found


def _mixture(states: PairStates, weights: FloatArray, unit: float) -> Mixture:
    means, variances, count = states.difference / unit, states.spread / unit / unit, len(weights)
    parts = Components(np.arange(count), weights, np.zeros(count), np.zeros(count), np.ones(count))
    return Mixture(means, np.zeros_like(means), variances, parts)


def _correlation(states: PairStates, weights: FloatArray) -> FloatArray:
    """(P,) within and between the distributions; nan where a state is certain."""
    # A state that all agree on is not uncertain by the rounding of its mean.
    away = [np.where(np.ptp(each, 1) == 0, 0, (each - (each @ weights)[:, None]).T).T for each in states[:2]]
    covariance = (states.covariance + away[0] * away[1]) @ weights
    first, second = ((own + apart**2) @ weights for own, apart in zip(states[2:4], away, strict=True))
    least = (ROUNDING * states.unit) ** 2
    uncertain = (first > least) & (second > least)
    both = np.sqrt(np.where(uncertain, first, 1.0)) * np.sqrt(np.where(uncertain, second, 1.0))
    return np.where(uncertain, np.clip(covariance / both, -1, 1), np.nan)


def _above(states: PairStates) -> FloatArray:
    """(P, J) probability that the first state is above the second: 0 or 1 where the difference is certain."""
    deviation, difference = np.sqrt(states.spread), states.difference
    certain = np.where(difference > 0, 1.0, 0.0 * difference)
    # Takes a fifth of a run that asks for no pairs.
    from scipy.special import ndtr

    return np.where(deviation > 0, ndtr(difference / np.where(deviation > 0, deviation, 1)), certain)
