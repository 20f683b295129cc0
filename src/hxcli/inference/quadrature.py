"""Integration over the plane of two parameters by the trapezoidal rule, which converges geometrically there.

For an analytic integrand that falls off at both ends the rule's error falls exponentially with the number of points
(Trefethen and Weideman 2014, SIAM Review 56:385). The error is not assumed but measured: the same integrals over
every other point must agree.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.errors import ModelError
from hxcli.inference.parameter_plane import Cells, Plane, Range, RootPrior, root_posterior
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

# Points a side while looking for the mass, and at first for the integral (odd: every other one has both ends too).
_SCAN, _FIRST, _MOST = 17, 33, 257
_MOST_CELLS = 33_000


class Integrated(NamedTuple):
    """The posterior over a plane.

    Attributes:
        first, second: (K,), (L,) coordinates.
        cells: The plane there.
        weights: (K, L) posterior probability of every cell.
        log_evidence: Log of the integral.
        error: Largest difference that every other point makes: of the log evidence, and of means and variances of
            log sigma2, log tau2 and the root, over their standard deviations and variances.
        moments: Whether the parameters have a mean and a variance.
    """

    first: FloatArray
    second: FloatArray
    cells: Cells
    weights: FloatArray
    log_evidence: float
    error: float
    moments: bool


def integrate(plane: Plane, root: RootPrior, tolerance: float, name: str) -> Integrated:
    """Finds the mass, then doubles the points until every other one of them would do.

    Args:
        plane: Gives the density.
        root: Prior of the root.
        tolerance: Largest error wanted. With too many points it stays above; `error` says so.
        name: Of the trait, for messages.

    Raises:
        ModelError: The density has no finite integral.
    """
    ranges, moments = _locate(plane, name)
    points, widened = _FIRST, 0
    while True:
        found = _on_grid(plane, ranges, points, root, moments)
        # The finer points see what passes between the coarse ones of the search.
        touches = sides_reached(_kept(found.cells, moments, SIDE_DEPTH))
        if any(map(any, touches)) and widened < MOST_WIDENED:
            ranges = widened_range(ranges[0], *touches[0]), widened_range(ranges[1], *touches[1])
            widened += 1
            continue
        sides = [points if high > low else 1 for low, high in ranges]
        more = 2 * points - 1
        if found.error <= tolerance or more > _MOST or sides[0] * sides[1] * 4 > 4 * _MOST_CELLS:
            return found
        points = more


def _on_grid(plane: Plane, ranges: tuple[Range, Range], points: int, root: RootPrior, moments: bool) -> Integrated:
    first, second = axes = [_points(limits, points) for limits in ranges]
    cells = plane.cells(first, second)
    area = float(np.prod([axis[1] - axis[0] for axis in axes if len(axis) > 1]))
    top = cells.heights.max()
    mass = np.exp(cells.heights - top)
    sparse = np.zeros_like(mass)
    sparse[::2, ::2] = mass[::2, ::2]
    fewer = 2 ** sum(len(axis) > 1 for axis in axes)
    total, sparse_total = mass.sum(), sparse.sum() * fewer
    weights, coarse = mass / total, sparse / sparse.sum()
    states = root_posterior({n: v[cells.column] for n, v in cells.root.items()}, cells.log_scale, root)
    errors = [abs(np.log(total / sparse_total))]
    for values, spread in ((cells.log_sigma2, 0.0), (cells.log_tau2, 0.0), states):
        if np.isfinite(values).all():
            errors += _moment_errors(weights, coarse, np.broadcast_to(values, mass.shape), spread)
    return Integrated(first, second, cells, weights, float(top + np.log(total * area)), float(max(errors)), moments)


def _moment_errors(
    weights: FloatArray, coarse: FloatArray, values: FloatArray, spread: FloatArray | float
) -> list[float]:
    """How much mean and variance of a mixture differ between the two sums."""
    mean = (weights * values).sum()
    inner = (values - mean) ** 2 + spread
    variance = (weights * inner).sum()
    # Differences of rounding size, as of a parameter that is given, are none.
    if variance <= 1e-24 * max(1.0, mean**2):
        return [0.0]
    shift = (coarse * values).sum() - mean
    return [float(abs(shift) / np.sqrt(variance)), float(abs((coarse * inner).sum() / variance - 1))]


def _locate(plane: Plane, name: str) -> tuple[tuple[Range, Range], bool]:
    """The rectangle with the mass; and whether it holds the mass times the squared variances too."""
    try:
        inner = _zoom(plane, plane.starts, moments=False)
    except Endless:
        raise ModelError(
            f"trait {name!r}: the posterior has no finite integral with these priors (give --prior-sigma2 and "
            "--prior-tau2 that fall off towards 0 and beyond, such as lognormal)"
        ) from None
    try:
        return _zoom(plane, inner, moments=True), True
    except Endless:
        return inner, False


def _kept(cells: Cells, moments: bool, less: float = 0.0) -> BoolArray:
    """(K, L) mask of the cells with mass, or with mass times a squared variance; `less` cuts off higher up."""
    keep = cells.heights >= cells.heights.max() - (DEPTH - less)
    for values in (cells.log_sigma2, cells.log_tau2) if moments else ():
        tilted = cells.heights + 2 * values
        # A variance of 0 has no mass times its square.
        keep = keep | (np.isfinite(tilted) & (tilted >= tilted.max() - (MOMENT_DEPTH - less)))
    return keep


def _zoom(plane: Plane, ranges: tuple[Range, Range], moments: bool) -> tuple[Range, Range]:
    """Moves the ends until the cells to keep fill most of the rectangle and touch no side."""
    for _ in range(MOST_STEPS):
        axes = [_points(limits, _SCAN) for limits in ranges]
        cells = plane.cells(*axes)
        if not np.isfinite(cells.heights.max()):
            raise Endless
        closer, settled = moved_ranges(axes, ranges, _kept(cells, moments))
        if settled:
            return ranges
        ranges = (closer[0], closer[1])
    raise Endless


def _points(limits: Range, count: int) -> FloatArray:
    low, high = limits
    return np.linspace(low, high, count) if high > low else np.array([low])
