"""The most likely parameters of a diffusion on a grid, and how sure that is; see `grid_surface` for the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_surface import GridSurface
from hxcli.inference.optimum_certificate import falls_as_it_bends
from hxcli.phylogeny import FloatArray

# Points at which a search may begin, standard deviations of the prior from its middle; and how many of them are tried.
_SCATTER = 1.2
_POINTS, _STARTS = 8, 2
_AT_END = 1e-6
# Corrections of a log likelihood on few cells; how far one reaches, in the surface's coordinates; and a gain of the log
# likelihood that is none.
_ROUNDS, _REACH, _NO_GAIN = 6, 0.5, 1e-8
# What a log likelihood may jump by where the best root passes from one cell to the next.
_JUMP = 1e-7
# Evaluations of one climb; how often one begins again, and the slope on which none does; heights that are the same.
_MOST_STEPS, _CLIMBS, _FLAT, _AGREE = 150, 3, 0.02, 1e-3


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


def maximise_on_grid(likelihood: GridLikelihood, near: GridOptimum | None = None) -> GridOptimum:
    """The most likely parameters, by L-BFGS-B with exact gradients from the best of a few points.

    Args:
        likelihood: What is maximised.
        near: The maximum on other cells, from which it is looked for; None to look for it everywhere.
    """
    count = len(likelihood.coordinates)
    nothing = np.zeros(0)
    if count == 0:
        return GridOptimum(nothing, likelihood.value(nothing), nothing, np.zeros((0, 0)), (), (), 1, 1, True)
    surface = GridSurface(likelihood)
    if near is None:
        found = [_climbed(surface.value_and_gradient, z, surface.ends) for z in _starts(surface, likelihood)]
        z, top = max(found, key=lambda each: each[1])
        starts, agreeing = len(found), sum(each[1] > top - _AGREE for each in found)
    else:
        z, starts, agreeing = surface.bent(near.x), near.starts, near.agreeing
    z, top, slope = _corrected_to(surface, z)
    x, gradient = surface.point(z), slope / surface.bends(z)
    hessian = surface.hessian(z) / surface.bends(z) / surface.bends(z)[:, None]
    names = [each.name for each in likelihood.coordinates]
    lower, upper = (np.isfinite(end) & (abs(x - end) <= _AT_END * np.maximum(1, abs(x))) for end in likelihood.ends.T)
    free = ~(lower | upper)
    inner = hessian[np.ix_(free, free)]
    scale = 1 / np.sqrt(np.maximum(-np.diag(hessian), 1e-8))
    flat = bool((abs(gradient[free]) * np.minimum(scale[free], 1e3) < 1e-2).all())
    peaked = bool(np.isfinite(inner).all()) and bool((np.linalg.eigvalsh(inner) < 0).all())
    if flat and peaked and np.isfinite(top):
        peaked = falls_as_it_bends(
            lambda at: np.array([likelihood.value(x) for x in at]), likelihood.ends, x, free, inner, top
        )
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


def _starts(surface: GridSurface, likelihood: GridLikelihood) -> FloatArray:
    """(S', S) the most likely of some points, as the surface has them."""
    from scipy.stats import qmc

    spread, start = _spread(likelihood), likelihood.start
    shifts = _SCATTER * (2 * qmc.Sobol(len(spread), scramble=False).random(_POINTS)[1:] - 1)
    points = surface.bent(np.concatenate([start[None], np.clip(start + shifts * spread, *likelihood.ends.T)]))
    heights = np.nan_to_num([surface.value(point) for point in points], nan=-np.inf)
    return points[np.argsort(-heights, kind="stable")[:_STARTS]]


def _climbed(
    height: Callable[[FloatArray], tuple[float, FloatArray]], z: FloatArray, ends: FloatArray
) -> tuple[FloatArray, float]:
    """The top that is reached from z between ends, and its height."""
    from scipy.optimize import minimize

    def objective(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = height(z)
        return (-value, -gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, 0 * z)

    options = {"maxfun": _MOST_STEPS, "ftol": 1e-10, "gtol": 1e-6}
    for _ in range(_CLIMBS):
        found = minimize(objective, z, jac=True, method="L-BFGS-B", bounds=ends, options=options)
        z = np.asarray(found.x, float)
        # Where the best root passes from one cell to the next a climb may end on a slope.
        if abs(np.clip(z - found.jac, *ends.T) - z).max() < _FLAT:
            break
    return z, -float(found.fun)


def _corrected_to(surface: GridSurface, z: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """The top near z on all cells, its height and the gradient there."""
    value, gradient = surface.on_all_cells(z)
    curvature = -surface.hessian(z)
    for _ in range(_ROUNDS):
        # The slope on all cells, and the curvature on few.
        free = (z > surface.ends[:, 0]) & (z < surface.ends[:, 1])
        inner = curvature[np.ix_(free, free)]
        if not (np.isfinite(inner).all() and np.isfinite(gradient).all() and (np.linalg.eigvalsh(inner) > 0).all()):
            break
        step = np.zeros_like(z)
        step[free] = np.linalg.solve(inner, gradient[free])
        pushed = ((z <= surface.ends[:, 0]) & (gradient > 0)) | ((z >= surface.ends[:, 1]) & (gradient < 0))
        moved = z + step
        if gradient @ step / 2 < _NO_GAIN and not pushed.any():
            # One more, for the digits of the place.
            moved = np.clip(moved, *surface.ends.T)
            other, slope = surface.on_all_cells(moved)
            closer = bool(abs(slope[free]).max(initial=0.0) <= abs(gradient[free]).max(initial=0.0))
            return (moved, other, slope) if closer else (z, value, gradient)
        if pushed.any() or abs(step).max() > _REACH or (np.clip(moved, *surface.ends.T) != moved).any():
            break
        higher, slope = surface.on_all_cells(moved)
        if not higher >= value:
            break
        z, value, gradient = moved, higher, slope
    for _ in range(_ROUNDS):
        surface.correct(z, value, gradient)
        near = np.stack([z - _REACH, z + _REACH], 1)
        within = np.clip(near, *(end[:, None] for end in surface.ends.T))
        moved, height = _climbed(surface.value_and_gradient, z, within)
        if height - value < _NO_GAIN:
            return z, value, gradient
        higher, slope = surface.on_all_cells(moved)
        if not higher >= value:
            if height - value < _JUMP:
                return z, value, gradient
            break
        z, value, gradient = moved, higher, slope
    # The shapes differ too much.
    z, _ = _climbed(surface.on_all_cells, z, surface.ends)
    value, gradient = surface.on_all_cells(z)
    return z, value, gradient
