"""Maximum likelihood of many simulated traits under one model at once, without a search of their own.

One coordinate: all traits are evaluated on one grid over its support, polynomials through neighbouring points say where
each has its maximum, and the grid is refined wherever polynomials of two degrees do not agree there. Several
coordinates: Newton's method for all traits side by side (Nocedal and Wright 2006, Numerical Optimization, chapter 3),
derivatives by differences, from the best of the points that are evaluated for all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.inference.simulated_traits import Figures, SimulatedLikelihood
from hxcli.phylogeny import FloatArray

# Points of the first grid; points of the polynomials; how often the grid is refined, into how many parts.
_GRID, _NEAR, _ROUNDS, _PARTS = 40, 8, 4, 4
# Log likelihoods that differ by less are the same.
_AGREE = 1e-5
# Points at which the maximum of a polynomial is looked for, how often again around the best, and last steps.
_FINE, _ZOOMS, _NEWTON = 33, 3, 4
# Of Newton's method: points along every coordinate, scattered points, steps, shares of a step that are tried, the
# longest step, the width of differences, the smallest curvature.
_ALONG, _SCATTER, _MOST_STEPS = 16, 64, 40
_SHARES = (1.0, 0.5, 0.1, 0.01)
_LONGEST_STEP, _WIDTH, _LEAST_CURVATURE = 3.0, 2e-3, 1e-6


class Maxima(NamedTuple):
    """Of B traits.

    Attributes:
        x: (B, S) coordinates as a search has them.
        figures: At x.
    """

    x: FloatArray
    figures: Figures


def maximise_each(traits: SimulatedLikelihood, known: FloatArray) -> Maxima:
    """The most likely parameters of every trait.

    Args:
        traits: B of them under one model.
        known: (M, S) points around which maxima may be.
    """
    count = len(traits.likelihood.coordinates)
    if count == 0:
        found = traits.shared(np.zeros((1, 0)))
        return Maxima(np.zeros((traits.count, 0)), Figures(*(each[0] for each in found)))
    if count == 1 and np.isfinite(traits.likelihood.ends).all():
        return _along_one(traits, known)
    return _among_several(traits, known)


def _along_one(traits: SimulatedLikelihood, known: FloatArray) -> Maxima:
    low, high = traits.likelihood.ends[0]
    grid = np.unique(np.concatenate([np.linspace(low, high, _GRID), np.clip(known[:, 0], low, high)]))
    figures = traits.shared(grid[:, None])
    for last in [*[False] * _ROUNDS, True]:
        found = _tops(grid, figures.log_likelihood)
        cells = np.unique(np.searchsorted(grid, found.x[~found.sure]))
        cells = np.clip(cells, 1, len(grid) - 1) - 1
        if last or not cells.size:
            break
        shares = np.arange(1, _PARTS) / _PARTS
        new = np.unique(grid[cells, None] + shares * np.diff(grid)[cells, None])
        more = traits.shared(new[:, None])
        order = np.argsort(np.concatenate([grid, new]))
        grid = np.concatenate([grid, new])[order]
        figures = Figures(*(np.concatenate(pair)[order] for pair in zip(figures, more, strict=True)))
    # The other figures by the same polynomials; where these are of no use, the best point itself.
    every, best = np.arange(traits.count), figures.log_likelihood.argmax(0)
    exact = Figures(*(each[best, every] for each in figures))
    near = (found.near, every[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.exp(_through(found.places, np.log(figures.rate[near]), found.at[:, None])[:, 0])
    rate = np.where(found.sure & np.isfinite(rate), rate, exact.rate)
    beta = exact.beta.copy()
    for unknown in range(beta.shape[1]):
        smooth = _through(found.places, figures.beta[..., unknown][near], found.at[:, None])[:, 0]
        beta[:, unknown] = np.where(found.sure, smooth, beta[:, unknown])
    height = np.where(found.sure, found.height, exact.log_likelihood)
    return Maxima(np.where(found.sure, found.x, grid[best])[:, None], Figures(height, rate, beta))


class _Tops(NamedTuple):
    """Maxima of polynomials around the highest of G points, of B traits.

    Attributes:
        x, height: (B,) place and height.
        at: (B,) the place among the points of the polynomial, whose places are between -1 and 1.
        near: (B, W) numbers of these points.
        places: (B, W) places of them.
        sure: (B,) whether polynomials of two degrees agree there.
    """

    x: FloatArray
    height: FloatArray
    at: FloatArray
    near: NDArray[np.intp]
    places: FloatArray
    sure: BoolArray


def _tops(grid: FloatArray, heights: FloatArray) -> _Tops:
    width, best = min(_NEAR, len(grid)), heights.argmax(0)
    first = np.clip(best - width // 2, 0, len(grid) - width)
    near = first[:, None] + np.arange(width)
    middle, half = ((grid[first + width - 1] + side * grid[first]) / 2 for side in (1, -1))
    places = (grid[near] - middle[:, None]) / half[:, None]
    values = heights[near, np.arange(heights.shape[1])[:, None]]
    left, right = (((grid[np.clip(best + side, 0, len(grid) - 1)] - middle) / half)[:, None] for side in (-1, 1))
    coefficients = _coefficients(places, values)
    fine = left + np.linspace(0, 1, _FINE) * (right - left)
    step = (right - left) / (_FINE - 1)
    for _ in range(_ZOOMS):
        curve = _horner(coefficients, fine)
        at = np.take_along_axis(fine, np.where(np.isfinite(curve), curve, -np.inf).argmax(1)[:, None], 1)
        fine = np.clip(at + step * np.linspace(-1, 1, 2 * _PARTS + 1), left, right)
        step = step / _PARTS
    at = _stationary(coefficients, at, left, right)
    height = _horner(coefficients, at)[:, 0]
    inner = slice(1, -1) if width > 3 else slice(None)
    fewer = _through(places[:, inner], values[:, inner], at)[:, 0]
    with np.errstate(invalid="ignore"):
        sure = (abs(height - fewer) <= _AGREE) & (height >= values.max(1))
    # The ends of the grid exactly.
    x = np.clip(middle + half * at[:, 0], grid[0], grid[-1])
    return _Tops(x, height, at[:, 0], near, places, sure)


def _stationary(coefficients: FloatArray, at: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """(B, 1) where slopes of polynomials vanish beside points that are close, by Newton's method; else these points."""
    powers = np.arange(1, coefficients.shape[1])
    first = coefficients[:, 1:] * powers
    second = first[:, 1:] * powers[:-1]
    found = at
    for _ in range(_NEWTON):
        with np.errstate(divide="ignore", invalid="ignore"):
            found = found - _horner(first, found) / _horner(second, found)
    near = (_horner(second, at) < 0) & (abs(found - at) < (right - left) / _FINE) & (found > left) & (found < right)
    return np.where(near, found, at)


def _through(places: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """(B, M) the polynomials through values at W places, (B, W) each, at M others, (B, M)."""
    return _horner(_coefficients(places, values), at)


def _coefficients(places: FloatArray, values: FloatArray) -> FloatArray:
    """(B, W) of the polynomials through values at W places, the constant first; nan where a value is not finite."""
    finite = np.isfinite(values).all(1, keepdims=True)
    powers = places[:, :, None] ** np.arange(places.shape[1])
    found = np.linalg.solve(powers, np.where(finite, values, 0)[:, :, None])[:, :, 0]
    return np.where(finite, found, np.nan)


def _horner(coefficients: FloatArray, at: FloatArray) -> FloatArray:
    found = np.zeros_like(at)
    for number in range(coefficients.shape[1] - 1, -1, -1):
        found = found * at + coefficients[:, number : number + 1]
    return found


def _among_several(traits: SimulatedLikelihood, known: FloatArray) -> Maxima:
    likelihood = traits.likelihood
    ends = likelihood.ends
    points = _scattered(traits, known)
    heights = traits.shared(points).log_likelihood
    x = points[heights.argmax(0)]
    height = heights.max(0)
    width = _WIDTH * np.minimum(1, np.where(np.isfinite(ends).all(1), ends[:, 1] - ends[:, 0], 1))
    going = np.flatnonzero(np.isfinite(height))
    for _ in range(_MOST_STEPS):
        if not going.size:
            break
        gradient, hessian = _derivatives(traits, going, x[going], width)
        steps = _steps(x[going], ends, gradient, hessian)
        steps = (np.array(_SHARES)[:, None, None] * steps[:, None]).reshape(len(going), -1, x.shape[1])
        tried = np.clip(x[going, None] + steps, *ends.T)
        found = traits.own(tried.reshape(-1, x.shape[1]), np.repeat(going, tried.shape[1])).log_likelihood
        found = found.reshape(len(going), -1)
        best = found.argmax(1)
        rows = np.arange(len(going))
        gained = found[rows, best] - height[going]
        better = gained > 0
        x[going[better]] = tried[rows, best][better]
        height[going[better]] += gained[better]
        going = going[gained > _AGREE / 1000]
    return Maxima(x, traits.own(x))


def _scattered(traits: SimulatedLikelihood, known: FloatArray) -> FloatArray:
    """Points that may be near some maximum: along every coordinate from those that are known, and all over."""
    from scipy.stats import qmc

    likelihood = traits.likelihood
    ends, start = likelihood.ends, likelihood.start
    low, high = (np.where(np.isfinite(end), end, start + side * 10) for end, side in zip(ends.T, (-1, 1), strict=True))
    scattered = low + qmc.Sobol(len(start), scramble=False).random(_SCATTER) * (high - low)
    centres = np.clip(np.concatenate([known, start[None]]), *ends.T)
    lines = []
    for centre in centres:
        for number in range(len(start)):
            line = np.repeat(centre[None], _ALONG, 0)
            line[:, number] = np.linspace(low[number], high[number], _ALONG)
            lines.append(line)
    return np.concatenate([centres, *lines, scattered])


def _derivatives(
    traits: SimulatedLikelihood, which: NDArray[np.intp], x: FloatArray, width: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gradient (M, S) and Hessian (M, S, S) by differences, around points that are far enough from the ends."""
    ends, count = traits.likelihood.ends, x.shape[1]
    centre = np.clip(x, ends[:, 0] + width, ends[:, 1] - width)
    unit = np.eye(count) * width
    pairs = [(i, j) for i in range(count) for j in range(i)]
    moves = [
        np.zeros(count),
        *unit,
        *-unit,
        *(unit[i] + unit[j] for i, j in pairs),
        *(-unit[i] - unit[j] for i, j in pairs),
    ]
    at = (centre[:, None] + np.array(moves)).reshape(-1, count)
    values = traits.own(at, np.repeat(which, len(moves))).log_likelihood.reshape(len(x), -1)
    middle, up, down = values[:, :1], values[:, 1 : 1 + count], values[:, 1 + count : 1 + 2 * count]
    both = values[:, 1 + 2 * count :]
    gradient = (up - down) / (2 * width)
    hessian = np.zeros((len(x), count, count))
    curvature = up + down - 2 * middle
    hessian[:, range(count), range(count)] = curvature / width**2
    for number, (i, j) in enumerate(pairs):
        mixed = both[:, number] + both[:, len(pairs) + number] - 2 * middle[:, 0] - curvature[:, i] - curvature[:, j]
        hessian[:, i, j] = hessian[:, j, i] = mixed / (2 * width[i] * width[j])
    return gradient + np.einsum("mij,mj->mi", hessian, x - centre), hessian


def _steps(x: FloatArray, ends: FloatArray, gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    """(M, 2, S) steps upwards: Newton's, and with the coordinates that would leave their support put at its end."""
    held: BoolArray = ((x <= ends[:, 0]) & (gradient <= 0)) | ((x >= ends[:, 1]) & (gradient >= 0))
    sound: BoolArray = np.isfinite(np.concatenate([gradient[:, None], hessian], 1)).all((1, 2))
    gradient = np.where(sound[:, None], gradient, 0)
    hessian = np.where(sound[:, None, None], hessian, 0)
    free = ~held & sound[:, None]
    plain = _newton(free, gradient, hessian)
    longest = abs(plain).max(1, initial=0.0, keepdims=True)
    plain = plain * np.minimum(1, _LONGEST_STEP / np.maximum(longest, 1e-300))
    leaves = (x + plain < ends[:, 0]) | (x + plain > ends[:, 1])
    moved = np.where(leaves, np.clip(x + plain, *ends.T) - x, 0)
    rest = _newton(free & ~leaves, gradient + np.einsum("mij,mj->mi", hessian, moved), hessian)
    longest = abs(rest).max(1, initial=0.0, keepdims=True)
    rest = rest * np.minimum(1, _LONGEST_STEP / np.maximum(longest, 1e-300))
    return np.stack([plain, np.where(leaves, moved, rest)], 1)


def _newton(free: BoolArray, gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    """(M, S) Newton's steps of the coordinates that are free, upwards whatever the curvature."""
    matrix = np.where(free[:, :, None] & free[:, None], hessian, 0)
    curvature, directions = np.linalg.eigh(matrix)
    along = np.einsum("mij,mi->mj", directions, np.where(free, gradient, 0))
    found: FloatArray = np.einsum("mij,mj->mi", directions, along / np.maximum(abs(curvature), _LEAST_CURVATURE))
    return found
