"""Two nodes of traits together given all observations: `path_gains` with matrices over the traits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.path_gains import Paths


class JointGains(NamedTuple):
    """What the states of U nodes owe to those of their parents.

    Attributes:
        gain: (U, D, D) how much they move with them.
        own: (U, D, D) covariance given them.
    """

    gain: FloatArray
    own: FloatArray


class JointPairs(NamedTuple):
    """Of P pairs of nodes and every trait, (P, D) each.

    Attributes:
        covariance: Of both states.
        spread: Variance of the first state less the second.
    """

    covariance: FloatArray
    spread: FloatArray


def joint_gains(swept: Tree, nodes: NDArray[np.intp], rate: FloatArray) -> JointGains:
    """The gains of U nodes, none of them the root, at the ends of edges without noise.

    Args:
        swept: Of `up_sweep`.
        nodes: (U,) their places in it.
        rate: (D, D).
    """
    names = ("time", "scale", "informed", "known", "spread", "weight")
    time, scale, informed, known, spread, weight = (np.asarray(swept[name][nodes], np.float64) for name in names)
    identity, variance = np.eye(len(rate)), time[:, None, None] * rate
    # The same two ways to one thing as in `gaussian_joint.states`, of which the first does not cancel.
    follows = np.where(informed[:, :, None] > 0, spread @ weight, identity - variance @ weight)
    own = _turned(follows, variance) + _turned(identity - follows, spread)
    certain = known > 0
    gain = np.where(certain[:, :, None], 0, scale[:, None, None] * follows)
    return JointGains(gain, np.where(certain[:, :, None] | certain[:, None], 0, own))


def joint_pairs(
    paths: Paths, gains: JointGains, at_meeting: FloatArray, rests: tuple[FloatArray, FloatArray], means: FloatArray
) -> JointPairs:
    """Both nodes of P pairs.

    Args:
        paths: P pairs.
        gains: Of the paths' `nodes`.
        at_meeting: (P, D, D) covariance of the states where paths meet, given the means.
        rests: (P, D, C) each, how much both nodes' states move with C means that are not the root's state.
        means: (C, C) covariance of those.
    """
    whole, added = [], []
    for pair in paths.below:
        sides = [_along(gains.gain[side], gains.own[side]) for side in pair]
        whole.append([gain for gain, _ in sides])
        added.append(sides[0][1] + sides[1][1])
    size = gains.gain.shape[1:]
    moves, own = np.reshape(whole, (-1, 2, *size)), np.reshape(added, (-1, *size))
    first, second = moves[:, 0], moves[:, 1]
    shared = np.einsum("pab,pbc,pac->pa", first, at_meeting, second)
    apart = np.einsum("pab,pbc,pac->pa", first - second, at_meeting, first - second)
    other = rests[0] - rests[1]
    return JointPairs(
        shared + np.einsum("pab,bc,pac->pa", rests[0], means, rests[1]),
        np.einsum("paa->pa", own) + apart + np.einsum("pab,bc,pac->pa", other, means, other),
    )


def _along(gain: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(D, D) product of the gains of a path from the top down, and the covariance that it adds up, by halving."""
    size = gain.shape[1]
    gain, own = np.concatenate([np.eye(size)[None], gain]), np.concatenate([np.zeros((1, size, size)), own])
    while len(gain) > 1:
        even = len(gain) // 2 * 2
        upper, lower = gain[0:even:2], gain[1:even:2]
        below = _turned(lower, own[0:even:2]) + own[1:even:2]
        gain, own = np.concatenate([lower @ upper, gain[even:]]), np.concatenate([below, own[even:]])
    return gain[0], own[0]


def _turned(matrices: FloatArray, covariances: FloatArray) -> FloatArray:
    return np.asarray(matrices @ covariances @ np.swapaxes(matrices, -1, -2))
