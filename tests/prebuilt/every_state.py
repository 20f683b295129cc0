"""Discrete states by brute force: the sum over every combination of states of all nodes. Nothing here is shared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import expm


class Enumerated(NamedTuple):
    """What all combinations say.

    Attributes:
        likelihood: Their sum.
        marginals: (N, S) of every state at every node.
        best: (N,) the most probable combination.
        root_likelihood: (S,) given the root's state.
    """

    likelihood: float
    marginals: Any
    best: Any
    root_likelihood: Any


def enumerate_states(parents: Sequence[int], lengths: Any, rates: Any, seen: Any, root: Any) -> Enumerated:
    """All S^N combinations, `seen` (N, S) the probability of what was seen given the state, `root` (S,) the prior.

    `rates` may be of every edge, (N, S, S).
    """
    size, states = seen.shape
    of_edges = np.broadcast_to(rates, (size, states, states))
    steps = [expm(own * length) for own, length in zip(of_edges, lengths, strict=True)]
    marginals, given_root = np.zeros((size, states)), np.zeros(states)
    best, highest = None, -1.0
    for combination in product(range(states), repeat=size):
        weight = 1.0
        for node, state in enumerate(combination):
            weight *= seen[node, state]
            if node:
                weight *= steps[node][combination[parents[node]], state]
        given_root[combination[0]] += weight
        weight *= root[combination[0]]
        marginals[range(size), combination] += weight
        if weight > highest:
            best, highest = combination, weight
    total = marginals[0].sum()
    return Enumerated(total, marginals / total, np.array(best), given_root)
