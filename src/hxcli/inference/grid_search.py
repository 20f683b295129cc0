"""The most likely parameters of a diffusion on a grid, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.phylogeny import FloatArray

# Points at which a search may begin, standard deviations of the prior from its middle; and how many of them are tried.
_SCATTER = 1.2
_POINTS, _STARTS = 8, 2
# Steps of the differences of gradients that give second derivatives, in the search's coordinates.
_STEP = 1e-3
_AT_END = 1e-6
# Change of a log likelihood, and of a slope, that is none.
_SAME = 1e-6
# How near to chi2/2 below the top the end of an interval lies.
_NEAR_FLOOR = 1e-3


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


def maximise_on_grid(likelihood: GridLikelihood, start: FloatArray | None = None) -> GridOptimum:
    """The most likely parameters, by L-BFGS-B with exact gradients from the best of a few points.

    Args:
        likelihood: What is maximised.
        start: (S,) where the maximum is known to be near; None to look for it.
    """
    with likelihood.roughly():
        rough = _searched(likelihood, start)
    height, gradient = likelihood.value_and_gradient(rough.x)
    if abs(height - rough.log_likelihood) < _SAME and np.allclose(gradient, rough.gradient, atol=_SAME):
        return rough
    # Rounding led the search.
    return _searched(likelihood, start)


def _searched(likelihood: GridLikelihood, near: FloatArray | None) -> GridOptimum:
    from scipy.optimize import minimize
    from scipy.stats import qmc

    count, ends, start = len(likelihood.coordinates), likelihood.ends, likelihood.start
    nothing = np.zeros(0)
    if count == 0:
        return GridOptimum(nothing, likelihood.value(nothing), nothing, np.zeros((0, 0)), (), (), 1, 1, True)

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = likelihood.value_and_gradient(x)
        return (-value, -gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, 0 * x)

    shifts = _SCATTER * (2 * qmc.Sobol(count, scramble=False).random(_POINTS)[1:] - 1)
    spread = np.array([1.0 if each.log else max(abs(each.start), 1.0) for each in likelihood.coordinates])
    points = np.concatenate([start[None], np.clip(start + shifts * spread, *ends.T)])
    heights = np.nan_to_num([likelihood.value(point) for point in points if near is None], nan=-np.inf)
    order = np.argsort(-heights, kind="stable")[:_STARTS]
    if near is not None:
        points, order = near[None], np.zeros(1, int)
    options = {"maxiter": 200, "ftol": 1e-13, "gtol": 1e-7}
    found = [minimize(objective, points[i], jac=True, method="L-BFGS-B", bounds=ends, options=options) for i in order]
    best = min(found, key=lambda each: float(each.fun))
    x, top = np.asarray(best.x, float), -float(best.fun)
    gradient = likelihood.value_and_gradient(x)[1]
    hessian = _hessian(likelihood, x)
    names = [each.name for each in likelihood.coordinates]
    lower, upper = (np.isfinite(end) & (abs(x - end) <= _AT_END * np.maximum(1, abs(x))) for end in ends.T)
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
        len(found),
        sum(-float(each.fun) > top - 1e-3 for each in found),
        flat and peaked and bool(np.isfinite(top)),
    )


def _hessian(likelihood: GridLikelihood, x: FloatArray) -> FloatArray:
    rows = []
    for number in range(len(x)):
        sides = []
        for side in (-_STEP, _STEP):
            at = x.copy()
            at[number] = np.clip(at[number] + side, *likelihood.ends[number])
            sides.append((at[number], likelihood.value_and_gradient(at)[1]))
        rows.append((sides[1][1] - sides[0][1]) / (sides[1][0] - sides[0][0]))
    return (np.array(rows) + np.array(rows).T) / 2


def profile_ends(likelihood: GridLikelihood, optimum: GridOptimum, level: float) -> FloatArray:
    """(S, 2) ends of profile likelihood intervals, as the search has them; nan where the likelihood never falls so far.

    An end is the extreme of its coordinate over all points whose log likelihood is at most chi2/2 below the top: found
    by sequential least squares (Kraft 1988) from where the curvature at the top would have it.
    """
    from scipy.optimize import minimize
    from scipy.special import chdtri

    count, bounds = len(optimum.x), likelihood.ends
    drop = float(chdtri(1, 1 - level)) / 2
    floor = optimum.log_likelihood - drop
    seen: dict[bytes, tuple[float, FloatArray]] = {}

    def at(x: FloatArray) -> tuple[float, FloatArray]:
        key = np.asarray(x).tobytes()
        if key not in seen:
            value, gradient = likelihood.value_and_gradient(np.asarray(x))
            good = np.isfinite(value) and bool(np.isfinite(gradient).all())
            seen[key] = (value - floor, gradient) if good else (-1e6, np.zeros(count))
        return seen[key]

    spread = np.linalg.pinv(-optimum.hessian)
    room = {"type": "ineq", "fun": lambda x: at(x)[0], "jac": lambda x: at(x)[1]}
    found = np.full((count, 2), np.nan)
    for number in range(count):
        for place, side in enumerate((-1, 1)):
            unit = side * np.eye(count)[number]

            def beyond(x: FloatArray, unit: FloatArray = unit) -> tuple[float, FloatArray]:
                return -float(unit @ x), -unit

            own = max(float(spread[number, number]), 1e-12)
            ends = []
            # Skewed likelihoods are reached from nearer, or from the top itself.
            for reach in (1.0, 0.3, 0.0):
                start = optimum.x + reach * side * np.sqrt(2 * drop) * spread[:, number] / np.sqrt(own)
                ended = minimize(
                    beyond,
                    np.clip(start, *bounds.T),
                    jac=True,
                    bounds=bounds,
                    constraints=room,
                    method="SLSQP",
                    options={"maxiter": 100, "ftol": 1e-9},
                )
                height = at(ended.x)[0]
                if height > -_NEAR_FLOOR:
                    ends.append((float(ended.x[number]), height))
                    if abs(height) <= _NEAR_FLOOR:
                        break
            if ends:
                value, height = max(ends) if side > 0 else min(ends)
                if abs(height) <= _NEAR_FLOOR:
                    found[number, place] = value
    return found
