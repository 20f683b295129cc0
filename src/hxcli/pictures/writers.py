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
from hxcli.pictures.density_gram import density_gram
from hxcli.pictures.figure import drawing_style, missing_glyphs, save
from hxcli.pictures.options import PictureChoices, PictureKind
from hxcli.pictures.picture_data import Subject, small_print, subject_of
from hxcli.pictures.state_data import state_small_print, state_subject
from hxcli.pictures.state_tree import state_tree
from hxcli.pictures.traitgram import traitgram
from hxcli.pictures.tree_chart import tree_chart
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings

# Whose states of nodes can be drawn.
States = Reconstruction | StateFindings
# Of traits of numbers.
PICTURES: dict[PictureKind, Callable[[Subject, PictureChoices, Colormap, list[str]], Figure]] = {
    PictureKind.CONTMAP: contmap,
    PictureKind.TRAITGRAM: traitgram,
    PictureKind.DENSITY: density_gram,
    PictureKind.TREE: tree_chart,
}


def write_svg(stream: BinaryIO, found: States, choices: PictureChoices | None = None) -> None:
    """The picture as SVG, its text as text."""
    _write(stream, "svg", found, choices)


def write_pdf(stream: BinaryIO, found: States, choices: PictureChoices | None = None) -> None:
    """The picture as PDF, with the fonts that it needs."""
    _write(stream, "pdf", found, choices)


def write_png(stream: BinaryIO, found: States, choices: PictureChoices | None = None) -> None:
    """The picture as PNG, 200 points to the inch."""
    _write(stream, "png", found, choices)


def colour_map(name: str) -> Colormap:
    """The colour map of that name.

    Raises:
        OptionError: matplotlib has none.
    """
    if name not in matplotlib.colormaps:
        hint = did_you_mean(name, matplotlib.colormaps) or "such as viridis, cividis, magma, RdBu_r"
        raise OptionError(f"no colour map is called {name!r} ({hint})")
    return matplotlib.colormaps[name]


def _write(stream: BinaryIO, extension: str, found: States, choices: PictureChoices | None) -> None:
    with drawing_style():
        save(draw(found, choices or PictureChoices()), stream, extension)


def draw(found: States, choices: PictureChoices, column: int = 0) -> Figure:
    """The picture of one trait, the first unless `column` says which, as a matplotlib figure.

    Raises:
        OptionError: There is no such colour map, or no such picture of a trait of states.
    """
    if isinstance(found, StateFindings):
        numbers = 0 if found.numbers is None else len(found.numbers.traits)
        if found.numbers is None or column >= numbers:
            trait = found.of_states[column - numbers]
            of_states = state_subject(found, trait)
            said = state_small_print(found, trait, choices) + _unprintable(
                [*of_states.names, *trait.states, trait.name]
            )
            return state_tree(of_states, choices, said)
        found = found.numbers
    colours, subject = colour_map(choices.colormap), subject_of(found, column)
    said = small_print(found, choices, column) + _unprintable([*subject.names, subject.trait])
    return PICTURES[choices.kind or PictureKind.CONTMAP](subject, choices, colours, said)


def _unprintable(texts: list[str]) -> list[str]:
    missing = missing_glyphs(texts)
    return [f"{len(missing)} characters are in no font here (an SVG still has them as text)"] if missing else []
