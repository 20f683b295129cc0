"""A regression as a picture: the rows as points, the line with its band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

# Before matplotlib, whose absence it puts into words.
from hxcli.pictures import writers  # noqa: F401  isort: skip
import numpy as np
from matplotlib.figure import Figure

from hxcli.pictures.figure import INK, SOFT, drawing_style, save

_WIDTH, _HEIGHT = 4.6, 3.6
_LINE = "#31688e"


def write_svg(stream: BinaryIO, shown: Mapping[str, Any]) -> None:
    """As SVG, its text as text."""
    _write(stream, "svg", shown)


def write_pdf(stream: BinaryIO, shown: Mapping[str, Any]) -> None:
    """As PDF."""
    _write(stream, "pdf", shown)


def write_png(stream: BinaryIO, shown: Mapping[str, Any]) -> None:
    """As PNG, 200 points to the inch."""
    _write(stream, "png", shown)


def _write(stream: BinaryIO, extension: str, shown: Mapping[str, Any]) -> None:
    with drawing_style():
        save(draw(shown), stream, extension)


def draw(shown: Mapping[str, Any]) -> Figure:
    """The picture, from `x`, `y`, their labels, and `grid`, `mean`, `lower`, `upper` of the line."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    if np.isfinite(shown["lower"]).all():
        axes.fill_between(shown["grid"], shown["lower"], shown["upper"], color=_LINE, alpha=0.18, linewidth=0)
    axes.plot(shown["grid"], shown["mean"], color=_LINE, linewidth=1.4)
    axes.plot(shown["x"], shown["y"], "o", markersize=3.5, color=INK, markeredgecolor="white", markeredgewidth=0.4)
    # As text and not as formulas, whatever a column is called.
    axes.set_xlabel(shown["x_label"], parse_math=False)
    axes.set_ylabel(shown["y_label"], parse_math=False)
    axes.tick_params(color=SOFT)
    return figure
