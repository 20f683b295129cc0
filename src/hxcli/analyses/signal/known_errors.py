"""Blomberg's K of traits with known observation errors (Ives, Midford and Garland 2007, Syst. Biol. 56:252).

The covariance is V = sigma2 C + M with the error variances M and sigma2 by restricted maximum likelihood; K is as
without errors, with V in the place of C. Permutations move a tip's value together with its error, simulations draw the
errors too, and every one of them has its sigma2 estimated anew: they are columns of one search.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.signal.draws import permutations, simulated_tips
from hxcli.analyses.signal.tested import Tested, number_reaching
from hxcli.inference.column_search import highest
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.merges import Merges

# Columns handled at a time.
_COLUMNS = 256
# Decades of sigma2 around that of the values without errors, and points a decade.
_BELOW, _ABOVE, _POINTS = 12, 1, 2


def best_rate(merges: Merges, values: FloatArray, noise: FloatArray, lengths: Any, *, restricted: bool) -> FloatArray:
    """(K,) sigma2 by restricted or plain maximum likelihood; 0 where the likelihood still rises at the lowest one.

    Args:
        merges: Of n tips.
        values, noise: (n, K) values and error variances.
        lengths: (2 n - 1, K) lengths of the branches, or (2 n - 1, 1).
        restricted: REML or ML.
    """
    columns, count = values.shape[1], merges.count
    alone = merges.prune(values, lengths.copy())
    usual = alone.squares / max(count - 1, 1)
    scale = np.where(usual > 0, usual, 1.0)
    lengths = np.broadcast_to(lengths, (len(lengths), columns))

    def height(log_rate: NDArray[Any], which: NDArray[np.intp]) -> NDArray[Any]:
        variances = (scale[which] * np.exp(log_rate))[None] * lengths[:, which]
        variances[:count] += noise[:, which]
        pruned = merges.prune(values[:, which], variances)
        # The restricted likelihood leaves out the density of the mean.
        width = 0 if restricted else np.log(np.where(pruned.variance == 0, 1, pruned.variance))
        found: NDArray[Any] = -(pruned.log_det + width + pruned.squares) / 2
        return found

    grid = np.log(10) * np.linspace(-_BELOW, _ABOVE, (_BELOW + _ABOVE) * _POINTS + 1)
    every = np.arange(columns)
    best = highest(height, grid, np.array([height(np.full(columns, x), every) for x in grid]))
    return np.where(best.x == grid[0], 0.0, scale * np.exp(best.x))


def k_with_errors(merges: Merges, values: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """K and the sigma2 it was found at, both (K,).

    Args:
        merges: Of n tips.
        values, noise: (n, K) values and error variances.
    """
    count = merges.count
    rate = best_rate(merges, values, noise, merges.lengths[:, None], restricted=True)
    variances = rate * merges.lengths[:, None]
    variances[:count] += noise
    pruned = merges.prune(values, variances)
    around = ((values - pruned.mean) ** 2).sum(0)
    trace = rate * merges.trace + noise.sum(0)
    expected = (trace - count * pruned.variance) / max(count - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return around / pruned.squares / expected, rate


def tested_k_with_errors(
    phylogeny: Phylogeny,
    merges: Merges,
    values: FloatArray,
    noise: FloatArray,
    ranks: NDArray[np.intp],
    draws: int,
    seed: int,
) -> Tested:
    """K of one trait and its p values.

    Args:
        phylogeny: N nodes.
        merges: Of its n observed tips, n >= 2.
        values, noise: (n, 1) values and error variances of the tips.
        ranks: (N,) from `name_ranks`.
        draws: Number of permutations, and of simulations.
        seed: Of both.
    """
    found, rate = k_with_errors(merges, values, noise)
    rng = np.random.default_rng([seed, merges.count])
    orders = permutations(rng, ranks[merges.tips], draws)
    reached, null = np.zeros(1, np.int64), [np.zeros(0)]
    for first in range(0, draws, _COLUMNS):
        chosen = orders[first : first + _COLUMNS].T
        permuted, _ = k_with_errors(merges, values[chosen, 0], noise[chosen, 0])
        reached += number_reaching(found, permuted[:, None])
        states = simulated_tips(rng, phylogeny, ranks, merges.tips, chosen.shape[1])
        errors = rng.standard_normal(states.shape)[np.argsort(np.argsort(ranks[merges.tips]))] * np.sqrt(noise)
        simulated, _ = k_with_errors(merges, states * np.sqrt(rate) + errors, np.broadcast_to(noise, states.shape))
        null.append(simulated)
    return Tested.counted(found, reached, np.concatenate(null), draws)
