"""Profile likelihood intervals: the values at which the likelihood, all else at its best, is chi2/2 below its top.

Given the coordinates x of the search, rates and unknowns of the mean have closed forms: with n densities, best rate s0,
estimate b and its variance c at a rate of 1, and room = log likelihood(x) - (top - chi2/2),

    rate:    s0 / s - 1 - log(s0 / s) = 2 room / n,          by Lambert's W,
    unknown: (value - b)^2 = c rss (exp(2 room / n) - 1),    or 2 c room where the rates are coordinates,

so that an end of an interval is the extreme of an explicit function over the x that have room (after Venzon and
Moolgavkar 1988, Appl. Stat. 37:87). Over one coordinate the figures are polynomials through Chebyshev points; over
several, the extreme is found by sequential least squares (Kraft 1988) with exact derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev

from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.inference.maximum_likelihood import Optimum
from hxcli.inference.profile_paths import crossing, never_falls
from hxcli.inference.rescaled import Rescaled, is_without_scale, units_around
from hxcli.inference.searched import Searched
from hxcli.phylogeny import FloatArray

# Points on either side of the top, first over the whole support and then between two of them; points over the interval.
_POINTS = 16
# Points at which the extreme of an interpolated figure is looked for.
_FINE = 4001
_MOST_ROUNDS = 4
# How far a support without end is followed: a logarithm, before formulas cancel, and a multiple of a coordinate.
_FARTHEST_LOG, _FARTHEST = 12.0, 1e9


class Interval(NamedTuple):
    """Ends of an interval; nan for an end that the likelihood never reaches."""

    lower: float
    upper: float


class Quantity(NamedTuple):
    """A figure with an interval: an unknown of the mean, or `exp(weights . x + rate_power * log(first rate) + shift)`.

    Attributes:
        name: As it is reported.
        unknown: Number of the unknown among those solved for; -1 for a figure of the other kind.
        weights: (S,) of the coordinates as the search has them.
        rate_power: Of the first rate, where that is solved for.
        shift: A constant.
        plain: Whether it is `weights . x + shift` itself and not its exponential.
        mix: (P,) for an unknown: the figure is `mix . unknowns + shift` instead.
    """

    name: str
    unknown: int
    weights: FloatArray
    rate_power: float = 0.0
    shift: float = 0.0
    plain: bool = False
    mix: FloatArray | None = None

    def value(self, x: FloatArray, figures: ColumnFigures) -> float:
        """At one point of the search and its column."""
        if self.mix is not None:
            return float(figures.beta[0] @ self.mix) + self.shift
        if self.unknown >= 0:
            return float(figures.beta[0, self.unknown])
        if self.rate_power and not figures.rate[0] > 0:
            return float(figures.rate[0])
        return float(self.values(x[None], figures.rate[:1], figures.beta[:1])[0])

    def values(self, x: FloatArray, rate: FloatArray, beta: FloatArray) -> FloatArray:
        """(B,) at points of the search, (B, S), with first rates, (B,), and unknowns, (B, P)."""
        if self.unknown >= 0:
            return beta[:, self.unknown]
        log: FloatArray = x @ self.weights + self.shift
        if self.plain:
            return log
        with np.errstate(divide="ignore"):
            return np.exp(log + self.rate_power * np.log(rate) if self.rate_power else log)


def profile_intervals(
    likelihood: Searched, optimum: Optimum, quantities: list[Quantity], level: float
) -> dict[str, Interval]:
    """The interval of every quantity.

    Args:
        likelihood: Of one trait, or of traits together, under one model.
        optimum: Its maximum.
        quantities: What to find intervals of.
        level: Their probability.
    """
    none = Interval(np.nan, np.nan)
    if not np.isfinite(optimum.log_likelihood):
        return {each.name: none for each in quantities}
    # Here, because it takes a while to import and not every fit has intervals.
    from scipy.special import chdtri

    floor = optimum.log_likelihood - float(chdtri(1, 1 - level)) / 2
    count = len(likelihood.coordinates)
    if any(map(is_without_scale, likelihood.coordinates)):
        unit = units_around(likelihood, optimum.x)
        likelihood, optimum = Rescaled(likelihood, unit), optimum._replace(x=optimum.x / unit)
        quantities = [each._replace(weights=each.weights * unit) for each in quantities]
    if count == 0:
        at = _Curve(likelihood, np.zeros((1, 0)), optimum.figures, floor)
        return {each.name: Interval(*(float(at.extreme(each, side)[0]) for side in (-1, 1))) for each in quantities}
    if count == 1:
        return _along_one(likelihood, optimum, quantities, floor)
    drop = optimum.log_likelihood - floor

    @cache
    def followed(place: int, end: float) -> float:
        return crossing(likelihood, optimum, place, end, drop)

    flat = cache(partial(never_falls, likelihood, optimum))

    def end_of(quantity: Quantity, side: int) -> float:
        along = np.flatnonzero(quantity.weights)
        alone = len(along) == 1 and quantity.unknown < 0 and not quantity.rate_power
        place, up = (int(along[0]), bool(quantity.weights[along[0]] * side > 0)) if alone else (0, False)
        end = float(likelihood.ends[place, int(up)])
        if alone and end == -np.inf and likelihood.coordinates[place].log and flat(place):
            return np.nan
        found = _among_several(likelihood, optimum, quantity, side, floor)
        if not (alone and np.isnan(found)):
            return found
        # The search did not get there, which does not say that there is nothing.
        x = optimum.x.copy()
        x[place] = followed(place, end) if end != x[place] else np.nan
        return quantity.value(x, optimum.figures)

    return {each.name: Interval(end_of(each, -1), end_of(each, 1)) for each in quantities}


class _Curve:
    """Figures at M points, and how far a quantity reaches there before the likelihood falls below the floor."""

    def __init__(self, likelihood: Searched, x: FloatArray, figures: ColumnFigures, floor: float) -> None:
        self.x, self.figures = x, figures
        self.profiled = likelihood.profiled
        self.room = np.maximum(figures.log_likelihood - floor, 0)
        self.inside = figures.log_likelihood >= floor - 1e-9

    def extreme(self, quantity: Quantity, side: int) -> FloatArray:
        """(M,) the lowest (side -1) or highest (side 1) value that the likelihood allows at each point."""
        figures = self.figures
        if quantity.unknown >= 0:
            mix = np.eye(figures.beta.shape[1])[quantity.unknown] if quantity.mix is None else quantity.mix
            variance = np.einsum("mpq,p,q->m", figures.covariance, mix, mix)
            spread = figures.rss * np.expm1(2 * self.room / figures.size) if self.profiled else 2 * self.room
            # What is wider than the largest number has no end.
            with np.errstate(over="ignore"):
                return figures.beta @ mix + quantity.shift + side * np.sqrt(np.maximum(variance, 0) * spread)
        log = self.x @ quantity.weights + quantity.shift
        if quantity.rate_power:
            log = log + quantity.rate_power * (np.log(figures.rate) + self._rate_reach(side))
        return log if quantity.plain else np.exp(log)

    def _rate_reach(self, side: int) -> FloatArray:
        """(M,) log of the extreme rate over the best one."""
        from scipy.special import lambertw

        branch = 0 if side > 0 else -1
        ratio = -np.real(lambertw(-np.exp(-1 - 2 * self.room / self.figures.size), branch))
        return -np.log(np.where(self.room > 0, ratio, 1.0))


def _along_one(likelihood: Searched, optimum: Optimum, quantities: list[Quantity], floor: float) -> dict[str, Interval]:
    top = float(optimum.x[0])
    ends, reached = [], []
    for side, support in zip((-1, 1), likelihood.ends[0].tolist(), strict=True):
        end = support if np.isfinite(support) else _beyond(likelihood, top, side, floor)
        found = _crossing(likelihood, top, end, floor)
        ends.append(float(end) if found is None else found)
        reached.append(found is not None)
    straight = [each.unknown < 0 and not each.rate_power for each in quantities]
    # Squared, so that points are dense around the top, where most of the likelihood is, even if an end is far away.
    node = (1 - np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))) / 2
    halves = [(end, node) for end in ends if end != top]
    pieces: list[_Curve] = []
    if halves and not all(straight):
        x = np.concatenate([top + node**2 * (end - top) for end, _ in halves])
        figures = likelihood.at(x[:, None])
        pieces = [
            _interpolated(likelihood, top, end, number, node, figures, floor) for number, (end, _) in enumerate(halves)
        ]
    pieces = pieces or [_Curve(likelihood, np.array([[top]]), optimum.figures, floor)]
    intervals = {}
    for each, is_straight in zip(quantities, straight, strict=True):
        if is_straight:
            values = [float(each.value(np.array([end]), optimum.figures)) for end in ends]
            both = [value if there else np.nan for value, there in zip(values, reached, strict=True)]
            intervals[each.name] = Interval(*(both if each.weights[0] > 0 else both[::-1]))
            continue
        extremes = [_extreme_of(likelihood, each, side, pieces, floor) for side in (-1, 1)]
        # What moves with the coordinate has no end where the likelihood lets that go on to the end of its support; of
        # a support without end, nothing has one there.
        open_ends = [
            end
            for end, there, support in zip(ends, reached, likelihood.ends[0], strict=True)
            if not there and (each.weights.any() or not np.isfinite(support))
        ]
        extremes = [(np.nan if at in open_ends else value, at) for value, at in extremes]
        intervals[each.name] = Interval(*(value for value, _ in extremes))
    return intervals


def _extreme_of(
    likelihood: Searched, quantity: Quantity, side: int, pieces: list[_Curve], floor: float
) -> tuple[float, float]:
    """The quantity's extreme over interpolated figures, again over closer ones until both agree; and where it is."""
    highest = [(side * np.where(piece.inside, piece.extreme(quantity, side), -side * np.inf)) for piece in pieces]
    number = int(np.argmax([values.max() for values in highest]))
    piece, at = pieces[number], int(np.argmax(highest[number]))
    x, value = float(piece.x[at, 0]), side * float(highest[number][at])
    span = float(np.ptp(piece.x))
    width = span / _POINTS
    lowest, largest = float(piece.x.min()), float(piece.x.max())
    other = float(piece.extreme(quantity, -side)[at])
    for _ in range(_MOST_ROUNDS):
        if span == 0:
            break
        left, right = max(lowest, x - width), min(largest, x + width)
        node = (1 - np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))) / 2
        points = left + node * (right - left)
        exact = _Curve(likelihood, points[:, None], likelihood.at(points[:, None]), floor)
        values = exact.extreme(quantity, side)
        inside = exact.inside
        if not inside.any():
            break
        before, fine = value, np.linspace(0, 1, _FINE)
        curve = Chebyshev.fit(node, values, _POINTS - 1, domain=[0, 1])(fine) if np.isfinite(values).all() else values
        allowed = np.interp(fine, node, inside) == 1 if len(curve) == _FINE else inside
        best = int(np.argmax(np.where(allowed, side * curve, -np.inf)))
        x, value = float(left + (fine if len(curve) == _FINE else node)[best] * (right - left)), float(curve[best])
        if abs(value - before) <= 1e-7 * abs(value - other):
            break
        width /= 4
    return value, x


def _interpolated(
    likelihood: Searched,
    top: float,
    end: float,
    number: int,
    node: FloatArray,
    figures: ColumnFigures,
    floor: float,
) -> _Curve:
    """The figures between the top and an end at many points, by polynomials through the nodes."""
    rows = slice(number * _POINTS, (number + 1) * _POINTS)
    fine = np.linspace(0, 1, _FINE)

    def through(values: FloatArray) -> FloatArray:
        return Chebyshev.fit(node, values, _POINTS - 1, domain=[0, 1])(fine)

    unknowns = range(figures.beta.shape[1])
    positive = [figures.rate, figures.rss, *(figures.covariance[:, p, p] for p in unknowns)]
    if not all(np.isfinite(each[rows]).all() for each in (figures.log_likelihood, *positive)) or not all(
        (each[rows] > 0).all() for each in positive
    ):
        kept = ColumnFigures(*(each[rows] for each in figures))
        return _Curve(likelihood, (top + node**2 * (end - top))[:, None], kept, floor)
    logs = [np.exp(through(np.log(each[rows]))) for each in positive]
    covariance = np.zeros((_FINE, len(unknowns), len(unknowns)))
    for p in unknowns:
        covariance[:, p, p] = logs[2 + p]
    beta = np.stack([through(figures.beta[rows, p]) for p in unknowns], 1) if unknowns else np.zeros((_FINE, 0))
    curve = ColumnFigures(
        through(figures.log_likelihood[rows]), logs[0], beta, covariance, logs[1], np.full(_FINE, figures.size[0])
    )
    return _Curve(likelihood, (top + fine**2 * (end - top))[:, None], curve, floor)


def _beyond(likelihood: Searched, top: float, side: int, floor: float) -> float:
    """A point of a support without end, past which the likelihood is not followed: below the floor if it ever is."""
    is_log = likelihood.coordinates[0].log
    step, farthest = (1.0, _FARTHEST_LOG) if is_log else (max(1.0, abs(top)) / 64, _FARTHEST * max(1.0, abs(top)))
    while step < farthest and likelihood.at(np.array([[top + side * step]])).log_likelihood[0] >= floor:
        step *= 2
    return top + side * min(step, farthest)


def _crossing(likelihood: Searched, top: float, end: float, floor: float) -> float | None:
    """The farthest point towards an end of the support at which the likelihood passes the floor; None without one."""
    if end == top:
        return None
    points = top + (np.arange(_POINTS) / (_POINTS - 1)) ** 3 * (end - top)
    for round_number in range(_MOST_ROUNDS):
        values = likelihood.at(points[:, None]).log_likelihood
        above = np.flatnonzero(values >= floor)
        last = int(above[-1]) if above.size else 0
        if last == len(points) - 1:
            return None if round_number == 0 else float(points[-1])
        near, far = points[last], points[last + 1]
        if round_number and np.isfinite(values).all():
            curve = Chebyshev.fit(points, values - floor, _POINTS - 1)
            if curve(near) * curve(far) < 0:
                found = _root(curve, float(near), float(far))
                if abs(far - near) < 1e-3 * abs(end - top) or round_number == _MOST_ROUNDS - 1:
                    return found
        points = np.linspace(near, far, _POINTS)
    return float((near + far) / 2)


def _root(curve: Chebyshev, near: float, far: float) -> float:
    """The zero of a polynomial that has signs that differ at two points, next to the nearer one."""
    low, high = sorted((near, far))
    every = np.asarray(curve.roots(), complex)
    roots = every.real[(abs(every.imag) <= 1e-6 * (high - low)) & (every.real >= low) & (every.real <= high)]
    found = min(roots.tolist(), key=lambda root: abs(root - near), default=near)
    slope = float(curve.deriv()(found))
    # The eigenvalues that roots are have a digit or two less than one step of Newton's method gives.
    return float(np.clip(found - float(curve(found)) / slope if slope else found, low, high))


def _among_several(likelihood: Searched, optimum: Optimum, quantity: Quantity, side: int, floor: float) -> float:
    # Here, because it takes a while to import and most models have one shape parameter.
    from scipy.optimize import minimize

    ends = likelihood.ends

    def reach(x: FloatArray) -> tuple[float, FloatArray, float, FloatArray]:
        """The quantity's extreme, its gradient, the room, and its gradient."""
        figures, slopes = likelihood.figures_and_slopes(x)
        room, room_slope = float(figures.log_likelihood[0]) - floor, slopes.log_likelihood[0]
        value, slope = _reach_and_slope(likelihood, quantity, side, x, figures, slopes, room, room_slope)
        return value, slope, room, room_slope

    cache: dict[bytes, tuple[float, FloatArray, float, FloatArray]] = {}

    def at(x: FloatArray) -> tuple[float, FloatArray, float, FloatArray]:
        key = np.asarray(x).tobytes()
        if key not in cache:
            cache[key] = reach(np.asarray(x))
        return cache[key]

    objective: Callable[[FloatArray], tuple[float, FloatArray]] = lambda x: (-side * at(x)[0], -side * at(x)[1])  # noqa: E731
    constraint = {"type": "ineq", "fun": lambda x: at(x)[2], "jac": lambda x: at(x)[3]}
    best = None
    for nudge in (0.0, 0.1):
        start = np.clip(optimum.x + nudge * side * np.sign(quantity.weights), *ends.T)
        found = minimize(
            objective,
            start,
            jac=True,
            bounds=ends,
            constraints=constraint,
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-12},
        )
        if at(found.x)[2] > -1e-5 and (best is None or side * at(found.x)[0] > side * best[0]):
            best = at(found.x)[0], found.x, at(found.x)[2]
    if best is None:
        return np.nan
    value, x, room = best
    at_end = ((x <= ends[:, 0]) | (x >= ends[:, 1])) & ((optimum.x > ends[:, 0]) & (optimum.x < ends[:, 1]))
    if quantity.unknown < 0 and room > 1e-3:
        # It came to an end of the support before the likelihood fell far enough.
        return np.nan
    if at_end.any() and quantity.rate_power and room > 1e-3:
        return np.nan
    return value if quantity.unknown >= 0 or quantity.plain else float(np.exp(value))


def _reach_and_slope(
    likelihood: Searched,
    quantity: Quantity,
    side: int,
    x: FloatArray,
    figures: ColumnFigures,
    slopes: ColumnFigures,
    room: float,
    room_slope: FloatArray,
) -> tuple[float, FloatArray]:
    """The quantity's extreme given x (its logarithm, if it is an exponential) and the gradient of that."""
    room = max(room, 1e-12)
    size = float(figures.size[0])
    if quantity.unknown >= 0:
        p = quantity.unknown
        variance, variance_slope = figures.covariance[0, p, p], slopes.covariance[0, p, p]
        if likelihood.profiled:
            grown = float(np.expm1(2 * room / size))
            spread, spread_slope = (
                figures.rss[0] * grown,
                slopes.rss[0] * grown + figures.rss[0] * (grown + 1) * 2 / size * room_slope,
            )
        else:
            spread, spread_slope = 2 * room, 2 * room_slope
        half = float(np.sqrt(variance * spread))
        half_slope = (variance_slope * spread + variance * spread_slope) / (2 * half)
        return float(figures.beta[0, p]) + side * half, slopes.beta[0, p] + side * half_slope
    value, slope = float(quantity.weights @ x) + quantity.shift, quantity.weights.astype(float)
    if quantity.rate_power:
        from scipy.special import lambertw

        branch = 0 if side > 0 else -1
        ratio = float(-np.real(lambertw(-np.exp(-1 - 2 * room / size), branch)))
        # From ratio - 1 - log(ratio) = 2 room / size.
        ratio_slope = 2 / size * room_slope / (1 - 1 / ratio)
        power = quantity.rate_power
        value = value + power * (float(np.log(figures.rate[0])) - np.log(ratio))
        slope = slope + power * (slopes.rate[0] / figures.rate[0] - ratio_slope / ratio)
    return value, slope
