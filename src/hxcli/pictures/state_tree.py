"""The tree of a trait of states: pies at the nodes and squares at the tips, or edges in the states' colours."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from hxcli.errors import OptionError
from hxcli.pictures.figure import UNKNOWN_COLOUR
from hxcli.pictures.labels import MOST_LABELLED
from hxcli.pictures.line_segments import UNKNOWN
from hxcli.pictures.options import PictureChoices, PictureKind, PictureLayout
from hxcli.pictures.page import (
    Sheet,
    circle_size,
    foot_of_states,
    round_sheet,
    straight_sheet,
    straight_spacing,
)
from hxcli.pictures.pies import draw_pies, draw_squares, with_room
from hxcli.pictures.projections import Straight
from hxcli.pictures.shades import PALER
from hxcli.pictures.state_data import StateSubject
from hxcli.pictures.state_legend import SCALE_HEIGHT, StateLegend, legend_of
from hxcli.pictures.tree_drawing import draw_classes, draw_plain, lead_to_names, name_tips, write_support

# Points of the legend's lines, of the strip beside tips without names, and between it and the tips.
_LEGEND_WIDTH, _STRIP, _GAP = 300.0, 10.0, 3.0
# Pies on a tree whose tips have no names: points of their radius, and how many at most.
_PIE, _MOST_PIES = 4.5, 150


def state_tree(subject: StateSubject, choices: PictureChoices, small_print: list[str]) -> Figure:
    """Draws the picture, straight or round.

    Raises:
        OptionError: A traitgram, or a picture of densities.
    """
    if choices.kind in (PictureKind.TRAITGRAM, PictureKind.DENSITY):
        raise OptionError(f"--kind {choices.kind}: {subject.trait!r} has states, not numbers (use tree or contmap)")
    coloured = choices.kind == PictureKind.CONTMAP or subject.layout.tips > MOST_LABELLED
    sheet, legend = sheet_of_states(subject, choices.layout, small_print, coloured)
    lead_to_names(sheet, subject)
    if coloured:
        palette = dict(enumerate(subject.shades)) | {UNKNOWN: UNKNOWN_COLOUR}
        draw_classes(sheet.axes, sheet.frame, subject.classes, palette, sheet.line_width)
    else:
        draw_plain(sheet.axes, sheet.frame, min(max(0.12 * sheet.spacing.spacing, 0.5), 1.0))
    tip_squares(sheet, subject)
    radius = 0.0 if choices.kind == PictureKind.CONTMAP else _pies(sheet, subject)
    name_tips(sheet, subject)
    if choices.support:
        write_support(sheet, subject, radius)
    foot_of_states(sheet, legend, small_print)
    return sheet.figure


def sheet_of_states(
    subject: StateSubject, layout: PictureLayout, small_print: list[str], coloured: bool
) -> tuple[Sheet, StateLegend]:
    """Paper with room for squares at the tips, and for the legend, which says what the edges' colours are."""
    straight = layout == PictureLayout.RECTANGULAR
    tips = subject.layout.tips
    spacing = straight_spacing(tips) if straight else circle_size(tips)[1]
    side = float(np.clip(0.62 * spacing.spacing, 1.6, 8.0)) if spacing.labelled else _STRIP
    remark = PALER if coloured else ""
    legend = legend_of(subject.trait, subject.states, subject.colours, _LEGEND_WIDTH, remark)
    room = legend.height + (0.0 if straight and subject.layout.ultrametric else SCALE_HEIGHT)
    make = straight_sheet if straight else round_sheet
    return make(subject, small_print, away=side + _GAP, legend=room), legend


def tip_squares(sheet: Sheet, subject: StateSubject) -> None:
    """Behind each tip where tips have names, on one line or circle where they have none or the tree is round."""
    frame, spacing, layout, side = sheet.frame, sheet.spacing, subject.layout, sheet.away - _GAP
    rows = layout.rows[subject.tips]
    if isinstance(frame, Straight):
        starts = frame.x(layout.depths[subject.tips]) + _GAP
        per_row = spacing.spacing
        if not spacing.labelled:
            starts = np.full(len(rows), starts.max())
    else:
        starts = np.full(len(rows), frame.radius + _GAP)
        per_row = 2 * np.pi * (frame.radius + _GAP + side / 2) * 0.97 / layout.tips
    across = side / per_row if spacing.labelled else 1.0
    line = min(0.4, side / 12) if spacing.labelled else 0.0
    draw_squares(sheet.axes, frame, (starts, rows), subject.seen[subject.tips], (side, across), subject.colours, line)


def _pies(sheet: Sheet, subject: StateSubject) -> float:
    """At the nodes and tips without a state; where tips have no names, where there is room. Returns their radius."""
    layout, spacing = subject.layout, sheet.spacing
    topology = layout.topology
    known = np.isfinite(subject.probabilities).all(1)
    wanted = np.flatnonzero(known & (~topology.is_leaf | ((subject.seen.sum(1) == 0) & spacing.labelled)))
    # Those with few tips lie below others.
    wanted = wanted[np.argsort(subject.tip_counts[wanted], kind="stable")]
    points = sheet.frame.points(layout.depths[wanted], layout.rows[wanted])
    radius = float(np.clip(0.42 * spacing.spacing, 1.8, 6.0)) if spacing.labelled else _PIE
    if not spacing.labelled:
        some = with_room(points, np.arange(len(wanted))[::-1], 2 * radius + 1, _MOST_PIES)[::-1]
        wanted, points = wanted[some], points[some]
    draw_pies(sheet.axes, points, subject.probabilities[wanted], radius, subject.colours)
    return radius
