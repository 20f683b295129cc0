"""A trait of states in the picture of a report: coloured edges, pies at the nodes, squares at the tips, a legend."""

from __future__ import annotations

import numpy as np

from hxcli.phylogeny import FloatArray
from hxcli.pictures.labels import shown
from hxcli.pictures.line_segments import UNKNOWN, whole_strokes
from hxcli.pictures.projections import Straight
from hxcli.pictures.shades import shade_classes, shades
from hxcli.report.markup import text
from hxcli.state_colours import state_colours
from hxcli.state_findings import TraitStates

_UNKNOWN_COLOUR, _INK = "#bbbbbb", "#222"
# Of the legend: height of a line, side of a square, width of a letter, where the first line stands, most lines.
_LINE, _SIDE, _LETTER, _FIRST, _MOST_LINES = 17.0, 10.0, 6.4, 44.0, 6
_LONGEST = 30
_UNSEEN = 2e-3


def legend_height(trait: TraitStates, width: float) -> float:
    """How high the legend of a trait is, in lines so wide."""
    return _LINE * (len(_lines(trait, width)) - 1)


def states_group(
    frame: Straight, points: FloatArray, trait: TraitStates, labelled: bool, legend: tuple[float, float]
) -> str:
    """The group of a trait as markup.

    Args:
        frame: Where the tree lies, y upwards.
        points: (N, 2) the nodes, y downwards.
        trait: The trait.
        labelled: Whether there is room for pies and squares.
        legend: Left end and width of the legend's lines.
    """
    colours = state_colours(trait.states)
    parts = [_edges(frame, points, trait, colours)]
    if labelled:
        leaf, seen = frame.layout.topology.is_leaf, trait.seen
        silent = seen.sum(1) == 0
        known = np.isfinite(trait.probabilities).all(1)
        radius = float(np.clip(0.3 * frame.spacing, 2.0, 5.0))
        parts.append(f'<g stroke="{_INK}" stroke-width="0.5">')
        parts += [
            _pie(points[node], trait.probabilities[node], radius, colours)
            for node in np.flatnonzero(known & (~leaf | silent))
        ]
        side = min(10.0, 0.7 * frame.spacing)
        parts += [_square(points[tip], seen[tip], side, colours) for tip in np.flatnonzero(leaf & ~silent)]
        parts.append("</g>")
    return "".join(parts) + _legend(trait, colours, *legend)


def _edges(frame: Straight, points: FloatArray, trait: TraitStates, colours: list[str]) -> str:
    """Every edge in the colour of the most probable state at its lower end."""
    layout = frame.layout
    drawn = whole_strokes(layout, shade_classes(trait.probabilities, trait.best))
    palette = dict(enumerate(shades(colours))) | {UNKNOWN: _UNKNOWN_COLOUR}
    bottom = float(points[0, 1] + frame.y(layout.rows[:1])[0])
    paths = []
    for colour in sorted(set(drawn.edges) | set(drawn.connectors)):
        pieces = []
        for depth, first, last in drawn.connectors.get(colour, np.zeros((0, 3))):
            y = bottom - frame.y(np.array([first, last]))
            pieces.append(f"M{float(frame.x(depth)):.1f} {y[0]:.1f}V{y[1]:.1f}")
        for (begin, row), (end, _) in drawn.edges.get(colour, np.zeros((0, 2, 2))):
            x = frame.x(np.array([begin, end]))
            pieces.append(f"M{x[0]:.1f} {bottom - float(frame.y(row)):.1f}H{x[1]:.1f}")
        paths.append(f'<path stroke="{palette[colour]}" d="{"".join(pieces)}"/>')
    width = min(max(0.2 * frame.spacing, 1.2), 3.0)
    return f'<g fill="none" stroke-width="{width:.2g}" stroke-linecap="square">{"".join(paths)}</g>'


def _pie(centre: FloatArray, shares: FloatArray, radius: float, colours: list[str]) -> str:
    x, y = centre
    states = np.flatnonzero(shares > _UNSEEN)
    if len(states) == 1:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colours[states[0]]}"/>'
    ends = np.concatenate([[0.0], np.cumsum(shares[states])])
    turns = 2 * np.pi * ends / ends[-1]
    across, up = x + radius * np.sin(turns), y - radius * np.cos(turns)
    return "".join(
        f'<path fill="{colours[state]}" d="M{x:.1f} {y:.1f}L{across[k]:.1f} {up[k]:.1f}A{radius:.1f} {radius:.1f} 0 '
        f'{int(turns[k + 1] - turns[k] > np.pi)} 1 {across[k + 1]:.1f} {up[k + 1]:.1f}Z"/>'
        for k, state in enumerate(states.tolist())
    )


def _square(point: FloatArray, shares: FloatArray, side: float, colours: list[str]) -> str:
    left, parts = point[0] + 5, []
    for state in np.flatnonzero(shares).tolist():
        width = side * shares[state]
        parts.append(
            f'<rect x="{left:.1f}" y="{point[1] - side / 2:.1f}" width="{width:.1f}" height="{side:.1f}" '
            f'fill="{colours[state]}"/>'
        )
        left += width
    return "".join(parts)


def _lines(trait: TraitStates, width: float) -> list[list[tuple[float, int]]]:
    """The lines of a legend: where the states on each stand, and which they are."""
    lines: list[list[tuple[float, int]]] = [[]]
    left = 0.0
    for place, state in enumerate(trait.states):
        wide = _SIDE + 5 + _LETTER * len(shown(state, _LONGEST)) + 14
        if left and left + wide > width:
            if len(lines) == _MOST_LINES:
                break
            lines.append([])
            left = 0.0
        lines[-1].append((left, place))
        left += wide
    return lines


def _legend(trait: TraitStates, colours: list[str], left: float, width: float) -> str:
    lines = _lines(trait, width)
    left_out = len(trait.states) - sum(map(len, lines))
    more = f" (and {left_out} more states)" if left_out else ""
    title = f'<text x="{left:g}" y="17" font-size="13" font-weight="600">{text(shown(trait.name))}{more}</text>'
    squares = [
        f'<rect x="{left + x:.1f}" y="{_FIRST - _SIDE + _LINE * row:.1f}" width="{_SIDE:g}" height="{_SIDE:g}" '
        f'fill="{colours[place]}" stroke="{_INK}" stroke-width="0.5"/><text x="{left + x + _SIDE + 5:.1f}" '
        f'y="{_FIRST - 1 + _LINE * row:.1f}" font-size="11">{text(shown(trait.states[place], _LONGEST))}</text>'
        for row, line in enumerate(lines)
        for x, place in line
    ]
    return title + "".join(squares)
