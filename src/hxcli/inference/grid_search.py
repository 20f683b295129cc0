"""The most likely parameters of a diffusion on a grid, and how sure that is.

A search goes over few cells, whose log likelihood has nearly the shape of that on many. The difference of both, its
value and its slope, is measured where the search ends and added to the log likelihood on few, until the end is that of
many cells too (first-order approximation management: Alexandrov et al. 1998, Structural Optimization 15:16).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.profile_paths import path_to
from hxcli.phylogeny import FloatArray

# Points at which a search may begin, standard deviations of the prior from its middle; and how many of them are tried.
_SCATTER = 1.2
_POINTS, _STARTS = 8, 2
# Steps of the differences of gradients that give second derivatives, in the search's coordinates.
_STEP = 1e-3
_AT_END = 1e-6
# How near to chi2/2 below the top the end of an interval lies.
_NEAR_FLOOR = 1e-3
# Corrections of a log likelihood on few cells; how far, in spreads of a coordinate, one reaches; and a gain of the log
# likelihood, and a share of an interval, that are none.
_ROUNDS, _REACH, _NO_GAIN, _NO_SHIFT = 6, 0.5, 1e-10, 1e-4


class GridOptimum(NamedTuple):
    """The most likely parameters.

    Attributes:
        x: (S,) coordinates as the search has them.
        log_likelihood: There.
        gradient: (S,) there.
        hessian: (S, S) there.
        at_lower, at_upper: Names of the coordinates at an end of their support.
        starts, agreeing: How many searches were begun, and ended at the same height.
        converged: Whether the gradient vanishes and the curvature is that of a maximum.
    """

    x: FloatArray
    log_likelihood: float
    gradient: FloatArray
    hessian: FloatArray
    at_lower: tuple[str, ...]
    at_upper: tuple[str, ...]
    starts: int
    agreeing: int
    converged: bool

    @property
    def certificate(self) -> GridOptimum:
        """Under the name that a `maximum_likelihood.Optimum` has for it."""
        return self


class _Corrected:
    """The log likelihood on few cells, with value and slope of that on many at one point."""

    def __init__(self, likelihood: GridLikelihood) -> None:
        self._coarse = likelihood.coarser()
        self.coordinates, self.ends = likelihood.coordinates, likelihood.ends
        count = len(likelihood.coordinates)
        self._more, self._slope, self._at = 0.0, np.zeros(count), np.zeros(count)
        self._seen: dict[bytes, tuple[float, FloatArray]] = {}

    def correct(self, x: FloatArray, value: float, gradient: FloatArray) -> None:
        """Makes value and gradient at x those given."""
        coarse, slope = self._uncorrected(x)
        if np.isfinite(coarse) and np.isfinite(slope).all():
            self._more, self._slope, self._at = value - coarse, gradient - slope, x

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = self._uncorrected(x)
        return value + self._more + float(self._slope @ (x - self._at)), gradient + self._slope

    def value(self, x: FloatArray) -> float:
        return self._coarse.value(x) + self._more + float(self._slope @ (x - self._at))

    def _uncorrected(self, x: FloatArray) -> tuple[float, FloatArray]:
        key = np.asarray(x, float).tobytes()
        if key not in self._seen:
            self._seen[key] = self._coarse.value_and_gradient(np.array(x, float))
        return self._seen[key]


def maximise_on_grid(likelihood: GridLikelihood, start: FloatArray | None = None) -> GridOptimum:
    """The most likely parameters, by L-BFGS-B with exact gradients from the best of a few points.

    Args:
        likelihood: What is maximised.
        start: (S,) where the maximum is known to be near; None to look for it.
    """
    count = len(likelihood.coordinates)
    nothing = np.zeros(0)
    if count == 0:
        return GridOptimum(nothing, likelihood.value(nothing), nothing, np.zeros((0, 0)), (), (), 1, 1, True)
    few = _Corrected(likelihood)
    spread = _spread(likelihood)
    if start is None:
        found = [_climbed(few, point, likelihood.ends, spread) for point in _starts(few, likelihood, spread)]
        x, top = max(found, key=lambda each: each[1])
        starts, agreeing = len(found), sum(each[1] > top - 1e-3 for each in found)
    else:
        x, starts, agreeing = start, 1, 1
    x, top, gradient = _corrected_to(few, likelihood, x, spread)
    hessian = _hessian(few, likelihood.ends, x, spread)
    names = [each.name for each in likelihood.coordinates]
    lower, upper = (np.isfinite(end) & (abs(x - end) <= _AT_END * np.maximum(1, abs(x))) for end in likelihood.ends.T)
    free = ~(lower | upper)
    inner = hessian[np.ix_(free, free)]
    scale = 1 / np.sqrt(np.maximum(-np.diag(hessian), 1e-8))
    flat = bool((abs(gradient[free]) * np.minimum(scale[free], 1e3) < 1e-2).all())
    peaked = bool(np.isfinite(inner).all()) and bool((np.linalg.eigvalsh(inner) < 0).all())
    return GridOptimum(
        x,
        top,
        gradient,
        hessian,
        tuple(name for name, on in zip(names, lower, strict=True) if on),
        tuple(name for name, on in zip(names, upper, strict=True) if on),
        starts,
        agreeing,
        flat and peaked and bool(np.isfinite(top)),
    )


def _spread(likelihood: GridLikelihood) -> FloatArray:
    """(S,) how far usual values of the coordinates are apart: 1 for logarithms."""
    return np.array([1.0 if each.log else each.spread for each in likelihood.coordinates])


def _starts(few: _Corrected, likelihood: GridLikelihood, spread: FloatArray) -> FloatArray:
    """(S', S) the most likely of some points."""
    from scipy.stats import qmc

    count, start = len(spread), likelihood.start
    shifts = _SCATTER * (2 * qmc.Sobol(count, scramble=False).random(_POINTS)[1:] - 1)
    points = np.concatenate([start[None], np.clip(start + shifts * spread, *likelihood.ends.T)])
    heights = np.nan_to_num([few.value(point) for point in points], nan=-np.inf)
    return points[np.argsort(-heights, kind="stable")[:_STARTS]]


def _climbed(
    surface: _Corrected | GridLikelihood, x: FloatArray, ends: FloatArray, spread: FloatArray
) -> tuple[FloatArray, float]:
    """The top that is reached from x in steps of spreads, and its height."""
    from scipy.optimize import minimize

    def objective(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = surface.value_and_gradient(np.clip(z * spread, *ends.T))
        return (-value, -gradient * spread) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, 0 * z)

    options = {"maxiter": 200, "ftol": 1e-13, "gtol": 1e-7}
    bounds = ends / spread[:, None]
    found = minimize(objective, x / spread, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.clip(np.asarray(found.x, float) * spread, *ends.T), -float(found.fun)


def _corrected_to(
    few: _Corrected, likelihood: GridLikelihood, x: FloatArray, spread: FloatArray
) -> tuple[FloatArray, float, FloatArray]:
    """The top near x on all cells, its height and the gradient there."""
    value, gradient = likelihood.value_and_gradient(x)
    for _ in range(_ROUNDS):
        few.correct(x, value, gradient)
        near = np.stack([x - _REACH * spread, x + _REACH * spread], 1)
        within = np.clip(near, *(end[:, None] for end in likelihood.ends.T))
        moved, height = _climbed(few, x, within, spread)
        if height - value < _NO_GAIN:
            return x, value, gradient
        higher, slope = likelihood.value_and_gradient(moved)
        if not higher >= value:
            break
        x, value, gradient = moved, higher, slope
    # The shapes differ too much.
    x, _ = _climbed(likelihood, x, likelihood.ends, spread)
    value, gradient = likelihood.value_and_gradient(x)
    few.correct(x, value, gradient)
    return x, value, gradient


def _hessian(surface: _Corrected, ends: FloatArray, x: FloatArray, spread: FloatArray) -> FloatArray:
    rows = []
    for number in range(len(x)):
        sides = []
        # Of vague priors no more than of others.
        step = _STEP * min(1.0, float(spread[number]))
        for side in (-step, step):
            at = x.copy()
            at[number] = np.clip(at[number] + side, *ends[number])
            sides.append((at[number], surface.value_and_gradient(at)[1]))
        rows.append((sides[1][1] - sides[0][1]) / (sides[1][0] - sides[0][0]))
    return (np.array(rows) + np.array(rows).T) / 2


def profile_ends(likelihood: GridLikelihood, optimum: GridOptimum, level: float) -> FloatArray:
    """(S, 2) ends of profile likelihood intervals, as the search has them; nan where the likelihood never falls so far.

    An end is the extreme of its coordinate over all points whose log likelihood is at most chi2/2 below the top: found
    by sequential least squares (Kraft 1988) from where the curvature at the top would have it.
    """
    from scipy.special import chdtri

    count = len(optimum.x)
    drop = float(chdtri(1, 1 - level)) / 2
    few = _Corrected(likelihood)
    units = _spread(likelihood)
    spread = np.linalg.pinv(-optimum.hessian * units * units[:, None]) * units * units[:, None]
    found = np.full((count, 2), np.nan)
    for number in range(count):
        own = max(float(spread[number, number]), 1e-12 * units[number] ** 2)
        for place, side in enumerate((-1, 1)):
            few.correct(optimum.x, optimum.log_likelihood, optimum.gradient)
            step = side * np.sqrt(2 * drop) * spread[:, number] / np.sqrt(own)
            direction = side * np.eye(count)[number]
            # Skewed likelihoods are reached from nearer, or from the top itself.
            starts = [optimum.x + reach * step for reach in (1.0, 0.3, 0.0)]
            end = _end(few, likelihood, optimum, drop, direction, starts)
            if np.isnan(end):
                # Along the ridge, step by step, where a straight line does not get there.
                few.correct(optimum.x, optimum.log_likelihood, optimum.gradient)
                path = path_to(few, optimum, number, float(likelihood.ends[number, place]), drop)
                end = np.nan if path is None else _end(few, likelihood, optimum, drop, direction, [*path])
            found[number, place] = end
    return found


def _end(
    few: _Corrected,
    likelihood: GridLikelihood,
    optimum: GridOptimum,
    drop: float,
    unit: FloatArray,
    starts: list[FloatArray],
) -> float:
    """The end of an interval in one direction, nan where none is found from any of the starts."""
    floor, reached = optimum.log_likelihood - drop, np.nan
    for _ in range(_ROUNDS):
        x = _farthest(few, floor, unit, starts, likelihood.ends, _spread(likelihood))
        if x is None:
            return np.nan
        value, gradient = likelihood.value_and_gradient(x)
        shift, reached = abs(float(unit @ x) - reached), float(unit @ x)
        width = abs(reached - float(unit @ optimum.x))
        if abs(value - floor) <= _NEAR_FLOOR and (abs(value - floor) <= _NEAR_FLOOR / 10 or shift <= _NO_SHIFT * width):
            return float(x[np.argmax(abs(unit))])
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return np.nan
        few.correct(x, value, gradient)
        starts = [x, *starts[-3:]]
    return np.nan


def _farthest(
    surface: _Corrected,
    floor: float,
    unit: FloatArray,
    starts: list[FloatArray],
    ends: FloatArray,
    spread: FloatArray,
) -> FloatArray | None:
    """The point farthest in a direction at which a log likelihood has not yet fallen below a floor.

    None where it never falls so far.
    """
    from scipy.optimize import minimize

    def room(z: FloatArray) -> float:
        value = surface.value_and_gradient(z * spread)[0]
        return value - floor if np.isfinite(value) else -1e6

    def slope(z: FloatArray) -> FloatArray:
        return spread * np.nan_to_num(surface.value_and_gradient(z * spread)[1], nan=0.0, posinf=0.0, neginf=0.0)

    best = None
    for start in starts:
        ended = minimize(
            lambda z: (-float(unit @ z), -unit),
            np.clip(start, *ends.T) / spread,
            jac=True,
            bounds=ends / spread[:, None],
            constraints={"type": "ineq", "fun": room, "jac": slope},
            method="SLSQP",
            options={"maxiter": 100, "ftol": 1e-9},
        )
        height, x = room(ended.x), np.asarray(ended.x, float) * spread
        if height > -_NEAR_FLOOR and (best is None or unit @ x > unit @ best[0]):
            best = x, height
        if abs(height) <= _NEAR_FLOOR:
            break
    return best[0] if best is not None and abs(best[1]) <= _NEAR_FLOOR else None
