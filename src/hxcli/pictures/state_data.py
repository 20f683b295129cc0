"""The subject of a picture of a trait of states, with what is said about it in small print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hxcli.errors import Note
from hxcli.phylogeny import FloatArray
from hxcli.pictures.labels import MOST_LABELLED, label_note, shown
from hxcli.pictures.layout import lay_out
from hxcli.pictures.line_segments import IntArray
from hxcli.pictures.options import PictureChoices
from hxcli.pictures.picture_data import TreeSubject, support_texts
from hxcli.pictures.shades import shade_classes, shades
from hxcli.state_colours import shared_colours, state_colours
from hxcli.state_findings import StateFindings, TraitStates


@dataclass(frozen=True, eq=False)
class StateSubject(TreeSubject):
    """A trait of S states.

    Attributes:
        states: (S,) their names.
        colours: (S,) `#rrggbb`.
        probabilities: (N, S) of every state.
        best: (N,) number of the most probable state; -1 where two are equally probable.
        seen: (N, S) shares of the states that a tip is said to have; 0 at other nodes.
        tip_counts: (N,) tips at and below every node.
    """

    states: tuple[str, ...]
    colours: tuple[str, ...]
    probabilities: FloatArray
    best: IntArray
    seen: FloatArray
    tip_counts: IntArray

    @property
    def classes(self) -> IntArray:
        """(N,) which of `shades` the edge to a node has."""
        return shade_classes(self.probabilities, self.best)

    @property
    def shades(self) -> list[str]:
        """Every state's colour in all its shades, from the palest on."""
        return shades(self.colours)


def state_subject(found: StateFindings, trait: TraitStates) -> StateSubject:
    """One trait of states, laid out."""
    phylogeny = found.phylogeny
    layout = lay_out(phylogeny)
    tips = phylogeny.tips[np.argsort(layout.rows[phylogeny.tips])]
    return StateSubject(
        layout=layout,
        trait=trait.name,
        tips=tips,
        names=[shown(name) for name in phylogeny.labels[tips]],
        support=support_texts(phylogeny, _frequency(trait)),
        states=trait.states,
        colours=tuple(state_colours(trait.states)),
        probabilities=trait.probabilities,
        best=trait.best,
        seen=trait.seen,
        tip_counts=phylogeny.tip_counts,
    )


def state_small_print(found: StateFindings, trait: TraitStates, choices: PictureChoices) -> list[str]:
    """What the picture of a trait of states leaves out, a sentence each: it stands in the picture."""
    tips = len(found.phylogeny.tips)
    said = [label_note(tips)] if tips > MOST_LABELLED else []
    if choices.support and not found.phylogeny.support.any() and _frequency(trait) is None:
        said.append("the tree has no support values")
    elif choices.support and tips > MOST_LABELLED:
        said.append("support values are left out with the names")
    if np.isnan(trait.probabilities).any():
        said.append("grey: not estimated")
    if shared_colours(len(trait.states)):
        said.append(Note(f"{len(trait.states)} states share 20 colours"))
    return said


def _frequency(trait: TraitStates) -> FloatArray | None:
    """How often the clades are in a sample of trees; None of a single tree."""
    return trait.columns.get("frequency")
