"""Two nodes given all observations, from what every node's state owes to its parent's.

Given the observations the states of a tree are a Markov process from the root down: a node's state is `gain` times its
parent's, something that is known, and an independent part of variance `own`, both from the up sweep. So two nodes share
the state of the node where their paths from the root meet, and what comes after that is independent: one product and
one sum along either path, and no matrix. The variance of their difference is a sum of positive terms.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray

# Numbers of one path, nodes times columns, that are multiplied at a time.
_MOST_NUMBERS = 1 << 22


class Paths(NamedTuple):
    """How P pairs of nodes hang together.

    Attributes:
        meet: (P,) the last node that both paths from the root have in common.
        below: For every pair the nodes of either path below it, from the top down, as places in `nodes`.
        nodes: (U,) all nodes below where paths meet, ascending.
    """

    meet: NDArray[np.intp]
    below: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]
    nodes: NDArray[np.intp]


class Shared(NamedTuple):
    """Each (P, K): two nodes given the observations, apart from the state of the node where their paths meet.

    Attributes:
        first, second: How much the two states move with that state.
        own: Variance of their difference that does not come from it.
    """

    first: FloatArray
    second: FloatArray
    own: FloatArray


def paths_between(topology: Topology, first: Any, second: Any) -> Paths:
    """The paths between P pairs of nodes, in time linear in their lengths."""
    parents, depths = topology.parents.tolist(), topology.node_depths
    meet, below = [], []
    for a, b in zip(np.asarray(first).tolist(), np.asarray(second).tolist(), strict=True):
        sides: tuple[list[int], list[int]] = ([], [])
        ends, apart = [a, b], int(depths[a]) - int(depths[b])
        deeper = 0 if apart > 0 else 1
        for _ in range(abs(apart)):
            sides[deeper].append(ends[deeper])
            ends[deeper] = parents[ends[deeper]]
        while ends[0] != ends[1]:
            for side in (0, 1):
                sides[side].append(ends[side])
                ends[side] = parents[ends[side]]
        meet.append(ends[0])
        below.append([np.array(side[::-1], np.intp) for side in sides])
    nodes = np.unique(np.concatenate([side for sides in below for side in sides]))
    placed = tuple((np.searchsorted(nodes, one), np.searchsorted(nodes, other)) for one, other in below)
    return Paths(np.array(meet, np.intp), placed, nodes)


def gains(known: Any, precision: Any, scale: Any, variance: Any) -> tuple[Any, Any]:
    """How much a node's state moves with its parent's, and its variance given it; all of one shape.

    Args:
        known, precision: What the observations at and below the node say about it, from the up sweep.
        scale, variance: Of the edge above it.
    """
    pull = jnp.where(known > 0, 0, 1 / (1 + precision * variance))
    return pull * scale, pull * variance


def along_paths(paths: Paths, gain: FloatArray, own: FloatArray) -> Shared:
    """What two nodes owe to the node where their paths meet.

    Args:
        paths: P pairs.
        gain, own: (U, K) from `gains`, of the paths' `nodes`.
    """
    sides = [_along(side, gain, own) for pair in paths.below for side in pair]
    whole, added = (np.stack([side[i] for side in sides]).reshape(-1, 2, gain.shape[1]) for i in (0, 1))
    return Shared(whole[:, 0], whole[:, 1], added.sum(1))


def _along(path: NDArray[np.intp], gain: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(K,) product of the gains of a path from the top down, and the variance that it adds up."""
    product, added = np.ones(gain.shape[1]), np.zeros(gain.shape[1])
    step = max(1, _MOST_NUMBERS // gain.shape[1])
    for end in range(len(path), 0, -step):
        part = path[max(0, end - step) : end][::-1]
        # From every node down to the end of the path, without the node's own.
        products = np.cumprod(gain[part], axis=0)
        before = np.concatenate([np.ones((1, gain.shape[1])), products[:-1]])
        added = added + product**2 * (own[part] * before**2).sum(0)
        product = product * products[-1]
    return product, added
