"""Profiles of likelihoods with several coordinates, followed from the maximum outwards along one of them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from hxcli.models.bound_model import Coordinate
from hxcli.phylogeny import FloatArray

# Log units that a profile is followed down, and that one step goes down at the least and at the most.
_DEEP, _LEAST, _MOST = 6.0, 0.1, 0.6
# The first step, as a share of the support; how it grows and shrinks.
_FIRST, _GROWS, _SHRINKS = 1 / 64, 1.7, 0.4
# How close, as a share of the support, the place of an end is found.
_CLOSE = 1e-9
# What stands for the width of a support without end: of a logarithm; of others in standard deviations, all else fixed.
_LOGARITHMS, _DEVIATIONS = 24.0, 2000.0
# Step for their second derivatives, as a share of the value or of 1.
_STEP = 1e-5
# How far below the maximum a logarithm is looked at, and how little the profile has fallen there where it never will.
_BELOW, _FLAT = 12.0, 0.01


class Pace(NamedTuple):
    """How a path is followed.

    Attributes:
        steps: How many at the most, to either side.
        longest, least: The longest and the shortest step, as a share of the support.
        tolerance: Gain of the log likelihood, as a share of it, that is none.
    """

    steps: int
    longest: float
    least: float
    tolerance: float


# For a curve that is drawn; and to find a place from which a search goes on.
_CLOSELY, HASTILY = Pace(64, 1 / 32, _FIRST / 256, 1e-13), Pace(24, 1 / 6, _FIRST / 16, 1e-9)


class Walked(Protocol):
    """A log likelihood that paths are followed on; a `Searched` is one."""

    @property
    def coordinates(self) -> tuple[Coordinate, ...]: ...

    @property
    def ends(self) -> FloatArray: ...

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]: ...


class Top(Protocol):
    """Its maximum."""

    @property
    def x(self) -> FloatArray: ...

    @property
    def log_likelihood(self) -> float: ...


def followed(likelihood: Walked, optimum: Top, place: int) -> tuple[FloatArray, FloatArray]:
    """Values of one coordinate, ascending, and the highest log likelihoods at them less the maximum, (M,) both.

    Every point is searched for from its neighbour's best, so that the profile stays on the maximum's own ridge.

    Args:
        likelihood: Of one trait, or of traits together, under one model, two coordinates or more.
        optimum: Its maximum.
        place: Number of the coordinate.
    """
    top = float(optimum.x[place])
    sides = [_side(likelihood, optimum, place, float(end), _DEEP) for end in likelihood.ends[place] if end != top]
    x = np.array([top, *(point[place] for side in sides for point, _ in side)])
    fall = np.array([0.0, *(fall for side in sides for _, fall in side)])
    order = np.argsort(x)
    return x[order], np.minimum(fall[order], 0.0)


def crossing(likelihood: Walked, optimum: Top, place: int, end: float, drop: float) -> float:
    """Where on the way to an end of a coordinate's support the profile has fallen by `drop`; nan where it never has."""
    from scipy.optimize import brentq

    path = path_to(likelihood, optimum, place, end, drop)
    if path is None:
        return np.nan
    near = path[0]
    held = {"point": near}

    def above(value: float) -> float:
        moved = held["point"].copy()
        moved[place] = value
        height, held["point"] = _highest(likelihood, moved, place)
        return height - optimum.log_likelihood + drop

    width = _width(likelihood, optimum, place)
    return float(brentq(above, near[place], path[1][place], xtol=_CLOSE * width))


def path_to(
    likelihood: Walked, optimum: Top, place: int, end: float, drop: float, pace: Pace = _CLOSELY
) -> tuple[FloatArray, FloatArray] | None:
    """(S,) points of the profile before and behind where it has fallen by `drop`; None where it never has."""
    path = _side(likelihood, optimum, place, end, drop, pace)
    if not path or path[-1][1] > -drop:
        return None
    return path[-2][0] if len(path) > 1 else optimum.x, path[-1][0]


def never_falls(likelihood: Walked, optimum: Top, place: int) -> bool:
    """Whether the profile of a positive number is flat towards 0: much closer to it rounding would decide."""
    x = optimum.x.copy()
    x[place] -= _BELOW
    return bool(_highest(likelihood, x, place)[0] > optimum.log_likelihood - _FLAT)


def _width(likelihood: Walked, optimum: Top, place: int) -> float:
    """The width of a coordinate's support, or what stands for it where that has no end."""
    width = float(np.ptp(likelihood.ends[place]))
    if np.isfinite(width):
        return width
    if likelihood.coordinates[place].log:
        return _LOGARITHMS
    step = np.zeros_like(optimum.x)
    step[place] = _STEP * max(1.0, abs(optimum.x[place]))
    slopes = [
        likelihood.value_and_gradient(np.clip(optimum.x + side * step, *likelihood.ends.T))[1] for side in (-1, 1)
    ]
    curvature = (slopes[0] - slopes[1])[place] / (2 * step[place])
    return float(_DEVIATIONS / np.sqrt(curvature)) if curvature > 0 else max(1.0, abs(float(optimum.x[place])))


def _side(
    likelihood: Walked, optimum: Top, place: int, end: float, deep: float, pace: Pace = _CLOSELY
) -> list[tuple[FloatArray, float]]:
    """Points of the profile and its fall there, from the maximum towards one end of the coordinate's support."""
    width = _width(likelihood, optimum, place)
    # A step never becomes so small that the curve, and the time that it takes, go on without end.
    step, least = width * _FIRST, width * pace.least
    before, at, fall = optimum.x, optimum.x.copy(), 0.0
    found: list[tuple[FloatArray, float]] = []
    while len(found) < pace.steps and fall > -deep and at[place] != end:
        moved = at.copy()
        # The end itself, not what rounding leaves before it.
        far = abs(end - at[place]) <= step
        moved[place] = end if far else at[place] + np.sign(end - at[place]) * step
        if found:
            # The ridge goes on as it went.
            ahead = (moved[place] - at[place]) / (at[place] - before[place])
            moved = np.where(
                np.arange(len(at)) == place, moved, np.clip(at + ahead * (at - before), *likelihood.ends.T)
            )
        height, moved = _highest(likelihood, moved, place, pace.tolerance)
        lost = fall - (height - optimum.log_likelihood)
        if lost > _MOST and step > least:
            step = max(step * _SHRINKS, least)
            continue
        if not np.isfinite(height):
            # Beyond what doubles can hold nothing is known.
            break
        before, at, fall = at, moved, height - optimum.log_likelihood
        found.append((at, fall))
        step = min(step * (_GROWS if lost < _LEAST else 1.0), width * pace.longest)
    return found


def _highest(
    likelihood: Walked, x: FloatArray, place: int, tolerance: float = _CLOSELY.tolerance
) -> tuple[float, FloatArray]:
    """The maximum over all other coordinates that is found from a point, and where it is."""
    from scipy.optimize import minimize

    others, best = np.delete(np.arange(len(x)), place), (-np.inf, x)

    def lowered(rest: FloatArray) -> tuple[float, FloatArray]:
        point = x.copy()
        point[others] = rest
        value, slope = likelihood.value_and_gradient(point)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return 1e300, np.zeros(len(others))
        nonlocal best
        best = max(best, (value, point), key=lambda each: each[0])
        return -value, -slope[others]

    if not len(others):
        lowered(x[others])
        return best
    options = {"ftol": tolerance, "gtol": 1e-6, "maxiter": 200}
    minimize(lowered, x[others], jac=True, method="L-BFGS-B", bounds=likelihood.ends[others], options=options)
    # Where a search gets lost, what it has seen.
    return best
