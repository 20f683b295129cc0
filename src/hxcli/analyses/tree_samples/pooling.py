"""Pooling: what all trees of a sample say together about each clade of the summary.

An estimate is the mean over the trees that have the clade; its variance is the mean of the variances on the trees plus
the variance of the estimates between them (the law of total variance, divisor m), its interval that of the mixture of
the trees' normal distributions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.inference.normal_mixture import standard_quantiles
from hxcli.phylogeny import FloatArray

# Numbers in one block of clades times trees: they stay in the processor's cache.
_BLOCK = 1 << 17
_FEWEST = 16


class Pooled(NamedTuple):
    """Each (n,): pooled figures of n clades; nan where no tree has the clade.

    Attributes:
        estimate, se: Mean, and root of the total variance.
        within, between: Roots of the two parts of the variance.
        lower, upper: Ends of the interval.
    """

    estimate: FloatArray
    se: FloatArray
    within: FloatArray
    between: FloatArray
    lower: FloatArray
    upper: FloatArray


def pool(estimates: FloatArray, errors: FloatArray, there: Any, level: float) -> Pooled:
    """Pools the states of n clades on T trees.

    Args:
        estimates, errors: (n, T) of every tree the estimate and its standard error.
        there: (n, T) which trees have the clade.
        level: Probability of the interval.
    """
    count = there.sum(1)
    some = np.maximum(count, 1)
    mean = np.where(there, estimates, 0.0).sum(1) / some
    between = np.sqrt(np.where(there, (estimates - mean[:, None]) ** 2, 0.0).sum(1) / some)
    within = np.sqrt(np.where(there, errors**2, 0.0).sum(1) / some)
    se = np.hypot(within, between)
    lower, upper = mixture_ends(np.where(there, estimates, mean[:, None]), errors, there, mean, se, level)
    empty = count == 0
    return Pooled(*(np.where(empty, np.nan, figure) for figure in (mean, se, within, between, lower, upper)))


def mixture_ends(
    means: FloatArray, errors: FloatArray, there: Any, centre: FloatArray, unit: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """(n,) both ends of the equal-tailed intervals of n mixtures with equal weights; points where all is known."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    room = max(_FEWEST, 1 << (means.shape[1] - 1).bit_length())
    rows = max(1, _BLOCK // room)
    # Differences that are rounding alone are none.
    spread = np.isfinite(unit) & (unit > 1e-13 * np.abs(centre))
    ends = np.repeat(np.where(np.isfinite(unit), centre, np.nan)[:, None], 2, 1)
    chosen = np.flatnonzero(spread)
    for first in range(0, len(chosen), rows):
        some = chosen[first : first + rows]
        scale = unit[some, None]
        padded = [np.zeros((rows, room)) for _ in range(3)]
        padded[1] += 1.0
        padded[2][:, 0] = 1.0
        here = (slice(0, len(some)), slice(0, means.shape[1]))
        padded[0][here] = (means[some] - centre[some, None]) / scale
        padded[1][here] = np.where(there[some], errors[some] / scale, 1.0)
        padded[2][here] = there[some] / there[some].sum(1)[:, None]
        found = np.asarray(_quantiles(*padded, tails), np.float64)[: len(some)]
        ends[some] = centre[some, None] + scale * found
    return ends[:, 0], ends[:, 1]


@program()
def _quantiles(means: Any, errors: Any, weights: Any, tails: Any) -> Any:
    return standard_quantiles(means, errors, weights, jnp.asarray(tails))


def sample_ends(values: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """(n,) both ends of the equal-tailed intervals of n samples; nan entries are left out."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    ends = np.full((2, len(values)), np.nan)
    some = ~np.isnan(values).all(1)
    if some.any():
        # Between two infinite values nothing is interpolated.
        with np.errstate(invalid="ignore"):
            ends[:, some] = np.nanquantile(values[some], tails, axis=1)
    return ends[0], ends[1]
