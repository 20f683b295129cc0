"""Maximum likelihood of a model's parameters, and a certificate that says how far the optimum can be trusted.

One coordinate is searched in batches of columns: a grid over its whole support, then finer grids around every local
maximum, then the root of the derivative of a polynomial through the last of them. Several coordinates are searched by
L-BFGS-B (Byrd et al. 1995, SIAM J. Sci. Comput. 16:1190) and Newton's method with exact gradients, from the best points
of a grid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev

from hxcli.engine.topology import BoolArray
from hxcli.inference.likelihood_programs import ColumnFigures
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
# Log likelihoods that differ by less are the same.
AGREE = 1e-6
# The same of one place and another close to it.
_AS_GOOD = 1e-8
# A coordinate as close to an end of its support, as a share of it, is at that end.
_AT_END = 1e-9
# Where a parabola has fallen so far, a likelihood has fallen by more than rounding, as a share of itself.
_FALL, _ROUNDING = 2.0, 1e-8
# Largest gradient at an optimum, in log units per standard error; how far it may be from the mean of those beside it.
_FLAT, _BENT = 1e-3, 0.02
# Units that differ by less than this factor are alike; how often a search is begun again in others.
_LIKE, _LOOKS = 30.0, 4
# Of Newton's method: steps, halvings of one, its longest; what stands for a smaller curvature; slopes that are none.
_MOST_STEPS, _MOST_HALVINGS, _LONGEST_STEP, _LEAST_CURVATURE, _LEAST_SLOPE = 40, 30, 2.0, 1e-6, 1e-6
# Steps of the differences that give second derivatives, of the width of the support.
_STEP = 1e-4


class Certificate(NamedTuple):
    """How an optimum was found, and whether it can be trusted.

    Attributes:
        gradient: (S,) of the log likelihood along the coordinates of the search.
        hessian_eigenvalues: (F,) of the coordinates that are not at an end of their support.
        starts: How many searches were begun.
        agreeing: How many of them ended within `AGREE` of the optimum.
        at_lower, at_upper: Names of the coordinates at an end of their support.
        converged: Whether the gradient vanishes there and is no other right beside it, the curvature is that of a
            maximum, the best is finite, and the likelihood is not the same all over the support.
    """

    gradient: FloatArray
    hessian_eigenvalues: FloatArray
    starts: int
    agreeing: int
    at_lower: tuple[str, ...]
    at_upper: tuple[str, ...]
    converged: bool

    def as_json(self) -> dict[str, Any]:
        """For the run record."""
        return {
            "converged": self.converged,
            "gradient": [float(each) for each in self.gradient],
            "hessian_eigenvalues": [float(each) for each in self.hessian_eigenvalues],
            "starts": self.starts,
            "starts_agreeing": self.agreeing,
            "at_lower_bound": list(self.at_lower),
            "at_upper_bound": list(self.at_upper),
        }


class Optimum(NamedTuple):
    """The most likely parameters.

    Attributes:
        x: (S,) coordinates as the search has them.
        figures: One column, at x.
        certificate: How it was found.
    """

    x: FloatArray
    figures: ColumnFigures
    certificate: Certificate

    @property
    def log_likelihood(self) -> float:
        """The log likelihood at x."""
        return float(self.figures.log_likelihood[0])


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
    optimum = _certified(likelihood, np.array([x]), gradient, hessian, len(found), agreeing, figures)
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
    optimum = _certified(scaled, top.x / top.unit, top.gradient, top.hessian, len(found), agreeing)
    certificate = optimum.certificate._replace(gradient=optimum.certificate.gradient / top.unit)
    bent = abs(top.beside - top.gradient) * np.minimum(_scale(top.hessian), 1e3)
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
        free = ~_at_ends(x, ends, gradient)
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


def _scale(hessian: FloatArray) -> FloatArray:
    """(S,) on which a gradient is large or small: standard errors, all else fixed."""
    return np.asarray(1 / np.sqrt(np.maximum(-np.diag(hessian), 1e-8)))


def _at_ends(x: FloatArray, ends: FloatArray, gradient: FloatArray) -> BoolArray:
    """(S,) whether a coordinate is at an end of its support, beyond which the likelihood rises."""
    room = _room(ends)
    return ((x <= ends[:, 0] + room) & (gradient <= 0)) | ((x >= ends[:, 1] - room) & (gradient >= 0))


def _room(ends: FloatArray) -> FloatArray:
    """(S,) how close to an end of its support a coordinate is at that end."""
    width = np.diff(ends, axis=1)[:, 0]
    return _AT_END * np.maximum(1, np.where(np.isfinite(width), width, 1))


def _fading(likelihood: Searched, x: FloatArray, height: float) -> tuple[BoolArray, FloatArray]:
    """(S,) whether a coordinate is a logarithm that may as well fall without end; where it is, x as high as is as good.

    A search stops anywhere on such a plateau, and this place does not hang on where.
    """
    found, raised = np.zeros(len(x), bool), x.copy()
    for place, each in enumerate(likelihood.coordinates):
        if not (each.log and likelihood.ends[place, 0] == -np.inf):
            continue
        shifts = np.concatenate([[-_REACH], np.arange(0.0, max(likelihood.start[place] - x[place], 0.0) + 1, 0.5)])
        points = np.repeat(raised[None], len(shifts), 0)
        points[:, place] = x[place] + shifts
        good = likelihood.at(points).log_likelihood > height - _AS_GOOD
        if good[0]:
            found[place] = True
            raised[place] = points[max(int(np.argmin(np.append(good, False))) - 1, 1), place]
    return found, raised


def _falls_as_it_bends(
    likelihood: Searched, x: FloatArray, free: BoolArray, hessian: FloatArray, height: float
) -> bool:
    """Whether a log likelihood falls at all where its flattest curvature says so: else that is rounding.

    Args:
        likelihood: Of S coordinates.
        x: (S,) its maximum.
        free: (S,) coordinates that are at no end, F of them.
        hessian: (F, F) there, negative definite.
        height: At x.
    """
    values, vectors = np.linalg.eigh(hessian)
    along = np.zeros(len(x))
    along[free] = vectors[:, -1]
    step = np.sqrt(2 * _FALL / -values[-1])
    sides = np.stack([x - step * along, x + step * along])
    inside = ((sides > likelihood.ends[:, 0]) & (sides < likelihood.ends[:, 1]))[:, free].all(1)
    fallen = height - likelihood.at(sides).log_likelihood
    return not bool((inside & (fallen < _ROUNDING * max(1.0, abs(height)))).any())


def _certified(
    likelihood: Searched,
    x: FloatArray,
    gradient: FloatArray,
    hessian: FloatArray,
    starts: int,
    agreeing: int,
    figures: ColumnFigures | None = None,
) -> Optimum:
    ends, names = likelihood.ends, [each.name for each in likelihood.coordinates]
    room = _room(ends)
    lower, upper = x <= ends[:, 0] + room, x >= ends[:, 1] - room
    there = np.where(lower, ends[:, 0], np.where(upper, ends[:, 1], x))
    if figures is None or not np.array_equal(x, there):
        figures = likelihood.at(there[None])
    x = there
    # A positive number that may be as small as one likes is at its end too.
    fading, raised = _fading(likelihood, x, float(figures.log_likelihood[0]))
    if fading.any():
        x, figures, lower = raised, likelihood.at(raised[None]), lower | fading
    free = ~(lower | upper)
    inner = hessian[np.ix_(free, free)]
    sound = bool(np.isfinite(inner).all())
    eigenvalues = np.asarray(np.linalg.eigvalsh(inner) if sound else np.full(int(free.sum()), np.nan), float)
    scale = _scale(hessian)
    flat = bool((abs(gradient[free]) * np.minimum(scale[free], 1e3) < _FLAT).all())
    inwards = bool((gradient[lower & ~fading] <= _FLAT).all() and (gradient[upper & ~free] >= -_FLAT).all())
    finite = bool(np.isfinite(figures.log_likelihood[0]))
    converged = finite and flat and inwards and bool((eigenvalues < 0).all())
    if converged and free.any():
        converged = _falls_as_it_bends(likelihood, x, free, inner, float(figures.log_likelihood[0]))
    certificate = Certificate(
        gradient,
        eigenvalues,
        starts,
        agreeing,
        tuple(name for name, on in zip(names, lower, strict=True) if on),
        tuple(name for name, on in zip(names, upper, strict=True) if on),
        converged,
    )
    return Optimum(x, figures, certificate)
