"""Profiles of the likelihood: how far it falls as a shape parameter moves and all else is at its best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.optimum_certificate import Optimum
from hxcli.inference.profile_paths import followed
from hxcli.phylogeny import FloatArray

# Points of a profile, and of the search for where it is not flat; how deep it is shown, in log units.
_POINTS, _DEEP = 64, 6.0
# Rates at each of them where errors are known, and how far these are from the best one, as logarithms.
_RATES, _FARTHEST = 25, 4.0
# Less than this apart from its end, a profile is flat.
_FLAT = 0.02


class Profile(NamedTuple):
    """The profile of one shape parameter.

    Attributes:
        parameter: As it is reported.
        values: (M,) of it, ascending.
        fall: (M,) log likelihood less its maximum.
        log: Whether the values are on a logarithmic scale.
    """

    parameter: str
    values: FloatArray
    fall: FloatArray
    log: bool


def profiles(likelihood: TraitLikelihood, optimum: Optimum) -> list[Profile]:
    """The profiles of all shape parameters whose supports have two ends.

    Args:
        likelihood: Of one trait under one model.
        optimum: Its maximum.
    """
    if not np.isfinite(optimum.log_likelihood):
        return []
    shapes = [number for number, each in enumerate(likelihood.coordinates) if not each.is_rate]
    shapes = [number for number in shapes if np.isfinite(likelihood.ends[number]).all()]
    alone = len(shapes) == 1 and len(likelihood.coordinates) <= 2
    return [(_on_a_grid if alone else _along_its_ridge)(likelihood, optimum, place) for place in shapes]


def _along_its_ridge(likelihood: TraitLikelihood, optimum: Optimum, place: int) -> Profile:
    x, fall = followed(likelihood, optimum, place)
    # Of what only goes on as it ends, no more than a bit.
    first, last = (round(end) for end in _not_flat(np.arange(len(x), dtype=float), fall))
    each, shown = likelihood.coordinates[place], slice(first, last + 1)
    return Profile(each.name, np.asarray(each.from_search(x[shown]), float), fall[shown], each.log)


def _on_a_grid(likelihood: TraitLikelihood, optimum: Optimum, place: int) -> Profile:
    low, high = likelihood.ends[place]
    x = np.linspace(low, high, _POINTS)
    left, right = _not_flat(x, _heights(likelihood, optimum, place, x) - optimum.log_likelihood)
    x = np.unique(np.append(np.linspace(left, right, _POINTS), np.clip(optimum.x[place], left, right)))
    each = likelihood.coordinates[place]
    fall = np.minimum(_heights(likelihood, optimum, place, x) - optimum.log_likelihood, 0)
    return Profile(each.name, np.asarray(each.from_search(x), float), fall, each.log)


def _heights(likelihood: TraitLikelihood, optimum: Optimum, place: int, x: FloatArray) -> FloatArray:
    """(M,) the log likelihood at values of one coordinate, at the best of some rates where a rate is searched for."""
    if len(likelihood.coordinates) == 1:
        return likelihood.at(x[:, None]).log_likelihood
    other = 1 - place
    low, high = likelihood.ends[other]
    rates = np.clip(optimum.x[other] + np.linspace(-_FARTHEST, _FARTHEST, _RATES), low, high)
    points = np.empty((len(x), _RATES, 2))
    points[:, :, place], points[:, :, other] = x[:, None], rates
    heights = likelihood.at(points.reshape(-1, 2)).log_likelihood.reshape(len(x), _RATES)
    # The top of a parabola through the best rate and its neighbours.
    best = np.clip(heights.argmax(1), 1, _RATES - 2)
    below, top, above = (heights[np.arange(len(x)), best + side] for side in (-1, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (above - below) ** 2 / (8 * (2 * top - above - below))
    return np.maximum(heights.max(1), np.where(np.isfinite(gain) & (gain > 0) & (gain < 1), top + gain, -np.inf))


def _not_flat(x: FloatArray, fall: FloatArray) -> tuple[float, float]:
    """Ends of the range in which a profile is high enough to be shown and does more than go on as it ends."""
    high = np.flatnonzero(fall > -_DEEP)
    first, last = (int(high[0]), int(high[-1])) if high.size else (0, len(x) - 1)
    moves = np.flatnonzero(abs(fall - fall[first]) > _FLAT)
    begins = max(first, int(moves[moves >= first].min(initial=last)) - 8)
    moves = np.flatnonzero(abs(fall - fall[last]) > _FLAT)
    stops = min(last, int(moves[moves <= last].max(initial=first)) + 8)
    if stops <= begins:
        begins, stops = first, last
    return float(x[max(begins - 1, 0)]), float(x[min(stops + 1, len(x) - 1)])
