"""Figures of densities on a grid: mean, standard error, central interval, number of modes. Host arrays only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray

# A dip between two modes is one if the density falls to this share of the lower one of them.
_DIP = 0.95
# Halvings of a cell that find a quantile in it.
_HALVINGS = 44
# Places at which a shortest interval is looked for, and how often the way between two of them is halved.
_PLACES, _LOOKS = 33, 20


class DensityFigures(NamedTuple):
    """What N densities say.

    Attributes:
        estimate, standard_error: (N,) mean and standard deviation.
        lower, upper: (N,) ends of the central interval.
        modes: (N,) number of modes.
    """

    estimate: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    modes: NDArray[np.int64]

    def at(self, nodes: Any) -> DensityFigures:
        """The figures of the nodes with these numbers."""
        ends = self.lower[nodes], self.upper[nodes]
        return DensityFigures(self.estimate[nodes], self.standard_error[nodes], *ends, self.modes[nodes])


def density_figures(chances: FloatArray, states: FloatArray, walls: FloatArray, level: float) -> DensityFigures:
    """Figures of N densities.

    Args:
        chances: (N, k) chance of every cell; rows sum to 1.
        states: (k,) middles of the cells.
        walls: (k + 1,) states between the cells.
        level: Probability of the interval.
    """
    estimate = chances @ states
    spread = np.einsum("nk,nk->n", chances, (states[None] - estimate[:, None]) ** 2)
    tails = ((1 - level) / 2, (1 + level) / 2)
    lower, upper = (_quantiles(chances, walls, np.full(len(chances), share)) for share in tails)
    modes = np.array([_modes(row) for row in chances / np.diff(walls)], np.int64)
    return DensityFigures(estimate, np.sqrt(spread), lower, upper, modes)


def extrapolated_figures(fine: DensityFigures, coarse: DensityFigures, walls: FloatArray) -> DensityFigures:
    """Figures at cells of no width, from those on a grid and on one of half as many cells (Richardson 1911).

    Args:
        fine, coarse: Of the same densities.
        walls: (k + 1,) states between the cells of a grid, between which ends of intervals lie.
    """

    def limit(name: str) -> FloatArray:
        return (4 * np.asarray(getattr(fine, name)) - np.asarray(getattr(coarse, name))) / 3

    estimate = np.clip(limit("estimate"), walls[0], walls[-1])
    lower, upper = (np.clip(limit(name), walls[0], walls[-1]) for name in ("lower", "upper"))
    # A density of one cell has an interval narrower than it.
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    return DensityFigures(estimate, np.maximum(limit("standard_error"), 0.0), lower, upper, fine.modes)


def shortest_intervals(chances: FloatArray, walls: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Both (N,): ends of the shortest interval with a probability, that of highest density where that is one interval.

    Args:
        chances: (N, k) chance of every cell; rows sum to 1.
        walls: (k + 1,) states between the cells.
        level: Probability of the intervals.
    """
    rows, most = np.arange(len(chances)), 1 - level
    density, middles = chances / np.diff(walls), (walls[1:] + walls[:-1]) / 2

    def ends(share: FloatArray) -> tuple[FloatArray, FloatArray]:
        return _quantiles(chances, walls, share), _quantiles(chances, walls, share + level)

    # The shortest of some, and between its neighbours that whose ends are equally dense.
    shares = np.linspace(0, most, _PLACES)
    widths = np.stack([np.subtract(*ends(np.full(len(rows), share))[::-1]) for share in shares], 1)
    best = widths.argmin(1)
    step = shares[1]
    first, last = (np.clip(shares[best] + by, 0, most) for by in (-step, step))

    def rises(share: FloatArray) -> Any:
        lower, upper = (_density_at(density, middles, end) for end in ends(share))
        return lower < upper

    bracketed = rises(first) & ~rises(last)
    for _ in range(_LOOKS):
        middle = (first + last) / 2
        up = rises(middle)
        first, last = np.where(up, middle, first), np.where(up, last, middle)
    return ends(np.where(bracketed, (first + last) / 2, shares[best]))


def _density_at(density: FloatArray, middles: FloatArray, states: FloatArray) -> FloatArray:
    """(N,) of N densities (N, k) each at one state, between the middles of cells."""
    cell = np.clip(np.searchsorted(middles, states) - 1, 0, len(middles) - 2)
    rows = np.arange(len(density))
    share = np.clip((states - middles[cell]) / (middles[cell + 1] - middles[cell]), 0, 1)
    return density[rows, cell] * (1 - share) + density[rows, cell + 1] * share


def _quantiles(chances: FloatArray, walls: FloatArray, share: FloatArray) -> FloatArray:
    """(N,) states below which densities have shares (N,) of their mass; within a cell a density is a parabola."""
    below = np.concatenate([np.zeros((len(chances), 1)), np.cumsum(chances, 1)], 1)
    cell = np.clip((below < share[:, None]).sum(1), 1, chances.shape[1]) - 1
    rows = np.arange(len(chances))
    start, mass = below[rows, cell], chances[rows, cell]
    # The density at both walls, that of the cells beside them; in shares of the cell's width.
    before, after = chances[rows, np.maximum(cell - 1, 0)], chances[rows, np.minimum(cell + 1, chances.shape[1] - 1)]
    left, right = (mass + before) / 2, (mass + after) / 2
    low, high = np.zeros(len(chances)), np.ones(len(chances))
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        # The cubic through the masses at both walls with these slopes.
        reached = start + mass * t * t * (3 - 2 * t) + left * t * (1 - t) ** 2 - right * t * t * (1 - t)
        low, high = np.where(reached < share, t, low), np.where(reached < share, high, t)
    within = np.where(mass > 0, (low + high) / 2, 0.5)
    return walls[cell] + within * (walls[cell + 1] - walls[cell])


def _modes(density: FloatArray) -> int:
    """Number of tops between which the density falls noticeably."""
    around = np.concatenate([[-1.0], density, [-1.0]])
    tops = np.flatnonzero((around[1:-1] > around[:-2]) & (around[1:-1] >= around[2:]))
    tops = tops[density[tops] > 1e-3 * density.max()]
    kept: list[Any] = []
    for top in tops:
        if kept and density[kept[-1] : top + 1].min() > _DIP * min(density[kept[-1]], density[top]):
            kept[-1] = max(kept[-1], top, key=lambda place: density[place])
        else:
            kept.append(top)
    return len(kept)
