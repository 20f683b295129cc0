"""Room for small texts beside nodes: where one stands so that it crosses no line and no other text, in points."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hxcli.phylogeny import FloatArray

# Heights of figures over and under their line, as parts of the font size; points that stay free around a text.
_OVER, _UNDER, _AROUND = 0.74, 0.14, 0.7


class Room:
    """What is taken on a sheet.

    Args:
        lines: (M, 2, 2) ends of straight lines.
        boxes: (B, 4) left, bottom, right, top of what else is there.
    """

    def __init__(self, lines: FloatArray, boxes: FloatArray) -> None:
        self._starts, self._along = lines[:, 0], lines[:, 1] - lines[:, 0]
        self._boxes = boxes

    def take(self, corners: Iterable[tuple[float, float]], width: float, size: float) -> tuple[float, float, bool]:
        """Takes the first place for a text of that width and font size where it touches nothing.

        Args:
            corners: Where the text may begin: left end and foot of its figures, the best first.

        Returns:
            Left end, foot, and whether it is free; where none is free, the place that touches least.
        """
        found: tuple[int, float, float, FloatArray] | None = None
        for left, foot in corners:
            low, high = foot - _UNDER * size, foot + _OVER * size
            box = np.array([left, low, left + width, high]) + _AROUND * np.array([-1, -1, 1, 1])
            touched = self._touched(box)
            if found is None or touched < found[0]:
                found = touched, left, foot, box
            if not touched:
                break
        assert found is not None
        touched, left, foot, box = found
        self._boxes = np.vstack([self._boxes, box])
        return left, foot, not touched

    def _touched(self, box: FloatArray) -> int:
        """How many lines and boxes have a point in the box."""
        low, high = box[:2], box[2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            # Where along a line (0 to 1) it enters and leaves the box's columns and rows (Liang and Barsky 1984).
            begin, end = (low - self._starts) / self._along, (high - self._starts) / self._along
        inside = (self._starts >= low) & (self._starts <= high)
        still = self._along == 0
        enter = np.where(still, np.where(inside, 0.0, 2.0), np.minimum(begin, end)).max(1).clip(min=0)
        leave = np.where(still, 1.0, np.maximum(begin, end)).min(1).clip(max=1)
        apart = (self._boxes[:, :2] >= high) | (self._boxes[:, 2:] <= low)
        return int((enter <= leave).sum() + (~apart.any(1)).sum())


def beside(x: float, y: float, width: float, size: float, *, away: float, behind: bool) -> list[tuple[float, float]]:
    """Corners of places for a text around the point (x, y), the best first; see `Room.take`.

    Args:
        away: Points from the point to the text.
        behind: Whether the best place is to the right, between the edges to the children, not above the node's edge.
    """
    middle, under = y - _OVER * size / 2, y - away - _OVER * size
    left = x - away - width
    right = [(x + away + 1, middle)]
    above = [(left, y + away), (left + away, y + away + 1)]
    below = [(left, under), (left + away, under - 1)]
    corners = [(x + 1.5, y + away + rise) for rise in (0.5, 2.5)] + [(x + 1.5, under - rise) for rise in (0.5, 2.5)]
    if behind:
        return right + above + below + corners
    return above[:1] + below[:1] + right + corners + above[1:] + below[1:]


def around(x: float, y: float, width: float, size: float, *, away: float) -> list[tuple[float, float]]:
    """Corners of places for a text in all directions from the point (x, y), near ones first; see `Room.take`."""
    high = _OVER * size
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False) + np.pi / 4
    across, up = np.cos(turn).tolist(), np.sin(turn).tolist()
    return [
        (x + right * (width / 2 + far) - width / 2, y + above * (high / 2 + far) - high / 2)
        for far in (away, away + 1.5, away + 3)
        for right, above in zip(across, up, strict=True)
    ]
