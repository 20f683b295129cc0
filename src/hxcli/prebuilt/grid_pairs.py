"""Two nodes of a tree together, on a grid: the chances of all pairs of cells given all observations.

Given the observations the states of a tree are a Markov process from the root down: from a cell at the start of an
edge a lineage comes to a cell at its end with the chance that it has along the edge, times the likelihood of all that
is seen below the end, over the likelihood of that at the start. Two nodes share the state of the node where their
paths from the root meet.
"""

from __future__ import annotations

import numpy as np

from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_levels import GroupedEdges, swept_up
from hxcli.prebuilt.path_gains import Paths


def joint_cells(
    topology: Topology, edges: GroupedEdges, likelihood: FloatArray, density: FloatArray, paths: Paths
) -> list[FloatArray]:
    """(k, k) chances of the cells of the first and of the second node, of every pair.

    Args:
        topology: Of N nodes.
        edges: Theirs.
        likelihood: (N, k) of the tips' own observations.
        density: (N, k) chance of every cell given all observations.
        paths: Between the pairs.
    """
    found = []
    # What is beyond rounding are chances of next to nothing.
    with np.errstate(all="ignore"):
        below, over, _ = swept_up(topology, edges, likelihood)
        for meet, sides in zip(paths.meet.tolist(), paths.below, strict=True):
            first, second = (_reached(edges, below, over, paths.nodes[side].tolist()) for side in sides)
            joint = first.T @ (density[meet][:, None] * second)
            found.append(joint / joint.sum())
    return found


def _reached(edges: GroupedEdges, below: FloatArray, over: FloatArray, path: list[int]) -> FloatArray:
    """(k, k) chances of the cells at the end of a path, a row for every cell at its start."""
    size = below.shape[1]
    found = np.eye(size)
    for node in path:
        moved = edges.copies(node, size).forwards(slice(0, size), found / over[node]) * below[node]
        np.maximum(moved, 0.0, out=moved)
        total = moved.sum(1, keepdims=True)
        found = np.divide(moved, total, out=np.zeros_like(moved), where=total > 0)
    return found


def difference_below(joint: FloatArray, walls: FloatArray, at: FloatArray) -> FloatArray:
    """(n,) chances that the first state less the second is at most so much, where densities are even within cells.

    Args:
        joint: (k, k) chances of the cells of the first and of the second node.
        walls: (k + 1,) states between the cells.
        at: (n,) differences.
    """
    widths = np.diff(walls)
    start = np.zeros((len(joint), 1))
    below = np.concatenate([start, np.cumsum(joint, 1)], 1)
    area = np.concatenate([start, np.cumsum((below[:, 1:] + below[:, :-1]) / 2 * widths, 1)], 1)
    rows = np.arange(len(joint))[:, None]

    def integral(states: FloatArray) -> FloatArray:
        """(k, n) of the chances that the second state is below, up to given states (k, n)."""
        inside = np.clip(states, walls[0], walls[-1])
        cell = np.clip(np.searchsorted(walls, inside, "right") - 1, 0, len(widths) - 1)
        share = (inside - walls[cell]) / widths[cell]
        within = share * widths[cell] * (below[rows, cell] + share / 2 * joint[rows, cell])
        return area[rows, cell] + within + np.maximum(states - walls[-1], 0.0) * below[:, -1:]

    ends = (integral(each[:, None] - at) for each in (walls[1:], walls[:-1]))
    above = np.subtract(*ends) / widths[:, None]
    return joint.sum() - above.sum(0)
