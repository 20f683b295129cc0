"""What the tips of a NEXUS tree are called: TRANSLATE, TAXLABELS and numbers into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import InputError, Note
from hxcli.formats.trees.scanner.comments import beside_comments
from hxcli.formats.trees.scanner.labels import all_distinct, all_support
from hxcli.formats.trees.scanner.masking import Blanked, shorten
from hxcli.formats.trees.scanner.newick_errors import COMMA, SPACE, WORD
from hxcli.formats.trees.scanner.newick_scanner import tokens
from hxcli.text_columns import Texts

_TRANSLATE_CLASSES = np.full(256, WORD, np.uint8)
_TRANSLATE_CLASSES[list(b" \t\n\v\f\r")] = SPACE
_LABEL_CLASSES = _TRANSLATE_CLASSES.copy()
_TRANSLATE_CLASSES[ord(",")] = COMMA


@dataclass(frozen=True)
class Taxa:
    """The TAXLABELS of one block, in order, and the block's TITLE; labels as they stand there beside a comment."""

    title: str
    labels: Texts
    beside: Mapping[str, str] = field(default_factory=dict)


def read_taxlabels(blanked: Blanked, start: int, end: int) -> Taxa:
    """The labels between two offsets.

    Raises:
        InputError: A comment inside a label, text glued to a quoted label.
    """
    found = tokens(blanked, start, end, _LABEL_CLASSES)
    starts, ends = found.offsets, found.ends
    data = blanked.source.data
    first, last = np.searchsorted(blanked.comment_starts, (start, end))
    comments, behind = blanked.comment_starts[first:last], blanked.comment_ends[first:last]
    for i in np.flatnonzero(np.isin(ends[:-1], comments) & np.isin(starts[1:], behind)):
        if data[ends[i] : starts[i + 1]].count(b"]") == data[ends[i] : starts[i + 1]].count(b"["):
            raise blanked.source.error("comment inside a label", "move the comment behind the label", int(ends[i]))
    labels = blanked.texts(starts, ends)
    return Taxa("", labels, {labels[i]: text for i, text in beside_comments(blanked, starts, ends).items()})


def read_translate(blanked: Blanked, start: int, end: int) -> tuple[Texts, Texts, Mapping[str, str]]:
    """The keys of a TRANSLATE command between two offsets, which differ from each other, and the name for each.

    The third are the names, and how they stand there, that a comment touches.

    Raises:
        InputError: Not `key name, key name, ...`, or a repeated key.
    """
    found_tokens = tokens(blanked, start, end, _TRANSLATE_CLASSES)
    kinds, starts, ends = found_tokens.kinds, found_tokens.offsets, found_tokens.ends
    if len(kinds) and kinds[-1] == COMMA:
        kinds, starts, ends = kinds[:-1], starts[:-1], ends[:-1]
    wrong = np.ones(len(kinds), bool)
    for part, wanted in enumerate((WORD, WORD, COMMA)):
        wrong[part::3] = kinds[part::3] != wanted
    if wrong.any() or len(kinds) % 3 == 1:
        i = int(wrong.argmax()) if wrong.any() else len(kinds) - 1
        text = shorten(blanked.slice(int(starts[i]), int(ends[i])))
        if i % 3 == 2:
            found, advice = (
                f"TRANSLATE: unexpected {text}",
                "is a ',' or the ';' missing? Quote names that contain spaces",
            )
        elif i < len(kinds) and kinds[i] == COMMA:
            found, advice = "TRANSLATE: unexpected ','", "write: key name, key name;"
        else:
            found, advice = f"TRANSLATE: key {text} without a name", "write: key name, key name;"
        raise blanked.source.error(found, advice, int(starts[i]))
    keys, names = (blanked.texts(starts[part::3], ends[part::3]) for part in (0, 1))
    if not all_distinct(keys):
        listed = keys.tolist()
        key = next(key for key, count in Counter(listed).items() if count > 1)
        again = listed.index(key, listed.index(key) + 1)
        offset = int(starts[0::3][again])
        raise blanked.source.error(f"TRANSLATE: key {shorten(key)} is given twice", "keys are unique", offset)
    beside = beside_comments(blanked, starts[1::3], ends[1::3])
    return keys, names, {names[i]: text for i, text in beside.items()}


@dataclass(eq=False)
class Translation:
    """From the labels of one TREES block to names.

    Attributes:
        taxa: The blocks with TAXLABELS that may be meant.
        keys, names: Of TRANSLATE; none without it.
        beside: Name of TRANSLATE -> as it stands there, where a comment touches it.
    """

    taxa: list[Taxa]
    keys: Texts = field(default_factory=lambda: Texts(()))
    names: Texts = field(default_factory=lambda: Texts(()))
    beside: Mapping[str, str] = field(default_factory=dict)
    _strangers: dict[str, None] = field(default_factory=dict)

    def rename(self, tips: Texts, inner: Texts, refuse: Callable[[int, str, str], InputError]) -> tuple[Texts, Texts]:
        """The names of tips and of internal nodes.

        Raises:
            InputError: A tip that is no TRANSLATE key but looks like one, or a number beyond TAXLABELS.
        """
        if len(self.keys):
            return self._translate(tips, refuse), self._translate_inner(tips, inner)
        if self.taxa:
            return self._by_taxlabels(tips, refuse), inner
        return tips, inner

    @property
    def beside_names(self) -> dict[str, str]:
        """Names of tips, and how they stand in TAXLABELS or TRANSLATE, that a comment touches."""
        return {
            name: text
            for beside in (*(taxa.beside for taxa in self.taxa), self.beside)
            for name, text in beside.items()
        }

    def warnings(self) -> list[str]:
        """Tips that no TAXLABELS name."""
        if not self._strangers:
            return []
        names = list(self._strangers)
        listed = ", ".join(map(shorten, names[:5])) + (", ..." if len(names) > 5 else "")
        where = "TAXLABELS" if self.taxa else "TRANSLATE"
        return [Note(f"{len(names)} tip name{'s are' if len(names) > 1 else ' is'} not in {where}: {listed}")]

    def _translate(self, tips: Texts, refuse: Callable[[int, str, str], InputError]) -> Texts:
        place = tips.places_among(self.keys)
        others = np.flatnonzero(place < 0)
        for i, tip in zip(others.tolist(), tips[others], strict=True):
            if tip.isdigit() and tip not in self._listed:
                raise refuse(i, f"tip {shorten(tip)} is not in TRANSLATE", "add it there")
        found = self.names[place]
        if len(others):
            named = found.array.copy()
            named[others] = tips[others].array
            found = Texts(named)
        self._note_strangers(found if self.taxa else tips[others])
        return found

    def _translate_inner(self, tips: Texts, inner: Texts) -> Texts:
        """Keys that no tip and no other node uses are names of internal nodes; anything else may be support values."""
        place = inner.places_among(self.keys)
        keys = inner[np.flatnonzero(place >= 0)].tolist()
        if not keys or len(set(keys)) < len(keys) or not set(keys).isdisjoint(tips):
            return inner
        if len(keys) < len(inner) and all_support(inner):
            return inner
        names = self.names.array
        return Texts([names[i] if i >= 0 else label for i, label in zip(place.tolist(), inner, strict=True)])

    def _by_taxlabels(self, tips: Texts, refuse: Callable[[int, str, str], InputError]) -> Texts:
        labels = self.taxa[0].labels
        # A number is a name where TAXLABELS has it, or where numbers are names at all.
        places = _numbers(tips)
        numbers = [(i, tip) for i, tip in zip(places.tolist(), tips[places], strict=True) if tip not in self._listed]
        found = tips
        if numbers and not self._has_numbers:
            if any(taxa.labels != labels for taxa in self.taxa[1:]):
                i, tip = numbers[0]
                advice = "use names, or LINK the trees to one TAXA block"
                raise refuse(i, f"tip {shorten(tip)} could be of several TAXA blocks", advice)
            named, names = tips.tolist(), labels.tolist()
            for i, tip in numbers:
                number = int(tip) if len(tip) < 12 else 0
                if not 1 <= number <= len(names):
                    advice = "number tips from 1, or add the name to TAXLABELS"
                    raise refuse(i, f"tip {shorten(tip)}: TAXLABELS has {len(names)} names", advice)
                named[i] = names[number - 1]
            found = Texts(named)
        self._note_strangers(found)
        return found

    @cached_property
    def _has_numbers(self) -> bool:
        """Whether TAXLABELS has names that are numbers."""
        return any(label.isdigit() for label in self._listed)

    @cached_property
    def _named(self) -> Texts:
        """All names of TAXLABELS; without any, those of TRANSLATE."""
        return Texts.joined(*(taxa.labels for taxa in self.taxa)) if self.taxa else self.names

    @cached_property
    def _listed(self) -> set[str]:
        return set(self._named)

    @cached_property
    def _folded_names(self) -> set[str]:
        return {_folded(name) for name in self._listed}

    def _note_strangers(self, names: Texts) -> None:
        if not len(names):
            return
        if names.is_column and self._named.is_column:
            strangers = names.column.filter(~names.column.is_in(self._named.column.implode())).to_list()
        else:
            strangers = [name for name in names if name not in self._listed]
        if strangers:
            self._strangers.update((name, None) for name in strangers if _folded(name) not in self._folded_names)


def _numbers(texts: Texts) -> NDArray[np.intp]:
    """Places of the texts that are plain digits."""
    if texts.is_column:
        return np.flatnonzero(texts.column.str.contains("^[0-9]+$").to_numpy())
    return np.array([i for i, text in enumerate(texts) if text.isascii() and text.isdigit()], np.intp)


def _folded(name: str) -> str:
    """Names that differ only by case, or by underscore and space, are one in NEXUS."""
    return name.replace("_", " ").casefold()
