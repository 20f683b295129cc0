"""From the scan's arrays to a Phylogeny: names, support values, annotations, and what may not be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hxcli.engine.topology import IntArray
from hxcli.errors import InputError
from hxcli.formats.trees.scanner.byte_positions import Offsets
from hxcli.formats.trees.scanner.masking import Blanked, shorten
from hxcli.formats.trees.scanner.newick_errors import CLOSE, COLON, NUMBER, WORD
from hxcli.formats.trees.scanner.newick_scanner import ScannedTree
from hxcli.formats.trees.scanner.parse_floats import SUPPORT, is_support
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import MANY, Texts

# Takes the labels of tips, and of internal nodes, to the names they stand for; `refuse(i, found, advice)` makes
# the error about the i-th tip.
Rename = Callable[[Texts, Texts, Callable[[int, str, str], InputError]], tuple[Texts, Texts]]

_HYBRID = re.compile(r"#(?:H|LGT|R)?[0-9]+$")
# Where it stands alone, `#12` may be a name, `#H12` hardly.
_SURE_HYBRID = re.compile(r"#(?:H|LGT|R)[0-9]+")
_ROOTED = re.compile(r"&([RU])", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """What stands before a tree.

    Attributes:
        start: Offset from which comments belong to the tree.
        name: The tree's name; empty for none.
        tree: What messages call the tree; empty for none.
        rooted: What the kind of command says, before any `[&R]`.
    """

    start: int
    name: str = ""
    tree: str = ""
    rooted: bool | None = None


def phylogeny_of(blanked: Blanked, scanned: ScannedTree, header: Header, rename: Rename | None = None) -> Phylogeny:
    """Names the nodes of a scanned tree.

    Internal labels that are all numbers (`95`, `100/0.99`) become support values; so do plain numbers in brackets
    behind internal nodes (`:1[95]`) of a tree that has no internal labels. Other comments than `[&...]` are dropped,
    and so are comments before the tree, of which `[&R]` and `[&U]` are understood.

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

    def refuse(i: int, found: str, advice: str) -> InputError:
        prefix = f"{header.tree}: " if header.tree else ""
        return blanked.source.error(prefix + found, advice, int(tip_starts[i]))

    _refuse_networks(tip_names, inner_names, refuse, blanked, tip_starts)
    if rename is not None:
        tip_names, inner_names = rename(tip_names, inner_names, refuse)
    refuse_bad_names(tip_names, refuse)
    annotations, bracketed, rooted = _comments(blanked, scanned, header)
    size = topology.size
    if not all_support(inner_names):
        labels, support = _at_nodes(size, (tips, tip_names), (inner, inner_names)), Texts.blank(size)
    elif bracketed and not inner_names.any() and not topology.is_leaf[nodes := np.array(list(bracketed))].any():
        labels = _at_nodes(size, (tips, tip_names))
        support = _at_nodes(size, (nodes, Texts(list(bracketed.values()))))
    else:
        labels, support = _at_nodes(size, (tips, tip_names)), _at_nodes(size, (inner, inner_names))
    return Phylogeny(topology, scanned.edge_lengths, labels, support, annotations, rooted, header.name)


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


def _comments(
    blanked: Blanked, scanned: ScannedTree, header: Header
) -> tuple[dict[int, tuple[str, ...]], dict[int, str], bool | None]:
    """Annotations by node, plain numbers in brackets by node, and whether the tree says that it is rooted."""
    starts, ends = blanked.comment_starts, blanked.comment_ends
    first, last = np.searchsorted(starts, (header.start, _end_of(blanked, scanned)))
    starts, ends = starts[first:last], ends[first:last]
    rooted = header.rooted
    annotations: dict[int, tuple[str, ...]] = {}
    bracketed: dict[int, str] = {}
    if not len(starts):
        return annotations, bracketed, rooted
    before = np.searchsorted(scanned.offsets, starts) - 1
    nodes = _annotated_nodes(scanned, before)
    for start, end in zip(starts[before < 0].tolist(), ends[before < 0].tolist(), strict=True):
        stated = _ROOTED.fullmatch(blanked.slice(start + 1, end - 1).strip())
        if stated:
            rooted = stated[1] in "Rr"
    # A comment is at least two bytes long, so that there is a byte behind its bracket.
    is_annotation = blanked.blank.dtype.type(ord("&")) == np.frombuffer(blanked.source.data, np.uint8)[starts + 1]
    chosen = (nodes >= 0) & is_annotation
    texts = blanked.slices(starts[chosen] + 1, ends[chosen] - 1)
    for node, text in zip(nodes[chosen].tolist(), texts, strict=True):
        annotations[node] = (*annotations[node], text) if node in annotations else (text,)
    chosen = (nodes >= 0) & ~is_annotation
    texts = blanked.slices(starts[chosen] + 1, ends[chosen] - 1)
    for node, text in zip(nodes[chosen].tolist(), texts, strict=True):
        if is_support(text.strip()):
            bracketed[node] = text.strip()
    return annotations, bracketed, rooted


def _end_of(blanked: Blanked, scanned: ScannedTree) -> int:
    """Offset of the `;` that ends the tree, or of the end of the text."""
    end = blanked.source.data.find(b";", int(scanned.offsets[-1]))
    while end >= 0 and blanked.blank[end] != ord(";"):
        end = blanked.source.data.find(b";", end + 1)
    return end if end >= 0 else len(blanked.blank)


def _annotated_nodes(scanned: ScannedTree, before: np.ndarray) -> np.ndarray:
    """Per comment, from the token before it, the node that it belongs to; -1 for none."""
    kinds, closing = scanned.kinds, scanned.close_tokens
    token = np.maximum(before, 0)
    behind_node = np.isin(kinds[token], (CLOSE, COLON, WORD, NUMBER))
    # Behind `(` or `,` a comment belongs to the tip that it introduces, if it does.
    following = np.minimum(token + 1, len(kinds) - 1)
    introduces = ~behind_node & (kinds[following] == WORD)
    ordinal = np.searchsorted(closing, np.where(introduces, following, token), side="right") - 1
    nodes = scanned.place[np.maximum(ordinal, 0)]
    return np.where((before >= 0) & (behind_node | introduces), nodes, -1)
