"""Numbers that a tree's own annotations give its edges, such as BEAST's rates, as a table of edges."""

from __future__ import annotations

import math

import numpy as np

from hxcli.close_names import listed
from hxcli.edge_data import OF_EVERY_EDGE, EdgeTable
from hxcli.errors import InputError
from hxcli.formats.trees.annotations import key_of, node_entries
from hxcli.painting import RegimeRow
from hxcli.phylogeny import Phylogeny


def edge_annotations(phylogeny: Phylogeny, file: str) -> EdgeTable:
    """The annotations that are one number at every node but the root, each the edge's above the node.

    Args:
        phylogeny: N nodes, none but the root with one child.
        file: The tree's path, for messages.

    Raises:
        InputError: No annotation is a number at every node, or edges follow each other without a split.
    """
    topology = phylogeny.topology
    if (topology.child_counts[1:] == 1).any():
        raise InputError(
            "nodes with one child stand between the edges of the tree, and no pair of tips names those",
            "give --edge-data a table of the edges by the labels of their nodes",
            file=file,
        )
    inner = range(1, topology.size)
    found: dict[str, dict[int, float]] = {}
    for node in inner:
        for entry in node_entries(phylogeny.annotations.get(node, ())):
            value = _number(entry.partition("=")[2])
            if value is not None:
                found.setdefault(key_of(entry), {})[node] = value
    columns = {
        name: np.array([values[node] for node in inner])
        for name, values in sorted(found.items())
        if len(values) == len(inner) and name.isidentifier() and name not in OF_EVERY_EDGE
    }
    if not columns:
        has = f"numbers at some nodes: {listed(sorted(found))}" if found else "it has no annotation that is a number"
        raise InputError(
            "no annotation of the tree is a number at every node but the root, with a name that Python allows",
            f"{has}; a table of edges may be given in its place",
            file=file,
        )
    first, last = _outermost_tips(phylogeny)
    names = phylogeny.labels.array
    rows = tuple(RegimeRow("", names[first[node]], names[last[node]], "", 1.0, 0) for node in inner)
    return EdgeTable(file, rows, columns)


def _number(text: str) -> float | None:
    try:
        value = float(text.strip().strip("\"'"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _outermost_tips(phylogeny: Phylogeny) -> tuple[list[int], list[int]]:
    """For every node two tips, of different children where it has some: it is their most recent common ancestor."""
    parents = phylogeny.topology.parents.tolist()
    first, last = list(range(len(parents))), list(range(len(parents)))
    # Children come after their parents.
    for node in range(len(parents) - 1, 0, -1):
        parent = parents[node]
        first[parent] = first[node]
        if last[parent] == parent:
            last[parent] = last[node]
    return first, last
