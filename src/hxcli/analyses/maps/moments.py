"""Exact means and variances of what histories do on a whole tree, given all tips: times in states, numbers of changes.

One sweep towards the root by the laws of total mean and variance: given a node's state, what happens below its
children is independent, and given the states at both ends of an edge what happens on it is independent of the rest. On
an edge the moments are coefficients of the exponential of a changed rate matrix (Minin and Suchard 2008, J. Math. Biol.
56:391; Hobolth and Jensen 2011, J. Appl. Probab. 48:911).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.maps.edge_exponentials import Directions, jets
from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray

# Numbers held at a time, and operations that are worth waiting for.
_MOST_NUMBERS, _MOST_OPERATIONS = 4_000_000, 200_000_000


class Moments(NamedTuple):
    """Of times in S states, and of changes between them.

    Attributes:
        dwell, dwell_variance: (S,).
        changes, change_variance: (S, S); 0 where there is no transition.
    """

    dwell: FloatArray
    dwell_variance: FloatArray
    changes: FloatArray
    change_variance: FloatArray


def too_many(nodes: int, rates: FloatArray) -> bool:
    """Whether the moments of so many nodes take too long: the time grows with nodes and the fifth power of states."""
    return int((rates > 0).sum() + len(rates)) * nodes * len(rates) ** 3 > _MOST_OPERATIONS


def moments(
    topology: Topology, lengths: FloatArray, rates: FloatArray, partials: FloatArray, root: FloatArray
) -> Moments:
    """Moments of the sums over all edges.

    Args:
        topology: N nodes.
        lengths: (N,) edge lengths; that of the root is not looked at.
        rates: (S, S) rate matrix.
        partials: (N, S) likelihood of what is below every node, given its state, up to a factor for each node.
        root: (S,) prior of the root.
    """
    states = len(rates)
    dwells = np.stack([np.arange(states)] * 2, axis=1)
    kinds = np.concatenate([dwells, np.argwhere((rates > 0) & ~np.eye(states, dtype=bool))])
    is_count = np.arange(len(kinds)) >= states
    sizes = np.where(is_count, rates[kinds[:, 0], kinds[:, 1]], 1.0)
    means, variances = np.zeros(len(kinds)), np.zeros(len(kinds))
    step = max(1, _MOST_NUMBERS // (topology.size * states**2))
    for start in range(0, len(kinds), step):
        some = slice(start, start + step)
        directions = Directions(kinds[some, 0], kinds[some, 1], sizes[some])
        means[some], variances[some] = _swept(topology, lengths, rates, partials, root, directions, is_count[some])
    changes, spread = np.zeros((states, states)), np.zeros((states, states))
    a, b = kinds[states:].T
    changes[a, b], spread[a, b] = means[states:], variances[states:]
    return Moments(means[:states], variances[:states], changes, spread)


def _swept(
    topology: Topology,
    lengths: FloatArray,
    rates: FloatArray,
    partials: FloatArray,
    root: FloatArray,
    directions: Directions,
    is_count: NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """(C,) means and variances."""
    found = jets(rates, lengths[1:], directions)
    zero, mean, second = found.zero, found.first, 2 * found.second
    possible = zero > 0
    inverse = np.where(possible, 1 / np.where(possible, zero, 1), 0)
    # Given the states at both ends. Of a count the second coefficient is half of the mean of n (n - 1).
    mean = mean * inverse
    variance = np.maximum(second * inverse + np.where(is_count[:, None, None, None], mean, 0) - mean**2, 0)
    weights = zero * partials[1:, None, :]
    total = weights.sum(2, keepdims=True)
    weights = weights / np.where(total > 0, total, 1)
    shape = (len(is_count), topology.size, len(rates))
    below, spread = np.zeros(shape), np.zeros(shape)
    for first, last in reversed(list(zip(topology.level_starts[1:-1], topology.level_starts[2:], strict=True))):
        edges, nodes, parents = slice(first - 1, last - 1), slice(first, last), topology.parents[first:last]
        ends = mean[:, edges] + below[:, nodes, None, :]
        share = weights[edges]
        means = (share * ends).sum(-1)
        inner = variance[:, edges] + spread[:, nodes, None, :] + (ends - means[..., None]) ** 2
        np.add.at(below.swapaxes(0, 1), parents, means.swapaxes(0, 1))
        np.add.at(spread.swapaxes(0, 1), parents, (share * inner).sum(-1).swapaxes(0, 1))
    given = root * partials[0]
    given = given / given.sum()
    means = below[:, 0] @ given
    return means, (spread[:, 0] + (below[:, 0] - means[:, None]) ** 2) @ given
