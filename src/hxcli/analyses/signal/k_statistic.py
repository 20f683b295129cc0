"""Blomberg's K of traits without observation errors, and its p values by permutation and by simulation.

With the generalised least squares mean a, and C the shared path lengths of the n tips with a value,

    K = [(x - a)'(x - a) / (x - a)' C^-1 (x - a)] / [(tr C - n / (1' C^-1 1)) / (n - 1)]

(Blomberg, Garland and Ives 2003, Evolution 57:717): 1 is what Brownian motion is expected to give, 0 is no signal.
Traits with values at the same tips share their permutations and simulations.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.signal.draws import permutations, simulated_tips
from hxcli.analyses.signal.tested import Tested, number_reaching
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.contrast_matrices import ContrastMatrices

# Columns handled at a time: few enough that a block's rows stay near the processor.
_COLUMNS = 512
_THREADS = 2
# Far more than single precision is off, relative to K.
_OPEN = 1e-3


class Statistic:
    """K as a function of values at the same n tips."""

    def __init__(self, contrasts: ContrastMatrices) -> None:
        self._contrasts = contrasts
        self._count = len(contrasts.tips)
        expected = contrasts.trace - self._count * contrasts.root_variance
        self._expected = expected / max(self._count - 1, 1)

    def __call__(self, values: NDArray[Any], order: NDArray[np.intp] | None = None) -> NDArray[Any]:
        """(K,) of (n, K) values, or (G, K) for G orders of their rows (n, G); the columns have a mean of 0."""
        mean, squares = self._contrasts.apply(values, order)
        around = np.einsum("ij,ij->j", values, values) + self._count * mean**2
        with np.errstate(divide="ignore", invalid="ignore"):
            return around / squares / self._expected


def tested_k(
    phylogeny: Phylogeny,
    contrasts: ContrastMatrices,
    values: FloatArray,
    ranks: NDArray[np.intp],
    draws: int,
    seed: int,
) -> Tested:
    """K of every trait and its p values.

    Args:
        phylogeny: N nodes.
        contrasts: Of its n observed tips, n >= 2.
        values: (n, D) of the tips, in the order of `contrasts.tips`.
        ranks: (N,) order of the nodes by name, so that the draws do not depend on how the tree is written.
        draws: Number of permutations, and of simulations.
        seed: Of both.
    """
    count, traits = values.shape
    statistic = Statistic(contrasts)
    varies = np.ptp(values, 0) > 0
    centred = values - values.mean(0)
    centred /= np.where(varies, centred.std(0), 1)
    found = np.where(varies, statistic(centred), np.nan)
    rng = np.random.default_rng([seed, count])
    orders = permutations(rng, ranks[contrasts.tips], draws)
    width = max(1, min(traits, _COLUMNS))
    depth = _COLUMNS // width
    # In single precision first, and again where that leaves open which is the larger: twice as fast.
    rough = Statistic(contrasts.single())
    # Rows of values in one piece, because they are what is permuted.
    parts = [np.ascontiguousarray(centred[:, start : start + width], np.float32) for start in range(0, traits, width)]
    reached = [np.zeros(part.shape[1], np.int64) for part in parts]

    def count_some(job: tuple[int, int]) -> tuple[int, NDArray[np.int64]]:
        part, first = job
        some, chosen = slice(part * width, (part + 1) * width), orders[first : first + depth]
        permuted = rough(parts[part], np.ascontiguousarray(chosen.T)).astype(float)
        which, trait = np.nonzero(np.abs(permuted - found[some]) < _OPEN * found[some])
        if len(which):
            permuted[which, trait] = statistic(centred[chosen[which].T, trait + some.start])
        return part, number_reaching(found[some], permuted)

    # numpy lets others run while it multiplies.
    with ThreadPoolExecutor(_THREADS) as threads:
        for part, number in threads.map(count_some, product(range(len(parts)), range(0, draws, depth))):
            reached[part] += number
    null = [np.zeros(0)]
    for first in range(0, draws, _COLUMNS):
        tips = simulated_tips(rng, phylogeny, ranks, contrasts.tips, min(_COLUMNS, draws - first))
        null.append(statistic(tips - tips.mean(0)))
    return Tested.counted(found, np.concatenate(reached), np.concatenate(null), draws)
