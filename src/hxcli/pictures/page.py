"""A sheet with a tree on it: how large it is, where the tree lies, and what stands at its foot.

The same for every kind of picture that has a tree, straight or round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from hxcli.phylogeny import FloatArray
from hxcli.pictures import legends
from hxcli.pictures.figure import paper, text_width
from hxcli.pictures.labels import TipSpacing, tip_spacing
from hxcli.pictures.legends import BAR_WIDTH, NOTE_HEIGHT
from hxcli.pictures.line_segments import Scale
from hxcli.pictures.picture_data import Subject, TreeSubject
from hxcli.pictures.projections import Frame, Round, Straight
from hxcli.pictures.state_legend import SCALE_HEIGHT, StateLegend, draw_legend

MARGIN = 14.0
# Points between a tip and its name.
NAME_GAP = 4.0
# Points that a page has for a straight tree, across its tips and along its edges, and the same without names.
_ACROSS, _ALONG = 640.0, 300.0
_ACROSS_WITHOUT_NAMES, _ALONG_WITHOUT_NAMES = 860.0, 520.0
# Radii of round trees with few, many and unnamed tips.
_LEAST_RADIUS, _USUAL_RADIUS, _LARGE_RADIUS = 110.0, 230.0, 330.0
_CIRCLE = 2 * math.pi * 0.97
_FOOT_MARGIN, _FOOT_LEFT, _BETWEEN = 10.0, 20.0, 40.0
_FOOT_WIDTH = BAR_WIDTH + _BETWEEN + legends.LONGEST_SCALE


@dataclass(frozen=True, eq=False)
class Sheet:
    """Paper with a place for a tree.

    Attributes:
        figure, axes: The paper; its axes are in points.
        frame: Where the tree lies.
        spacing: Of its tips.
        width: Of the paper, in points.
        away: Points between the tips and where their names would stand otherwise.
    """

    figure: Figure
    axes: Axes
    frame: Frame
    spacing: TipSpacing
    width: float
    away: float = 0.0

    @property
    def line_width(self) -> float:
        """Points: thick enough for colours, thin enough that edges stay apart."""
        return min(max(0.38 * self.spacing.spacing, 0.5), 3.5)


def straight_sheet(
    subject: TreeSubject,
    small_print: list[str],
    *,
    beside: float = 0.0,
    below: float = 0.0,
    away: float = 0.0,
    legend: float = legends.BAR_HEIGHT,
) -> Sheet:
    """Paper for a tree with the root at the left.

    Args:
        subject: What is drawn.
        small_print: Sentences below it.
        beside: Points wanted to the right of the names.
        below: Points wanted right below the tree.
        away: Points wanted between the tips and their names.
        legend: Points wanted for what the colours mean.
    """
    layout = subject.layout
    spacing = straight_spacing(layout.tips)
    along = _ALONG if spacing.labelled else _ALONG_WITHOUT_NAMES
    axis = legends.AXIS_HEIGHT if layout.ultrametric else 0.0
    bottom = _foot_height(small_print, legend) + max(axis, below)
    frame = Straight(layout, MARGIN + 6, bottom, along, spacing.spacing)
    right = frame.left + max(along, name_ends(frame, subject, spacing, away).max(initial=0.0))
    width = max(right + beside + MARGIN, _FOOT_WIDTH + 2 * MARGIN)
    figure, axes = paper(width, bottom + frame.height + MARGIN)
    return Sheet(figure, axes, frame, spacing, width, away)


def straight_spacing(tips: int) -> TipSpacing:
    """How the tips of a straight tree are set."""
    spacing = tip_spacing(tips, room=_ACROSS)
    return spacing if spacing.labelled else tip_spacing(tips, room=_ACROSS_WITHOUT_NAMES)


def name_ends(frame: Straight, subject: TreeSubject, spacing: TipSpacing, away: float = 0.0) -> FloatArray:
    """(L,) points from the root to the end of every tip's name; of what is beside the tips without names."""
    ends = frame.x(frame.layout.depths[subject.tips]) - frame.left + away
    return ends + NAME_GAP + name_widths(subject, spacing) if spacing.labelled else ends


def name_widths(subject: TreeSubject, spacing: TipSpacing) -> FloatArray:
    """(L,) widths of the names in points; 0 where they are left out."""
    if not spacing.labelled:
        return np.zeros(len(subject.names))
    return np.array([text_width(name, spacing.font) for name in subject.names])


def round_sheet(
    subject: TreeSubject, small_print: list[str], *, away: float = 0.0, legend: float = legends.BAR_HEIGHT
) -> Sheet:
    """Paper for a tree with the root at the centre.

    Args:
        subject: What is drawn.
        small_print: Sentences below it.
        away: Points wanted between the tips and their names.
        legend: Points wanted for what the colours mean.
    """
    layout = subject.layout
    radius, spacing = circle_size(layout.tips)
    # How far names reach in every direction, so that no side has more margin than another.
    reach = radius + away + NAME_GAP + name_widths(subject, spacing) + spacing.font
    ends = Round(layout, 0, 0, 0).at(reach, layout.rows[subject.tips])
    least, most = radius + away + NAME_GAP, ends.max(0, initial=0.0)
    right, up = np.maximum(most, least)
    left, down = np.maximum(-ends.min(0, initial=0.0), least)
    extra = max(_FOOT_WIDTH - left - right, 0.0)
    bottom = _foot_height(small_print, legend)
    frame = Round(layout, MARGIN + left + extra / 2, bottom + MARGIN + down, radius)
    width = left + right + extra + 2 * MARGIN
    figure, axes = paper(width, frame.centre_y + up + MARGIN)
    return Sheet(figure, axes, frame, spacing, width, away)


def circle_size(tips: int) -> tuple[float, TipSpacing]:
    """Radius in points of a round tree, and the spacing of its names."""
    radius = min(max(tips * 8 / _CIRCLE, _LEAST_RADIUS), _USUAL_RADIUS)
    spacing = tip_spacing(tips, room=_CIRCLE * radius)
    if not spacing.labelled:
        return _LARGE_RADIUS, tip_spacing(tips, room=_CIRCLE * _LARGE_RADIUS)
    # Where names need more than the circle has, it grows.
    return max(radius, tips * min(spacing.spacing, 16 * radius / _USUAL_RADIUS) / _CIRCLE), spacing


def _foot_height(small_print: list[str], legend: float) -> float:
    return 2 * _FOOT_MARGIN + len(small_print) * NOTE_HEIGHT + legend


def foot(sheet: Sheet, subject: Subject, colours: Colormap, small_print: list[str]) -> None:
    """The colour bar, the small print, and a time axis where that is true, else a scale bar."""
    foot_of_scale(sheet, subject.scale, subject.trait, colours, small_print)


def foot_of_scale(sheet: Sheet, scale: Scale, title: str, colours: Colormap, small_print: list[str]) -> None:
    """The colour bar of a scale with that title, and the rest of `foot`."""
    bottom = _FOOT_MARGIN + len(small_print) * NOTE_HEIGHT
    legends.notes(sheet.axes, _FOOT_LEFT, _FOOT_MARGIN - 4, small_print)
    legends.colour_bar(sheet.figure, _FOOT_LEFT, bottom, scale, colours, title)
    _length_legend(sheet, _FOOT_LEFT + BAR_WIDTH + _BETWEEN, bottom + 10)


def foot_of_states(sheet: Sheet, legend: StateLegend, small_print: list[str]) -> None:
    """The states with their colours, the small print, and what lengths mean; see `foot`."""
    bottom = _FOOT_MARGIN + len(small_print) * NOTE_HEIGHT
    legends.notes(sheet.axes, _FOOT_LEFT, _FOOT_MARGIN - 4, small_print)
    if not _length_legend(sheet, _FOOT_LEFT, bottom - 6):
        bottom += SCALE_HEIGHT
    draw_legend(sheet.axes, legend, _FOOT_LEFT, bottom)


def _length_legend(sheet: Sheet, left: float, bottom: float) -> bool:
    """A time axis below the tree where that is true, else a scale bar at that place; whether it is the axis."""
    if isinstance(sheet.frame, Straight) and sheet.frame.layout.ultrametric:
        legends.time_axis(sheet.figure, sheet.frame)
        return True
    legends.scale_bar(sheet.axes, sheet.frame, left, bottom)
    return False
