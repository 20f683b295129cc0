"""Maximum likelihood of a model's parameters.

One coordinate is searched in batches of columns: a grid over its whole support, then finer grids around every local
maximum, then the root of the derivative of a polynomial through the last of them. Several coordinates are searched by
L-BFGS-B (Byrd et al. 1995, SIAM J. Sci. Comput. 16:1190) and Newton's method with exact gradients, from the best points
of a grid.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev

from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.inference.optimum_certificate import AGREE, Certificate, Optimum, at_ends, certified, scale_of
from hxcli.inference.rescaled import Rescaled, units_around
from hxcli.inference.searched import Searched
from hxcli.phylogeny import FloatArray

# Points of the first grid over one coordinate, and of every finer one around a maximum.
_GRID, _FINER = 64, 16
_MOST_MAXIMA, _ZOOMS = 4, 3
# Points of the first grid over several coordinates, and how many of them are starts.
_SCATTER, _STARTS = 64, 4
# How far they go along a coordinate whose support has no end: logarithms, or spreads.
_REACH, _SPREADS = 10.0, 5.0
# How far a gradient may be from the mean of those beside it, in log units per standard error.
_BENT = 0.02
# Units that differ by less than this factor are alike; how often a search is begun again in others.
_LIKE, _LOOKS = 30.0, 4
# Of Newton's method: steps, halvings of one, its longest; what stands for a smaller curvature; slopes that are none.
_MOST_STEPS, _MOST_HALVINGS, _LONGEST_STEP, _LEAST_CURVATURE, _LEAST_SLOPE = 40, 30, 2.0, 1e-6, 1e-6
# Steps of the differences that give second derivatives, of the width of the support.
_STEP = 1e-4


def maximise(likelihood: Searched) -> Optimum:
    """The most likely parameters under one model."""
    count = len(likelihood.coordinates)
    if count == 0:
        x = np.zeros(0)
        figures = likelihood.at(x[None])
        finite = bool(np.isfinite(figures.log_likelihood[0]))
        return Optimum(x, figures, Certificate(x, x, 1, 1, (), (), finite))
    bounded = bool(np.isfinite(likelihood.ends).all())
    return _along_one(likelihood) if count == 1 and bounded else _among_several(likelihood)


def _along_one(likelihood: Searched) -> Optimum:
    low, high = likelihood.ends[0]
    grid = np.unique(np.append(np.linspace(low, high, _GRID - 1), np.clip(likelihood.start, low, high)))
    heights = likelihood.at(grid[:, None]).log_likelihood
    found = [_refined(likelihood, grid, heights, top) for top in _local_maxima(heights)]
    best = max(found, key=lambda each: each[1])
    agreeing = sum(each[1] > best[1] - AGREE for each in found)
    x, _, slope, curvature, figures = best
    gradient, hessian = np.array([slope]), np.array([[curvature]])
    optimum = certified(likelihood, np.array([x]), gradient, hessian, len(found), agreeing, figures)
    seen = heights[np.isfinite(heights)]
    if len(seen) and np.ptp(seen) < AGREE:
        # As of Pagel's lambda on a star: no value is better than another.
        return optimum._replace(certificate=optimum.certificate._replace(converged=False))
    return optimum


def _local_maxima(heights: FloatArray) -> list[int]:
    """The highest of the grid's local maxima, the highest first."""
    padded = np.concatenate([[-np.inf], np.where(np.isnan(heights), -np.inf, heights), [-np.inf]])
    inner = padded[1:-1]
    tops = np.flatnonzero((inner >= padded[:-2]) & (inner >= padded[2:]) & (inner > -np.inf))
    order = tops[np.argsort(-inner[tops], kind="stable")]
    return order[:_MOST_MAXIMA].tolist() or [0]


def _refined(
    likelihood: Searched, grid: FloatArray, heights: FloatArray, top: int
) -> tuple[float, float, float, float, ColumnFigures | None]:
    """Place, height, slope and curvature of the maximum around a point of the grid; the figures, if they are known."""
    low, high = likelihood.ends[0]
    left, right = grid[max(top - 1, 0)], grid[min(top + 1, len(grid) - 1)]
    x, height = float(grid[top]), float(heights[top])
    seen, seen_height = x, height
    slope = curvature = reach = 0.0
    for _ in range(_ZOOMS):
        # Chebyshev points: a polynomial through them is the best of its degree to within a factor.
        share = (1 - np.cos(np.pi * np.arange(_FINER) / (_FINER - 1))) / 2
        points = left + share * (right - left)
        values = likelihood.at(points[:, None]).log_likelihood
        best = int(np.argmax(values))
        if values[best] > seen_height:
            seen, seen_height = float(points[best]), float(values[best])
        if values[best] > height:
            x, height = float(points[best]), float(values[best])
        if not np.isfinite(values).all() or right <= left:
            left, right = points[max(best - 1, 0)], points[min(best + 1, len(points) - 1)]
            continue
        curve = Chebyshev.fit(points, values, _FINER - 4)
        first, second = curve.deriv(), curve.deriv(2)
        stationary = [float(r.real) for r in first.roots() if abs(r.imag) < 1e-9 and left <= r.real <= right]
        candidates = [*stationary, left, right]
        before, x = x, float(max(candidates, key=lambda at: (float(curve(at)), -abs(at - x))))
        height, slope, curvature = float(curve(x)), float(first(x)), float(second(x))
        if abs(x - before) < reach / 2:
            # Well inside a window of the right width: another one would find nothing else.
            break
        # So wide that the likelihood falls by a hundredth: wide enough for its rounding, narrow enough for a parabola.
        reach = np.sqrt(0.02 / -curvature) if curvature < 0 else (right - left) / _FINER
        reach = float(np.clip(reach, 1e-6 * (right - left), (right - left) / 4))
        left, right = max(low, x - reach), min(high, x + reach)
    figures = likelihood.at(np.array([[x]]))
    height = float(figures.log_likelihood[0])
    if not height >= seen_height - AGREE:
        # The polynomial promised more than there is: what was seen, without a slope that could be trusted.
        return seen, seen_height, np.nan, np.nan, None
    return x, height, slope, curvature, figures


def _among_several(likelihood: Searched) -> Optimum:
    from scipy.stats import qmc

    ends, count = likelihood.ends, len(likelihood.coordinates)
    shares = qmc.Sobol(count, scramble=False).random(_SCATTER)
    start = np.clip(likelihood.start, *ends.T)
    # Where a support has no end, some way from the start.
    reach = np.array([_REACH if each.log else _SPREADS * each.spread for each in likelihood.coordinates])
    low, high = (
        np.where(np.isfinite(end), end, start + side * reach) for end, side in zip(ends.T, (-1, 1), strict=True)
    )
    points = np.concatenate([start[None], low + shares * (high - low)])
    heights = likelihood.at(points).log_likelihood
    order = np.argsort(-heights, kind="stable")[:_STARTS]

    found = [_climbed(likelihood, each) for each in points[[0, *(i for i in order if i)]]]
    heights = likelihood.at(np.stack([each.x for each in found])).log_likelihood
    best = int(np.argmax(heights))
    agreeing = int((heights > heights[best] - AGREE).sum())
    top = found[best]
    scaled = Rescaled(likelihood, top.unit)
    optimum = certified(scaled, top.x / top.unit, top.gradient, top.hessian, len(found), agreeing)
    certificate = optimum.certificate._replace(gradient=optimum.certificate.gradient / top.unit)
    bent = abs(top.beside - top.gradient) * np.minimum(scale_of(top.hessian), 1e3)
    if (bent > _BENT).any():
        # As where a branch that is taken at this very place only has another slope.
        certificate = certificate._replace(converged=False)
    return optimum._replace(x=optimum.x * top.unit, certificate=certificate)


def _climbed(likelihood: Searched, start: FloatArray) -> _Climbed:
    """Where one search from a point ends."""
    from scipy.optimize import minimize

    options = {"maxiter": 500, "ftol": 1e-15, "gtol": 1e-9}
    unit = units_around(likelihood, start)
    for _ in range(_LOOKS):
        scaled = Rescaled(likelihood, unit)

        def objective(x: FloatArray, scaled: Searched = scaled) -> tuple[float, FloatArray]:
            value, gradient = scaled.value_and_gradient(x)
            # Where the observations are impossible the search turns back.
            return (-value, -gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, 0 * x)

        ended = minimize(objective, start / unit, jac=True, method="L-BFGS-B", bounds=scaled.ends, options=options)
        before, start = start, ended.x * unit
        # Where it has come to, a step may be another one.
        last, unit = unit, units_around(likelihood, start)
        if np.array_equal(start, before) or (np.maximum(unit / last, last / unit) <= _LIKE).all():
            break
    # The line search gives up on ridges, along which Newton's method goes on.
    scaled = Rescaled(likelihood, unit)
    return _polished(scaled, start / unit)


class _Climbed(NamedTuple):
    """The end of a search.

    Attributes:
        x: (S,) the place.
        unit: (S,) in which all that follows is.
        gradient, hessian: There.
        beside: (S,) mean of the slopes a step to either side along every coordinate.
    """

    x: FloatArray
    unit: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    beside: FloatArray


def _polished(likelihood: Rescaled, x: FloatArray) -> _Climbed:
    """Newton steps from exact gradients and their differences.

    Upwards in every direction, whatever the sign of the curvature, and halved until the likelihood rises (Nocedal and
    Wright 2006, Numerical Optimization, section 3.4).
    """
    ends = likelihood.ends
    value, gradient = likelihood.value_and_gradient(x)
    hessian, beside = hessian_at(likelihood, x)
    for _ in range(_MOST_STEPS):
        free = ~at_ends(x, ends, gradient)
        if not free.any() or not np.isfinite(hessian).all():
            break
        curvature, directions = np.linalg.eigh(hessian[np.ix_(free, free)])
        step = np.zeros_like(x)
        slope = directions.T @ gradient[free]
        # Where there is neither slope nor curvature there is nowhere to go.
        slope[(abs(slope) < _LEAST_SLOPE) & (abs(curvature) < _LEAST_CURVATURE)] = 0.0
        step[free] = directions @ (slope / np.maximum(abs(curvature), _LEAST_CURVATURE))
        step *= min(1.0, _LONGEST_STEP / max(float(abs(step).max()), 1e-300))
        moved, found = x, (value, gradient)
        for _ in range(_MOST_HALVINGS):
            moved = np.clip(x + step, *ends.T)
            found = likelihood.value_and_gradient(moved)
            if found[0] >= value:
                break
            step = step / 2
        if not found[0] >= value or np.array_equal(moved, x):
            break
        small = abs(moved - x).max() < 1e-10
        x, (value, gradient) = moved, found
        hessian, beside = hessian_at(likelihood, x)
        if small:
            break
    return _Climbed(x * likelihood.unit, likelihood.unit, gradient, hessian, beside)


def hessian_at(likelihood: Searched, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(S, S) from differences of exact gradients, inwards at the ends of the supports; and `_Climbed.beside`.

    That is nan for a coordinate so close to an end that its sides are not equally far.
    """
    ends, count = likelihood.ends, len(x)
    rows, beside = np.empty((count, count)), np.full(count, np.nan)
    for number in range(count):
        step = _STEP * min(1.0, ends[number, 1] - ends[number, 0])
        sides = [np.clip(x[number] + side * step, *ends[number]) for side in (-1, 1)]
        gradients = []
        for side in sides:
            at = x.copy()
            at[number] = side
            gradients.append(likelihood.value_and_gradient(at)[1])
        rows[number] = (gradients[1] - gradients[0]) / (sides[1] - sides[0])
        if sides == [x[number] - step, x[number] + step]:
            beside[number] = (gradients[0] + gradients[1])[number] / 2
    return (rows + rows.T) / 2, beside
