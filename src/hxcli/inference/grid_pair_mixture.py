"""Two nodes on a grid together, mixed over weighted sets of parameters: moments, and how far they are apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_mixture import common_walls, rebinned, spread_points
from hxcli.inference.threads import SETS, in_threads
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_pairs import difference_below
from hxcli.prebuilt.path_gains import Paths, paths_between

# Numbers in the chances that are held at a time.
_MOST_NUMBERS = 1 << 24


class PairMixture(NamedTuple):
    """Of P pairs.

    Attributes:
        means: (2, P) of the first and of the second node's state.
        covariances: (3, P) variance of the first, of the second, and covariance.
        below: (P, n) chances that the first state less the second is at most so much.
        greater: (P,) chance that the first state is above the second.
    """

    means: FloatArray
    covariances: FloatArray
    below: FloatArray
    greater: FloatArray


class _Pairs(NamedTuple):
    """What is looked at at every set of parameters.

    Attributes:
        nodes: (2, P).
        known: (2, P) states that are known for certain, whatever the parameters; nan for those that are not.
        at_root: (2, P) those that are a root whose state the parameters give.
        at: (P, n) differences; the last is 0.
        paths: Between the pairs of which neither state is known.
        common: (k + 1,) states between the cells on which these are mixed.
        middle: A state amid all.
    """

    nodes: NDArray[np.intp]
    known: FloatArray
    at_root: BoolArray
    at: FloatArray
    paths: Paths
    common: FloatArray
    middle: float

    @property
    def certain(self) -> BoolArray:
        """(2, P) which states are known at a set of parameters."""
        return ~np.isnan(self.known) | self.at_root

    def values(self, roots: FloatArray) -> FloatArray:
        """(M, 2, P) the states that are known at sets of parameters with these states of the root, (M,)."""
        return np.where(self.at_root, roots[:, None, None], self.known)


def mixed_pairs(
    likelihood: GridLikelihood,
    points: FloatArray,
    weights: FloatArray,
    cells: int,
    nodes: NDArray[np.intp],
    known: FloatArray,
    at: FloatArray,
) -> PairMixture:
    """The mixture for P pairs, some of them at a time.

    Args:
        likelihood: Of one trait on N nodes, S coordinates.
        points: (M, S) sets of parameters, as the search has them.
        weights: (M,) of those, adding up to 1.
        cells: k.
        nodes: (2, P).
        known: (N,) states that are known for certain; nan for all others.
        at: (P, n) differences, ascending.
    """
    step = max(1, _MOST_NUMBERS // (4 * cells**2))
    parts = [
        _some_pairs(likelihood, points, weights, cells, nodes[:, first : first + step], known, at[first : first + step])
        for first in range(0, nodes.shape[1], step)
    ]
    return PairMixture(
        np.concatenate([each.means for each in parts], 1),
        np.concatenate([each.covariances for each in parts], 1),
        np.concatenate([each.below for each in parts]),
        np.concatenate([each.greater for each in parts]),
    )


def at_no_width(fine: PairMixture, coarse: PairMixture) -> PairMixture:
    """The mixture at cells of no width, from those on a grid and on one of half as many cells (Richardson 1911)."""
    means, covariances, below, greater = (one + (one - other) / 3 for one, other in zip(fine, coarse, strict=True))
    covariances[:2] = np.maximum(covariances[:2], 0.0)
    below = np.maximum.accumulate(np.clip(below, 0, 1), 1)
    return PairMixture(means, covariances, below, np.clip(greater, 0, 1))


def _some_pairs(
    likelihood: GridLikelihood,
    points: FloatArray,
    weights: FloatArray,
    cells: int,
    nodes: NDArray[np.intp],
    known: FloatArray,
    at: FloatArray,
) -> PairMixture:
    roots = np.array([likelihood.known_root(x) for x in points])
    common = common_walls(likelihood, points, cells)
    at_root = (nodes == 0) & np.isnan(known[nodes]) & (not np.isnan(roots).any())
    free = np.isnan(known[nodes]).all(0) & ~at_root.any(0)
    paths = paths_between(likelihood.bound.fields.phylogeny.topology, *nodes[:, free])
    zero = np.zeros((len(at), 1))
    pairs = _Pairs(
        nodes, known[nodes], at_root, np.concatenate([at, zero], 1), paths, common, float(common[[0, -1]].mean())
    )
    sums: list[FloatArray] = []
    block = max(1, _MOST_NUMBERS // max(1, int(free.sum()) * cells**2))
    for first in range(0, len(points), block):
        some = slice(first, first + block)
        sets = list(zip(points[some], roots[some], strict=True))
        found = in_threads(lambda each: _at(likelihood, pairs, cells, *each), sets, SETS)
        part = [np.tensordot(weights[some], np.stack(each), 1) for each in zip(*found, strict=True)]
        sums = [one + other for one, other in zip(sums, part, strict=True)] if sums else part
    moments, below, joint = sums
    for place, own in zip(np.flatnonzero(free), joint, strict=True):
        below[place] = difference_below(own / own.sum(), common, pairs.at[place])
    for place in np.flatnonzero(pairs.certain.all(0)):
        below[place] = _apart(pairs.values(roots)[:, :, place], weights, pairs.at[place])
    means, (first, second, both) = moments[:2], moments[2:]
    there = np.isnan(pairs.known)
    variances = np.where(there, np.maximum([first - means[0] ** 2, second - means[1] ** 2], 0.0), 0.0)
    covariance = np.where(there.all(0), both - means[0] * means[1], 0.0)
    return PairMixture(
        means + pairs.middle, np.concatenate([variances, covariance[None]]), below[:, :-1], 1 - below[:, -1]
    )


def _at(
    likelihood: GridLikelihood, pairs: _Pairs, cells: int, x: FloatArray, root: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """At one set of parameters (5, P) means, mean squares and mean product, (P, n) `below`, (F, k, k) joint chances.

    States are told from the middle one; joint chances are of the F pairs of which neither state is known, whose `below`
    is left out.
    """
    alone = likelihood.densities(x, cells)
    joint = likelihood.together(x, cells, pairs.paths)
    states, certain = alone.states - pairs.middle, pairs.certain
    values = pairs.values(np.array([root]))[0] - pairs.middle
    chances = alone.chances[pairs.nodes]
    means = np.where(certain, values, chances @ states)
    squares = np.where(certain, values**2, chances @ states**2)
    product = means[0] * means[1]
    free = np.flatnonzero(~certain.any(0))
    product[free] = [states @ each @ states for each in joint]
    below = np.zeros(pairs.at.shape)
    for place in np.flatnonzero(certain[0] != certain[1]):
        side = int(certain[0, place])
        reached = np.concatenate([[0.0], np.cumsum(chances[side, place])])
        value = values[1 - side, place] + pairs.middle
        if side:
            below[place] = 1 - np.interp(value - pairs.at[place], alone.walls, reached)
        else:
            below[place] = np.interp(value + pairs.at[place], alone.walls, reached)
    both = [rebinned(rebinned(each, alone.walls, pairs.common).T, alone.walls, pairs.common).T for each in joint]
    return np.concatenate([means, squares, product[None]]), below, np.reshape(both, (len(joint), cells, cells))


def _apart(values: FloatArray, weights: FloatArray, at: FloatArray) -> FloatArray:
    """(n,) chances that a difference that the parameters give, (M, 2) states, is at most so much; `at` ends with 0."""
    apart = values[:, 0] - values[:, 1]
    if np.ptp(apart) == 0:
        return np.asarray(at >= apart[0], float)
    reached = np.concatenate([[0.0], np.cumsum(spread_points(apart, weights, at[:-1]))])
    return np.append(reached, np.interp(0.0, at[:-1], reached))
