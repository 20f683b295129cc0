"""Sums of squares of many responses along one tree, in numpy: what a sweep does for one, done for all at once.

The tips are observed with the same errors in all responses, so that precisions, weights and the design's contrasts are
the same for all (see `hxcli.prebuilt.gls`, whose sweep gives them) and only means are left: with a child's share

    a = scale * weight / precision of the parent,    or 1 / scale / number of exact children where the parent is exact,

the mean at a parent is the sum of `a * mean` of its children, and the sum of squares that of `weight * (mean - scale *
mean of the parent)^2`. X' V^-1 y needs no means: V^-1 X comes from the design's contrasts by one pass down.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray

# Children of a node that are added one after the other.
_FEW = 8


class Columns(NamedTuple):
    """K sets of parameters.

    Attributes:
        scale, variance: (N, K) of the edges.
        known, precision, weight: (N, K) of every node and its contrast.
        contrast: (N, K, P) of the design.
    """

    scale: FloatArray
    variance: FloatArray
    known: FloatArray
    precision: FloatArray
    weight: FloatArray
    contrast: FloatArray


def sums_of_squares(topology: Topology, columns: Columns, responses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`y' V^-1 y`, (K, B), and `X' V^-1 y`, (K, B, P), of B responses.

    Args:
        topology: N nodes.
        columns: K sets of parameters, none with an exact tip at a root that has no variance.
        responses: (N, 1, B), or (N, K, B), at the tips; 0 elsewhere and at tips without an observation.
    """
    share = _shares(topology, columns)
    starts, parents = topology.level_starts, topology.parents
    count, width = columns.scale.shape[1], responses.shape[2]
    squares, plain = np.zeros((count, width)), bool((columns.scale[1:] == 1).all())
    below: FloatArray = np.zeros((0, count, width))
    for level in range(len(starts) - 2, -1, -1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        mean = np.empty((nodes.stop - nodes.start, count, width))
        mean[:] = responses[nodes]
        if len(below):
            children = slice(nodes.stop, nodes.stop + len(below))
            above = parents[children] - nodes.start
            _add_children(mean, above, share[children, :, None] * below)
            expected = np.take(mean, above, 0)
            if not plain:
                expected *= columns.scale[children, :, None]
            below -= expected
            squares += np.einsum("nk,nkb,nkb->kb", columns.weight[children], below, below)
        below = mean
    squares += columns.weight[0][:, None] * below[0] ** 2
    tips = np.flatnonzero(topology.is_leaf)
    along = _inverse_times_design(topology, columns, share)[tips]
    there = responses[tips]
    if there.shape[1] == 1:
        return squares, np.moveaxis(np.tensordot(along, there[:, 0], (0, 0)), 1, 2)
    return squares, np.einsum("nkp,nkb->kbp", along, there)


def _add_children(mean: FloatArray, above: NDArray[Any], parts: FloatArray) -> None:
    """Adds the parts of the children of a level to the means of their parents, `above`."""
    if (np.diff(above) < 0).any():
        # Siblings are not always neighbours.
        order = np.argsort(above, kind="stable")
        above, parts = above[order], parts[order]
    firsts = np.flatnonzero(np.diff(above, prepend=-1))
    counts = np.diff(firsts, append=len(above))
    if counts.max() > _FEW:
        mean[above[firsts]] = np.add.reduceat(parts, firsts, axis=0)
        return
    # Faster, as long as there are few.
    for number in range(counts.max()):
        there = firsts[counts > number]
        mean[above[there]] += parts[there + number]


def _shares(topology: Topology, columns: Columns) -> FloatArray:
    """(N, K) what of its parent's mean a node's mean is; 0 at the root."""
    parents = topology.parents
    certain = (columns.known > 0) & (columns.variance == 0)
    certain[0] = False
    number = np.zeros_like(columns.scale)
    np.add.at(number, parents, certain)
    limits = np.finfo(float)
    precision = np.where(columns.precision > limits.tiny / limits.eps**2, columns.precision, np.inf)
    exact = certain / np.where(columns.scale == 0, 1, columns.scale) / np.maximum(number, 1)[parents]
    share: FloatArray = np.where(columns.known[parents] > 0, exact, columns.scale * columns.weight / precision[parents])
    share[0] = 0
    return share


def _inverse_times_design(topology: Topology, columns: Columns, share: FloatArray) -> FloatArray:
    """(N, K, P) V^-1 X at the tips: how `X' V^-1 y` changes with the mean of every node."""
    parents = topology.parents
    own = columns.weight[:, :, None] * columns.contrast
    found = own.copy()
    np.subtract.at(found, parents[1:], columns.scale[1:, :, None] * own[1:])
    starts = topology.level_starts
    for level in range(1, len(starts) - 1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        found[nodes] += share[nodes, :, None] * found[parents[nodes]]
    return found
