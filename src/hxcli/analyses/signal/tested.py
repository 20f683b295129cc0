"""K of some traits with its p values, from counts of what chance reaches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray

# Equal up to rounding: an arrangement that gives the same K counts as reaching it.
_SAME = 1e-9


class Tested(NamedTuple):
    """K of D traits, each (D,); nan for a trait that does not vary.

    Attributes:
        k: The statistic.
        permuted: p of no signal: share of the permutations with a K at least as large, the observed one among them.
        one: p of K = 1, likewise by simulation, two-sided in |log K|.
    """

    k: FloatArray
    permuted: FloatArray
    one: FloatArray

    @classmethod
    def counted(cls, k: FloatArray, reached: NDArray[np.int64], null: FloatArray, draws: int) -> Tested:
        """From the number of permutations that reach K and the K that Brownian motion gave.

        p = (b + 1) / (m + 1), which is never 0 (Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39).

        Args:
            k: (D,).
            reached: (D,).
            null: (m,) K of simulations, or (m, D).
            draws: m.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            away, chance = np.abs(np.log(k)), np.abs(np.log(null))
        if null.ndim == 1:
            farther = draws - np.searchsorted(np.sort(chance), away - _SAME)
        else:
            farther = (chance >= away - _SAME).sum(0)
        known = ~np.isnan(k)
        shares = (np.where(known, (number + 1) / (draws + 1), np.nan) for number in (reached, farther))
        return cls(k, *shares)


def number_reaching(k: FloatArray, chance: FloatArray) -> NDArray[np.int64]:
    """(D,) how many of (G, D) draws are at least as large as (D,)."""
    number: NDArray[np.int64] = (chance >= k * (1 - _SAME)).sum(0)
    return number
