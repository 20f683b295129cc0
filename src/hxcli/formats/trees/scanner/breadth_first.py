"""Breadth-first numbers for nodes that come in the order of a depth-first walk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.engine.topology import IntArray, Topology


def from_preorder(depths: Sequence[int]) -> tuple[Topology, IntArray]:
    """The topology of nodes that are listed parents first, children in order.

    Args:
        depths: (N,) number of edges to the root, which comes first.

    Returns:
        The topology, and (N,) the number in it of every listed node.
    """
    depth = np.asarray(depths, np.int32)
    order = np.argsort(depth, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    # In a depth-first list the parent is the latest node one level up: among the nodes of its level, the one of
    # the highest rank that is listed before.
    starts = np.searchsorted(depth[order], np.arange(depth.max() + 1))
    parents = np.zeros(len(order), np.int32)
    latest = starts.tolist()
    ahead = place.tolist()
    for i, level in enumerate(depth.tolist()):
        latest[level] = ahead[i]
        parents[ahead[i]] = latest[level - 1] if level else 0
    return Topology(parents, depth[order]), place
