"""When a state is first there: exact probabilities, given all tips, and moments by quadrature over them.

The probability that no lineage has the state before a distance t from the root is that of histories whose rates into
it are 0 up to t. Given the states of the nodes at its ends, an edge is free of the state with a probability of its own;
one sweep towards the root joins these, for many t at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.analyses.maps.edge_exponentials import exponentials
from hxcli.phylogeny import FloatArray, Phylogeny

# Intervals between distances at which the integrand is smooth, at most, and points in each.
_MOST_INTERVALS, _POINTS = 48, 3
# Changes that the first interval has on average, and intervals that are added to make it so short.
_LEAST_CHANGES, _MOST_HALVINGS = 0.25, 40
# Numbers held at a time, and operations, that are worth waiting for.
_MOST_NUMBERS, _MOST_OPERATIONS = 20_000_000, 500_000_000


class FirstTimes(NamedTuple):
    """Of S states.

    Attributes:
        reached: (S,) probability that the state is anywhere on the tree.
        mean, sd: (S,) of the distance from the root at which it first is, where it is; nan where it never is.
    """

    reached: FloatArray
    mean: FloatArray
    sd: FloatArray


def too_long(nodes: int, states: int) -> bool:
    """Whether so many nodes and states take too long."""
    numbers = nodes * states * _MOST_INTERVALS * _POINTS
    return numbers > _MOST_NUMBERS or numbers * states**3 > _MOST_OPERATIONS


def first_times(phylogeny: Phylogeny, rates: FloatArray, partials: FloatArray, posterior: FloatArray) -> FirstTimes:
    """Moments of the first times.

    Args:
        phylogeny: N nodes.
        rates: (S, S) rate matrix.
        partials: (N, S) likelihood of what is below every node, given its state, up to a factor for each node.
        posterior: (S,) probabilities of the root's state given all tips.
    """
    distances = phylogeny.root_distances
    height = float(distances.max())
    # Tips of one age differ by rounding only.
    edges = np.unique(np.round(distances / (height or 1.0), 9)) * height
    if len(edges) > _MOST_INTERVALS:
        edges = np.quantile(edges, np.linspace(0, 1, _MOST_INTERVALS + 1))
    # Fast rates reach every state near the root, on a scale of their own.
    fastest = float(-np.diagonal(rates).min())
    halvings = int(np.clip(np.ceil(np.log2(max(fastest * height, 1e-9) / _LEAST_CHANGES)), 0, _MOST_HALVINGS))
    edges = np.union1d(edges, height / 2.0 ** np.arange(1, halvings + 1))
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    half = np.diff(edges)[:, None] / 2
    times = (edges[:-1, None] + half * (points + 1)).ravel()
    weights = (half * weights).ravel()
    found = []
    for state in range(len(rates)):
        free = absent(phylogeny, rates, partials, posterior, state, np.append(times, height))
        never, reached = free[-1], 1 - free[-1]
        # Of the part that reaches it.
        excess = np.maximum(free[:-1] - never, 0)
        if reached <= 0:
            found.append((max(reached, 0.0), np.nan, np.nan))
            continue
        mean = float(weights @ excess) / reached
        square = 2 * float(weights @ (times * excess)) / reached
        found.append((reached, mean, np.sqrt(max(square - mean**2, 0.0))))
    return FirstTimes(*(np.array(column) for column in zip(*found, strict=True)))


def absent(
    phylogeny: Phylogeny, rates: FloatArray, partials: FloatArray, posterior: FloatArray, state: int, times: FloatArray
) -> FloatArray:
    """(T,) probability, given all tips, that no lineage has the state up to these distances from the root."""
    topology, distances = phylogeny.topology, phylogeny.root_distances
    parents, lengths = topology.parents[1:], phylogeny.lengths[1:]
    without = rates.copy()
    without[:, state], without[state] = 0, 0
    # Rows no longer sum to 0: what leaves for the state is lost.
    others = np.arange(len(rates)) != state
    message = np.einsum("nij,nj->ni", exponentials(rates, lengths), partials[1:])
    inverse = np.where(message > 0, 1 / np.where(message > 0, message, 1), 0)
    whole = exponentials(without, lengths) * inverse[:, :, None] * partials[1:, None, :]
    begins, ends = distances[parents], distances[1:]
    which, edge = np.nonzero((begins < times[:, None]) & (ends > times[:, None]))
    rest = np.einsum("nij,nj->ni", exponentials(rates, ends[edge] - times[which]), partials[1:][edge]) * others
    passed = np.einsum("nij,nj->ni", exponentials(without, times[which] - begins[edge]), rest) * inverse[edge]
    free = np.ones((len(times), topology.size, len(rates)))
    free[..., state] = distances > times[:, None]
    order = np.argsort(edge, kind="stable")
    which, edge, passed = which[order], edge[order], passed[order]
    for first, last in reversed(list(zip(topology.level_starts[1:-1], topology.level_starts[2:], strict=True))):
        some = slice(first - 1, last - 1)
        along = np.einsum("nij,tnj->tni", whole[some], free[:, first:last])
        along[begins[some] >= times[:, None]] = 1
        low, high = np.searchsorted(edge, (first - 1, last - 1))
        along[which[low:high], edge[low:high] - (first - 1)] = passed[low:high]
        np.multiply.at(free.swapaxes(0, 1), topology.parents[first:last], along.swapaxes(0, 1))
    probabilities: FloatArray = free[:, 0] @ posterior
    return probabilities
