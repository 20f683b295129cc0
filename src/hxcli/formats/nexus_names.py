"""What the tips of a NEXUS tree are called: TRANSLATE, TAXLABELS and numbers into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.blanking import Blanked, shorten
from hxcli.formats.complaints import COMMA, SPACE, WORD
from hxcli.formats.numerals import is_support
from hxcli.formats.scan import tokens

_TRANSLATE_CLASSES = np.full(256, WORD, np.uint8)
_TRANSLATE_CLASSES[list(b" \t\n\v\f\r")] = SPACE
_LABEL_CLASSES = _TRANSLATE_CLASSES.copy()
_TRANSLATE_CLASSES[ord(",")] = COMMA


@dataclass(frozen=True)
class Taxa:
    """The TAXLABELS of one block, in order, and the block's TITLE."""

    title: str
    labels: list[str]


def read_taxlabels(blanked: Blanked, start: int, end: int) -> list[str]:
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
    return blanked.labels(starts, ends)


def read_translate(blanked: Blanked, start: int, end: int) -> dict[str, str]:
    """The names by key of a TRANSLATE command between two offsets.

    Raises:
        InputError: Not `key name, key name, ...`, or a repeated key.
    """
    found_tokens = tokens(blanked, start, end, _TRANSLATE_CLASSES)
    kinds, starts, ends = found_tokens.kinds, found_tokens.offsets, found_tokens.ends
    if len(kinds) and kinds[-1] == COMMA:
        kinds, starts, ends = kinds[:-1], starts[:-1], ends[:-1]
    wanted = np.where(np.arange(len(kinds)) % 3 == 2, COMMA, WORD)
    wrong = np.flatnonzero(kinds != wanted)
    if len(wrong) or len(kinds) % 3 == 1:
        i = int(wrong[0]) if len(wrong) else len(kinds) - 1
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
    keys, names = (blanked.labels(starts[part::3], ends[part::3]) for part in (0, 1))
    table = dict(zip(keys, names, strict=True))
    if len(table) < len(keys):
        key = next(key for key, count in Counter(keys).items() if count > 1)
        again = keys.index(key, keys.index(key) + 1)
        offset = int(starts[0::3][again])
        raise blanked.source.error(f"TRANSLATE: key {shorten(key)} is given twice", "keys are unique", offset)
    return table


@dataclass(eq=False)
class Translation:
    """From the labels of one TREES block to names.

    Attributes:
        taxa: The blocks with TAXLABELS that may be meant.
        names: TRANSLATE: key -> name.
    """

    taxa: list[Taxa]
    names: dict[str, str] = field(default_factory=dict)
    _strangers: dict[str, None] = field(default_factory=dict)

    def rename(
        self, tips: list[str], inner: list[str], refuse: Callable[[int, str, str], InputError]
    ) -> tuple[list[str], list[str]]:
        """The names of tips and of internal nodes.

        Raises:
            InputError: A tip that is no TRANSLATE key but looks like one, or a number beyond TAXLABELS.
        """
        if self.names:
            return self._translate(tips, refuse), self._translate_inner(tips, inner)
        if self.taxa:
            return self._by_taxlabels(tips, refuse), inner
        return tips, inner

    def warnings(self) -> list[str]:
        """Tips that no TAXLABELS name."""
        if not self._strangers:
            return []
        names = list(self._strangers)
        listed = ", ".join(map(shorten, names[:5])) + (", ..." if len(names) > 5 else "")
        where = "TAXLABELS" if self.taxa else "TRANSLATE"
        return [f"{len(names)} tip name{'s are' if len(names) > 1 else ' is'} not in {where}: {listed}"]

    def _translate(self, tips: list[str], refuse: Callable[[int, str, str], InputError]) -> list[str]:
        names = self.names
        try:
            found, others = list(map(names.__getitem__, tips)), []
        except KeyError:
            found = [names.get(tip, tip) for tip in tips]
            others = [i for i, tip in enumerate(tips) if tip not in names]
        for i in others:
            if tips[i].isdigit() and tips[i] not in self._listed:
                raise refuse(i, f"tip {shorten(tips[i])} is not in TRANSLATE", "add it there")
        self._note_strangers(found if self.taxa else [tips[i] for i in others])
        return found

    def _translate_inner(self, tips: list[str], inner: list[str]) -> list[str]:
        """Keys that no tip and no other node uses are names of internal nodes; anything else may be support values."""
        keys = [label for label in inner if label in self.names]
        if not keys or len(set(keys)) < len(keys) or not set(keys).isdisjoint(tips):
            return inner
        if len(keys) < len(inner) and all(is_support(label) for label in inner if label):
            return inner
        return [self.names.get(label, label) for label in inner]

    def _by_taxlabels(self, tips: list[str], refuse: Callable[[int, str, str], InputError]) -> list[str]:
        labels = self.taxa[0].labels
        known = self._listed
        # A number is a name where TAXLABELS has it, or where numbers are names at all.
        numbered = [i for i, tip in enumerate(tips) if tip.isascii() and tip.isdigit() and tip not in known]
        found = list(tips)
        if numbered and not self._has_numbers:
            if any(taxa.labels != labels for taxa in self.taxa[1:]):
                advice = "use names, or LINK the trees to one TAXA block"
                raise refuse(numbered[0], f"tip {shorten(tips[numbered[0]])} could be of several TAXA blocks", advice)
            for i in numbered:
                number = int(tips[i]) if len(tips[i]) < 12 else 0
                if not 1 <= number <= len(labels):
                    advice = "number tips from 1, or add the name to TAXLABELS"
                    raise refuse(i, f"tip {shorten(tips[i])}: TAXLABELS has {len(labels)} names", advice)
                found[i] = labels[number - 1]
        self._note_strangers(found)
        return found

    @cached_property
    def _has_numbers(self) -> bool:
        """Whether TAXLABELS has names that are numbers."""
        return any(label.isdigit() for label in self._listed)

    @cached_property
    def _listed(self) -> set[str]:
        """All names of TAXLABELS; without any, those of TRANSLATE."""
        labels = (label for taxa in self.taxa for label in taxa.labels)
        return set(labels if self.taxa else self.names.values())

    @cached_property
    def _folded_names(self) -> set[str]:
        return {_folded(name) for name in self._listed}

    def _note_strangers(self, names: list[str]) -> None:
        strangers = [name for name in names if name not in self._listed]
        if strangers:
            self._strangers.update((name, None) for name in strangers if _folded(name) not in self._folded_names)


def _folded(name: str) -> str:
    """Names that differ only by case, or by underscore and space, are one in NEXUS."""
    return name.replace("_", " ").casefold()
