"""Frames: the paper that a tree covers, straight or round. Units are points, y upwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hxcli.phylogeny import FloatArray
from hxcli.pictures.layout import Layout
from hxcli.pictures.line_segments import IntArray, arc_points


@dataclass(frozen=True, eq=False)
class Straight:
    """The root at the left, the first tip on top.

    Attributes:
        layout: The tree.
        left, bottom: Where the tree begins.
        width: From the root to the farthest tip.
        spacing: From one tip to the next.
    """

    layout: Layout
    left: float
    bottom: float
    width: float
    spacing: float

    @property
    def height(self) -> float:
        """Points across all tips."""
        return self.layout.tips * self.spacing

    @property
    def per_length(self) -> float:
        """Points for one unit of edge length."""
        return self.width / self.layout.height

    def x(self, depths: FloatArray) -> FloatArray:
        """(M,) x of depths."""
        return self.left + np.asarray(depths) / self.layout.height * self.width

    def y(self, rows: FloatArray) -> FloatArray:
        """(M,) y of rows."""
        return self.bottom + (self.layout.tips - 0.5 - np.asarray(rows)) * self.spacing

    def points(self, depths: FloatArray, rows: FloatArray) -> FloatArray:
        """(M, 2) the points of (M,) places."""
        return np.stack([self.x(depths), self.y(rows)], axis=-1)

    def connectors(self, lines: FloatArray) -> tuple[FloatArray, IntArray]:
        """The (M, 3) connectors of `Strokes` as (P, 2) points and (M + 1,) where each line begins: upright lines."""
        depths, first, last = lines.T
        ends = np.stack([self.points(depths, first), self.points(depths, last)], axis=1)
        return ends.reshape(-1, 2), 2 * np.arange(len(lines) + 1)


@dataclass(frozen=True, eq=False)
class Round:
    """The root at the centre, the first tip on top, then clockwise.

    Attributes:
        layout: The tree.
        centre_x, centre_y: Of the circle.
        radius: From the centre to the farthest tip.
    """

    layout: Layout
    centre_x: float
    centre_y: float
    radius: float

    @property
    def per_length(self) -> float:
        """Points for one unit of edge length."""
        return float(self.layout.radii(np.array(1.0)) - self.layout.radii(np.array(0.0))) * self.radius

    def points(self, depths: FloatArray, rows: FloatArray) -> FloatArray:
        """(M, 2) the points of (M,) places."""
        return self.at(self.layout.radii(depths) * self.radius, rows)

    def at(self, radii: FloatArray, rows: FloatArray) -> FloatArray:
        """(M, 2) the points at distances from the centre, in points, and rows."""
        angles = self.layout.angles(rows)
        return np.stack([self.centre_x + radii * np.cos(angles), self.centre_y + radii * np.sin(angles)], axis=-1)

    def connectors(self, lines: FloatArray) -> tuple[FloatArray, IntArray]:
        """The (M, 3) connectors of `Strokes` as (P, 2) points and (M + 1,) where each line begins: arcs."""
        points, starts = arc_points(self.layout, lines)
        return points * self.radius + (self.centre_x, self.centre_y), starts


Frame = Straight | Round
