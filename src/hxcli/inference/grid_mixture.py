"""Mixtures of the densities of nodes on grids, over weighted sets of parameters."""

from __future__ import annotations

import numpy as np

from hxcli.inference.grid_likelihood import GridDensities, GridLikelihood
from hxcli.inference.threads import SETS, in_threads
from hxcli.phylogeny import FloatArray

# Numbers in the densities that are held at a time.
_MOST_NUMBERS = 1 << 24
# Logarithm of what neighbouring gaps between points of an integral differ by at most; places within a cell.
_EVEN, _WITHIN = 0.7, 4


def mixed_densities(
    likelihood: GridLikelihood, points: FloatArray, weights: FloatArray, cells: int
) -> list[GridDensities]:
    """W mixtures of the densities of all nodes.

    Args:
        likelihood: Of one trait, S coordinates.
        points: (M, S) sets of parameters, as the search has them.
        weights: (W, M) rows sum to 1.
        cells: k.
    """
    common = common_walls(likelihood, points, cells)

    def at(place: int) -> FloatArray:
        found = likelihood.densities(points[place], cells)
        return rebinned(found.chances, found.walls, common)

    total: FloatArray | None = None
    step = max(1, _MOST_NUMBERS // (cells * likelihood.bound.fields.phylogeny.topology.size))
    for first in range(0, len(points), step):
        some = range(first, min(first + step, len(points)))
        part = np.tensordot(weights[:, some], np.stack(in_threads(at, some, SETS)), 1)
        total = part if total is None else total + part
    assert total is not None
    roots = np.array([likelihood.known_root(x) for x in points])
    if not np.isnan(roots).any():
        # A root that lies at a parameter: as dense as that is, and not at the points of an integral alone.
        for row, mixture in zip(weights, total, strict=True):
            mixture[0] = spread_points(roots, row, common)
    z = likelihood.in_coordinate(common)
    states = likelihood.from_coordinate((z[1:] + z[:-1]) / 2)
    return [GridDensities(each / each.sum(1, keepdims=True), states, common) for each in total]


def common_walls(likelihood: GridLikelihood, points: FloatArray, cells: int) -> FloatArray:
    """(k + 1,) states between cells that hold those of the grids at M sets of parameters, (M, S)."""
    walls = np.stack([likelihood.walls(x, cells) for x in points])
    if (walls == walls[0]).all():
        return np.asarray(walls[0])
    # Walls that are parameters: from the lowest to the highest.
    ends = likelihood.in_coordinate(np.array([walls.min(), walls.max()]))
    return likelihood.from_coordinate(np.linspace(ends[0], ends[1], cells + 1))


def spread_points(values: FloatArray, weights: FloatArray, walls: FloatArray) -> FloatArray:
    """(k,) chances of cells of the density that weighted values (M,) stand for.

    Points of an integral lie in order: their density is smooth between them. Draws do not: half of a weight lies on
    either side of its value.
    """
    from scipy.interpolate import CubicSpline

    values, place = np.unique(values.round(12), return_inverse=True)
    weights = np.asarray(np.bincount(place.ravel(), weights), np.float64)
    values, weights = values[weights > 0], weights[weights > 0]
    if len(values) == 1:
        found = np.zeros(len(walls) - 1)
        found[np.clip(np.searchsorted(walls, values[0], "right") - 1, 0, len(found) - 1)] = 1.0
        return found
    gaps = np.diff(values)
    if len(values) > 3 and (abs(np.log(gaps[1:] / gaps[:-1])) < _EVEN).all():
        logs = CubicSpline(values, np.log(np.maximum(weights / np.gradient(values), 1e-300)), extrapolate=False)
        fine = np.linspace(walls[:-1], walls[1:], _WITHIN + 1, axis=1)
        density = np.nan_to_num(np.exp(logs((fine[:, 1:] + fine[:, :-1]) / 2)))
        chances = density.mean(1) * np.diff(walls)
        return np.asarray(chances / chances.sum())
    below = np.concatenate([[0.0], np.cumsum(weights) - weights / 2, [1.0]])
    values = np.concatenate([[values[0] - gaps[0] / 2], values, [values[-1] + gaps[-1] / 2]])
    return np.diff(np.interp(walls, values, below))


def rebinned(chances: FloatArray, walls: FloatArray, to: FloatArray) -> FloatArray:
    """(N, j) chances of other cells, where densities are even within the old ones; what lies beyond is in the end ones.

    Args:
        chances: (N, k) of the old cells.
        walls: (k + 1,) states between them.
        to: (j + 1,) states between the new ones.
    """
    if len(walls) == len(to) and (walls == to).all():
        return chances
    below = np.concatenate([np.zeros((len(chances), 1)), np.cumsum(chances, 1)], 1)
    place = np.interp(to, walls, np.arange(len(walls)))
    cell = np.minimum(place.astype(int), len(walls) - 2)
    reached = below[:, cell] + (place - cell) * chances[:, cell]
    reached[:, 0], reached[:, -1] = 0.0, below[:, -1]
    return np.diff(reached, axis=1)
