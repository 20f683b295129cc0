"""Traitgram: edge length against trait, with the intervals shaded (Evans et al. 2009)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hxcli.phylogeny import FloatArray
from hxcli.pictures.canvas import (
    INK,
    SMALL,
    SOFT,
    UNKNOWN_COLOUR,
    draw_lines,
    inner_axes,
    paper,
    segments,
    text_width,
    write,
)
from hxcli.pictures.choices import PictureChoices
from hxcli.pictures.furniture import AXIS_HEIGHT, NOTE_HEIGHT, STEPS, notes
from hxcli.pictures.labels import MOST_LABELLED, shown, spread, tip_spacing
from hxcli.pictures.strokes import by_class, edge_pieces
from hxcli.pictures.subject import Subject
from hxcli.pictures.trunk import COLOURS, palette_of

_WIDE, _HIGH, _HIGHER_FOR_NAMES = 330.0, 300.0, 560.0
_WIDE_WITHOUT_NAMES, _HIGH_WITHOUT_NAMES = 520.0, 420.0
_LEFT, _BOTTOM, _MARGIN = 46.0, 12.0, 14.0
# Points of the lines that lead from the tips to their names.
_LEAD = 22.0
_SHADE = "#3b6fa0"


def traitgram(subject: Subject, choices: PictureChoices, colours: Colormap, small_print: list[str]) -> Figure:
    """Draws the picture: edges from the parent's to the child's estimate, coloured by it."""
    layout = subject.layout
    known = np.isfinite(subject.estimates[subject.tips])
    spacing = tip_spacing(layout.tips, room=_HIGHER_FOR_NAMES, largest=10)
    names = [name for name, there in zip(subject.names, known, strict=True) if there] if spacing.labelled else []
    aside = _LEAD + max((text_width(name, spacing.font) for name in names), default=0.0) if names else 0.0
    wide = _WIDE if spacing.labelled else _WIDE_WITHOUT_NAMES
    high = max(_HIGH, len(names) * spacing.spacing) if spacing.labelled else _HIGH_WITHOUT_NAMES
    bottom = _BOTTOM + len(small_print) * NOTE_HEIGHT + AXIS_HEIGHT
    figure, axes = paper(_LEFT + wide + aside + _MARGIN, bottom + high + _MARGIN)
    notes(axes, _LEFT, _BOTTOM - 6, small_print)
    plot = inner_axes(figure, _LEFT, bottom, wide, high)
    _scales(plot, subject)
    _shade(plot, subject)
    _edges(plot, subject, colours)
    if choices.support and layout.tips <= MOST_LABELLED:
        for node in np.flatnonzero(subject.support != ""):
            at = (layout.depths[node], subject.estimates[node])
            text = shown(subject.support[node], 12)
            plot.annotate(text, at, (-1.5, 2), textcoords="offset points", fontsize=5, color=SOFT, ha="right")
    if names:
        depths, values = layout.depths[subject.tips][known], subject.estimates[subject.tips][known]
        places = plot.transData.transform(np.stack([depths, values], axis=1)) * 72 / figure.dpi
        _names(axes, names, places, _LEFT + wide, (bottom, bottom + high), spacing.spacing, spacing.font)
    return figure


def _scales(plot: Axes, subject: Subject) -> None:
    span, layout = subject.range, subject.layout
    margin = (span.high - span.low) * 0.03
    plot.set(xlim=(0, layout.height), ylim=(span.low - margin, span.high + margin))
    plot.set_ylabel(shown(subject.trait))
    plot.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
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


def _names(
    axes: Axes, names: list[str], places: FloatArray, left: float, ends: tuple[float, float], gap: float, font: float
) -> None:
    """Names in one column, each as near to its tip as the others let it be, with a line that leads to it."""
    up = spread(places[:, 1], gap, *ends)
    x = np.full(len(names), left)
    knee = np.stack([x + 6, places[:, 1]], axis=1)
    near = np.stack([places, knee], axis=1)
    far = np.stack([knee, np.stack([x + _LEAD - 3, up], axis=1)], axis=1)
    draw_lines(axes, [segments(np.concatenate([near, far]), UNKNOWN_COLOUR)], 0.4)
    for name, y in zip(names, up, strict=True):
        write(axes, left + _LEAD, y, name, fontsize=font, va="center_baseline")
