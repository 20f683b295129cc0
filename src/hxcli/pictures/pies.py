"""Pies at nodes and squares at tips: shares as areas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.path import Path

from hxcli.phylogeny import FloatArray
from hxcli.pictures.figure import INK
from hxcli.pictures.line_segments import IntArray
from hxcli.pictures.projections import Frame, Straight

# Shares too small to be seen, and straight pieces that a full circle is drawn with.
_UNSEEN, _LEAST_PIECES = 2e-3, 16


def draw_pies(axes: Axes, centres: FloatArray, shares: FloatArray, radius: float, colours: Sequence[str]) -> None:
    """Draws K pies one over the other, the last on top; sectors begin at the top and go clockwise.

    Args:
        axes: In points.
        centres: (K, 2).
        shares: (K, S) that sum to 1.
        radius: Points.
        colours: (S,).
    """
    shapes: list[FloatArray] = []
    faces: list[str] = []
    widths: list[float] = []
    pieces = max(_LEAST_PIECES, round(10 * radius))
    for centre, parts in zip(centres, shares, strict=True):
        shown = np.flatnonzero(parts > _UNSEEN)
        ends = np.concatenate([[0.0], np.cumsum(parts[shown])])
        ends /= ends[-1]
        for state, begin, end in zip(shown.tolist(), ends, ends[1:], strict=False):
            turn = np.linspace(begin, end, max(2, round((end - begin) * pieces) + 1)) * 2 * np.pi
            arc = centre + radius * np.stack([np.sin(turn), np.cos(turn)], axis=1)
            corners = arc[:-1] if len(shown) == 1 else np.concatenate([arc, centre[None]])
            shapes.append(corners)
            faces.append(colours[state])
            # Of many sectors the outlines would be all that is seen.
            widths.append(min(0.4, radius / 6, radius / len(shown) / 4))
    _fill(axes, shapes, faces, widths)


def draw_squares(
    axes: Axes,
    frame: Frame,
    places: tuple[FloatArray, FloatArray],
    shares: FloatArray,
    size: tuple[float, float],
    colours: Sequence[str],
    line: float,
) -> None:
    """Draws a square beside every tip that has a share of anything, divided from the tip outwards.

    Args:
        axes: In points.
        frame: Where the tree lies.
        places: (L,) where the squares begin, in points: from the left, or from the centre of a round tree; (L,) rows.
        shares: (L, S).
        size: Outwards in points, and across in rows.
        colours: (S,).
        line: Width of the outline in points; 0 for none.
    """
    starts, rows = places
    shapes: list[FloatArray] = []
    faces: list[str] = []
    half = size[1] / 2
    ends = np.concatenate([np.zeros((len(shares), 1)), shares.cumsum(1)], axis=1) * size[0]
    for tip, state in np.argwhere(shares > 0):
        near, far = starts[tip] + ends[tip, state], starts[tip] + ends[tip, state + 1]
        across = rows[tip] + half * np.array([-1, -1, 1, 1])
        out = np.array([near, far, far, near])
        corners = _corners(frame, out, across)
        shapes.append(corners)
        faces.append(colours[state])
    _fill(axes, shapes, faces, line)


def _corners(frame: Frame, out: FloatArray, rows: FloatArray) -> FloatArray:
    """(P, 2) points, from how far out and in which row they are."""
    return np.stack([out, frame.y(rows)], axis=1) if isinstance(frame, Straight) else frame.at(out, rows)


def with_room(centres: FloatArray, order: IntArray, apart: float, most: int) -> IntArray:
    """Which of K places are taken, in that order, so that no two are nearer than `apart`; at most so many."""
    taken: list[int] = []
    for place in order.tolist():
        if len(taken) == most:
            break
        if not taken or np.hypot(*(centres[taken] - centres[place]).T).min() >= apart:
            taken.append(place)
    return np.array(taken, np.int64)


def _fill(axes: Axes, shapes: list[FloatArray], faces: list[str], line: float | list[float]) -> None:
    """Fills shapes of (P, 2) corners: outlined ones each by itself, the last on top, others a path for every colour."""
    closed = [np.concatenate([corners, corners[:1]]) for corners in shapes]
    paths = [Path(corners, closed=True) for corners in closed]
    if not line:
        # Neighbours of one colour would show a gap between them.
        kinds = sorted(set(faces))
        paths = [
            Path.make_compound_path(*(p for p, f in zip(paths, faces, strict=True) if f == kind)) for kind in kinds
        ]
        faces = kinds
    edges = INK if line else faces
    collection = PathCollection(paths, facecolors=faces, edgecolors=edges, linewidths=line or 0.2, zorder=3, snap=False)
    axes.add_collection(collection, autolim=False)
