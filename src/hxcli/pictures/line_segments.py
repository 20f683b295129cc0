"""Strokes: the lines that a tree is drawn with, cut where their colour changes and gathered by colour.

Colours are classes 0 to K - 1 of the trait's range; `UNKNOWN` is the class of lines whose values are not known.
A picture then has as many paths as colours, however many edges the tree has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray
from hxcli.pictures.layout import Layout

IntArray = NDArray[np.int64]

UNKNOWN = -1
# Straight pieces that a full circle is drawn with.
_CIRCLE = 360


@dataclass(frozen=True)
class Scale:
    """What part of the colours a value has.

    Attributes:
        low, high: Values with the first and the last colour; low < high.
    """

    low: float
    high: float

    def part(self, values: FloatArray) -> FloatArray:
        """0 for `low`, 1 for `high`; nan for nan."""
        # Halves, because the difference of two doubles may be too large for one.
        return (values / 2 - self.low / 2) / (self.high / 2 - self.low / 2)


def scale_of(values: FloatArray) -> Scale:
    """The scale from the least to the largest value; around them where they are all equal, 0 to 1 without any."""
    known = values[np.isfinite(values)]
    if not known.size:
        return Scale(0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    # So little that no digit of a colour bar would show it.
    if high / 2 - low / 2 <= 1e-12 * max(abs(low), abs(high)):
        margin = 0.05 * max(abs(low), abs(high)) or 1.0
        return Scale(low - margin, high + margin)
    return Scale(low, high)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Parts of edges of one colour each; M pieces.

    Attributes:
        nodes: (M,) the node below the edge.
        starts, ends: (M,) where the piece begins and ends: 0 at the parent, 1 at the node.
        classes: (M,) colours.
    """

    nodes: IntArray
    starts: FloatArray
    ends: FloatArray
    classes: IntArray


def node_classes(values: FloatArray, scale: Scale, count: int) -> IntArray:
    """(N,) the colour of every value, one of `count`."""
    parts = scale.part(values)
    known = np.isfinite(parts)
    classes = np.full(len(values), UNKNOWN, np.int64)
    classes[known] = np.clip(np.floor(parts[known] * count), 0, count - 1)
    return classes


def edge_pieces(layout: Layout, values: FloatArray, scale: Scale, count: int) -> Pieces:
    """Cuts every edge where the value, linear between its ends, enters another colour.

    Args:
        layout: N nodes.
        values: (N,) one trait's estimates; nan makes the edges beside it `UNKNOWN`.
        scale: Which value has which colour.
        count: Number of colours K.
    """
    nodes = np.flatnonzero(~layout.topology.is_root)
    parents = layout.topology.parents[nodes]
    place = np.clip(scale.part(values) * count, 0, count)
    begin, end = place[parents], place[nodes]
    known = np.isfinite(begin) & np.isfinite(end)
    begin, end = np.where(known, begin, 0.0), np.where(known, end, 0.0)
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    # The colours that lie between the two ends: a value on a border belongs to the side that the edge is on.
    first = np.minimum(np.floor(low), count - 1).astype(np.int64)
    last = np.maximum(np.minimum(np.ceil(high) - 1, count - 1).astype(np.int64), first)
    counts = last - first + 1
    of = np.repeat(np.arange(len(nodes)), counts)
    classes = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    span = np.where(high > low, high - low, 1.0)[of]
    lower = np.clip((classes - low[of]) / span, 0, 1)
    upper = np.where(classes == last[of], 1.0, np.clip((classes + 1 - low[of]) / span, 0, 1))
    rising = (end >= begin)[of]
    return Pieces(
        nodes=nodes[of],
        starts=np.where(rising, lower, 1 - upper),
        ends=np.where(rising, upper, 1 - lower),
        classes=np.where(known[of], classes, UNKNOWN),
    )


@dataclass(frozen=True, eq=False)
class Strokes:
    """Lines by colour, in the units of `Layout`: (depth, row) pairs.

    Attributes:
        edges: Colour -> (M, 2, 2) ends of pieces of edges, from the parent's side.
        connectors: Colour -> (M, 3) depth, first row and last row of the lines that join a node's children.
    """

    edges: dict[int, FloatArray]
    connectors: dict[int, FloatArray]


def strokes(layout: Layout, values: FloatArray, scale: Scale, count: int) -> Strokes:
    """The lines of a tree whose edges and connectors are coloured by `values`. See `edge_pieces`."""
    return piece_strokes(layout, edge_pieces(layout, values, scale, count), node_classes(values, scale, count))


def joined_pieces(pieces: Pieces) -> Pieces:
    """The same with pieces that follow each other on an edge made one where they have one class."""
    begins = np.ones(len(pieces.nodes), bool)
    same = (pieces.nodes[1:] == pieces.nodes[:-1]) & (pieces.classes[1:] == pieces.classes[:-1])
    begins[1:] = ~same
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(begins)) - 1
    return Pieces(pieces.nodes[first], pieces.starts[first], pieces.ends[last], pieces.classes[first])


def piece_strokes(layout: Layout, pieces: Pieces, classes: IntArray) -> Strokes:
    """The lines of a tree from pieces of its edges, and (N,) classes of the connectors below its nodes."""
    depths = layout.depths
    above = depths[layout.topology.parents[pieces.nodes]]
    along = depths[pieces.nodes] - above
    ends = np.empty((len(pieces.nodes), 2, 2))
    ends[:, 0, 0], ends[:, 1, 0] = above + pieces.starts * along, above + pieces.ends * along
    ends[:, :, 1] = layout.rows[pieces.nodes, None]
    joining = np.flatnonzero(layout.topology.child_counts > 1)
    lines = np.stack([depths[joining], layout.first_rows[joining], layout.last_rows[joining]], axis=1)
    return Strokes(by_class(pieces.classes, ends), by_class(classes[joining], lines))


def whole_strokes(layout: Layout, classes: IntArray) -> Strokes:
    """The lines of a tree whose edges, and the connectors below them, have one colour each: the class of the node."""
    nodes = np.flatnonzero(~layout.topology.is_root)
    whole = Pieces(nodes, np.zeros(len(nodes)), np.ones(len(nodes)), classes[nodes])
    return piece_strokes(layout, whole, classes)


def by_class(classes: IntArray, lines: FloatArray) -> dict[int, FloatArray]:
    """The rows of `lines` by their class, classes ascending."""
    return {int(found): lines[classes == found] for found in np.unique(classes)}


def arc_points(layout: Layout, connectors: FloatArray) -> tuple[FloatArray, IntArray]:
    """The connectors of a round tree as points (P, 2) on the unit circle's scale, and (M + 1,) where each begins."""
    depths, first, last = connectors.T
    begin, end = layout.angles(first), layout.angles(last)
    steps = np.ceil(np.abs(end - begin) / (2 * np.pi) * _CIRCLE).astype(np.int64) + 1
    starts = np.concatenate([[0], np.cumsum(steps + 1)])
    of = np.repeat(np.arange(len(depths)), steps + 1)
    part = (np.arange(len(of)) - starts[of]) / steps[of]
    angle = begin[of] + part * (end - begin)[of]
    radius = layout.radii(depths)[of]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), starts
