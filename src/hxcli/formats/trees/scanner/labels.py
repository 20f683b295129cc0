"""From the scan's arrays to a Phylogeny: names, support values, annotations, and what may not be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hxcli.engine.topology import BoolArray, IntArray
from hxcli.errors import InputError
from hxcli.formats.trees.scanner.byte_positions import Offsets
from hxcli.formats.trees.scanner.comments import beside_comments, comments_of
from hxcli.formats.trees.scanner.masking import Blanked, shorten
from hxcli.formats.trees.scanner.newick_scanner import ScannedTree
from hxcli.formats.trees.scanner.parse_floats import LOOSE_SUPPORT, SUPPORT, is_loose_support, is_support
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import MANY, Texts

# Takes the labels of tips, and of internal nodes, to the names they stand for; `refuse(i, found, advice)` makes
# the error about the i-th tip.
Rename = Callable[[Texts, Texts, Callable[[int, str, str], InputError]], tuple[Texts, Texts]]

_HYBRID = re.compile(r"#(?:H|LGT|R)?[0-9]+$")
# Where it stands alone, `#12` may be a name, `#H12` hardly.
_SURE_HYBRID = re.compile(r"#(?:H|LGT|R)[0-9]+")


@dataclass(frozen=True)
class Header:
    """What stands before a tree.

    Attributes:
        start: Offset from which comments belong to the tree.
        name: The tree's name; empty for none.
        tree: What messages call the tree; empty for none.
        rooted: What the kind of command says, before any `[&R]`.
        beside_names: Name that a command gives tips -> as it stands there, where a comment touches it.
    """

    start: int
    name: str = ""
    tree: str = ""
    rooted: bool | None = None
    beside_names: Mapping[str, str] = field(default_factory=dict)


def phylogeny_of(blanked: Blanked, scanned: ScannedTree, header: Header, rename: Rename | None = None) -> Phylogeny:
    """Names the nodes of a scanned tree.

    Internal labels that are all numbers (`95`, `100/0.99`, also beside `NA`) become support values, whatever the root
    is called; so do plain numbers in brackets behind internal nodes (`:1[95]`) of a tree without labels but the root's.
    Other comments than `[&...]` are dropped; of those before the tree `[&R]` and `[&U]` are understood.

    Raises:
        InputError: An empty or repeated tip name, a network, or what `rename` refuses.
    """
    topology = scanned.topology
    # In the file's order, so that messages name the first place and reading is sequential.
    names = blanked.texts(scanned.label_starts, scanned.label_ends)
    of_tip = topology.is_leaf[scanned.labelled]
    tips, inner = scanned.labelled[of_tip], scanned.labelled[~of_tip]
    tip_names = names if not len(inner) else names[np.flatnonzero(of_tip)]
    inner_names = names[np.flatnonzero(~of_tip)]
    tip_starts = scanned.label_starts[of_tip]

    beside = _labels_beside_comments(blanked, scanned, of_tip)

    def refuse(i: int, found: str, advice: str) -> InputError:
        prefix = f"{header.tree}: " if header.tree else ""
        if i in beside:
            advice = f"{advice}; what is in brackets is a comment: quote a name with brackets, '{beside[i]}'"
        return blanked.source.error(prefix + found, advice, int(tip_starts[i]))

    _refuse_networks(tip_names, inner_names, refuse, blanked, tip_starts)
    if rename is not None:
        tip_names, inner_names = rename(tip_names, inner_names, refuse)
    refuse_bad_names(tip_names, refuse)
    comments = comments_of(blanked, scanned, header.start, header.rooted)
    bracketed = comments.bracketed
    size = topology.size
    ends_at_root = bool(len(inner)) and int(inner[-1]) == 0
    is_value = support_among(inner_names, ends_at_root)
    unnamed = not (inner_names[: len(inner) - 1] if ends_at_root else inner_names).any()
    if inner_names.any():
        # The root has a name, or a value in brackets, not both.
        bracketed = {node: text for node, text in bracketed.items() if node}
    if bracketed and unnamed and (is_value is None or not inner_names.any()):
        nodes = np.array(list(bracketed))
        of_inner = not topology.is_leaf[nodes].any()
        labels = _at_nodes(size, (tips, tip_names), (inner, inner_names))
        support = _at_nodes(size, (nodes, Texts(list(bracketed.values())))) if of_inner else Texts.blank(size)
    elif is_value is None:
        labels, support = _at_nodes(size, (tips, tip_names), (inner, inner_names)), Texts.blank(size)
    else:
        named, values = np.flatnonzero(~is_value), np.flatnonzero(is_value)
        labels = _at_nodes(size, (tips, tip_names), (inner[named], inner_names[named]))
        support = _at_nodes(size, (inner[values], inner_names[values]))
    return Phylogeny(
        topology,
        scanned.edge_lengths,
        labels,
        support,
        comments.annotations,
        comments.rooted,
        header.name,
        header=comments.header,
        beside_names={
            **header.beside_names,
            **{tip_names[i]: text for i, text in beside.items() if tip_names[i] in text},
        },
    )


def _labels_beside_comments(blanked: Blanked, scanned: ScannedTree, of_tip: BoolArray) -> dict[int, str]:
    """Place among the tips -> the label as it stands in the file, for labels that a dropped comment touches."""
    found = beside_comments(blanked, scanned.label_starts, scanned.label_ends)
    place = np.cumsum(of_tip) - 1
    return {int(place[i]): text for i, text in found.items() if of_tip[i]}


def refuse_bad_names(tips: Texts, refuse: Callable[[int, str, str], InputError]) -> None:
    """Tips must be named, each by a name of its own.

    Raises:
        InputError: Made by `refuse`, from the position of the tip in the list, what was found and the advice.
    """
    if all_distinct(tips) and "" not in tips:
        return
    names = tips.tolist()
    if "" in names:
        raise refuse(names.index(""), "tip with an empty name", "name every tip")
    counts = Counter(names)
    repeated = [(name, count) for name, count in counts.items() if count > 1]
    listed = ", ".join(f"{shorten(name)} ({count} times)" for name, count in repeated[:5])
    more = f", ... ({len(repeated)} names)" if len(repeated) > 5 else ""
    first = repeated[0][0]
    second = names.index(first, names.index(first) + 1)
    raise refuse(
        second, f"duplicate tip name{'s' * (len(repeated) > 1)}: {listed}{more}", "give every tip its own name"
    )


def all_distinct(names: Texts) -> bool:
    """Whether no name occurs twice."""
    if len(names) < MANY:
        return len(set(names)) == len(names)
    hashes = np.sort(names.column.hash().to_numpy())
    # Texts of different hashes differ, and finding that out takes a fraction of the time.
    return bool((hashes[1:] != hashes[:-1]).all()) or names.column.n_unique() == len(names)


def all_support(labels: Texts) -> bool:
    """Whether every label is a support value, or empty."""
    if labels.is_column:
        return bool(labels.column.str.contains(rf"^(?:{SUPPORT})?$").all())
    return all(is_support(label) or not label for label in labels)


def support_among(labels: Texts, last_is_root: bool) -> BoolArray | None:
    """(K,) which of the labels of internal nodes are support values, or empty; None where they are names.

    They are support values where one is a number and each other is one, the mark of a missing one, or empty; the
    root, which has no support, may be called anything.
    """
    is_value = looks_like_support(labels, "")
    names = np.flatnonzero(~is_value)
    if len(names) > 1 or (len(names) == 1 and not (last_is_root and names[0] == len(labels) - 1)):
        return None
    values = labels[np.flatnonzero(is_value)]
    numbers = any(character.isdigit() for character in values.lines())
    return is_value if numbers or not labels.any() else None


def looks_like_support(labels: Texts, *others: str) -> BoolArray:
    """(K,) which of the texts are numbers, with `%` or without, marks of missing ones, or one of some others."""
    if labels.is_column:
        found = labels.column.str.contains(rf"^(?:{LOOSE_SUPPORT})$") | labels.column.is_in(list(others))
        return found.to_numpy()
    return np.array([is_loose_support(label) or label in others for label in labels], bool)


def _at_nodes(size: int, *named: tuple[IntArray, Texts]) -> Texts:
    """(size,) the texts of some nodes, given with their nodes; "" for all others."""
    if not any(len(texts) for _, texts in named):
        return Texts.blank(size)
    given = Texts.joined(*(texts for _, texts in named), Texts([""]))
    place = np.full(size, len(given) - 1, np.int32)
    place[np.concatenate([nodes for nodes, _ in named])] = np.arange(len(given) - 1)
    return given[place]


def _refuse_networks(
    tips: Texts,
    inner: Texts,
    refuse: Callable[[int, str, str], InputError],
    blanked: Blanked,
    tip_starts: Offsets,
) -> None:
    if b"#" not in blanked.source.data:
        return
    hybrids = {name for name in inner[inner.containing("#")] if _HYBRID.search(name)}
    seen: set[str] = set()
    marked = tips.containing("#")
    for i, name in zip(marked.tolist(), tips[marked], strict=True):
        if not _HYBRID.search(name):
            continue
        start = int(tip_starts[i])
        unquoted = blanked.source.data[start : start + 1] == b"#"
        if name in hybrids or name in seen or (unquoted and _SURE_HYBRID.fullmatch(name)):
            found = f"hybrid node {shorten(name)}: this is a phylogenetic network"
            raise refuse(i, found, "networks are not supported; quote the name if it is one")
        seen.add(name)
