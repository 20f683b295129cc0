"""A comparison of models as a picture: Akaike weights, and the likelihood's profile of every shape parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

# Before matplotlib, whose absence it puts into words.
from hxcli.pictures import writers  # noqa: F401  isort: skip
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from scipy.special import chdtri

from hxcli.pictures.figure import INK, SMALL, SOFT, drawing_style, save
from hxcli.pictures.labels import shown

# Inches of a panel; traits and profiles of each that there is room for.
_WIDTH, _HEIGHT = 2.1, 1.9
_MOST_TRAITS, _MOST_PROFILES = 8, 6
_BAR, _CURVE = "#3b6fa0", "#31688e"
# Log units below the top that are shown.
_DEEP = 5.0
# Figures along a profile, and a ratio beyond which they are powers of ten.
_TICKS, _DECADES = 5, 100.0


def write_svg(stream: BinaryIO, found: Sequence[Any]) -> None:
    """As SVG, its text as text."""
    _write(stream, "svg", found)


def write_pdf(stream: BinaryIO, found: Sequence[Any]) -> None:
    """As PDF."""
    _write(stream, "pdf", found)


def write_png(stream: BinaryIO, found: Sequence[Any]) -> None:
    """As PNG, 200 points to the inch."""
    _write(stream, "png", found)


def _write(stream: BinaryIO, extension: str, found: Sequence[Any]) -> None:
    with drawing_style():
        save(draw(found), stream, extension)


def draw(found: Sequence[Any]) -> Figure:
    """The picture of the first traits, a row each: comparisons of `hxcli.analyses.fit.comparison`."""
    found = found[:_MOST_TRAITS]
    columns = 1 + min(_MOST_PROFILES, max(len(each.profiles) for each in found))
    figure = Figure(figsize=(columns * _WIDTH, len(found) * _HEIGHT + 0.2), layout="constrained")
    panels = figure.subplots(len(found), columns, squeeze=False)
    for row, each in zip(panels, found, strict=True):
        _weights(row[0], each)
        for axes, one in zip(row[1:], each.profiles, strict=False):
            _profile(axes, one, each.level)
        if each.profiles:
            row[1].set_ylabel("log likelihood below its top", fontsize=SMALL)
        for axes in row[1 + len(each.profiles) :]:
            axes.set_axis_off()
    return figure


def _weights(axes: Axes, each: Any) -> None:
    places = np.arange(len(each.models))
    axes.barh(places, each.weights, color=_BAR, height=0.7)
    for place, weight in enumerate(each.weights):
        axes.text(weight + 0.02, place, f"{weight:.2f}", va="center", fontsize=SMALL - 1, color=SOFT)
    axes.set_yticks(places, [shown(name, 14) for name in each.models], parse_math=False, fontsize=SMALL)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("Akaike weight", fontsize=SMALL)
    axes.set_title(shown(each.trait, 30), fontsize=SMALL + 1, loc="left", parse_math=False)
    axes.tick_params(color=SOFT, labelsize=SMALL)


def _profile(axes: Axes, one: Any, level: float) -> None:
    floor = -float(chdtri(1, 1 - level)) / 2
    values, fall = one.profile.values, one.profile.fall
    inside = np.flatnonzero(fall >= floor)
    ends = [
        end if np.isfinite(end) else values[inside[place]]
        for end, place in ((one.lower, 0), (one.upper, -1))
        if inside.size
    ]
    if ends:
        axes.axvspan(*ends, color=_CURVE, alpha=0.12, linewidth=0)
    axes.axhline(floor, color=SOFT, linewidth=0.6, linestyle=(0, (3, 2)))
    axes.axvline(one.value, color=INK, linewidth=0.6)
    axes.plot(values, fall, color=_CURVE, linewidth=1.3)
    if one.profile.log:
        axes.set_xscale("log")
        # Plain numbers: our texts are no formulas.
        wide = values[-1] > _DECADES * values[0]
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=_TICKS))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS - 1))
    axes.set_xlim(values[0], values[-1])
    axes.set_ylim(max(-_DEEP, min(fall.min(), 1.3 * floor)), 0.25)
    axes.set_xlabel(shown(one.profile.parameter, 20), fontsize=SMALL, parse_math=False)
    axes.set_title(shown(one.model, 20), fontsize=SMALL + 1, loc="left", color=SOFT, parse_math=False)
    axes.tick_params(color=SOFT, labelsize=SMALL)
