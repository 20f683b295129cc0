"""The paper: a figure whose only axes are in points, and files of it that are the same for the same picture.

Figures are made without pyplot, which would keep them and the user's screen settings.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import Any, BinaryIO

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import TextToPath

from hxcli.phylogeny import FloatArray
from hxcli.pictures.line_segments import IntArray

INK, SOFT, FAINT, UNKNOWN_COLOUR = "#222222", "#777777", "#dddddd", "#bbbbbb"
SMALL = 7.0
WHITE_BELOW = {"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.8}
POINTS_PER_INCH = 72
# Points by which a piece of a line covers the one before it.
_OVERLAP = 0.3
# Where they are installed, for names in scripts that matplotlib's own font lacks.
_FURTHER_FONTS = (
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "Unifont",
)
# Dates and random identifiers would make two pictures of the same data differ.
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


@contextmanager
def drawing_style() -> Iterator[None]:
    """matplotlib's own settings instead of the user's, text as text in SVG, fonts embedded in PDF."""
    ours = {
        "font.family": font_families(),
        "font.size": SMALL,
        "svg.fonttype": "none",
        "svg.hashsalt": "hxcli",
        "pdf.fonttype": 42,
        "axes.linewidth": 0.6,
        "axes.edgecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "axes.labelsize": SMALL + 1,
        "text.parse_math": False,
    }
    with matplotlib.style.context(["default", ours]), warnings.catch_warnings():
        # The picture itself says which characters it lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@cache
def font_families() -> list[str]:
    """The fonts that characters are looked for in, in order."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FURTHER_FONTS if name in installed)]


def missing_glyphs(texts: Iterable[str]) -> str:
    """The characters that no font here has, each once, ascending."""
    wanted = {ord(c) for text in texts for c in text if c > "~"}
    for family in font_families():
        if not wanted:
            return ""
        wanted -= set(font_manager.get_font(font_manager.findfont(family)).get_charmap())
    return "".join(map(chr, sorted(wanted)))


def text_width(text: str, size: float) -> float:
    """Width in points, by the first font."""
    font = font_manager.FontProperties(size=size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0])


class Picture(Figure):
    """A figure that notebooks show, on half as many points as a file has."""

    def _repr_png_(self) -> bytes:
        stream = BytesIO()
        with drawing_style():
            save(self, stream, "png", dots=100)
        return stream.getvalue()


def paper(width: float, height: float) -> tuple[Figure, Axes]:
    """A white figure of that many points, and axes without decoration whose unit is the point, (0, 0) lower left."""
    figure = Picture(figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def inner_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Ordinary axes at that place, in points."""
    across, up = (float(size) * POINTS_PER_INCH for size in figure.get_size_inches())
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.patch.set_alpha(0)
    return axes


def write(axes: Axes, x: float, y: float, text: str, **settings: Any) -> Text:
    """Puts text on the paper as it is: a dollar sign begins no formula."""
    drawn: dict[str, Any] = {"fontsize": SMALL, "color": INK, "va": "center", "parse_math": False} | settings
    return axes.text(x, y, text, **drawn)


Line = tuple[FloatArray, IntArray, Any]


def segments(ends: FloatArray, colour: Any, *, overlap: float = _OVERLAP) -> Line:
    """(M, 2, 2) straight lines of one colour; each begins `overlap` early, to close the gap to a line before it."""
    along = ends[:, 1] - ends[:, 0]
    length = np.hypot(along[:, 0], along[:, 1])[:, None]
    ends = ends.copy()
    ends[:, 0] -= np.divide(along, length, out=np.zeros_like(along), where=length > 0) * overlap
    return ends.reshape(-1, 2), 2 * np.arange(len(ends) + 1), colour


def draw_lines(axes: Axes, lines: Iterable[Line], width: float, capstyle: Any = "butt", **settings: Any) -> None:
    """Draws lines of several colours: each colour has (P, 2) points and (M + 1,) where each of its lines begins."""
    paths, colours = [], []
    for points, starts, colour in lines:
        if len(points):
            codes = np.full(len(points), Path.LINETO, np.uint8)
            codes[starts[:-1]] = Path.MOVETO
            paths.append(Path(points, codes))
            colours.append(colour)
    # Snapping to pixels, which depends on the number of points, would set pieces of one line apart.
    drawn: dict[str, Any] = {"facecolors": "none", "snap": False, "joinstyle": "round"} | settings
    collection = PathCollection(paths, edgecolors=colours, linewidths=width, capstyle=capstyle, **drawn)
    axes.add_collection(collection, autolim=False)


def save(figure: Figure, stream: BinaryIO, extension: str, *, dots: int = 200) -> None:
    """Writes the figure as `svg`, `pdf` or `png` of so many points to the inch; the same bytes for the same figure."""
    figure.savefig(stream, format=extension, dpi=dots, metadata=_METADATA[extension])
