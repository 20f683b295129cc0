"""Writes a reconstruction as a picture: SVG, PDF or PNG."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from hxcli.close_names import did_you_mean
from hxcli.errors import OptionError
from hxcli.pictures.quiet_import import import_quietly

try:
    import_quietly()
except ImportError as error:
    raise OptionError("pictures need matplotlib, which is not installed (pip install 'hxcli[plot]')") from error
except OSError as error:
    raise OptionError(f"matplotlib finds no folder that it can write to: {error.strerror or error}") from error

import matplotlib
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from hxcli.pictures.contmap import contmap
from hxcli.pictures.figure import drawing_style, missing_glyphs, save
from hxcli.pictures.options import PictureChoices, PictureKind
from hxcli.pictures.picture_data import Subject, small_print, subject_of
from hxcli.pictures.traitgram import traitgram
from hxcli.pictures.tree_chart import tree_chart
from hxcli.reconstruction import Reconstruction

PICTURES: dict[PictureKind, Callable[[Subject, PictureChoices, Colormap, list[str]], Figure]] = {
    PictureKind.CONTMAP: contmap,
    PictureKind.TRAITGRAM: traitgram,
    PictureKind.TREE: tree_chart,
}


def write_svg(stream: BinaryIO, reconstruction: Reconstruction, choices: PictureChoices | None = None) -> None:
    """The picture as SVG, its text as text."""
    _write(stream, "svg", reconstruction, choices)


def write_pdf(stream: BinaryIO, reconstruction: Reconstruction, choices: PictureChoices | None = None) -> None:
    """The picture as PDF, with the fonts that it needs."""
    _write(stream, "pdf", reconstruction, choices)


def write_png(stream: BinaryIO, reconstruction: Reconstruction, choices: PictureChoices | None = None) -> None:
    """The picture as PNG, 200 points to the inch."""
    _write(stream, "png", reconstruction, choices)


def colour_map(name: str) -> Colormap:
    """The colour map of that name.

    Raises:
        OptionError: matplotlib has none.
    """
    if name not in matplotlib.colormaps:
        hint = did_you_mean(name, matplotlib.colormaps) or "such as viridis, cividis, magma, RdBu_r"
        raise OptionError(f"no colour map is called {name!r} ({hint})")
    return matplotlib.colormaps[name]


def _write(stream: BinaryIO, extension: str, found: Reconstruction, choices: PictureChoices | None) -> None:
    with drawing_style():
        save(draw(found, choices or PictureChoices()), stream, extension)


def draw(reconstruction: Reconstruction, choices: PictureChoices, column: int = 0) -> Figure:
    """The picture of one trait, the first unless `column` says which, as a matplotlib figure.

    Raises:
        OptionError: There is no such colour map.
    """
    colours, subject = colour_map(choices.colormap), subject_of(reconstruction, column)
    said = small_print(reconstruction, choices, column)
    if missing := missing_glyphs([*subject.names, subject.trait]):
        said.append(f"{len(missing)} characters are in no font here (an SVG still has them as text)")
    return PICTURES[choices.kind](subject, choices, colours, said)
