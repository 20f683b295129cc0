"""The subject of a picture: one trait of a reconstruction, laid out, with what is said about it in small print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import Note
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.pictures.labels import MOST_LABELLED, label_note, shown
from hxcli.pictures.layout import Layout, lay_out
from hxcli.pictures.line_segments import IntArray, Scale, scale_of
from hxcli.pictures.options import PictureChoices
from hxcli.reconstruction import NodeDensities, Reconstruction
from hxcli.text_columns import TextArray


@dataclass(frozen=True, eq=False)
class TreeSubject:
    """A trait of any kind on one tree of N nodes and L tips.

    Attributes:
        layout: Where the nodes lie.
        trait: The trait's name.
        tips: (L,) nodes, in the order of their rows.
        names: (L,) their names as they are drawn.
        support: (N,) support values as text.
    """

    layout: Layout
    trait: str
    tips: IntArray
    names: list[str]
    support: TextArray


@dataclass(frozen=True, eq=False)
class Subject(TreeSubject):
    """A trait of numbers.

    Attributes:
        estimates, lower, upper: (N,) of the trait; nan where there is none.
        measured: (N,) whether the tip has a value of its own.
        interval: Such as `95% CI`; "" where no node has one.
        densities: Whole densities of the nodes; None where they are normal.
    """

    estimates: FloatArray
    lower: FloatArray
    upper: FloatArray
    measured: NDArray[np.bool_]
    interval: str
    densities: NodeDensities | None = None

    @property
    def scale(self) -> Scale:
        """Colours for all estimates."""
        return scale_of(self.estimates)

    @property
    def range(self) -> Scale:
        """From the least to the largest end of an interval, or estimate."""
        return scale_of(np.concatenate([self.estimates, self.lower, self.upper]))


def support_texts(phylogeny: Phylogeny, frequency: FloatArray | None) -> TextArray:
    """(N,) support values; of a sample of trees in how many percent of them the clades are.

    Args:
        phylogeny: N nodes.
        frequency: (N, any) share of the trees that have the clade; None for a single tree.
    """
    if frequency is None:
        return phylogeny.support.array
    texts = np.full(phylogeny.topology.size, "", object)
    shares = frequency.reshape(len(texts), -1)[:, 0]
    for node in np.flatnonzero(phylogeny.topology.is_inner).tolist():
        texts[node] = f"{100 * shares[node]:.3g}"
    return texts


def subject_of(reconstruction: Reconstruction, column: int = 0) -> Subject:
    """One trait of a reconstruction: the first, unless `column` says which."""
    phylogeny = reconstruction.phylogeny
    layout = lay_out(phylogeny)
    tips = phylogeny.tips[np.argsort(layout.rows[phylogeny.tips])]
    lower, upper = (end[:, column] for end in reconstruction.ends)
    named = f"{100 * reconstruction.level:.10g}% {reconstruction.interval}"
    return Subject(
        layout=layout,
        trait=reconstruction.traits[column],
        tips=tips,
        names=[shown(name) for name in phylogeny.labels[tips]],
        estimates=reconstruction.estimates[:, column],
        lower=lower,
        upper=upper,
        measured=~np.isnan(reconstruction.observed[:, column]),
        interval=named if np.isfinite(lower).any() and np.isfinite(upper).any() else "",
        support=support_texts(phylogeny, reconstruction.columns.get("frequency")),
        densities=reconstruction.densities.get(reconstruction.traits[column]),
    )


def small_print(reconstruction: Reconstruction, choices: PictureChoices, column: int = 0) -> list[str]:
    """What the picture of a reconstruction leaves out, a sentence each: it stands in the picture."""
    phylogeny = reconstruction.phylogeny
    tips = len(phylogeny.tips)
    said = [label_note(tips)] if tips > MOST_LABELLED else []
    if choices.support and not phylogeny.support.any() and "frequency" not in reconstruction.columns:
        said.append(Note("the tree has no support values"))
    elif choices.support and tips > MOST_LABELLED:
        said.append(Note("support values are left out with the names"))
    if np.isnan(reconstruction.estimates[:, column]).any():
        said.append(Note("grey: not estimated"))
    return said
