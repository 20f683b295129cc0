"""Layout: where the nodes of a tree lie, as numbers without a unit. Straight or round is decided by `place`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hxcli.engine.topology import Topology
from hxcli.errors import OptionError
from hxcli.formats.trees.preorder import preorder_ranks
from hxcli.phylogeny import FloatArray, Phylogeny

# Tips at unlike distances from the root, relative to the largest, that are still called ultrametric.
_ULTRAMETRIC = 1e-4
# Part of the circle without tips, and the root's distance from the centre as part of the radius.
_GAP = 0.03
_HOLE = 0.04


@dataclass(frozen=True, eq=False)
class Layout:
    """Places of the N nodes of a tree with L tips.

    Attributes:
        topology: The tree's shape.
        depths: (N,) distance from the root in edge length; in levels where no edge has a length.
        rows: (N,) place across: tips have 0 to L - 1 in the order of the file, a node the middle of its outer
            children.
        first_rows, last_rows: (N,) rows of a node's first and last child; its own row at tips.
        measured: False where `depths` are levels.
    """

    topology: Topology
    depths: FloatArray
    rows: FloatArray
    first_rows: FloatArray
    last_rows: FloatArray
    measured: bool

    @cached_property
    def tips(self) -> int:
        """Number of tips L."""
        return int(self.topology.is_leaf.sum())

    @cached_property
    def height(self) -> float:
        """Largest depth; 1 for a tree that is a single node, so that it can be divided by."""
        return float(self.depths.max()) or 1.0

    @cached_property
    def ultrametric(self) -> bool:
        """Whether the tips are measured and equally far from the root."""
        depths = self.depths[self.topology.is_leaf]
        return self.measured and bool(depths.min() >= depths.max() * (1 - _ULTRAMETRIC))

    def angles(self, rows: FloatArray) -> FloatArray:
        """Angles of places across, in radians: clockwise from the top, with a gap there."""
        turn = _GAP / 2 + (1 - _GAP) * (np.asarray(rows) + 0.5) / self.tips
        return np.pi / 2 - 2 * np.pi * turn

    def radii(self, depths: FloatArray) -> FloatArray:
        """Distances from the centre of a circle in which the farthest node is at 1."""
        return _HOLE + (1 - _HOLE) * np.asarray(depths) / self.height


def lay_out(phylogeny: Phylogeny) -> Layout:
    """The places of a tree's nodes; no recursion, whatever the depth."""
    topology = phylogeny.topology
    with np.errstate(over="ignore"):
        depths = phylogeny.root_distances
    if not np.isfinite(depths).all():
        raise OptionError("the tree is too deep for a picture: distances are no doubles (scale the edge lengths)")
    measured = bool(depths.max() > 0)
    rows, first, last = _rows(topology)
    return Layout(topology, depths if measured else topology.node_depths.astype(float), rows, first, last, measured)


def nice_length(longest: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def _rows(topology: Topology) -> tuple[FloatArray, FloatArray, FloatArray]:
    tips = np.flatnonzero(topology.is_leaf)
    rows = np.zeros(topology.size)
    ranks, _ = preorder_ranks(topology)
    rows[tips[np.argsort(ranks[tips])]] = np.arange(len(tips))
    first, last = rows.copy(), rows.copy()
    starts, counts, inner = topology.first_child, topology.child_counts, ~topology.is_leaf
    for level in range(topology.depth - 1, -1, -1):
        nodes = np.arange(topology.level_starts[level], topology.level_starts[level + 1])
        nodes = nodes[inner[nodes]]
        first[nodes] = rows[topology.children[starts[nodes]]]
        last[nodes] = rows[topology.children[starts[nodes] + counts[nodes] - 1]]
        rows[nodes] = (first[nodes] + last[nodes]) / 2
    return rows, first, last
