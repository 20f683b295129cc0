"""Integration over one to three coordinates by the trapezoidal rule, its error measured.

For an analytic integrand that falls off at both ends the rule converges geometrically (Trefethen and Weideman 2014,
SIAM Review 56:385): what leaving out every other point changes is about the square root of the error that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.errors import ModelError
from hxcli.inference.marginal_density import Marginals, interpolated
from hxcli.inference.parameter_plane import Range
from hxcli.inference.range_of_mass import (
    DEPTH,
    MOMENT_DEPTH,
    MOST_STEPS,
    MOST_WIDENED,
    SIDE_DEPTH,
    Endless,
    moved_ranges,
    sides_reached,
    widened_range,
)
from hxcli.phylogeny import FloatArray

# Points a side while looking for the mass, and at most for the integral, of one, two and three coordinates.
_SCAN, _MOST = (65, 17, 17), (4097, 257, 65)
# Draws that are made at a time.
_TOGETHER = 256
# From (M, F) places to (M,) log densities, or to (M, F) logarithms of the values there.
Heights = Callable[[FloatArray], FloatArray]


class Depths(NamedTuple):
    """How far below its top, in logs, a density is looked at, and with how many points at first.

    Attributes:
        density: It is cut off there.
        moment: The same of the density times the squared values.
        sides: How much higher up the sides may be that an integral meets.
        neighbours: How much farther down a point may be whose neighbours are looked at on a finer grid.
        first: Points a side for the integral, of one, two and three coordinates.
    """

    density: float
    moment: float
    sides: float
    neighbours: float
    first: tuple[int, int, int]


DEEP = Depths(DEPTH, MOMENT_DEPTH, SIDE_DEPTH, 8.0, (65, 33, 17))
# Where a density takes milliseconds a point: a ten-thousandth may be left out.
SHALLOW = Depths(11.0, 8.0, 1.5, 2.0, (33, 17, 9))


# Of three coordinates, where every point a side is many: a millionth may be left out.
SPARING = Depths(16.0, 12.0, 4.0, 4.0, (33, 17, 17))


class Box(NamedTuple):
    """A distribution over F coordinates.

    Attributes:
        axes: F times the points of a coordinate, evenly spaced.
        weights: One axis for each coordinate: probability of every point.
        coarse: The same of every other point; 0 at those between.
        log_evidence: Log of the integral.
        error: Largest difference that every other point makes: of the log evidence, and of means and variances of the
            logarithms of the values, over their standard deviations and variances; or what lies at the sides, if that
            is more.
        moments: Whether the values have a mean and a variance.
    """

    axes: tuple[FloatArray, ...]
    weights: FloatArray
    coarse: FloatArray
    log_evidence: float
    error: float
    moments: bool

    @property
    def places(self) -> FloatArray:
        """(M, F) of all points, in the order of the flattened weights."""
        return _places(self.axes)

    def quantiles(self, axis: int, probabilities: FloatArray) -> FloatArray:
        """(P,) quantiles of one coordinate."""
        others = tuple(other for other in range(len(self.axes)) if other != axis)
        marginal = Marginals(self.axes[axis], self.weights.sum(others)[None])
        return np.asarray(marginal.quantiles(probabilities[None])[0])


def places_at(box: Box, uniform: FloatArray) -> FloatArray:
    """(K, F) places at quantiles (F, K): of the first coordinate, and of every other one given those before it.

    Independent draws where the quantiles are; they lie between the points too.
    """
    places = np.empty((uniform.shape[1], len(box.axes)))
    for first in range(0, len(places), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        places[some] = _some_places(box, uniform[:, some])
    return places


def _some_places(box: Box, uniform: FloatArray) -> FloatArray:
    places = np.empty((uniform.shape[1], len(box.axes)))
    first = box.weights.reshape(len(box.axes[0]), -1)
    marginal = Marginals(box.axes[0], first.sum(1)[None])
    places[:, 0] = marginal.quantiles(uniform[:1])[0]
    left = interpolated(box.axes[0], first, places[:, 0]) if len(box.axes) > 1 else first
    for axis, points in enumerate(box.axes[1:], 1):
        left = left.reshape(len(places), len(points), -1)
        places[:, axis] = Marginals(points, left.sum(2)).quantiles(uniform[axis][:, None])[:, 0]
        if axis + 1 < len(box.axes):
            rows = zip(places[:, axis, None], left, strict=True)
            left = np.concatenate([interpolated(points, own, place) for place, own in rows])
    return places


def integrate_box(
    heights: Heights,
    log_values: Heights,
    starts: Sequence[Range],
    tolerance: float,
    endless: str,
    nearly: Heights | None = None,
    depths: Depths = DEEP,
) -> Box:
    """Finds the mass, then doubles the points until every other one of them would do.

    Args:
        heights: Log density per unit of the coordinates.
        log_values: Logarithms of what the coordinates stand for.
        starts: F ranges, 1 to 3, that hold most of the prior.
        tolerance: Largest error wanted. With too many points it stays above; `error` says so.
        endless: What to say where there is no finite integral.
        nearly: Nearly the log density, for less work: good enough to look for the mass; None for the density itself.
        depths: How far down it is looked at.

    Raises:
        ModelError: The density has no finite integral.
    """
    kind = len(starts) - 1
    try:
        ranges = _zoom(nearly or heights, log_values, list(starts), depths, moments=False)
    except Endless:
        raise ModelError(endless) from None
    moments = True
    try:
        ranges = _zoom(nearly or heights, log_values, ranges, depths, moments=True)
    except Endless:
        moments = False
    points, widened = depths.first[kind], 0
    values = np.full((points,) * len(ranges), np.nan)
    while True:
        axes = tuple(np.linspace(*limits, points) for limits in ranges)
        places = _places(axes)
        # Those that a coarser grid had are known, and where it has nothing there is nothing between its points.
        new = np.flatnonzero(np.isnan(values))
        values.flat[new] = heights(places[new])
        logs = log_values(places)
        sides = sides_reached(_kept(values.ravel(), logs, moments, depths, depths.sides).reshape(values.shape))
        if any(map(any, sides)) and widened < MOST_WIDENED:
            # The finer points see what passes between the coarse ones of the search.
            ranges = [widened_range(limits, *ends) for limits, ends in zip(ranges, sides, strict=True)]
            widened += 1
            values = np.full(values.shape, np.nan)
            continue
        found = _summed(axes, values, logs, moments)
        if found.error <= tolerance or 2 * points - 1 > _MOST[kind]:
            return found
        near = _kept(values.ravel(), logs, moments, depths, -depths.neighbours).reshape(values.shape)
        values, points = _refined(values, near), 2 * points - 1


def _refined(values: FloatArray, near: BoolArray) -> FloatArray:
    """On a grid with twice as many intervals: known values, nan where there may be mass, and -inf elsewhere."""
    shape = tuple(2 * size - 1 for size in values.shape)
    every_other = (slice(None, None, 2),) * values.ndim
    around = np.zeros(shape, bool)
    around[every_other] = near
    for axis in range(values.ndim):
        ahead, behind = (np.moveaxis(around.copy(), axis, 0) for _ in range(2))
        moved = np.moveaxis(around, axis, 0)
        moved[1:] |= ahead[:-1]
        moved[:-1] |= behind[1:]
    found = np.where(around, np.nan, -np.inf)
    found[every_other] = values
    return found


def _summed(axes: tuple[FloatArray, ...], heights: FloatArray, logs: FloatArray, moments: bool) -> Box:
    top = heights.max()
    mass = np.exp(heights - top)
    sparse = np.zeros_like(mass)
    every_other = (slice(None, None, 2),) * mass.ndim
    sparse[every_other] = mass[every_other]
    total, sparse_total = mass.sum(), sparse.sum() * 2**mass.ndim
    weights, coarse = mass / total, sparse / sparse.sum()
    errors = [abs(np.log(total / sparse_total)), _at_sides(weights)]
    for values in logs.T:
        mean = weights.ravel() @ values
        square = (values - mean) ** 2
        variance = weights.ravel() @ square
        errors.append(abs(coarse.ravel() @ values - mean) / np.sqrt(variance))
        errors.append(abs((coarse.ravel() @ square) / variance - 1))
    area = float(np.prod([axis[1] - axis[0] for axis in axes]))
    return Box(axes, weights, coarse, float(top + np.log(total * area)), float(max(errors)), moments)


def _at_sides(weights: FloatArray) -> float:
    """Weight of the outermost points, about as much as lies beyond them."""
    inner = weights[(slice(1, -1),) * weights.ndim]
    return float(weights.sum() - inner.sum())


def _places(axes: Sequence[FloatArray]) -> FloatArray:
    return np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], 1)


def _kept(values: FloatArray, logs: FloatArray, moments: bool, depths: Depths, less: float = 0.0) -> BoolArray:
    """(M,) mask of the points with mass, or with mass times a squared value; `less` cuts off higher up."""
    keep = values >= values.max() - (depths.density - less)
    for each in logs.T if moments else ():
        tilted = values + 2 * each
        keep = keep | (tilted >= tilted.max() - (depths.moment - less))
    return np.asarray(keep)


def _zoom(heights: Heights, log_values: Heights, ranges: list[Range], depths: Depths, *, moments: bool) -> list[Range]:
    """Moves the ends until the points to keep fill most of the box and reach no side."""
    count = _SCAN[len(ranges) - 1]
    for _ in range(MOST_STEPS):
        axes = [np.linspace(*limits, count) for limits in ranges]
        places = _places(axes)
        values = heights(places)
        if not np.isfinite(values.max()):
            raise Endless
        mask = _kept(values, log_values(places), moments, depths).reshape((count,) * len(axes))
        closer, settled = moved_ranges(axes, ranges, mask)
        if settled:
            # Of three coordinates a range that is twice as long is eight times the points.
            return closer if len(ranges) > 2 else ranges
        ranges = closer
    raise Endless
