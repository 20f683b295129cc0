"""A certificate of an optimum: where it lies, and whether it is a maximum that can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.inference.searched import Searched
from hxcli.phylogeny import FloatArray

# Log likelihoods that differ by less are the same.
AGREE = 1e-6
# The same of one place and another close to it; and a logarithm so far below is that of next to nothing.
_AS_GOOD, _FAR = 1e-8, 10.0
# A coordinate as close to an end of its support, as a share of it, is at that end.
_AT_END = 1e-9
# Largest gradient at an optimum, in log units per standard error.
_FLAT = 1e-3
# Where a parabola has fallen so far, a likelihood has fallen by more than rounding, as a share of itself.
_FALL, _ROUNDING = 2.0, 1e-8


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


def scale_of(hessian: FloatArray) -> FloatArray:
    """(S,) on which a gradient is large or small: standard errors, all else fixed."""
    return np.asarray(1 / np.sqrt(np.maximum(-np.diag(hessian), 1e-8)))


def at_ends(x: FloatArray, ends: FloatArray, gradient: FloatArray) -> BoolArray:
    """(S,) whether a coordinate is at an end of its support, beyond which the likelihood rises."""
    room = room_at(ends)
    return ((x <= ends[:, 0] + room) & (gradient <= 0)) | ((x >= ends[:, 1] - room) & (gradient >= 0))


def room_at(ends: FloatArray) -> FloatArray:
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
        shifts = np.concatenate([[-_FAR], np.arange(0.0, max(likelihood.start[place] - x[place], 0.0) + 1, 0.5)])
        points = np.repeat(raised[None], len(shifts), 0)
        points[:, place] = x[place] + shifts
        good = likelihood.at(points).log_likelihood > height - _AS_GOOD
        if good[0]:
            found[place] = True
            raised[place] = points[max(int(np.argmin(np.append(good, False))) - 1, 1), place]
    return found, raised


def falls_as_it_bends(
    heights: Callable[[FloatArray], FloatArray],
    ends: FloatArray,
    x: FloatArray,
    free: BoolArray,
    hessian: FloatArray,
    height: float,
) -> bool:
    """Whether a log likelihood falls at all where its flattest curvature says so: else that is rounding.

    Args:
        heights: From K points of the search, (K, S), to log likelihoods, (K,).
        ends: (S, 2) of the supports.
        x: (S,) the maximum.
        free: (S,) coordinates that are at no end, F of them.
        hessian: (F, F) there, negative definite.
        height: At x.
    """
    if not free.any():
        return True
    values, vectors = np.linalg.eigh(hessian)
    along = np.zeros(len(x))
    along[free] = vectors[:, -1]
    step = np.sqrt(2 * _FALL / -values[-1])
    sides = np.stack([x - step * along, x + step * along])
    inside = ((sides > ends[:, 0]) & (sides < ends[:, 1]))[:, free].all(1)
    fallen = height - np.asarray(heights(sides), float)
    return not bool((inside & (fallen < _ROUNDING * max(1.0, abs(height)))).any())


def certified(
    likelihood: Searched,
    x: FloatArray,
    gradient: FloatArray,
    hessian: FloatArray,
    starts: int,
    agreeing: int,
    figures: ColumnFigures | None = None,
) -> Optimum:
    """The optimum that a search has come to, at the ends of supports exactly, with its certificate.

    Args:
        likelihood: Of S coordinates.
        x: (S,) where it ended.
        gradient, hessian: (S,) and (S, S) there.
        starts, agreeing: See `Certificate`.
        figures: One column, at x; None where they are not known.
    """
    ends, names = likelihood.ends, [each.name for each in likelihood.coordinates]
    room = room_at(ends)
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
    scale = scale_of(hessian)
    flat = bool((abs(gradient[free]) * np.minimum(scale[free], 1e3) < _FLAT).all())
    inwards = bool((gradient[lower & ~fading] <= _FLAT).all() and (gradient[upper & ~free] >= -_FLAT).all())
    finite = bool(np.isfinite(figures.log_likelihood[0]))
    converged = finite and flat and inwards and bool((eigenvalues < 0).all())
    if converged:
        height = float(figures.log_likelihood[0])
        converged = falls_as_it_bends(lambda at: likelihood.at(at).log_likelihood, ends, x, free, inner, height)
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
