"""contMap: edges coloured along their length by the interpolated estimate (Revell 2013)."""

from __future__ import annotations

from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from hxcli.pictures.options import PictureChoices, PictureLayout
from hxcli.pictures.page import foot, round_sheet, straight_sheet
from hxcli.pictures.picture_data import Subject
from hxcli.pictures.tree_drawing import draw_coloured, lead_to_names, name_tips, write_support


def contmap(subject: Subject, choices: PictureChoices, colours: Colormap, small_print: list[str]) -> Figure:
    """Draws the picture, straight or round."""
    straight = choices.layout == PictureLayout.RECTANGULAR
    sheet = (straight_sheet if straight else round_sheet)(subject, small_print)
    lead_to_names(sheet, subject)
    draw_coloured(sheet.axes, sheet.frame, subject.estimates, subject.scale, colours, sheet.line_width)
    name_tips(sheet, subject)
    if choices.support:
        write_support(sheet, subject)
    foot(sheet, subject, colours, small_print)
    return sheet.figure
