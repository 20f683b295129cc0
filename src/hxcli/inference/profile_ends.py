"""Ends of profile likelihood intervals over several coordinates: the farthest points at which the likelihood is enough.

What has a closed form given the coordinates of the search joins them: an unknown of the mean, or the logarithm of the
first rate where that is solved for. A figure is then linear in all coordinates y, and an end of its interval is where
it is largest among the y with a log likelihood of the floor or more (after Venzon and Moolgavkar 1988, Appl. Stat.
37:87): found by sequential least squares (Kraft 1988) in coordinates in which the likelihood is as curved in all
directions, from where a parabola has the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.inference.maximum_likelihood import hessian_at
from hxcli.inference.optimum_certificate import Optimum
from hxcli.inference.quantity import Quantity
from hxcli.inference.searched import Searched
from hxcli.phylogeny import FloatArray

# How far supports without end are followed: logarithms, before formulas cancel, and farther where one makes up for
# another; multiples of other coordinates.
_FARTHEST_LOGS, _FARTHEST = (12.0, 30.0), 1e9
# A smaller curvature than this is none; of a coordinate at an end of its support, the log units that are a unit.
_LEAST_CURVATURE, _UNIT = 1e-6, 2.0
# How far from the floor, in log units, an end may be; what stands for a log likelihood that is no number.
_CLOSE, _IMPOSSIBLE = 1e-5, -1e6
# Steps of the search, and along the profile where that leads no further.
_MOST_STEPS, _MOST_ROUNDS = 50, 8
# An end that is so near to, or so far from, where a parabola has it, as a share, is looked for from another start too.
_NEAR = 0.8
# The largest slope, in log units a standard deviation, in directions that leave a figure as it is.
_FLAT = 1e-4
# A coordinate as close to an end, as a share of the way there, is at that end.
_AT_END = 1e-6


@dataclass(frozen=True, eq=False)
class ProfileEnds:
    """The ends of intervals of figures of one likelihood.

    Attributes:
        likelihood, optimum: The likelihood, of two coordinates or more, and its maximum.
        floor: The log likelihood at the ends.
    """

    likelihood: Searched
    optimum: Optimum
    floor: float

    def end(self, quantity: Quantity, side: int) -> tuple[float, bool]:
        """The lower (side -1) or upper (side 1) end, nan where there is none, and whether the search got there."""
        for farthest in _FARTHEST_LOGS:
            problem = _Problem(self, quantity, farthest)
            if problem.still:
                return quantity.value(self.optimum.x, self.optimum.figures), True
            y, reached = self._farthest(problem, side)
            if y is None or not problem.is_held(y):
                return (np.nan if y is None else problem.value(y)), reached
        # It is not the likelihood that ends it, but how far another coordinate is followed: it has no end.
        return np.nan, True

    def _farthest(self, problem: _Problem, side: int) -> tuple[FloatArray | None, bool]:
        """The end, None where there is none, and whether the search got there."""
        y, reached = self._searched(problem, side)
        if reached and y is None:
            return None, True
        by_parabola = problem.by_parabola(side, self._reach)
        straight = np.nan if y is None else float(problem.weights @ (y - problem.top)) / by_parabola
        if not _NEAR < straight < 1 / _NEAR:
            # The likelihood is no parabola, and there may be more than one farthest point: also from its own top.
            other = problem.refined(problem.top, side, self.floor, by_parabola if y is None else straight * by_parabola)
            found = [each for each in (y, other) if each is not None]
            y = max(found, key=lambda each: side * float(problem.weights @ each), default=None)
        return y, y is not None

    @property
    def _reach(self) -> float:
        """How many standard deviations away a parabola has the ends."""
        return float(np.sqrt(2 * (self.optimum.log_likelihood - self.floor)))

    def _searched(self, problem: _Problem, side: int) -> tuple[FloatArray | None, bool]:
        """The farthest point; None where there is none, and whether the search says so."""
        from scipy.optimize import minimize

        turn, low, high = problem.turn, problem.low, problem.high
        along = turn.T @ problem.weights
        size = float(np.linalg.norm(along))
        seen: dict[bytes, tuple[float, FloatArray]] = {}

        def room(z: FloatArray) -> tuple[float, FloatArray]:
            key = z.tobytes()
            if key not in seen:
                value, slope = problem.height(np.clip(problem.top + turn @ z, low, high))
                sound = np.isfinite(value) and np.isfinite(slope).all()
                # Where nothing is possible the search turns back.
                seen[key] = (value - self.floor, turn.T @ slope) if sound else (_IMPOSSIBLE, 0 * z)
            return seen[key]

        walls = np.concatenate([turn, -turn]), np.concatenate([problem.top - low, high - problem.top])
        start = side * self._reach * along / size
        while (walls[0] @ start + walls[1] < 0).any() or room(start)[0] == _IMPOSSIBLE:
            start = start / 2
            if np.abs(start).max() < _AT_END:
                break
        inside = [
            {"type": "ineq", "fun": lambda z: room(z)[0], "jac": lambda z: room(z)[1]},
            {"type": "ineq", "fun": lambda z: walls[0] @ z + walls[1], "jac": lambda z: walls[0]},
        ]
        ended = minimize(
            lambda z: (-side * float(along @ z) / size, -side * along / size),
            start,
            jac=True,
            constraints=inside,
            method="SLSQP",
            options={"maxiter": _MOST_STEPS, "ftol": 1e-11},
        )
        y = np.clip(problem.top + turn @ ended.x, low, high)
        value, slope = problem.height(y)
        if value > self.floor - _CLOSE and problem.at_end(y, side):
            # It came to an end of a support before the likelihood fell far enough.
            return None, True
        if abs(value - self.floor) <= _CLOSE and problem.is_extreme(y, slope):
            return y, True
        refined = problem.refined(y, side, self.floor, float(problem.weights @ (y - problem.top)))
        return refined, refined is not None

    @cached_property
    def hessian(self) -> FloatArray:
        """(S, S) of the log likelihood at its maximum."""
        return hessian_at(self.likelihood, self.optimum.x)[0]

    @cached_property
    def slopes(self) -> tuple[FloatArray, FloatArray]:
        """(P, S) of the unknowns of the mean and (S,) of the logarithm of the first rate at the maximum."""
        figures, slopes = self.likelihood.figures_and_slopes(self.optimum.x)
        return slopes.beta[0], slopes.rate[0] / figures.rate[0]

    @cached_property
    def turn(self) -> FloatArray:
        """(S, S) from coordinates in which the likelihood is as curved in all directions."""
        x, ends, count = self.optimum.x, self.likelihood.ends, len(self.optimum.x)
        slope = self.likelihood.value_and_gradient(x)[1]
        free = (x > ends[:, 0]) & (x < ends[:, 1])
        turn = np.zeros((count, count))
        inner = -self.hessian[np.ix_(free, free)]
        if np.isfinite(inner).all():
            curvature, directions = np.linalg.eigh(inner)
            turn[np.ix_(free, free)] = directions / np.sqrt(np.maximum(curvature, _LEAST_CURVATURE))
        else:
            turn[free, free] = 1.0
        width = np.minimum(np.ptp(ends, axis=1), 1.0)
        turn[~free, ~free] = np.minimum(width, _UNIT / np.maximum(np.abs(slope), _UNIT))[~free]
        return turn


class _Problem:
    """A figure that is linear in coordinates y: those of the search, and one that has a closed form given them.

    Attributes:
        still: Whether the figure is told exactly, whatever the coordinates are.
        weights: Of the coordinates.
        top, low, high: Where the maximum is and how far the coordinates may go.
        turn: To y from coordinates in which the likelihood is as curved in all directions.
    """

    def __init__(self, ends: ProfileEnds, quantity: Quantity, farthest_log: float) -> None:
        self._likelihood, self._quantity = ends.likelihood, quantity
        optimum, likelihood = ends.optimum, ends.likelihood
        x, figures = optimum.x, optimum.figures
        count = len(x)
        logs = np.array([each.log for each in likelihood.coordinates])
        room = np.where(logs, farthest_log, _FARTHEST * np.maximum(1.0, np.abs(x)))
        # From a usual value where the maximum itself is far out.
        low = np.maximum(likelihood.ends[:, 0], np.minimum(x, likelihood.start) - room)
        high = np.minimum(likelihood.ends[:, 1], np.maximum(x, likelihood.start) + room)
        self.weights, self.top, self.low, self.high, self.turn = quantity.weights, x, low, high, ends.turn
        self.still, self._mix = False, np.zeros(0)
        self._joined = quantity.unknown >= 0 or bool(quantity.rate_power)
        if not self._joined:
            return
        of_means, of_rate = ends.slopes
        if quantity.unknown >= 0:
            known = np.eye(figures.beta.shape[1])[quantity.unknown]
            self._mix = known if quantity.mix is None else quantity.mix
            at, slope = float(figures.beta[0] @ self._mix), self._mix @ of_means
            variance = float(self._mix @ figures.covariance[0] @ self._mix)
            if likelihood.profiled:
                variance *= float(figures.rss[0] / figures.size[0])
            self.weights = np.append(np.zeros(count), 1.0)
        else:
            at, slope, variance = float(np.log(figures.rate[0])), of_rate, 2 / float(figures.size[0])
            self.weights = np.append(quantity.weights, quantity.rate_power)
        self.still = not (np.isfinite([at, variance]).all() and variance > 0)
        # Given x it is as far from its best as it is by itself; its best moves with x.
        self.turn = np.zeros((count + 1, count + 1))
        self.turn[:count, :count] = ends.turn
        self.turn[count, :count], self.turn[count, count] = slope @ ends.turn, np.sqrt(max(variance, 0.0))
        reach = _FARTHEST * max(1.0, abs(at))
        self.top = np.append(x, at)
        self.low, self.high = np.append(low, at - reach), np.append(high, at + reach)

    def height(self, y: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood and its gradient."""
        figures, slopes = self._likelihood.figures_and_slopes(y[: len(self._likelihood.coordinates)])
        value, slope = float(figures.log_likelihood[0]), slopes.log_likelihood[0]
        if not self._joined:
            return value, slope
        size = float(figures.size[0])
        if self._quantity.unknown < 0:
            # The density of n values at a rate s, of which s0 is the best.
            away = float(np.log(figures.rate[0])) - y[-1]
            share = float(np.exp(away))
            along = size / 2 * (1 - share) * slopes.rate[0] / figures.rate[0]
            return value - size / 2 * (share - 1 - away), np.append(slope + along, size / 2 * (share - 1))
        mix = self._mix
        away = y[-1] - float(figures.beta[0] @ mix)
        variance = float(mix @ figures.covariance[0] @ mix)
        by_variance = np.einsum("p,pqs,q->s", mix, slopes.covariance[0], mix)
        square, towards = away**2 / variance, 2 * away / variance
        by_x = -towards * (mix @ slopes.beta[0]) - square * by_variance / variance
        if not self._likelihood.profiled:
            return value - square / 2, np.append(slope - by_x / 2, -towards / 2)
        rss = float(figures.rss[0])
        grown = 1 + square / rss
        by_x = (by_x - square * slopes.rss[0] / rss) / rss
        factor = size / 2 / grown
        return value - size / 2 * float(np.log(grown)), np.append(slope - factor * by_x, -factor * towards / rss)

    def at_end(self, y: FloatArray, side: int) -> bool:
        """Whether one of the figure's coordinates is where it can go no farther."""
        outwards = np.sign(self.weights) * side
        ends = np.where(outwards > 0, self.high, self.low)
        return bool(((outwards != 0) & (np.abs(ends - y) <= _AT_END * np.abs(ends - self.top))).any())

    def is_extreme(self, y: FloatArray, slope: FloatArray) -> bool:
        """Whether the likelihood rises in no direction in which the figure stays as it is."""
        steep, blocked = self._steepness(y, slope)
        return bool((steep[~blocked] < _FLAT).all())

    def is_held(self, y: FloatArray) -> bool:
        """Whether the figure would go farther, were a coordinate followed farther whose support has no end there."""
        steep, blocked = self._steepness(y, self.height(y)[1])
        joined = np.ones((int(self._joined), 2), bool)
        is_open = np.concatenate([~np.isfinite(self._likelihood.ends), joined])[self._others]
        beyond = np.where((y <= self.low)[self._others], is_open[:, 0], is_open[:, 1])
        return bool((blocked & beyond & (steep >= _FLAT)).any())

    def _steepness(self, y: FloatArray, slope: FloatArray) -> tuple[FloatArray, BoolArray]:
        """(Y - 1,) both: slopes where the figure stays as it is, and which of them lead out of where one may go."""
        others, slope = self._others, self._sideways(slope)
        blocked = ((y[others] <= self.low[others]) & (slope < 0)) | ((y[others] >= self.high[others]) & (slope > 0))
        return np.abs(slope * self._sizes), blocked

    def by_parabola(self, side: int, reach: float) -> float:
        """How far the figure goes where it is so many standard deviations away, at a side."""
        return side * reach * float(np.linalg.norm(self.turn.T @ self.weights))

    def refined(self, y: FloatArray, side: int, floor: float, away: float) -> FloatArray | None:
        """The end, from where it is about: the profile of the figure, and steps along it; None where it is not found.

        Args:
            y: Where the search for all but the figure begins.
            side: -1 or 1.
            floor: The log likelihood at the end.
            away: How far the figure is from that at the maximum, there.
        """
        top, pivot = float(self.weights @ self.top), self._pivot
        figure = top + away
        for _ in range(_MOST_ROUNDS):
            height, y, slope = self._highest(y, figure)
            if abs(height - floor) <= _CLOSE:
                return y
            falls = slope[pivot] / self.weights[pivot] * side
            if not falls < 0 or not np.isfinite(height) or (height > floor and self.at_end(y, side)):
                break
            # Not past where the step's straight line means something.
            step = min((floor - height) / falls, abs(figure - top)) if height > floor else (floor - height) / falls
            figure += side * max(step, -abs(figure - top) / 2)
        return None

    def _highest(self, y: FloatArray, figure: float) -> tuple[float, FloatArray, FloatArray]:
        """The most likely coordinates with a figure, found from others; the log likelihood and its slope there."""
        from scipy.optimize import minimize

        others, sizes, best = self._others, self._sizes, (-np.inf, y, np.zeros_like(y))

        def lowered(rest: FloatArray) -> tuple[float, FloatArray]:
            point = y.copy()
            point[others] = np.clip(rest * sizes, self.low[others], self.high[others])
            point[self._pivot] = (figure - self.weights[others] @ point[others]) / self.weights[self._pivot]
            height, slope = self.height(point)
            if not (np.isfinite(height) and np.isfinite(slope).all()):
                return -_IMPOSSIBLE, np.zeros(len(others))
            nonlocal best
            best = max(best, (height, point, slope), key=lambda each: each[0])
            return -height, -self._sideways(slope) * sizes

        bounds = np.stack([self.low[others] / sizes, self.high[others] / sizes], 1)
        options = {"ftol": 1e-14, "gtol": _FLAT / 10, "maxiter": 100}
        minimize(lowered, y[others] / sizes, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return best

    @cached_property
    def _pivot(self) -> int:
        """The coordinate that is told by the figure and the others."""
        return int(np.argmax(np.abs(self.weights)))

    @cached_property
    def _others(self) -> NDArray[np.intp]:
        return np.delete(np.arange(len(self.weights)), self._pivot)

    @cached_property
    def _sizes(self) -> FloatArray:
        """(Y - 1,) of the others: standard deviations, but of logarithms 1 at the least, as far as their tails go."""
        logs = [each.log for each in self._likelihood.coordinates] + [False] * self._joined
        sizes = np.sqrt((self.turn**2).sum(1))
        return np.where(logs, np.maximum(sizes, 1.0), sizes)[self._others]

    def _sideways(self, slope: FloatArray) -> FloatArray:
        """(Y - 1,) the slope by the others where the figure stays as it is."""
        weights, pivot = self.weights, self._pivot
        return slope[self._others] - slope[pivot] * weights[self._others] / weights[pivot]

    def value(self, y: FloatArray) -> float:
        """The figure there."""
        found = float(self.weights @ y) + self._quantity.shift
        return found if self._quantity.unknown >= 0 or self._quantity.plain else float(np.exp(found))
