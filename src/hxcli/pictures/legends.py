"""What stands beside the tree: colour bar, scale bar, time axis, notes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hxcli.pictures.figure import INK, SMALL, SOFT, draw_lines, inner_axes, segments, text_width, write
from hxcli.pictures.labels import shown, tick_texts
from hxcli.pictures.layout import nice_length
from hxcli.pictures.line_segments import Scale
from hxcli.pictures.projections import Frame, Straight

# Points that each piece needs, text included.
BAR_HEIGHT, AXIS_HEIGHT, NOTE_HEIGHT = 36.0, 32.0, 12.0
STEPS = [1, 2, 5, 10]
BAR_WIDTH, LONGEST_SCALE = 130.0, 90.0
# Points that a title may reach beyond what it is about, on either side.
_ASIDE = 12.0


def colour_bar(figure: Figure, left: float, bottom: float, scale: Scale, colours: Colormap, title: str) -> None:
    """A bar with the trait's name below, its lower left corner at that place."""
    axes = inner_axes(figure, left, bottom + 24, BAR_WIDTH, 7)
    bar = Colorbar(axes, ScalarMappable(Normalize(scale.low, scale.high), colours), orientation="horizontal")
    bar.outline.set_visible(False)
    ticks, texts = ticks_between(scale.low, scale.high, 4, BAR_WIDTH)
    bar.set_ticks(ticks, labels=texts)
    if bar.solids is not None:
        # Else viewers show gaps between the colours.
        bar.solids.set_edgecolor("face")
    wide = BAR_WIDTH + 2 * _ASIDE
    axes.set_xlabel(fitting(shown(title), wide, SMALL + 1), fontsize=SMALL + 1, labelpad=2, parse_math=False)


def fitting(text: str, width: float, size: float) -> str:
    """The text, its end cut off where it is wider than so many points."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text}…"


def ticks_between(low: float, high: float, most: int, room: float) -> tuple[list[float], list[str]]:
    """Round places between two ends, with the texts that stand at them side by side: no power of ten aside.

    Args:
        low, high: The ends.
        most: How many intervals at most.
        room: Points from end to end.
    """
    for intervals in range(most, 0, -1):
        places = MaxNLocator(intervals, steps=STEPS).tick_values(low, high)
        ticks = [float(place) for place in places if low <= place <= high]
        texts = tick_texts(ticks)
        if sum(text_width(text, SMALL) + SMALL for text in texts) <= room + SMALL:
            break
    return ticks, texts


def scale_bar(axes: Axes, frame: Frame, left: float, bottom: float) -> None:
    """A line of a round length, with what it stands for; words where levels are drawn, nothing for a single node."""
    if frame.layout.topology.size == 1:
        return
    if not frame.layout.measured:
        write(axes, left, bottom + 12, "edges drawn at equal length", color=SOFT)
        return
    length = nice_length(LONGEST_SCALE / frame.per_length)
    long = length * frame.per_length
    x, y = left, bottom + 16
    ends = np.array([[[x, y], [x + long, y]], [[x, y - 2], [x, y + 2]], [[x + long, y - 2], [x + long, y + 2]]])
    draw_lines(axes, [segments(ends, INK)], 0.8)
    write(axes, x + long / 2, y - 8, f"{length:g}", ha="center")


def time_axis(figure: Figure, frame: Straight) -> None:
    """An axis below an ultrametric tree that counts back from its tips."""
    axes = inner_axes(figure, frame.left, frame.bottom - 4, frame.width, 1)
    axes.set(xlim=(frame.layout.height, 0), ylim=(0, 1))
    axes.spines["left"].set_visible(False)
    axes.yaxis.set_visible(False)
    ticks, texts = ticks_between(0.0, frame.layout.height, 6, frame.width)
    axes.set_xticks(ticks, labels=texts)
    axes.set_xlabel("edge length before the tips", labelpad=2)


def notes(axes: Axes, left: float, bottom: float, sentences: list[str]) -> None:
    """Small print, a line each from `bottom` upwards."""
    for number, sentence in enumerate(reversed(sentences)):
        write(axes, left, bottom + number * NOTE_HEIGHT + NOTE_HEIGHT / 2, sentence, color=SOFT)
