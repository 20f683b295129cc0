"""A tree and its observations in an order that does not depend on that of their files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hxcli.engine.topology import from_parents
from hxcli.phylogeny import Phylogeny, canonical_order
from hxcli.traits import Observations


def in_canonical_order(phylogeny: Phylogeny, observations: Observations) -> tuple[Phylogeny, Observations, Any]:
    """The same with siblings by the smallest name of their tips, and rows of a tip by their values.

    Sampling needs it: the last digits of a sum hang on its order, and after some hundred steps all digits do.

    Args:
        phylogeny: N nodes.
        observations: M observations.

    Returns:
        Both, and which node every one of the N was, (N,).
    """
    tree, order = tree_in_canonical_order(phylogeny)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    nodes = place[observations.nodes]
    keys = [column for table in (observations.standard_errors, observations.values) for column in table.T[::-1]]
    rows = np.lexsort((*keys, nodes))
    moved = replace(
        observations,
        nodes=nodes[rows],
        values=observations.values[rows],
        standard_errors=observations.standard_errors[rows],
        texts={},
        states=(),
    )
    return tree, moved, order


def tree_in_canonical_order(phylogeny: Phylogeny) -> tuple[Phylogeny, Any]:
    """The same tree with siblings by the smallest name of their tips, and which node every one of the N was, (N,)."""
    topology = phylogeny.topology
    order = canonical_order(phylogeny)
    order = order[np.argsort(topology.node_depths[order], kind="stable")]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    tree = Phylogeny(
        topology=from_parents(place[topology.parents[order]]),
        edge_lengths=phylogeny.edge_lengths[order],
        labels=phylogeny.labels[order],
        support=phylogeny.support[order],
    )
    return tree, order
