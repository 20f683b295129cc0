"""Two nodes together where a model at least is a diffusion on a grid: under every model, and averaged over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hxcli.analyses.pairs import ROUNDING, PairFigures, PairStates
from hxcli.inference.grid_likelihood import GridDensities, GridLikelihood
from hxcli.inference.grid_pair_mixture import PairMixture, at_no_width, mixed_pairs
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_densities import density_figures, shortest_intervals

# Differences of a pair at which their chances are computed, and between which they are averaged over models.
_DIFFERENCES = 801
# Chances at the ends of a density beyond which no state counts; standard deviations of normal ones.
_BEYOND, _REACH = 1e-8, 7.0


class PairsUnder(NamedTuple):
    """P pairs under one model, in the trait's units.

    Attributes:
        means, covariances, greater: As in `PairMixture`.
        ends: (2, P) between which the first state less the second lies; equal where both are known.
        below: From (P, n) differences to the (P, n) chances that the first state less the second is at most so much.
    """

    means: FloatArray
    covariances: FloatArray
    greater: FloatArray
    ends: FloatArray
    below: Callable[[FloatArray], FloatArray]


def pairs_on_grid(
    likelihood: GridLikelihood,
    points: FloatArray,
    weights: FloatArray,
    densities: GridDensities,
    pairs: NodePairs,
    known: FloatArray,
) -> tuple[PairsUnder, float]:
    """Under a diffusion, and the largest change of a mean or a standard error by twice as many cells.

    Args:
        likelihood: Of one trait on N nodes, S coordinates.
        points: (M, S) sets of parameters, as the search has them.
        weights: (M,) of those, adding up to 1.
        densities: Of all nodes, mixed over these.
        pairs: P pairs of these nodes.
        known: (N,) states that are known for certain; nan for all others.
    """
    nodes = np.stack([pairs.first, pairs.second])
    reached = np.concatenate([np.zeros((len(known), 1)), np.cumsum(densities.chances, 1)], 1)
    low = densities.walls[np.maximum((reached < _BEYOND).sum(1) - 1, 0)]
    high = densities.walls[np.minimum((reached < 1 - _BEYOND).sum(1), reached.shape[1] - 1)]
    low, high = (np.where(np.isnan(known), end, known) for end in (low, high))
    ends = np.stack([low[nodes[0]] - high[nodes[1]], high[nodes[0]] - low[nodes[1]]])
    at = np.linspace(ends[0], ends[1], _DIFFERENCES, axis=1)
    cells = likelihood.cells
    fine, half, quarter = (mixed_pairs(likelihood, points, weights, cells // by, nodes, known, at) for by in (1, 2, 4))
    found, coarser = at_no_width(fine, half), at_no_width(half, quarter)

    def below(differences: FloatArray) -> FloatArray:
        rows = zip(differences, at, found.below, strict=True)
        return np.stack([np.interp(row, own, chances, 0.0, 1.0) for row, own, chances in rows])

    moved = [abs(one - other).max(initial=0.0) for one, other in zip(_told(found), _told(coarser), strict=True)]
    return PairsUnder(found.means, found.covariances, found.greater, ends, below), float(max(moved))


def pairs_of_normals(states: PairStates, weights: FloatArray) -> PairsUnder:
    """Under a model whose edges are Gaussian."""
    from scipy.special import ndtr

    means = np.stack([states.first_mean @ weights, states.second_mean @ weights])
    apart = [each - mean[:, None] for each, mean in zip(states[:2], means, strict=True)]
    covariances = np.stack(
        [
            (states.first + apart[0] ** 2) @ weights,
            (states.second + apart[1] ** 2) @ weights,
            (states.covariance + apart[0] * apart[1]) @ weights,
        ]
    )
    deviation, difference = np.sqrt(states.spread), states.difference
    safe = np.where(deviation > 0, deviation, 1.0)

    def chances(differences: FloatArray) -> FloatArray:
        away = differences[:, :, None] - difference[:, None]
        each = np.where(deviation[:, None] > 0, ndtr(away / safe[:, None]), away >= 0)
        return np.asarray(each @ weights)

    ends = np.stack([(difference - _REACH * deviation).min(1), (difference + _REACH * deviation).max(1)])
    return PairsUnder(means, covariances, 1 - chances(np.zeros((len(difference), 1)))[:, 0], ends, chances)


def averaged_pairs(under: Sequence[PairsUnder], shares: Sequence[float], level: float) -> PairFigures:
    """The figures of P pairs, averaged over models by their shares, which add up to 1."""
    share = np.array(shares)
    means = np.tensordot(share, np.stack([each.means for each in under]), 1)
    apart = [each.means - means for each in under]
    between = [np.stack([one[0] ** 2, one[1] ** 2, one[0] * one[1]]) for one in apart]
    covariances = sum(part * (each.covariances + more) for part, each, more in zip(share, under, between, strict=True))
    low = np.min([each.ends[0] for each in under], 0)
    width = np.max([each.ends[1] for each in under], 0) - low
    walls = np.linspace(0, 1, _DIFFERENCES)
    at = low[:, None] + width[:, None] * walls
    below = sum(part * each.below(at) for part, each in zip(share, under, strict=True))
    # What lies beyond is in the end ones.
    below[:, 0], below[:, -1] = 0.0, 1.0
    chances = np.maximum(np.diff(below, axis=1), 0.0)
    chances /= chances.sum(1, keepdims=True)
    figures = density_figures(chances, (walls[1:] + walls[:-1]) / 2, walls, level)
    shortest = shortest_intervals(chances, walls, level)
    ends = [low + width * end for end in (figures.lower, figures.upper, *shortest)]
    # A state that is known has the rounding of its means.
    unit = float(np.max(abs(at), initial=0.0)) or 1.0
    uncertain = (covariances[:2] > (ROUNDING * unit) ** 2).all(0)
    product = np.sqrt(np.prod(np.where(uncertain, covariances[:2], 1.0), 0))
    correlation = np.where(uncertain, np.clip(covariances[2] / product, -1, 1), np.nan)
    spread = np.where(width > 0, covariances[0] + covariances[1] - 2 * covariances[2], 0.0)
    return PairFigures(
        means[0] - means[1],
        np.sqrt(np.maximum(spread, 0.0)),
        ends[0],
        ends[1],
        ends[2],
        ends[3],
        correlation,
        sum(part * each.greater for part, each in zip(share, under, strict=True)),
        np.zeros(len(low)),
    )


def _told(found: PairMixture) -> tuple[FloatArray, FloatArray]:
    first, second, both = found.covariances
    return found.means[0] - found.means[1], np.sqrt(np.maximum(first + second - 2 * both, 0.0))
