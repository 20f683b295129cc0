"""Traitgram: edge length against trait, with the intervals shaded (Evans et al. 2009)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from hxcli.phylogeny import FloatArray
from hxcli.pictures.figure import (
    INK,
    SMALL,
    SOFT,
    draw_lines,
    inner_axes,
    paper,
    segments,
    text_width,
    write,
)
from hxcli.pictures.labels import MOST_LABELLED, shown, spread, tip_spacing
from hxcli.pictures.legends import AXIS_HEIGHT, NOTE_HEIGHT, notes, ticks_between
from hxcli.pictures.line_segments import IntArray, by_class, edge_pieces, node_classes
from hxcli.pictures.options import PictureChoices
from hxcli.pictures.picture_data import Subject
from hxcli.pictures.tree_drawing import COLOURS, palette_of

_WIDE, _HIGH, _HIGHER_FOR_NAMES = 330.0, 300.0, 560.0
_WIDE_WITHOUT_NAMES, _HIGH_WITHOUT_NAMES = 520.0, 420.0
_LEFT, _BOTTOM, _MARGIN = 46.0, 12.0, 14.0
# Points of the lines that lead from the tips to their names: at least, at most, and how many for a name moved by one.
_LEAD, _LONGEST_LEAD, _LEAD_PER_MOVE = 22.0, 90.0, 0.4
_SHADE = "#3b6fa0"


def traitgram(subject: Subject, choices: PictureChoices, colours: Colormap, small_print: list[str]) -> Figure:
    """Draws the picture: edges from the parent's to the child's estimate, coloured by it."""

    def body(plot: Axes, subject: Subject, colours: Colormap) -> None:
        _shade(plot, subject)
        _edges(plot, subject, colours)

    return time_against_trait(subject, choices, colours, small_print, body)


def time_against_trait(
    subject: Subject,
    choices: PictureChoices,
    colours: Colormap,
    small_print: list[str],
    body: Callable[[Axes, Subject, Colormap], None],
) -> Figure:
    """A picture of edge length against trait, with the tips' names at their values; `body` draws between the axes."""
    layout = subject.layout
    known = np.isfinite(subject.estimates[subject.tips])
    spacing = tip_spacing(layout.tips, room=_HIGHER_FOR_NAMES, largest=10)
    tips = subject.tips[known] if spacing.labelled else subject.tips[:0]
    names = [name for name, there in zip(subject.names, known, strict=True) if there and spacing.labelled]
    wide = _WIDE if spacing.labelled else _WIDE_WITHOUT_NAMES
    high = max(_HIGH, len(names) * spacing.spacing) if spacing.labelled else _HIGH_WITHOUT_NAMES
    bottom = _BOTTOM + len(small_print) * NOTE_HEIGHT + AXIS_HEIGHT
    low, top = _limits(subject)
    places = bottom + (subject.estimates[tips] - low) / (top - low) * high
    moved = spread(places, spacing.spacing, bottom, bottom + high)
    lead = float(np.clip(_LEAD_PER_MOVE * np.abs(moved - places).max(initial=0.0), _LEAD, _LONGEST_LEAD))
    aside = lead + max(text_width(name, spacing.font) for name in names) if names else 0.0
    figure, axes = paper(_LEFT + wide + aside + _MARGIN, bottom + high + _MARGIN)
    notes(axes, _LEFT, _BOTTOM - 6, small_print)
    plot = inner_axes(figure, _LEFT, bottom, wide, high)
    _scales(plot, subject, wide)
    body(plot, subject, colours)
    if choices.support and layout.tips <= MOST_LABELLED:
        for node in np.flatnonzero(subject.support != ""):
            at = (layout.depths[node], subject.estimates[node])
            text = shown(subject.support[node], 12)
            plot.annotate(text, at, (-1.5, 2), textcoords="offset points", fontsize=5, color=SOFT, ha="right")
    starts = np.stack([_LEFT + layout.depths[tips] / layout.height * wide, places], axis=1)
    classes = node_classes(subject.estimates[tips], subject.scale, COLOURS)
    _lead(axes, starts, np.stack([np.full(len(tips), _LEFT + wide + lead - 3), moved], axis=1), classes, colours)
    for name, y in zip(names, moved, strict=True):
        write(axes, _LEFT + wide + lead, y, name, fontsize=spacing.font, va="center_baseline")
    return figure


def _limits(subject: Subject) -> tuple[float, float]:
    """The ends of the trait's axis."""
    span = subject.range
    margin = (span.high - span.low) * 0.03
    return span.low - margin, span.high + margin


def _scales(plot: Axes, subject: Subject, wide: float) -> None:
    layout = subject.layout
    plot.set(xlim=(0, layout.height), ylim=_limits(subject))
    plot.set_ylabel(shown(subject.trait))
    ticks, texts = ticks_between(0.0, layout.height, 6, wide)
    plot.set_xticks(ticks, labels=texts)
    plot.set_xlabel("edge length from the root" if layout.measured else "levels from the root", labelpad=2)
    plot.tick_params(labelsize=SMALL)


def _shade(plot: Axes, subject: Subject) -> None:
    """Bands between the interval of a parent and that of its child."""
    nodes = np.flatnonzero(~subject.layout.topology.is_root)
    parents, depths = subject.layout.topology.parents[nodes], subject.layout.depths
    near, far = (depths[parents], depths[nodes])
    low, high = subject.lower, subject.upper
    corners = [(near, low[parents]), (far, low[nodes]), (far, high[nodes]), (near, high[parents])]
    bands = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    bands = bands[np.isfinite(bands).all((1, 2))]
    if len(bands):
        # Many bands lie upon each other near the root.
        alpha = float(np.clip(1.5 / len(bands) ** 0.75, 0.008, 0.12))
        plot.add_collection(PolyCollection(list(bands), facecolors=_SHADE, alpha=alpha, linewidths=0))


def _edges(plot: Axes, subject: Subject, colours: Colormap) -> None:
    layout, values = subject.layout, subject.estimates
    pieces = edge_pieces(layout, values, subject.scale, COLOURS)
    parents = layout.topology.parents[pieces.nodes]

    def along(figures: FloatArray) -> FloatArray:
        step = figures[pieces.nodes] - figures[parents]
        return np.stack([figures[parents] + pieces.starts * step, figures[parents] + pieces.ends * step], axis=1)

    ends = np.stack([along(layout.depths), along(values)], axis=-1)
    drawn = np.isfinite(ends).all((1, 2))
    width = float(np.clip(12 / np.sqrt(layout.tips), 0.5, 2.2))
    palette = palette_of(colours)
    lines = by_class(pieces.classes[drawn], ends[drawn])
    coloured = [segments(line, palette[colour], overlap=0) for colour, line in lines.items()]
    draw_lines(plot, coloured, width, "round", clip_on=False)
    tips = subject.tips[subject.measured[subject.tips]]
    if layout.tips <= MOST_LABELLED:
        plot.plot(layout.depths[tips], values[tips], "o", color=INK, markersize=width + 0.8, clip_on=False)


def _lead(axes: Axes, starts: FloatArray, ends: FloatArray, classes: IntArray, colours: Colormap) -> None:
    """Lines from the (L, 2) tips to their names, in the tips' colours, so that the eye can follow one among many."""
    knees = starts.copy()
    knees[:, 0] = starts[:, 0].max(initial=0.0) + 6
    lines = np.concatenate([np.stack([starts, knees], axis=1), np.stack([knees, ends], axis=1)])
    palette = palette_of(colours)
    gathered = by_class(np.tile(classes, 2), lines)
    draw_lines(axes, [segments(line, palette[colour], overlap=0) for colour, line in gathered.items()], 0.5)
