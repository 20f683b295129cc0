"""States along the edges of a tree: the most probable one and how sure it is, or the density of one of them.

What phytools' densityMap shows of many stochastic maps (Revell 2013), here of all that there could be: exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

# Before matplotlib, whose absence it puts into words.
from hxcli.pictures import writers  # isort: skip
from matplotlib.figure import Figure

from hxcli.close_names import listed
from hxcli.errors import OptionError
from hxcli.findings import Findings
from hxcli.pictures.figure import UNKNOWN_COLOUR, drawing_style, save
from hxcli.pictures.line_segments import UNKNOWN, Pieces, Scale, joined_pieces, node_classes, piece_strokes
from hxcli.pictures.options import MapPicture, PictureLayout
from hxcli.pictures.page import foot_of_scale, foot_of_states, round_sheet, straight_sheet
from hxcli.pictures.shades import shade_classes
from hxcli.pictures.state_data import state_small_print, state_subject
from hxcli.pictures.state_tree import sheet_of_states, tip_squares
from hxcli.pictures.tree_drawing import COLOURS, draw_strokes, lead_to_names, name_tips, palette_of
from hxcli.state_findings import StateFindings, TraitStates
from hxcli.state_maps import EdgeShares


def write_svg(stream: BinaryIO, found: Findings, choices: MapPicture | None = None) -> None:
    """As SVG, its text as text."""
    _write(stream, "svg", found, choices)


def write_pdf(stream: BinaryIO, found: Findings, choices: MapPicture | None = None) -> None:
    """As PDF."""
    _write(stream, "pdf", found, choices)


def write_png(stream: BinaryIO, found: Findings, choices: MapPicture | None = None) -> None:
    """As PNG, 200 points to the inch."""
    _write(stream, "png", found, choices)


def _write(stream: BinaryIO, extension: str, found: Findings, choices: MapPicture | None) -> None:
    with drawing_style():
        save(drawn(found, choices or MapPicture()), stream, extension)


def drawn(found: Findings, choices: MapPicture) -> Figure:
    """The picture of what `hx maps` found."""
    table: Mapping[str, Any] = found.tables["maps picture"]
    with drawing_style():
        return draw(found, table["nodes"], table["along"](), choices)


def draw(found: Findings, trait: TraitStates, along: EdgeShares, choices: MapPicture) -> Figure:
    """The picture.

    Args:
        found: Of the tree.
        trait: What is known of the nodes.
        along: What is known of pieces of the edges.
        choices: How it looks.

    Raises:
        OptionError: The trait has no such state, or matplotlib no such colour map.
    """
    whole = StateFindings(found.phylogeny, (trait,), None, found.method)
    subject, small_print = state_subject(whole, trait), state_small_print(whole, trait, choices.picture)
    if choices.state is not None:
        if choices.state not in trait.states:
            raise OptionError(f"--plot-state: there is no state {choices.state!r} (there are {listed(trait.states)})")
        colours, scale = writers.colour_map(choices.picture.colormap), Scale(0.0, 1.0)
        straight = choices.picture.layout == PictureLayout.RECTANGULAR
        sheet = (straight_sheet if straight else round_sheet)(subject, small_print)
        place = trait.states.index(choices.state)
        pieces = node_classes(along.shares[:, place], scale, COLOURS)
        nodes, palette = node_classes(trait.probabilities[:, place], scale, COLOURS), palette_of(colours)
        foot_of_scale(sheet, scale, f"P({trait.name} = {choices.state})", colours, small_print)
    else:
        sheet, legend = sheet_of_states(subject, choices.picture.layout, small_print, True)
        pieces = shade_classes(along.shares, along.shares.argmax(1))
        nodes, palette = subject.classes, dict(enumerate(subject.shades)) | {UNKNOWN: UNKNOWN_COLOUR}
        tip_squares(sheet, subject)
        foot_of_states(sheet, legend, small_print)
    lead_to_names(sheet, subject)
    drawn = joined_pieces(Pieces(along.nodes, along.starts, along.ends, pieces))
    lines = piece_strokes(subject.layout, drawn, nodes)
    draw_strokes(sheet.axes, sheet.frame, lines, palette, sheet.line_width, palette[int(nodes[0])])
    name_tips(sheet, subject)
    return sheet.figure
