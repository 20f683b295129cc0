"""The posterior density of rate and observation variance over a plane of two coordinates, from up sweeps.

Without known standard errors the sweep needs only the share of noise: with variances multiplied by S, messages
scale (quadratic forms by 1 / S, determinants by S). So one column a share serves every scale. With known standard
errors every pair of a rate and an observation variance is a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hxcli.inference.priors import Coordinate, Prior
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.parameter_columns import SeenTree, root_messages

_LOG_2PI = float(np.log(2 * np.pi))
# Mean squared contrasts below this, in units of the trait's range, are rounding.
_NO_SPREAD = 1e-24
# Priors of this width and less are axes of the plane themselves. (A lognormal with s has the width 4 s.)
_NARROW = 1.0

RootPrior = tuple[float, float] | None
Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of one trait, in the unit of computation.

    Attributes:
        seen: The tree with the observations.
        sigma2, tau2: A prior each, or a given value.
        root: Mean and variance of the root's normal prior (variance 0: the state is given); None for a flat one.
    """

    seen: SeenTree
    sigma2: Prior | float
    tau2: Prior | float
    root: RootPrior


class Cells(NamedTuple):
    """The plane at the crossings of K and L coordinates.

    Attributes:
        heights: (K, L) log of observations' density times the priors', per unit of both coordinates.
        log_sigma2, log_tau2: (K, L).
        log_scale: (K, L) what the variances of the cell's column are multiplied by.
        column: (K, L) number of the cell's column.
        sigma2, tau2: (C,) of the columns.
        root: (C,) what the observations say about the root.
    """

    heights: FloatArray
    log_sigma2: FloatArray
    log_tau2: FloatArray
    log_scale: FloatArray
    column: Any
    sigma2: FloatArray
    tau2: FloatArray
    root: dict[str, FloatArray]


class Columns(NamedTuple):
    """Pairs of parameters to sweep at.

    Attributes:
        sigma2, tau2: (C,).
        column: (K, L) which of them a point of the plane needs.
    """

    sigma2: FloatArray
    tau2: FloatArray
    column: Any


class SharedScale:
    """First coordinate: log of noise over rate. Second: log of the scale of both, from where the data want it."""

    def __init__(self, question: Question) -> None:
        if not isinstance(question.sigma2, Prior):
            raise TypeError("a given rate needs no scale")
        self._question = question
        self._sigma2, self._tau2 = question.sigma2, question.tau2
        (low, high), noise = self._sigma2.start(), (0.0, 0.0)
        if isinstance(self._tau2, Prior):
            below, above = self._tau2.start()
            noise = (below - high, above - low)
        self.starts: tuple[Range, Range] = (noise, (-3.0, 3.0))

    def cells(self, noise: FloatArray, scale: FloatArray) -> Cells:
        """The plane at the crossings of K and L coordinates, by K columns."""
        cells = self.laid_out(noise, root_messages(self._question.seen, *self._pairs(noise)))
        return self.at_scale(cells, _centre(cells.root)[:, None] + scale)

    def laid_out(self, noise: FloatArray, root: dict[str, FloatArray]) -> Cells:
        """K columns of which the sweeps are done, at no scale yet."""
        none = np.empty((len(noise), 0))
        return Cells(none, none, none, none, _rows(none), *self._pairs(noise), root)

    def at_scale(self, cells: Cells, log_scale: FloatArray) -> Cells:
        """The same columns at other scales, (K, J): no sweep is needed."""
        with np.errstate(divide="ignore"):
            log_sigma2 = log_scale + np.log(cells.sigma2)[:, None]
            log_tau2 = log_scale + np.log(cells.tau2)[:, None]
        root = {name: value[:, None] for name, value in cells.root.items()}
        heights = log_marginal(root, log_scale, self._question.root) + self._sigma2.log_density(log_sigma2)
        if isinstance(self._tau2, Prior):
            heights = heights + self._tau2.log_density(log_tau2)
        column = _rows(log_scale)
        return cells._replace(
            heights=heights, log_sigma2=log_sigma2, log_tau2=log_tau2, log_scale=log_scale, column=column
        )

    def columns(self, noise: FloatArray, scale: FloatArray) -> Columns:
        """What has to be swept for the points (noise (K,), scale (K, L))."""
        return Columns(*self._pairs(noise), _rows(scale))

    def log_scale(self, root: dict[str, FloatArray], scale: FloatArray) -> FloatArray:
        """(K, L) log of what the variances of the columns are multiplied by, given what was seen at them."""
        return _centre(root)[:, None] + scale

    def _pairs(self, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
        if not isinstance(self._tau2, Prior):
            return np.ones_like(noise), np.zeros_like(noise)
        return np.exp(-np.logaddexp(0, noise)), np.exp(-np.logaddexp(0, -noise))


class SeparateScales:
    """The coordinates of both priors; one coordinate, 0, where a value is given."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.starts: tuple[Range, Range] = (_start(question.sigma2), _start(question.tau2))

    def cells(self, first: FloatArray, second: FloatArray) -> Cells:
        """The plane at the crossings of K and L coordinates, by K * L columns."""
        rate, noise = _coordinate(self._question.sigma2, first), _coordinate(self._question.tau2, second)
        shape = (len(first), len(second))
        log_sigma2 = np.broadcast_to(rate.log_value[:, None], shape)
        log_tau2 = np.broadcast_to(noise.log_value[None], shape)
        sigma2, tau2 = np.exp(log_sigma2).ravel(), np.exp(log_tau2).ravel()
        root = root_messages(self._question.seen, sigma2, tau2)
        heights = log_marginal(root, np.zeros(sigma2.shape), self._question.root).reshape(shape)
        heights = heights + _log_prior(self._question.sigma2, rate)[:, None]
        heights = heights + _log_prior(self._question.tau2, noise)[None]
        column = np.arange(sigma2.size).reshape(shape)
        return Cells(heights, log_sigma2, log_tau2, np.zeros(shape), column, sigma2, tau2, root)

    def columns(self, first: FloatArray, second: FloatArray) -> Columns:
        """What has to be swept for the points (first (K,), second (K, L))."""
        log_sigma2 = _coordinate(self._question.sigma2, np.repeat(first, second.shape[1])).log_value
        log_tau2 = _coordinate(self._question.tau2, second.ravel()).log_value
        return Columns(np.exp(log_sigma2), np.exp(log_tau2), np.arange(second.size).reshape(second.shape))

    def log_scale(self, root: dict[str, FloatArray], second: FloatArray) -> FloatArray:
        """(K, L) zeros: the columns have the variances themselves."""
        return np.zeros_like(second)


Plane = SharedScale | SeparateScales


def plane_of(question: Question) -> Plane:
    """The plane that needs the fewest sweeps and that its points resolve."""
    noise = question.tau2 == 0 if not isinstance(question.tau2, Prior) else _wide(question.tau2)
    # Priors of the means do not grow with the variances.
    free = question.seen.means is None or not question.seen.means[1].any()
    shared = _wide(question.sigma2) and noise and question.seen.exact and free
    return SharedScale(question) if shared else SeparateScales(question)


def _wide(parameter: Prior | float) -> bool:
    """Whether the prior is unbounded, and so wide that it is no thin ridge across ratio and scale."""
    return isinstance(parameter, Prior) and not parameter.bounded and parameter.width > _NARROW


def log_marginal(root: dict[str, Any], log_scale: Any, prior: RootPrior, xp: Any = np) -> Any:
    """Log density of the observations, integrated over the root.

    Args:
        root: What the observations say about the root: the fields of `gaussian.LIKELIHOOD`.
        log_scale: Log of what all variances are multiplied by.
        prior: Of the root; with a flat one the density is that of the contrasts.
        xp: numpy, or jax.numpy while tracing.
    """
    count, known, precision = root["count"], root["known"] > 0, root["precision"]
    soft = ~known & (precision > 0)
    quadratic = root["quadratic"] * xp.exp(-log_scale)
    base = -(count * (_LOG_2PI + log_scale) + root["log_det"] + quadratic) / 2
    log_variance = log_scale - xp.log(xp.where(soft, precision, 1))
    base = base + xp.where(soft, (_LOG_2PI + log_variance) / 2, 0)
    if prior is None:
        return base
    # A given root that an error-free observation contradicts has density 0, which the caller refuses.
    variance = xp.where(soft, xp.exp(log_variance), 0) + prior[1]
    safe = xp.where(variance > 0, variance, 1)
    with np.errstate(over="ignore"):
        away = -(_LOG_2PI + xp.log(safe) + (root["mean"] - prior[0]) ** 2 / safe) / 2
    return base + xp.where(soft | known, away, 0)


def root_posterior(root: dict[str, Any], log_scale: Any, prior: RootPrior, xp: Any = np) -> tuple[Any, Any]:
    """Mean and variance of the root given the observations; arguments as those of `log_marginal`."""
    known, precision = root["known"] > 0, root["precision"] * xp.exp(-log_scale)
    if prior is None:
        return root["mean"] + 0 * precision, xp.where(known, 0, 1 / xp.where(precision > 0, precision, 1))
    pull = xp.where(known, 0, 1 / (1 + precision * prior[1]))
    return pull * prior[0] + (1 - pull) * root["mean"], pull * prior[1]


def _centre(root: dict[str, FloatArray]) -> FloatArray:
    """(C,) log of the scale that the observations want, as far as the root says."""
    spread = root["quadratic"] / np.maximum(root["count"], 1)
    return np.where(spread > _NO_SPREAD, np.log(np.maximum(spread, _NO_SPREAD)), 0.0)


def _rows(points: FloatArray) -> Any:
    """(K, L) the number of the row."""
    return np.broadcast_to(np.arange(len(points))[:, None], points.shape)


def _start(parameter: Prior | float) -> Range:
    return parameter.start() if isinstance(parameter, Prior) else (0.0, 0.0)


def _coordinate(parameter: Prior | float, w: FloatArray) -> Coordinate:
    if isinstance(parameter, Prior):
        return parameter.coordinate(w)
    with np.errstate(divide="ignore"):
        return Coordinate(np.full_like(w, np.log(parameter)), 0 * w)


def _log_prior(parameter: Prior | float, at: Coordinate) -> FloatArray:
    return parameter.log_density(at.log_value) + at.log_slope if isinstance(parameter, Prior) else at.log_slope
