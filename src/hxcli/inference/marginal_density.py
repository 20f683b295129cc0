"""One-dimensional densities known at evenly spaced points: quantiles, and rules with few points.

A density that is resolved by its points is band-limited in practice, so that the interpolation by sinc functions
is as accurate as the sum over the points is as an integral (Stenger 1981, SIAM Review 23:165).
"""

from __future__ import annotations

import numpy as np

from hxcli.phylogeny import FloatArray

# New points for every given one.
_FINER = 4
_NEAREST = 10


class Marginals:
    """Densities over one line, M of them, each at the same J points.

    Args:
        points: (J,) evenly spaced.
        densities: (M, J) not below 0, of any total.
    """

    def __init__(self, points: FloatArray, densities: FloatArray) -> None:
        step = (points[-1] - points[0]) / (len(points) - 1)
        # Every second of the finer points is the middle of an interval, for Simpson's rule.
        self._points = np.linspace(points[0], points[-1], 2 * _FINER * (len(points) - 1) + 1)
        between = np.sinc((self._points[None] - points[:, None]) / step)
        values = np.maximum(densities @ between, 0)
        width = 2 * (self._points[1] - self._points[0])
        parts = width / 6 * (values[:, :-2:2] + 4 * values[:, 1:-1:2] + values[:, 2::2])
        total = parts.sum(1, keepdims=True)
        self._width, self._points = width, self._points[::2]
        self._densities = values[:, ::2] / total
        below = np.concatenate([np.zeros((len(values), 1)), np.cumsum(parts / total, 1)], 1)
        self._below = below / below[:, -1:]

    def quantiles(self, probabilities: FloatArray) -> FloatArray:
        """(M, P) quantiles at (M, P) probabilities between 0 and 1."""
        last = len(self._points) - 2
        place = np.stack([np.searchsorted(b, p, "right") - 1 for b, p in zip(self._below, probabilities, strict=True)])
        place = np.clip(place, 0, last)
        low, high = (np.take_along_axis(self._below, place + i, 1) for i in (0, 1))
        left, right = (np.take_along_axis(self._densities, place + i, 1) * self._width for i in (0, 1))
        rise = high - low
        # Hermite's cubic through both ends and slopes, solved by bisection: it is monotone where it matters.
        lower, upper = np.zeros(place.shape), np.ones(place.shape)
        for _ in range(45):
            t = (lower + upper) / 2
            cubic = t * (left + t * (3 * rise - 2 * left - right + t * (left + right - 2 * rise)))
            under = low + cubic < probabilities
            lower, upper = np.where(under, t, lower), np.where(under, upper, t)
        return self._points[place] + (lower + upper) / 2 * self._width


def interpolated(points: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """(M, L) the (J, L) values at J evenly spaced points, between them at M places; not below 0."""
    if len(points) == 1:
        return np.repeat(values, len(at), 0)
    step = (points[-1] - points[0]) / (len(points) - 1)
    return np.maximum(np.sinc((at[:, None] - points[None]) / step) @ values, 0)


def between_points(points: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """(M,) a smooth function between J evenly spaced points, by the polynomials through the ten nearest ones."""
    count = min(_NEAREST, len(points))
    step = (points[-1] - points[0]) / (len(points) - 1)
    place = (at - points[0]) / step
    first = np.clip(np.ceil(place).astype(int) - count // 2, 0, len(points) - count)
    # Lagrange's form; where a place is a point itself, all other factors have a zero in them.
    distance = place[:, None] - (first[:, None] + np.arange(count))
    total = np.zeros(len(at))
    for i in range(count):
        others = np.delete(np.arange(count), i)
        total += values[first + i] * (distance[:, others] / (i - others)).prod(1)
    return total


def gauss_rules(points: FloatArray, weights: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Points and weights, both (M, order), that stand for M distributions over J points.

    They integrate polynomials up to degree 2 * order - 1 exactly (Golub and Welsch 1969, Math. Comp. 23:221).

    Args:
        points: (J,) the same for all.
        weights: (M, J) not below 0, no row all 0.
        order: Number of new points; points in excess of the given ones get weight 0.
    """
    middle, reach = (points[0] + points[-1]) / 2, max((points[-1] - points[0]) / 2, 1e-300)
    x = (points - middle) / reach
    vectors = [np.sqrt(weights / weights.sum(1, keepdims=True))]
    tridiagonal = np.zeros((len(weights), order, order))
    for i in range(order):
        tridiagonal[:, i, i] = (vectors[i] ** 2 * x).sum(1)
        if i + 1 == order:
            break
        rest = vectors[i] * x
        # Against all before and twice, because Lanczos' recursion alone loses orthogonality.
        for _ in range(2):
            for vector in vectors:
                rest = rest - (rest * vector).sum(1, keepdims=True) * vector
        length = np.sqrt((rest**2).sum(1))
        length = np.where(length > 1e-12, length, 0)
        tridiagonal[:, i, i + 1] = tridiagonal[:, i + 1, i] = length
        vectors.append(rest / np.where(length > 0, length, np.inf)[:, None])
    places, directions = np.linalg.eigh(tridiagonal)
    return middle + reach * places, directions[:, 0] ** 2
