"""The tree with its inner nodes coloured by their estimates; beside the tips intervals and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from hxcli.phylogeny import FloatArray
from hxcli.pictures.figure import (
    FAINT,
    INK,
    SMALL,
    SOFT,
    UNKNOWN_COLOUR,
    draw_lines,
    inner_axes,
    segments,
    text_width,
    write,
)
from hxcli.pictures.labels import shown, value_texts
from hxcli.pictures.legends import AXIS_HEIGHT, STEPS, fitting, ticks_between
from hxcli.pictures.line_segments import scale_of
from hxcli.pictures.options import PictureChoices, PictureLayout
from hxcli.pictures.page import Sheet, foot, name_ends, round_sheet, straight_sheet, straight_spacing
from hxcli.pictures.picture_data import Subject
from hxcli.pictures.projections import Round, Straight
from hxcli.pictures.tree_drawing import (
    draw_coloured,
    draw_plain,
    lead_to_names,
    name_tips,
    write_at_nodes,
    write_support,
)

# Points of the chart beside a straight tree, of the ring around a round one, and between things.
_CHART, _RING, _GAP = 120.0, 64.0, 12.0
# Points from tip to tip at which the values of inner nodes have room.
_ROOMY = 11.0
_BAND = "#f3f3f3"


def tree_chart(subject: Subject, choices: PictureChoices, colours: Colormap, small_print: list[str]) -> Figure:
    """Draws the picture, straight or round. Tips without a value of their own are hollow."""
    straight = choices.layout == PictureLayout.RECTANGULAR
    sheet = (_beside if straight else _around)(subject, small_print)
    if sheet.spacing.labelled:
        draw_plain(sheet.axes, sheet.frame, min(max(0.12 * sheet.spacing.spacing, 0.5), 1.0))
        _inner_nodes(sheet, subject, colours)
    else:
        # Among thousands a point cannot be seen.
        draw_coloured(sheet.axes, sheet.frame, subject.estimates, subject.scale, colours, sheet.line_width)
    if choices.support:
        write_support(sheet, subject)
    elif straight and sheet.spacing.spacing >= _ROOMY:
        _node_values(sheet, subject)
    foot(sheet, subject, colours, small_print)
    return sheet.figure


def _inner_nodes(sheet: Sheet, subject: Subject, colours: Colormap) -> None:
    layout = subject.layout
    nodes = np.flatnonzero(~layout.topology.is_leaf)
    parts = subject.scale.part(subject.estimates[nodes])
    faces = [colours(part) if np.isfinite(part) else UNKNOWN_COLOUR for part in parts]
    points = sheet.frame.points(layout.depths[nodes], layout.rows[nodes])
    size = float(np.clip(sheet.spacing.spacing * 0.55, 1.6, 5.5)) ** 2
    sheet.axes.scatter(points[:, 0], points[:, 1], s=size, c=faces, edgecolors=INK, linewidths=0.4, zorder=3)


def _node_values(sheet: Sheet, subject: Subject) -> None:
    """Estimates at the nodes of a straight tree."""
    nodes = np.flatnonzero(~subject.layout.topology.is_leaf)
    texts = value_texts(subject.estimates[nodes], subject.estimates)
    write_at_nodes(sheet, subject, nodes, texts, away=3.0, behind=True)


def _beside(subject: Subject, small_print: list[str]) -> Sheet:
    """A straight tree with an axis of the trait to its right, and the values in figures where there is room."""
    spacing = straight_spacing(subject.layout.tips)
    figures = _columns(subject) if spacing.labelled else []
    widths = [max(text_width(text, spacing.font) for text in column) for column in figures]
    beside = _GAP + _CHART + sum(_GAP + width for width in widths)
    sheet = straight_sheet(subject, small_print, beside=beside, below=AXIS_HEIGHT)
    frame = sheet.frame
    assert isinstance(frame, Straight)
    left = frame.left + name_ends(frame, subject, spacing).max() + _GAP
    y = frame.y(np.arange(frame.layout.tips, dtype=float))
    if spacing.labelled:
        right = left + beside - _GAP
        _bands(sheet, frame, right)
        for column, width in zip(reversed(figures), reversed(widths), strict=True):
            for place, text in zip(y, column, strict=True):
                write(sheet.axes, right, place, text, fontsize=spacing.font, ha="right", va="center_baseline")
            right -= width + _GAP
    name_tips(sheet, subject)
    chart = inner_axes(sheet.figure, left, frame.bottom, _CHART, frame.height)
    chart.set(xlim=_limits(subject), ylim=(frame.bottom, frame.bottom + frame.height))
    for side in ("left", "right", "top"):
        chart.spines[side].set_visible(False)
    chart.yaxis.set_visible(False)
    ticks, texts = ticks_between(*_limits(subject), 4, _CHART)
    chart.set_xticks(ticks, labels=texts)
    chart.set_xlabel(fitting(_title(subject), _CHART + 2 * _GAP, SMALL + 1), labelpad=2)
    _intervals(chart, sheet, subject, lambda values: np.stack([values, y], axis=1))
    return sheet


def _intervals(axes: Axes, sheet: Sheet, subject: Subject, place: Callable[[FloatArray], FloatArray]) -> None:
    """The tips' intervals and values; `place` gives the (L, 2) points of (L,) values."""
    low, high, middle = (values[subject.tips] for values in (subject.lower, subject.upper, subject.estimates))
    bars = np.stack([place(low), place(high)], axis=1)[high > low]
    draw_lines(axes, [segments(bars, SOFT, overlap=0)], min(max(0.1 * sheet.spacing.spacing, 0.4), 1.0))
    own, points = subject.measured[subject.tips], place(middle)
    size = float(np.clip(sheet.spacing.spacing * 0.4, 1.1, 4))
    for which, face in ((own, INK), (~own, "white")):
        x, y = points[which].T
        axes.plot(x, y, "o", ms=size, mfc=face, mec=INK, mew=min(0.6, size / 4), clip_on=False)


def _bands(sheet: Sheet, frame: Straight, right: float) -> None:
    """Every other row shaded from the tips on, so that the eye stays in its row."""
    depths = frame.layout.depths
    left = float(frame.x(depths[frame.layout.topology.is_leaf]).max()) + 2
    for row in range(1, frame.layout.tips, 2):
        bottom = float(frame.y(np.array(row))) - frame.spacing / 2
        sheet.axes.add_patch(Rectangle((left, bottom), right - left, frame.spacing, color=_BAND, linewidth=0, zorder=0))


def _limits(subject: Subject) -> tuple[float, float]:
    """The tips' values and intervals with a little margin."""
    tips = subject.tips
    span = scale_of(np.concatenate([subject.estimates[tips], subject.lower[tips], subject.upper[tips]]))
    margin = 0.02 * (span.high - span.low)
    return span.low - margin, span.high + margin


def _title(subject: Subject) -> str:
    wide = (subject.upper > subject.lower)[subject.tips].any()
    return shown(subject.trait) + (f", {subject.interval}" if wide else "")


def _columns(subject: Subject) -> list[list[str]]:
    """The values at the tips in figures: estimates, and intervals where any has a width."""
    low, high, middle = (values[subject.tips] for values in (subject.lower, subject.upper, subject.estimates))
    columns = [value_texts(middle, subject.estimates)]
    wide = high > low
    if wide.any():
        ends = zip(value_texts(low, subject.estimates), value_texts(high, subject.estimates), wide, strict=True)
        columns.append([f"[{begin}, {end}]" if there else "" for begin, end, there in ends])
    return columns


def _around(subject: Subject, small_print: list[str]) -> Sheet:
    """A round tree with a ring around it on which the trait grows outwards."""
    values = _columns(subject)[0]
    subject = replace(subject, names=[f"{name}  {value}" for name, value in zip(subject.names, values, strict=True)])
    sheet = round_sheet(subject, small_print, away=_RING)
    frame, axes, layout = sheet.frame, sheet.axes, subject.layout
    assert isinstance(frame, Round)
    near, far = _limits(subject)
    inner = frame.radius + _GAP

    def radius(values: FloatArray) -> FloatArray:
        return inner + (values - near) / (far - near) * (_RING - _GAP - 4)

    ticks = [tick for tick in MaxNLocator(3, steps=STEPS).tick_values(near, far) if near <= tick <= far]
    turn = np.linspace(-0.5, layout.tips - 0.5, 361)
    for tick in ticks:
        circle = frame.at(np.full(turn.shape, radius(np.array(tick))), turn)
        draw_lines(axes, [(circle, np.array([0, len(circle)]), FAINT)], 0.5)
        x, y = frame.centre_x, frame.centre_y + float(radius(np.array(tick)))
        write(axes, x, y, f"{tick:g}", fontsize=5, color=SOFT, ha="center")
    lead_to_names(sheet, subject)
    rows = layout.rows[subject.tips]
    _intervals(axes, sheet, subject, lambda values: frame.at(radius(values), rows))
    name_tips(sheet, subject)
    return sheet
