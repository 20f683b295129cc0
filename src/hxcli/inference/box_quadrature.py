"""Integration over one or two coordinates by the trapezoidal rule, its error measured.

For an analytic integrand that falls off at both ends the rule converges geometrically (Trefethen and Weideman 2014,
SIAM Review 56:385): what leaving out every other point changes is about the square root of the error that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.errors import ModelError
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

# Points a side while looking for the mass, and at first and at most for the integral, of one and of two coordinates.
_SCAN, _FIRST, _MOST = (65, 17), (65, 33), (4097, 257)
# How much farther down a point may be whose neighbours are looked at on a finer grid.
_NEIGHBOURS = 8.0
# From (M, F) places to (M,) log densities, or to (M, F) logarithms of the values there.
Heights = Callable[[FloatArray], FloatArray]


class Box(NamedTuple):
    """A distribution over F coordinates.

    Attributes:
        axes: F times the points of a coordinate, evenly spaced.
        weights: One axis for each coordinate: probability of every point.
        coarse: The same of every other point; 0 at those between.
        log_evidence: Log of the integral.
        error: Largest difference that every other point makes: of the log evidence, and of means and variances of the
            logarithms of the values, over their standard deviations and variances.
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


def integrate_box(heights: Heights, log_values: Heights, starts: Sequence[Range], tolerance: float, name: str) -> Box:
    """Finds the mass, then doubles the points until every other one of them would do.

    Args:
        heights: Log density per unit of the coordinates.
        log_values: Logarithms of what the coordinates stand for.
        starts: F ranges, 1 or 2, that hold most of the prior.
        tolerance: Largest error wanted. With too many points it stays above; `error` says so.
        name: Of the trait, for messages.

    Raises:
        ModelError: The density has no finite integral.
    """
    kind = len(starts) - 1
    try:
        ranges = _zoom(heights, log_values, list(starts), moments=False)
    except Endless:
        raise ModelError(
            f"trait {name!r}: the posterior of the rates has no finite integral with these priors (give --prior "
            "'q=PRIOR' that falls off towards 0 and beyond, such as lognormal)"
        ) from None
    moments = True
    try:
        ranges = _zoom(heights, log_values, ranges, moments=True)
    except Endless:
        moments = False
    points, widened = _FIRST[kind], 0
    values = np.full((points,) * len(ranges), np.nan)
    while True:
        axes = tuple(np.linspace(*limits, points) for limits in ranges)
        places = _places(axes)
        # Those that a coarser grid had are known, and where it has nothing there is nothing between its points.
        new = np.flatnonzero(np.isnan(values))
        values.flat[new] = heights(places[new])
        logs = log_values(places)
        sides = sides_reached(_kept(values.ravel(), logs, moments, SIDE_DEPTH).reshape(values.shape))
        if any(map(any, sides)) and widened < MOST_WIDENED:
            # The finer points see what passes between the coarse ones of the search.
            ranges = [widened_range(limits, *ends) for limits, ends in zip(ranges, sides, strict=True)]
            widened += 1
            values = np.full(values.shape, np.nan)
            continue
        found = _summed(axes, values, logs, moments)
        if found.error <= tolerance or 2 * points - 1 > _MOST[kind]:
            return found
        near = _kept(values.ravel(), logs, moments, -_NEIGHBOURS).reshape(values.shape)
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
    errors = [abs(np.log(total / sparse_total))]
    for values in logs.T:
        mean = weights.ravel() @ values
        square = (values - mean) ** 2
        variance = weights.ravel() @ square
        errors.append(abs(coarse.ravel() @ values - mean) / np.sqrt(variance))
        errors.append(abs((coarse.ravel() @ square) / variance - 1))
    area = float(np.prod([axis[1] - axis[0] for axis in axes]))
    return Box(axes, weights, coarse, float(top + np.log(total * area)), float(max(errors)), moments)


def _places(axes: Sequence[FloatArray]) -> FloatArray:
    return np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], 1)


def _kept(values: FloatArray, logs: FloatArray, moments: bool, less: float = 0.0) -> BoolArray:
    """(M,) mask of the points with mass, or with mass times a squared value; `less` cuts off higher up."""
    keep = values >= values.max() - (DEPTH - less)
    for each in logs.T if moments else ():
        tilted = values + 2 * each
        keep = keep | (tilted >= tilted.max() - (MOMENT_DEPTH - less))
    return np.asarray(keep)


def _zoom(heights: Heights, log_values: Heights, ranges: list[Range], moments: bool) -> list[Range]:
    """Moves the ends until the points to keep fill most of the box and reach no side."""
    count = _SCAN[len(ranges) - 1]
    for _ in range(MOST_STEPS):
        axes = [np.linspace(*limits, count) for limits in ranges]
        places = _places(axes)
        values = heights(places)
        if not np.isfinite(values.max()):
            raise Endless
        mask = _kept(values, log_values(places), moments).reshape((count,) * len(axes))
        closer, settled = moved_ranges(axes, ranges, mask)
        if settled:
            return ranges
        ranges = closer
    raise Endless
