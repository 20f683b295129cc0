"""Chance: random orders of the tips, and Brownian motion on the tree, neither dependent on how the tree is written."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray, Phylogeny, fold_below


def name_ranks(phylogeny: Phylogeny) -> NDArray[np.intp]:
    """(N,) a number for every node that depends on its clade: the tips by name, a clade by its first name and size."""
    size, tips = phylogeny.topology.size, phylogeny.tips
    first = np.full(size, size, np.int64)
    first[tips[np.argsort(np.asarray(list(phylogeny.tip_names), dtype=object), kind="stable")]] = np.arange(len(tips))
    first = fold_below(phylogeny.topology, first, "min")
    ranks = np.empty(size, np.intp)
    ranks[np.lexsort((phylogeny.topology.node_depths, -phylogeny.tip_counts, first))] = np.arange(size)
    return ranks


def permutations(rng: np.random.Generator, ranks: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """(count, n) random orders of n tips: the place whose value every tip takes.

    Args:
        rng: Takes as many numbers from it as there are tips and orders.
        ranks: (n,) of the tips, from `name_ranks`.
        count: How many.
    """
    by_rank = np.argsort(ranks)
    own = np.argsort(by_rank)
    drawn = rng.permuted(np.tile(np.arange(len(ranks), dtype=np.int32), (count, 1)), axis=1)
    orders: NDArray[np.intp] = by_rank[drawn[:, own]]
    return orders


def simulated_tips(
    rng: np.random.Generator, phylogeny: Phylogeny, ranks: NDArray[np.intp], tips: NDArray[np.intp], count: int
) -> FloatArray:
    """(n, count) values of some tips under Brownian motion from 0 at unit rate.

    Args:
        rng: Takes N numbers for every simulation.
        phylogeny: N nodes.
        ranks: (N,) from `name_ranks`.
        tips: (n,) nodes.
        count: How many.
    """
    topology = phylogeny.topology
    states = rng.standard_normal((topology.size, count))[ranks] * np.sqrt(phylogeny.lengths)[:, None]
    for first, last in list(pairwise(topology.level_starts.tolist()))[1:]:
        states[first:last] += states[topology.parents[first:last]]
    return states[tips]
