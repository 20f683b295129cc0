"""Pagel's lambda of every trait by maximum likelihood, its profile interval, and the test of no signal.

Lambda multiplies the covariances between tips and leaves their variances (Pagel 1999, Nature 401:877). Without errors
the mean and sigma2 are solved for; with known errors sigma2 is searched for at every lambda. The test compares lambda
with 0, an end of its range, where half of the chances are 0: p = P(chi2_1 > LR) / 2, and 1 where LR is 0 (Self and
Liang 1987, J. Am. Stat. Assoc. 82:605).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.signal.known_errors import best_rate
from hxcli.inference.column_search import Columns, falls_to, highest
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.merges import Merges, Pruned

# Closer together towards both ends, where the likelihood bends most.
_GRID = (1 - np.cos(np.pi * np.linspace(0, 1, 25))) / 2
# Log likelihoods that differ by less are the same.
_AGREE = 1e-9
# Columns handled at a time: few enough that a level's branches stay near the processor.
_COLUMNS = 256
_THREADS = 2


class Lambda(NamedTuple):
    """Of D traits, each (D,).

    Attributes:
        value: In [0, 1]; nan where the likelihood is the same for all.
        lower, upper: Ends of the profile interval; nan for one that is never reached.
        log_likelihood, log_likelihood_zero: At the value and at 0.
        p: Of the test.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    log_likelihood: FloatArray
    log_likelihood_zero: FloatArray
    p: FloatArray


def estimate_lambda(merges: Merges, values: FloatArray, noise: FloatArray | None, level: float) -> Lambda:
    """Lambda of every trait.

    Args:
        merges: Of n tips, none at no distance from another.
        values: (n, D).
        noise: (n, D) error variances, for traits that have any; None for none.
        level: Probability of the intervals.
    """
    starts = range(0, values.shape[1], _COLUMNS)

    def some(start: int) -> Lambda:
        columns = slice(start, start + _COLUMNS)
        part = np.ascontiguousarray(values[:, columns])
        if noise is None:
            return _estimate(*_without_errors(merges, part), part.shape[1], level)
        return _estimate(*_with_errors(merges, part, noise[:, columns]), part.shape[1], level)

    # numpy lets others run while it computes.
    with ThreadPoolExecutor(_THREADS) as threads:
        parts = list(threads.map(some, starts))
    return Lambda(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def _estimate(log_likelihood: Columns, on_grid: Callable[[float], FloatArray], columns: int, level: float) -> Lambda:
    from scipy.special import chdtrc, chdtri

    heights = np.array([on_grid(share) for share in _GRID])
    best = highest(log_likelihood, _GRID, heights)
    target = best.height - chdtri(1, 1 - level) / 2
    zero = heights[0]
    gain = best.height - zero
    ratio = 2 * np.where(gain > _AGREE, gain, 0)
    return Lambda(
        np.where(np.ptp(heights, 0) > _AGREE, best.x, np.nan),
        falls_to(log_likelihood, target, best.x, 0.0),
        falls_to(log_likelihood, target, best.x, 1.0),
        best.height,
        zero,
        np.where(ratio > 0, chdtrc(1, ratio) / 2, 1.0),
    )


def _without_errors(merges: Merges, values: FloatArray) -> tuple[Columns, Callable[[float], FloatArray]]:
    def at(pruned: Pruned) -> NDArray[Any]:
        # A tip on the root that has no error fixes the mean: one density fewer.
        free = pruned.variance != 0
        count = merges.count - 1 + free
        log_det = pruned.log_det + np.log(np.where(free, pruned.variance, 1))
        found: NDArray[Any] = -(count * (np.log(2 * np.pi * pruned.squares / count) + 1) + log_det) / 2
        return found

    def columns(share: NDArray[Any], which: NDArray[np.intp]) -> NDArray[Any]:
        return at(merges.prune(values[:, which], merges.lambda_lengths(share)))

    return columns, lambda share: at(merges.prune(values, merges.lambda_lengths(np.array([share]))))


def _with_errors(
    merges: Merges, values: FloatArray, noise: FloatArray
) -> tuple[Columns, Callable[[float], FloatArray]]:
    def columns(share: NDArray[Any], which: NDArray[np.intp]) -> NDArray[Any]:
        chosen, errors = values[:, which], noise[:, which]
        rate = best_rate(merges, chosen, errors, merges.lambda_lengths(share.real), restricted=False)
        # Where the rate is the best one, the slope does not depend on how it moves.
        variances = rate * merges.lambda_lengths(share)
        variances[: merges.count] += errors
        pruned = merges.prune(chosen, variances)
        free = pruned.variance != 0
        count = merges.count - 1 + free
        log_det = pruned.log_det + np.log(np.where(free, pruned.variance, 1))
        found: NDArray[Any] = -(count * np.log(2 * np.pi) + log_det + pruned.squares) / 2
        return found

    every = np.arange(values.shape[1])
    return columns, lambda share: columns(np.full(len(every), share), every)
