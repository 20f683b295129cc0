"""Profile likelihood intervals of rates of discrete states; all ends are looked for side by side.

An end is where the log likelihood is chi2 / 2 below its top and every other rate is at its best: as many equations as
rates, whose derivatives are the gradient and the second derivatives (Venzon and Moolgavkar 1988, Appl. Stat. 37:87).
The latter are those at the top, kept up to date by the gradients met on the way (Powell 1970). An end that this does
not find is bracketed, all other rates looked for anew at every value. So is one at which a rate that is 0 at the top
would rather not be: its slope there, by the rate and not by its logarithm, says so (Karush, Kuhn and Tucker).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import chdtri

from hxcli.inference.side_by_side import Evaluate, side_by_side
from hxcli.inference.state_objective import Objective
from hxcli.inference.state_rates import MOST_CURVED, SLOWEST, RateFit
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.likelihood import StateTree

# Steps towards an end, and how far one may go (in natural logarithms).
_STEPS, _FAR = 25, 1.0
# Logarithms above the lower end up to which a rate has no slope to speak of.
_NEXT_TO_NOTHING = 9.0
# How near to the end in log likelihood, and how much other rates may still gain.
_NEAR = 1e-6
# How far from it an end by brackets may be in log likelihood.
_SURE = 1e-4
# What a rate of 0 may promise, in log likelihood for a change on the whole tree, and still stay there.
_PROMISE = 1e-4


def profile_intervals(tree: StateTree, fit: RateFit, level: float) -> FloatArray:
    """(P, 2) ends of profile likelihood intervals of the rates; nan for one that is never reached or was given.

    A model of more than `MOST_CURVED` free rates has none.

    Args:
        tree: What was seen.
        fit: The best rates.
        level: Probability of the intervals.
    """
    intervals = np.full((len(fit.values), 2), np.nan)
    if not 0 < len(fit.free) <= MOST_CURVED:
        return intervals
    held = fit.values.copy()
    held[fit.free] = np.nan
    objective = Objective(tree, fit.pattern, fit.root, held)
    drop = float(chdtri(1, 1 - level)) / 2
    best, ends = np.log(fit.values[fit.free]), (np.log(fit.low), np.log(fit.high))
    searches, places = [], []
    for number, place in enumerate(fit.free):
        for side in (-1, 1):
            searches.append(partial(_end, fit=fit, best=best, number=number, side=side, drop=drop, ends=ends))
            places.append((place, (side + 1) // 2))
    for where, end in zip(places, side_by_side(objective, searches), strict=True):
        intervals[where] = end
    return intervals


class _Stepped(NamedTuple):
    """Logarithm of the end of an interval, and place of all rates that are not at an end of their support."""

    end: float
    place: FloatArray


def _end(
    evaluate: Evaluate,
    fit: RateFit,
    best: FloatArray,
    number: int,
    side: int,
    drop: float,
    ends: tuple[float, float],
) -> float:
    target = -fit.log_likelihood + drop
    # Rates at an end of their support stay there.
    inside = np.flatnonzero(np.isfinite(np.diagonal(fit.covariance)))
    if number in inside:

        def among(y: FloatArray) -> tuple[float, FloatArray]:
            x = best.copy()
            x[inside] = y
            height, gradient = evaluate(x)
            return height, gradient[inside]

        covariance, place = fit.covariance[np.ix_(inside, inside)], int(np.flatnonzero(inside == number)[0])
        found = _stepped(among, covariance, best[inside], place, side, target, drop, ends)
        if np.isfinite(found.end) and not _rises(evaluate, best, inside, found.place, ends):
            return float(np.exp(found.end))
    bound = ends[(side + 1) // 2]
    if abs(bound - best[number]) < 1e-3:
        return float("nan")
    profile = _Profile(evaluate, best, number, target, ends)
    if profile(bound) < 0:
        return float("nan")
    profile.begin(best)
    spread = fit.covariance[number, number]
    step = float(np.clip(np.sqrt(2 * drop * spread), 0.05, 3.0)) if np.isfinite(spread) else 1.0
    inner = outer = float(best[number])
    while True:
        outer = float(np.clip(inner + side * step, *ends))
        if profile(outer) >= 0:
            break
        inner, step = outer, 2 * step
    if profile(inner) >= 0:
        return float("nan")
    end = float(brentq(profile, inner, outer, xtol=1e-7, rtol=1e-10))
    # Where the other rates jump from one top to another the profile may only seem to have fallen.
    return float(np.exp(end)) if abs(profile(end)) < _SURE else float("nan")


def _stepped(
    evaluate: Evaluate,
    covariance: FloatArray,
    best: FloatArray,
    number: int,
    side: int,
    target: float,
    drop: float,
    ends: tuple[float, float],
) -> _Stepped:
    """The end by Newton's method on all its equations; nan where that does not arrive."""
    nowhere = _Stepped(float("nan"), best)
    if not covariance[number, number] > 0 or np.linalg.cond(covariance) > 1e8:
        return nowhere
    curvature = np.linalg.inv(covariance)
    others = np.delete(np.arange(len(best)), number)
    # Along the ridge of the quadratic that the top looks like.
    step = side * covariance[number] * np.sqrt(2 * drop / covariance[number, number])
    x, gradient = best, np.zeros(len(best))
    for _ in range(_STEPS):
        size = abs(step).max()
        place = x + step * min(1.0, _FAR / size)
        if not (ends[0] < place.min() and place.max() < ends[1]):
            break
        height, slope = evaluate(place)
        moved, grown = place - x, slope - gradient
        x, gradient = place, slope
        # The symmetric change of the second derivatives that is smallest and fits the change of the gradient.
        wrong = grown - curvature @ moved
        length = moved @ moved
        curvature = curvature + (
            (np.outer(wrong, moved) + np.outer(moved, wrong)) / length
            - (moved @ wrong) * np.outer(moved, moved) / length**2
        )
        equations = np.concatenate([[height - target], gradient[others]])
        derivatives = np.vstack([gradient, curvature[others]])
        try:
            step = -np.linalg.solve(derivatives, equations)
        except np.linalg.LinAlgError:
            break
        gain = gradient[others] @ (covariance[np.ix_(others, others)] @ gradient[others])
        if abs(height - target) + gain < _NEAR:
            # The last step is taken, but for what it would be worth to look at where it leads.
            end = float(x[number] + step[number])
            return _Stepped(end, x + step) if (end - best[number]) * side > 0 else nowhere
    return nowhere


def _rises(
    evaluate: Evaluate, best: FloatArray, inside: NDArray[np.intp], place: FloatArray, ends: tuple[float, float]
) -> bool:
    """Whether a rate that is at the lower end of its support would rather be above it, at the end of an interval."""
    low = np.setdiff1d(np.flatnonzero(best < ends[0] + 1e-3), inside)
    if not len(low):
        return False
    x = best.copy()
    x[inside] = place
    # By the rate, in units of a change on the whole tree.
    slopes = -evaluate(x)[1][low] / (np.exp(x[low] - ends[0]) * SLOWEST)
    return bool((slopes > _PROMISE).any())


class _Profile:
    """How far below the target the height is at a value of one rate, the others at their best."""

    def __init__(
        self, evaluate: Evaluate, best: FloatArray, number: int, target: float, ends: tuple[float, float]
    ) -> None:
        self.evaluate, self.number, self.target = evaluate, number, target
        self.others = np.delete(np.arange(len(best)), number)
        self.bounds, self.first = [ends] * len(self.others), best[self.others].copy()
        # A rate that is next to nothing has no slope from which to rise.
        usual = ends[0] - np.log(SLOWEST)
        self.lifted = np.where(self.first < ends[0] + _NEXT_TO_NOTHING, usual, self.first)
        self.begin(best)

    def begin(self, x: FloatArray) -> None:
        """Takes the other rates to begin at from there."""
        self.held = x[self.others].copy()

    def __call__(self, value: float) -> float:
        x = np.empty(len(self.others) + 1)
        x[self.number] = value

        def along(y: FloatArray) -> tuple[float, FloatArray]:
            x[self.others] = y
            height, gradient = self.evaluate(x)
            return height, gradient[self.others]

        if not len(self.others):
            return self.evaluate(x)[0] - self.target
        options = {"maxiter": 100, "ftol": 1e-10, "gtol": 1e-5}
        best = np.inf
        # From where the last value has led, and from the top, which is as near where others have left a ridge.
        starts = [self.held, self.first]
        if (self.lifted != self.first).any():
            starts.append(np.where(self.lifted != self.first, self.lifted, self.held))
        for start in starts:
            found = minimize(along, start, jac=True, method="L-BFGS-B", bounds=self.bounds, options=options)
            if found.fun < best:
                best, self.held = float(found.fun), found.x
            if best < self.target:
                break
        return best - self.target
