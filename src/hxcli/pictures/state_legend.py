"""The legend of a trait of states: a square of its colour before every state's name, in as many lines as they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hxcli.pictures.figure import INK, SMALL, SOFT, text_width, write
from hxcli.pictures.labels import shown
from hxcli.pictures.legends import fitting

# Points: of a line of the legend, of a square, between a square and its name, between states, of a scale bar below.
LINE, _SQUARE, _GAP, _APART, SCALE_HEIGHT = 13.0, 7.0, 4.0, 12.0, 26.0
_LONGEST, _MOST_LINES = 30, 12


@dataclass(frozen=True)
class StateLegend:
    """What stands in a legend, line by line.

    Attributes:
        title: Above it.
        lines: (left end, text, colour) of every state on every line; a colour of "" for a remark without a square.
    """

    title: str
    lines: tuple[tuple[tuple[float, str, str], ...], ...]

    @property
    def height(self) -> float:
        """Points, title and a margin included."""
        return LINE * (len(self.lines) + 1) + 6


def legend_of(title: str, states: Sequence[str], colours: Sequence[str], width: float, remark: str = "") -> StateLegend:
    """Sets the states side by side, so many points to a line.

    Args:
        title: Name of the trait.
        states: Their names.
        colours: One for each.
        width: Points of a line.
        remark: What else the colours say, on a line of its own; "" for nothing.
    """
    lines: list[list[tuple[float, str, str]]] = [[]]
    left = 0.0
    for place, (state, colour) in enumerate(zip(states, colours, strict=True)):
        name = fitting(shown(state, _LONGEST), width - _SQUARE - _GAP, SMALL)
        wide = _SQUARE + _GAP + text_width(name, SMALL)
        if left and left + wide > width:
            if len(lines) == _MOST_LINES:
                lines.append([(0.0, f"and {len(states) - place} more", "")])
                break
            lines.append([])
            left = 0.0
        lines[-1].append((left, name, colour))
        left += wide + _APART
    if remark:
        lines.append([(0.0, remark, "")])
    return StateLegend(fitting(shown(title), width, SMALL + 1), tuple(map(tuple, lines)))


def draw_legend(axes: Axes, legend: StateLegend, left: float, bottom: float) -> None:
    """Draws it, its lower left corner at that place, in points."""
    top = bottom + LINE * len(legend.lines) + LINE / 2
    write(axes, left, top, legend.title, fontsize=SMALL + 1)
    for number, line in enumerate(legend.lines, 1):
        y = top - LINE * number
        for x, text, colour in line:
            if not colour:
                write(axes, left + x, y, text, color=SOFT)
                continue
            corner = (left + x, y - _SQUARE / 2)
            axes.add_patch(Rectangle(corner, _SQUARE, _SQUARE, facecolor=colour, edgecolor=INK, linewidth=0.4))
            write(axes, left + x + _SQUARE + _GAP, y, text)
