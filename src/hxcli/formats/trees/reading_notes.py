"""What a reader of a tree file should know although the file is sound."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from hxcli.close_names import listed
from hxcli.errors import Note
from hxcli.formats.trees.annotations import entries
from hxcli.formats.trees.scanner.codeml_marks import CODEML_ADVICE, CODEML_MARK
from hxcli.formats.trees.scanner.labels import all_distinct, looks_like_support
from hxcli.formats.trees.scanner.parse_floats import is_number
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts

# Spaces of other kinds, and characters without width.
_ODD_SPACE = re.compile(r"[^\S \n]|[\u200b-\u200f\u2060\ufeff]|(?:^ )|(?: $)", re.MULTILINE)
# What differs between sentences about one thing.
_FIGURES = re.compile(r"'[^']*'|[0-9][0-9.eE+-]*")


def tree_warnings(phylogenies: Sequence[Phylogeny]) -> list[str]:
    """One sentence for each thing that is worth knowing, with the trees that it concerns.

    Sentences that differ in figures and names alone are about one thing, and the first stands for all of them.
    """
    told: dict[str, list[tuple[int, str]]] = {}
    checked: dict[bytes, list[str]] = {}
    for number, phylogeny in enumerate(phylogenies, 1):
        # Trees of one file mostly share their tips: names are looked at once.
        names = Texts(sorted(phylogeny.tip_names)) if len(phylogenies) > 1 else phylogeny.tip_names
        joined = names.lines()
        key = joined.encode()
        if key not in checked:
            checked[key] = list(_name_warnings(names, joined))
        for message in (*_shape_warnings(phylogeny), *checked[key]):
            told.setdefault(_FIGURES.sub("", message), []).append((number, message))
    return [_of_trees(each, len(phylogenies)) for each in told.values()]


def _of_trees(told: list[tuple[int, str]], total: int) -> str:
    number, message = told[0]
    if len(told) == total and all(other == message for _, other in told):
        return message
    if len(told) == 1:
        return f"tree {number}: {message}"
    return f"{len(told)} of {total} trees, first tree {number}: {message}"


def _shape_warnings(phylogeny: Phylogeny) -> Iterator[str]:
    if phylogeny.edge_lengths[0] == phylogeny.edge_lengths[0] and phylogeny.edge_lengths[0] != 0:
        yield Note("the length of the root's edge is kept but not used")
    for text in phylogeny.header:
        for entry in entries(text.removeprefix("&"), ","):
            key, _, value = entry.partition("=")
            if re.search("clock.?rate", key, re.IGNORECASE):
                yield Note(f"the tree's clock rate, {_plainly(value)}, is not used: edge lengths are taken as they are")
    yield from _label_warnings(phylogeny)
    degree = int(phylogeny.topology.child_counts[0])
    if phylogeny.rooted is False:
        yield Note("the tree is marked as unrooted ([&U]); it is used with the root that it is written with")
    elif degree > 2 and phylogeny.rooted is None and phylogeny.topology.depth > 1:
        yield Note(f"the root has {degree} branches, as unrooted trees have; it is used as the root")


def _plainly(value: str) -> str:
    return f"{float(value):.6g}" if is_number(value.strip()) else value.strip()


def _label_warnings(phylogeny: Phylogeny) -> Iterator[str]:
    """Names of internal nodes that may be something else."""
    if phylogeny.topology.size == len(phylogeny.tips):
        return
    labels = phylogeny.labels[np.flatnonzero(~phylogeny.topology.is_leaf)]
    if not labels.any():
        return
    doubtful = labels[np.flatnonzero(looks_like_support(labels))]
    if len(doubtful):
        of_all = f"{len(doubtful)} of {sum(map(bool, labels))} names of inner nodes"
        like = "look like support values" if len(doubtful) > 1 else "looks like a support value"
        yield Note(f"{of_all} {like}, such as {doubtful[0]!r}: kept as names, because others are none")
    marked = np.concatenate([labels.containing(sign) for sign in "#$"])
    marks = [label for label in labels[marked] if CODEML_MARK.fullmatch(label)]
    if marks:
        yield Note(f"inner nodes are called {listed(list(dict.fromkeys(marks)), 3)}: {CODEML_ADVICE}")


def _has_odd_space(joined: str) -> bool:
    """Whether a search for odd spaces could find one: a cheap test, for the many names that have none."""
    if not joined.isascii() or joined[:1] == " " or joined[-1:] == " ":
        return True
    return any(odd in joined for odd in ("\t", "\v", "\f", "\r", " \n", "\n "))


def _folded(names: Texts, joined: str) -> Texts:
    """The names, with a space for every underscore, as they are compared without regard to case and Unicode form."""
    if names.is_column and joined.isascii():
        return Texts(names.column.str.replace_all("_", " ", literal=True).str.to_lowercase())
    folded = joined.replace("_", " ").casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFC", folded)
    return Texts(folded.split("\n"))


def _name_warnings(names: Texts, joined: str) -> Iterator[str]:
    """Warnings on tip names, also given one a line."""
    odd = _ODD_SPACE.search(joined) if _has_odd_space(joined) else None
    if odd:
        start, end = joined.rfind("\n", 0, max(odd.start(), 0)) + 1, joined.find("\n", odd.end())
        name = joined[start : end if end >= 0 else None]
        what = "begins or ends with white space, or holds a tab, an unusual space or an invisible character"
        yield Note(f"a tip name {what}: {name!r}")
    if '"' in joined:
        yield Note("double quotes in tip names are kept as part of the names; only single quotes quote")
    keys = _folded(names, joined)
    if all_distinct(keys):
        return
    first: dict[str, str] = {}
    for name, key in zip(names, keys, strict=True):
        other = first.setdefault(key, name)
        if other != name:
            count = len(keys) - len(set(keys))
            yield (
                Note(
                    f"{count} tip name{'s differ' if count > 1 else ' differs'} from another only by underscore and "
                    f"space, case or Unicode form: '{other}' and '{name}'"
                )
            )
            return
