"""Where a density has its mass: ranges that move until what counts fills most of them and reaches no side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.inference.parameter_plane import Range
from hxcli.phylogeny import FloatArray

# How far below its top, in logs, the density (and the density times the squared value) is cut off.
DEPTH, MOMENT_DEPTH = 25.0, 18.0
# How much higher up the sides may be that an integral meets, and how often it then takes more room.
SIDE_DEPTH, MOST_WIDENED = 6.0, 12
# Steps of the search.
MOST_STEPS = 80
# Farther out a coordinate means a value that nothing has.
_FARTHEST = 600.0


class Endless(Exception):
    """The density does not fall off."""


def sides_reached(mask: BoolArray) -> list[tuple[bool, bool]]:
    """Per axis, whether the mask reaches its low and its high end; an axis of one point has no ends."""
    turned = [np.moveaxis(mask, axis, 0) for axis in range(mask.ndim)]
    return [(bool(each[0].any()) and len(each) > 1, bool(each[-1].any()) and len(each) > 1) for each in turned]


def widened_range(limits: Range, low: bool, high: bool) -> Range:
    """The range, longer by half at the ends that are reached."""
    reach = (limits[1] - limits[0]) / 2
    return limits[0] - reach * low, limits[1] + reach * high


def moved_ranges(axes: Sequence[FloatArray], ranges: Sequence[Range], mask: BoolArray) -> tuple[list[Range], bool]:
    """The ranges around what counts, and whether they need not move again.

    Args:
        axes: The points of every coordinate, evenly spaced in its range.
        ranges: Theirs.
        mask: One axis for each coordinate: the points that count.

    Raises:
        Endless: A range became longer, or lies farther out, than any value is.
    """
    found: list[Range] = []
    settled = True
    for axis, (points, sides) in enumerate(zip(axes, sides_reached(mask), strict=True)):
        if len(points) == 1:
            found.append((float(points[0]), float(points[0])))
            continue
        inside = np.flatnonzero(np.moveaxis(mask, axis, 0).reshape(len(points), -1).any(1))
        step = points[1] - points[0]
        low, high = points[inside[0]] - step, points[inside[-1]] + step
        if any(sides):
            # No end comes nearer meanwhile: a range that shrinks while it moves may never arrive.
            low, high = widened_range(ranges[axis], *sides)
        if high - low > _FARTHEST or max(abs(low), abs(high)) > _FARTHEST:
            raise Endless
        settled = settled and not any(sides) and len(inside) >= len(points) // 2
        found.append((float(low), float(high)))
    return found, settled
