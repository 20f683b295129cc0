"""The tree itself, straight or round: coloured lines, names at the tips, support values at the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from hxcli.phylogeny import FloatArray
from hxcli.pictures.figure import FAINT, INK, SOFT, UNKNOWN_COLOUR, WHITE_BELOW, draw_lines, segments, text_width, write
from hxcli.pictures.labels import shown
from hxcli.pictures.line_segments import UNKNOWN, IntArray, Scale, Strokes, node_classes, strokes, whole_strokes
from hxcli.pictures.page import NAME_GAP, Sheet, name_ends, name_widths
from hxcli.pictures.picture_data import TreeSubject
from hxcli.pictures.projections import Frame, Round, Straight
from hxcli.pictures.text_placement import Room, around, beside

COLOURS = 128
_ROOT_STUB = 6.0


def draw_coloured(axes: Axes, frame: Frame, values: FloatArray, scale: Scale, colours: Colormap, width: float) -> None:
    """Edges coloured along their length by the value, linear between their ends."""
    palette = palette_of(colours)
    _draw(axes, frame, strokes(frame.layout, values, scale, COLOURS), palette, width)
    root = node_classes(values[:1], scale, COLOURS)[0]
    _root_stub(axes, frame, palette[int(root)], width)


def palette_of(colours: Colormap) -> dict[int, Any]:
    """The colour of every class of `strokes`."""
    return {UNKNOWN: UNKNOWN_COLOUR} | {step: colours((step + 0.5) / COLOURS) for step in range(COLOURS)}


def draw_classes(axes: Axes, frame: Frame, classes: IntArray, palette: Mapping[int, Any], width: float) -> None:
    """Every edge in the one colour of its node's class, (N,)."""
    draw_strokes(axes, frame, whole_strokes(frame.layout, classes), palette, width, palette[int(classes[0])])


def draw_strokes(axes: Axes, frame: Frame, drawn: Strokes, palette: Mapping[int, Any], width: float, root: Any) -> None:
    """Lines in the colours of their classes, and a short one to the root in a colour of its own."""
    _draw(axes, frame, drawn, palette, width)
    _root_stub(axes, frame, root, width)


def draw_plain(axes: Axes, frame: Frame, width: float) -> None:
    """Edges of one colour."""
    unknown = np.full(frame.layout.topology.size, np.nan)
    _draw(axes, frame, strokes(frame.layout, unknown, Scale(0, 1), 1), {UNKNOWN: INK}, width)
    _root_stub(axes, frame, INK, width)


def _draw(axes: Axes, frame: Frame, drawn: Strokes, palette: Mapping[int, Any], width: float) -> None:
    # Connectors first, so that an edge covers the corner where it begins; their ends fill the corner.
    joined = [(*frame.connectors(lines), palette[colour]) for colour, lines in drawn.connectors.items()]
    draw_lines(axes, joined, width, "projecting")
    edges = [
        segments(frame.points(ends[..., 0], ends[..., 1]), palette[colour]) for colour, ends in drawn.edges.items()
    ]
    draw_lines(axes, edges, width)


def _root_stub(axes: Axes, frame: Frame, colour: Any, width: float) -> None:
    """A short line to the root; all that there is of a tree with one node."""
    end = frame.points(np.zeros(1), frame.layout.rows[:1])[0]
    start = end - (_ROOT_STUB, 0) if isinstance(frame, Straight) else np.array([frame.centre_x, frame.centre_y])
    draw_lines(axes, [segments(np.array([[start, end]]), colour)], width)


def name_tips(sheet: Sheet, subject: TreeSubject) -> None:
    """Writes the tips' names: behind each tip of a straight tree, on one circle around a round one.

    Nothing is written where there is no room.
    """
    axes, frame, spacing, gap = sheet.axes, sheet.frame, sheet.spacing, sheet.away + NAME_GAP
    if not spacing.labelled:
        return
    rows = frame.layout.rows[subject.tips]
    if isinstance(frame, Straight):
        for (x, y), name in zip(frame.points(frame.layout.depths[subject.tips], rows), subject.names, strict=True):
            write(axes, x + gap, y, name, fontsize=spacing.font, va="center_baseline")
    elif isinstance(frame, Round):
        degrees = np.degrees(frame.layout.angles(rows))
        places = frame.at(np.array(frame.radius + gap), rows)
        for (x, y), angle, name in zip(places, degrees, subject.names, strict=True):
            # Never upside down.
            left = np.cos(np.radians(angle)) < 0
            write(
                axes,
                x,
                y,
                name,
                fontsize=spacing.font,
                rotation=angle + 180 * left,
                rotation_mode="anchor",
                ha="right" if left else "left",
                va="center_baseline",
            )


def lead_to_names(sheet: Sheet, subject: TreeSubject) -> None:
    """Faint lines from the tips of a round tree to the circle on which the names stand, where there are names."""
    frame = sheet.frame
    if not (isinstance(frame, Round) and sheet.spacing.labelled):
        return
    depths, rows = frame.layout.depths[subject.tips], frame.layout.rows[subject.tips]
    far = frame.at(np.array(frame.radius + sheet.away), rows)
    near = frame.points(depths, rows)
    short = np.hypot(*(far - near).T) > 1
    draw_lines(sheet.axes, [segments(np.stack([near, far], axis=1)[short], FAINT)], 0.4)


def write_support(sheet: Sheet, subject: TreeSubject, radius: float = 0.0) -> None:
    """Writes support values before their nodes, above their edges; nothing where there is no room for names.

    Nodes are covered up to a radius, in points.
    """
    if not sheet.spacing.labelled:
        return
    nodes = np.flatnonzero(subject.support != "")
    texts = [shown(support, 12) for support in subject.support[nodes]]
    write_at_nodes(
        sheet, subject, nodes, texts, away=max(sheet.line_width / 2, radius) + 0.6, behind=False, radius=radius
    )


def write_at_nodes(
    sheet: Sheet,
    subject: TreeSubject,
    nodes: IntArray,
    texts: Sequence[str],
    *,
    away: float,
    behind: bool,
    radius: float = 0.0,
) -> None:
    """Writes small texts beside (K,) nodes where they cross nothing; see `room.beside`."""
    straight = isinstance(sheet.frame, Straight)
    size = min(6.0 if straight else 5.0, sheet.spacing.font * 0.8)
    points = sheet.frame.points(subject.layout.depths[nodes], subject.layout.rows[nodes])
    # Most of a circle of that radius around every node.
    circles = np.concatenate([points - 0.9 * radius, points + 0.9 * radius], axis=1)[: len(nodes) * bool(radius)]
    room = Room(_drawn_lines(sheet, subject), np.concatenate([_drawn_boxes(sheet, subject), circles]))
    # Near the tips there is least room.
    for which in np.argsort(-subject.layout.depths[nodes], kind="stable"):
        x, y = (float(part) for part in points[which])
        width = text_width(texts[which], size)
        if straight:
            corners = beside(x, y, width, size, away=away, behind=behind)
        else:
            corners = around(x, y, width, size, away=away)
        left, foot, free = room.take(corners, width, size)
        # White below the text where it has to cross a line.
        below: dict[str, Any] = {} if free else {"bbox": WHITE_BELOW}
        write(sheet.axes, left, foot, texts[which], fontsize=size, color=SOFT, va="baseline", zorder=2.5, **below)


def _drawn_lines(sheet: Sheet, subject: TreeSubject) -> FloatArray:
    """(M, 2, 2) ends of the tree's lines, and of the names of a round tree."""
    frame, layout = sheet.frame, subject.layout
    nodes = np.flatnonzero(~layout.topology.is_root)
    begins = layout.depths[layout.topology.parents[nodes]]
    edges = [frame.points(begins, layout.rows[nodes]), frame.points(layout.depths[nodes], layout.rows[nodes])]
    inner = np.flatnonzero(layout.topology.child_counts > 1)
    points, starts = frame.connectors(
        np.stack([layout.depths[inner], layout.first_rows[inner], layout.last_rows[inner]], axis=1)
    )
    within = np.setdiff1d(np.arange(len(points) - 1), starts[1:-1] - 1)
    lines = [np.stack(edges, axis=1), np.stack([points[within], points[within + 1]], axis=1)]
    if isinstance(frame, Round):
        rows, radius = layout.rows[subject.tips], frame.radius + sheet.away + NAME_GAP
        names = [frame.at(np.array(radius), rows), frame.at(radius + name_widths(subject, sheet.spacing), rows)]
        lines.append(np.stack(names, axis=1))
    return np.concatenate(lines)


def _drawn_boxes(sheet: Sheet, subject: TreeSubject) -> FloatArray:
    """(B, 4) left, bottom, right, top of a straight tree's names."""
    frame, spacing = sheet.frame, sheet.spacing
    if isinstance(frame, Round):
        return np.zeros((0, 4))
    x, y = frame.points(subject.layout.depths[subject.tips], subject.layout.rows[subject.tips]).T
    half = 0.4 * spacing.font
    return np.stack([x, y - half, frame.left + name_ends(frame, subject, spacing, sheet.away), y + half], axis=1)
