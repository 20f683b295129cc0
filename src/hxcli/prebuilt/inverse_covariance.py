"""The inverse covariance of the tips times a matrix, from the states of all nodes given its columns, in linear time.

The derivative of a log density with respect to an observation is the mean, given all observations, of the derivative of
the joint log density (Fisher's identity), and that is the residual of the edge above over its variance:

    V^-1 x at a tip = (x - scale * state_parent) / variance,    or (x - state) / error variance.
"""

from __future__ import annotations

import numpy as np

from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray


def times_inverse(
    topology: Topology,
    scale: FloatArray,
    variance: FloatArray,
    root_variance: float,
    state: FloatArray,
    values: FloatArray,
    error: FloatArray,
) -> FloatArray:
    """(N, P) V^-1 X; 0 at nodes without an observation.

    Args:
        topology: N nodes.
        scale, variance: (N,) of the edges.
        root_variance: Of the root's deviation.
        state: (N, P) of all nodes given the columns of X, from `gls.sweep_down`.
        values: (N, P) X.
        error: (N,) error variance of every observed tip, nan without an observation.
    """
    parents = topology.parents
    root = np.asarray(topology.is_root)
    above = np.where(root, root_variance, variance)
    from_parent = np.where(root[:, None], 0.0, scale[:, None] * state[parents])
    wide = above > 0
    pull = np.where(wide[:, None], (state - from_parent) / np.where(wide, above, 1.0)[:, None], 0.0)
    found = np.where(error[:, None] > 0, (values - state) / np.where(error > 0, error, 1.0)[:, None], 0.0)
    exact = error == 0
    found[exact] = pull[exact]
    narrow = np.flatnonzero(exact & ~wide)
    if len(narrow):
        # A tip at no distance of a node fixes that node: it has the pulls of all edges that meet there.
        meeting = pull.copy()
        below = np.flatnonzero(~root)
        np.subtract.at(meeting, parents[below], scale[below, None] * pull[below])
        top = np.where(wide | root, np.arange(topology.size), parents)
        while not np.array_equal(top, top[top]):
            top = top[top]
        total = np.zeros_like(meeting)
        np.add.at(total, top, meeting)
        found[narrow] = total[top[narrow]]
    return found
