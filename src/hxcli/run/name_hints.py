"""Hints on names of a table that are no tips: near ones, parts of others, inner nodes, comments that stand beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hxcli.close_names import NameIndex, listed
from hxcli.errors import Note
from hxcli.phylogeny import Phylogeny
from hxcli.run.name_columns import name_key
from hxcli.text_columns import Texts

# How many names are looked at, and among how many: a hint never takes longer than the run.
_LOOKED_AT, _AMONG = 5, 200_000
# Shorter parts of names are found in too many.
_SHORTEST = 3


class NameHints:
    """What the names of some rows may stand for.

    Args:
        tips: The tips that they may be.
    """

    def __init__(self, tips: Iterable[str]) -> None:
        self._tips = list(tips)
        self._index = NameIndex(self._tips)
        self._keys = [name_key(tip) for tip in self._tips] if len(self._tips) <= _AMONG else []

    def tip_for(self, row: str) -> str | None:
        """The tip that a row's name most likely stands for; None without a good one."""
        return self._index.closest(row) or self._part(name_key(row))

    def hints(self, rows: Sequence[str]) -> list[str]:
        """`'Homo' may be 'Homo_sapiens'` for the first few rows for which there is a tip."""
        found = [(row, self.tip_for(row)) for row in rows[:_LOOKED_AT]]
        return [f"{row!r} may be {tip!r}" for row, tip in found if tip is not None]

    def _part(self, row: str) -> str | None:
        """The only tip of whose name the row's is a part, or the longest that is a part of the row's."""
        longer = [place for place, key in enumerate(self._keys) if row != key and _is_part(row, key)]
        if len(longer) == 1:
            return self._tips[longer[0]]
        shorter = [place for place, key in enumerate(self._keys) if row != key and _is_part(key, row)]
        if longer or not shorter:
            return None
        best = max(shorter, key=lambda place: len(self._keys[place]))
        # The genus in a species' name is no second candidate, another name is.
        return self._tips[best] if all(self._keys[place] in self._keys[best] for place in shorter) else None


def _is_part(part: str, whole: str) -> bool:
    """Whether a name begins or ends with another, or holds it between characters of another kind."""
    place = whole.find(part)
    if place < 0 or not part:
        return False
    before, behind = whole[:place][-1:], whole[place + len(part) :][:1]
    apart = not (before.isalnum() or behind.isalnum())
    return apart or (len(part) >= _SHORTEST and (not before or not behind))


def inner_nodes_among(phylogeny: Phylogeny, rows: Sequence[str]) -> list[str]:
    """The names that are inner nodes of the tree."""
    if not rows:
        return []
    labels = phylogeny.labels[np.flatnonzero(~phylogeny.topology.is_leaf)]
    if not labels.any():
        return []
    known = {name_key(label) for label in labels if label}
    return [row for row in rows if name_key(row) in known]


def inner_node_note(names: Sequence[str]) -> str:
    """What to say of rows that are inner nodes; "" without any."""
    if not names:
        return ""
    are = "row is an inner node" if len(names) == 1 else "rows are inner nodes"
    return Note(f"{len(names)} {are} of the tree, whose values are not used: {listed(names)}")


def comment_note(phylogeny: Phylogeny, tips: Sequence[str]) -> str:
    """What to say of tips without a row that have a comment beside their names, which may be meant as part of them.

    Args:
        phylogeny: The tree.
        tips: Their names.

    Returns:
        "" where none has a comment.
    """
    touched = [tip for tip in tips if tip in phylogeny.beside_names] if phylogeny.beside_names else []
    if not touched:
        return ""
    whole = phylogeny.beside_names[touched[0]]
    names = "1 tip" if len(touched) == 1 else f"{len(touched)} tips"
    return Note(
        f"what is in brackets beside the names of {names} is a comment, no part of them, such as {whole!r} for "
        f"{touched[0]!r}: quote names with brackets in the tree, '{whole}'"
    )


def beside_another_row(name: str, names: Texts) -> str:
    """What to say of a row that would be a tip's if another row were not; "" for any other."""
    for other in (name.replace(" ", "_"), name.replace("_", " ")):
        if other != name and other in names:
            return f"{name!r} and {other!r} may be one species in two rows"
    return ""
