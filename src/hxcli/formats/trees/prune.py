"""Pruning: a tree without some of its tips; nodes that are left with one child go, their edges joined."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hxcli.engine.topology import Topology
from hxcli.phylogeny import Phylogeny, fold_below


def keep_tips(phylogeny: Phylogeny, names: Collection[str]) -> Phylogeny:
    """The tree of some of its tips, at least one.

    A node that had one child before keeps it; a root that is left with one child gives way to that child.
    """
    topology = phylogeny.topology
    kept_tip = np.zeros(topology.size, np.int64)
    kept_tip[phylogeny.tips] = [name in names for name in phylogeny.tip_names]
    if kept_tip.sum() == len(phylogeny.tips):
        return phylogeny
    alive = fold_below(topology, kept_tip, "sum") > 0
    children = np.bincount(topology.parents[alive & ~topology.is_root], minlength=topology.size)
    stays = alive & ~((children == 1) & (topology.child_counts > 1))
    lengths = phylogeny.edge_lengths.copy()
    parents = topology.parents.copy()
    # Parents come first, so that what a node hangs on is settled before it is looked at.
    root = -1
    for node in np.flatnonzero(alive).tolist():
        above = int(parents[node])
        if node and not stays[above]:
            # The parent goes: its edge is added, unless there is nothing above it.
            if root < 0:
                parents[node] = node
                lengths[node] = phylogeny.edge_lengths[0]
            else:
                lengths[node] += lengths[above]
                parents[node] = parents[above]
        if root < 0 and stays[node]:
            root = node
            parents[node] = node
    nodes = np.flatnonzero(stays)
    depths = np.zeros(topology.size, np.int32)
    for node in nodes.tolist():
        depths[node] = 0 if node == root else depths[parents[node]] + 1
    # Siblings keep their order, and so do the children of nodes that come before others.
    order = _breadth_first(parents, nodes, root)
    place = np.zeros(topology.size, np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Phylogeny(
        Topology(place[parents[order]], depths[order]),
        lengths[order],
        phylogeny.labels[order],
        phylogeny.support[order],
        {int(place[node]): texts for node, texts in phylogeny.annotations.items() if stays[node]},
        phylogeny.rooted,
        phylogeny.name,
    )


def _breadth_first(parents: np.ndarray, nodes: np.ndarray, root: int) -> np.ndarray:
    below: dict[int, list[int]] = {}
    for node in nodes.tolist():
        if node != root:
            below.setdefault(int(parents[node]), []).append(node)
    order = [root]
    for node in order:
        order += below.get(node, ())
    return np.array(order, np.intp)
