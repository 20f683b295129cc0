"""The tree of a report as inline SVG: one group of paths a trait, a path a colour, and the tips' names as text.

No style attributes, because the page's security policy forbids them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hxcli.phylogeny import FloatArray
from hxcli.pictures.labels import MOST_LABELLED, shown
from hxcli.pictures.layout import Layout, nice_length
from hxcli.pictures.line_segments import Scale, scale_of, strokes
from hxcli.pictures.projections import Straight
from hxcli.report.markup import number, text
from hxcli.report.states_svg import legend_height, states_group
from hxcli.state_findings import TraitStates

COLOURS = 48
# viridis (Smith and van der Walt 2015), as the other pictures have it, in steps between which it is near to linear.
_VIRIDIS = (
    "440154 481467 482576 453781 404688 39558c 33638d 2d718e 287d8e 238a8d "
    "1f968b 20a386 29af7f 3dbc74 56c667 75d054 95d840 bade28 dde318 fde725"
)
_UNKNOWN = "#bbbbbb"
_WIDTH, _MARGIN, _TOP = 960.0, 16.0, 64.0
_NAMES = 230.0


@dataclass(frozen=True, eq=False)
class Sheet:
    """Where the tree lies, in units of the SVG, y downwards.

    Attributes:
        frame: The tree, y upwards.
        height: Of the whole picture.
        labelled: Whether the tips have names.
        beside: Between the tips and their names.
    """

    frame: Straight
    height: float
    labelled: bool
    beside: float = 6.0

    def points(self) -> FloatArray:
        """(N, 2) the nodes."""
        layout = self.frame.layout
        points = self.frame.points(layout.depths, layout.rows)
        points[:, 1] = self.height - points[:, 1]
        return points


def sheet_for(layout: Layout, of_states: tuple[TraitStates, ...] = ()) -> Sheet:
    """Paper on which the tips of a few hundred have names and those of thousands a page; `of_states` have squares."""
    labelled = layout.tips <= MOST_LABELLED
    spacing = (17.0 if layout.tips <= 60 else 11.0) if labelled else min(5.0, 2400 / layout.tips)
    width = _WIDTH - 2 * _MARGIN - (_NAMES if labelled else 0)
    frame = Straight(layout, _MARGIN, _MARGIN, width, spacing)
    top = _TOP + max((legend_height(trait, _WIDTH - 2 * _MARGIN) for trait in of_states), default=0.0)
    return Sheet(frame, frame.height + _MARGIN + top, labelled, 20.0 if of_states else 6.0)


def palette() -> list[str]:
    """The colours of the `COLOURS` classes."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in _VIRIDIS.split()])
    places = (np.arange(COLOURS) + 0.5) / COLOURS * (len(anchors) - 1)
    channels = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in np.rint(channels).astype(int).T]


def tree_svg(
    sheet: Sheet, names: list[str], traits: list[tuple[str, FloatArray]], of_states: Sequence[TraitStates] = ()
) -> str:
    """The picture as an SVG element.

    Args:
        sheet: Of `sheet_for`.
        names: (N,) names; the tips' are drawn.
        traits: Name and (N,) estimates of every trait of numbers; only the first group is visible.
        of_states: The traits of states, behind them.
    """
    groups = [_trait(sheet, number_, name, values) for number_, (name, values) in enumerate(traits)]
    for which, trait in enumerate(of_states, len(traits)):
        group = states_group(sheet.frame, sheet.points(), trait, sheet.labelled, (_MARGIN, _WIDTH - 2 * _MARGIN))
        groups.append(f'<g class="trait" data-trait="{which}"{" hidden" if which else ""}>{group}</g>')
    return (
        f'<svg id="tree" viewBox="0 0 {_WIDTH:g} {sheet.height:.1f}" role="img" aria-label="Tree coloured by its '
        f'estimates"><rect width="100%" height="100%" fill="#fff"/>{_scale_bar(sheet)}{"".join(groups)}'
        f'{_names(sheet, names)}<circle id="mark" r="5" fill="none" stroke="#d6246e" stroke-width="2.5" '
        'visibility="hidden"/></svg>'
    )


def _trait(sheet: Sheet, which: int, name: str, values: FloatArray) -> str:
    layout, frame, top = sheet.frame.layout, sheet.frame, sheet.height
    scale, colours = scale_of(values), [*palette(), _UNKNOWN]
    lines = strokes(layout, values, scale, COLOURS)
    upright: dict[int, str] = {}
    level: dict[int, str] = {}
    for colour, joined in lines.connectors.items():
        x, first, last = frame.x(joined[:, 0]), top - frame.y(joined[:, 1]), top - frame.y(joined[:, 2])
        upright[colour] = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x, first, last, strict=True))
    for colour, ends in lines.edges.items():
        # A little early, so that no gap shows to the piece before.
        begin, end, y = frame.x(ends[:, 0, 0]) - 0.3, frame.x(ends[:, 1, 0]), top - frame.y(ends[:, 0, 1])
        level[colour] = "".join(f"M{a:.1f} {b:.1f}H{c:.1f}" for a, b, c in zip(begin, y, end, strict=True))
    width = min(max(0.3 * frame.spacing, 0.8), 4.5)
    hidden = " hidden" if which else ""
    return (
        f'<g class="trait" data-trait="{which}"{hidden}><g fill="none" stroke-width="{width:.2g}">'
        f'<g stroke-linecap="square">{_paths(upright, colours)}</g>{_paths(level, colours)}</g>'
        f"{_colour_bar(name, scale, colours)}</g>"
    )


def _paths(drawn: dict[int, str], colours: list[str]) -> str:
    return "".join(f'<path stroke="{colours[colour]}" d="{path}"/>' for colour, path in drawn.items())


def _colour_bar(name: str, scale: Scale, colours: list[str]) -> str:
    step = 240 / COLOURS
    bar = "".join(
        f'<rect x="{_MARGIN + i * step:g}" y="24" width="{step + 0.4:g}" height="10" fill="{colours[i]}"/>'
        for i in range(COLOURS)
    )
    middle, end, centre = _MARGIN + 120, _MARGIN + 240, number(scale.low / 2 + scale.high / 2)
    return (
        f'<text x="{_MARGIN:g}" y="17" font-size="13" font-weight="600">{text(shown(name))}</text>{bar}'
        f'<text x="{_MARGIN:g}" y="47" font-size="11">{number(scale.low)}</text>'
        f'<text x="{middle:g}" y="47" font-size="11" text-anchor="middle">{centre}</text>'
        f'<text x="{end:g}" y="47" font-size="11" text-anchor="end">{number(scale.high)}</text>'
    )


def _scale_bar(sheet: Sheet) -> str:
    layout = sheet.frame.layout
    x = _MARGIN + 320
    if layout.topology.size == 1:
        return ""
    if not layout.measured:
        return f'<text x="{x:g}" y="34" font-size="11">edges drawn at equal length</text>'
    length = nice_length(180 / sheet.frame.per_length)
    end = x + length * sheet.frame.per_length
    return (
        f'<path d="M{x:g} 29H{end:.1f}M{x:g} 25V33M{end:.1f} 25V33" stroke="#222" fill="none"/>'
        f'<text x="{(x + end) / 2:.1f}" y="47" font-size="11" text-anchor="middle">{number(length)}</text>'
    )


def _names(sheet: Sheet, names: list[str]) -> str:
    if not sheet.labelled:
        note = f"{sheet.frame.layout.tips:,} tips: point at the tree to see their names"
        return f'<text x="{_WIDTH - _MARGIN:g}" y="34" font-size="11" text-anchor="end" fill="#666">{note}</text>'
    size = min(12.0, sheet.frame.spacing * 0.85)
    points = sheet.points()
    drawn = "".join(
        f'<text x="{points[tip, 0] + sheet.beside:.1f}" y="{points[tip, 1]:.1f}">{text(shown(names[tip], 34))}</text>'
        for tip in np.flatnonzero(sheet.frame.layout.topology.is_leaf)
    )
    return f'<g font-size="{size:.3g}" dominant-baseline="central">{drawn}</g>'
