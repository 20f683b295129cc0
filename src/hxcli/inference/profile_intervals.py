"""Profile likelihood intervals: the values at which the likelihood, all else at its best, is chi2/2 below its top.

Given the coordinates x of the search, rates and unknowns of the mean have closed forms: with n densities, best rate s0,
estimate b and its variance c at a rate of 1, and room = log likelihood(x) - (top - chi2/2),

    rate:    s0 / s - 1 - log(s0 / s) = 2 room / n,          by Lambert's W,
    unknown: (value - b)^2 = c rss (exp(2 room / n) - 1),    or 2 c room where the rates are coordinates,

so that an end of an interval is the extreme of an explicit function over the x that have room. Over one coordinate the
figures are polynomials through Chebyshev points; `profile_ends` has those over several.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from numpy.polynomial import Chebyshev

from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.inference.optimum_certificate import Optimum
from hxcli.inference.profile_ends import ProfileEnds
from hxcli.inference.profile_paths import crossing, never_falls
from hxcli.inference.quantity import Interval, Quantity
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
    ends = ProfileEnds(likelihood, optimum, floor)

    def end_of(quantity: Quantity, side: int) -> float:
        along = np.flatnonzero(quantity.weights)
        alone = len(along) == 1 and quantity.unknown < 0 and not quantity.rate_power
        place, up = (int(along[0]), bool(quantity.weights[along[0]] * side > 0)) if alone else (0, False)
        end = float(likelihood.ends[place, int(up)])
        if alone and end == -np.inf and likelihood.coordinates[place].log and flat(place):
            return np.nan
        found, reached = ends.end(quantity, side)
        if reached or not alone:
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
