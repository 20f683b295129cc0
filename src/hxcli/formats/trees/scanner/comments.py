"""What the comments of a tree say: annotations, support values in brackets, and names that they stand beside."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from hxcli.formats.trees.scanner.byte_positions import Offsets
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.scanner.newick_errors import CLOSE, COLON, NUMBER, WORD
from hxcli.formats.trees.scanner.newick_scanner import ScannedTree
from hxcli.formats.trees.scanner.parse_floats import is_support

_ROOTED = re.compile(r"&([RU])", re.IGNORECASE)
# Comments beside names that are looked at: they are wanted where names fail to match, and some tell.
_MOST_BESIDE, _FAR = 10_000, 1000


@dataclass(frozen=True)
class Comments:
    """What the comments of one tree say.

    Attributes:
        annotations: Node -> the texts of its `[&...]`.
        bracketed: Node -> the plain number in brackets behind it.
        rooted: Whether the tree says that it is rooted.
        header: Texts of the `[&...]` before the tree that say more than that.
    """

    annotations: dict[int, tuple[str, ...]]
    bracketed: dict[int, str]
    rooted: bool | None
    header: tuple[str, ...] = ()


def comments_of(blanked: Blanked, scanned: ScannedTree, start: int, rooted: bool | None) -> Comments:
    """Reads the comments of a scanned tree.

    Args:
        blanked: The text.
        scanned: The tree.
        start: Offset from which comments belong to it.
        rooted: What was known of it before.
    """
    starts, ends = blanked.comment_starts, blanked.comment_ends
    first, last = np.searchsorted(starts, (start, _end_of(blanked, scanned)))
    starts, ends = starts[first:last], ends[first:last]
    annotations: dict[int, tuple[str, ...]] = {}
    bracketed: dict[int, str] = {}
    if not len(starts):
        return Comments(annotations, bracketed, rooted)
    before = np.searchsorted(scanned.offsets, starts) - 1
    nodes = _annotated_nodes(scanned, before)
    header = []
    for begin, end in zip(starts[before < 0].tolist(), ends[before < 0].tolist(), strict=True):
        text = blanked.slice(begin + 1, end - 1).strip()
        if stated := _ROOTED.fullmatch(text):
            rooted = stated[1] in "Rr"
        elif text.startswith("&"):
            header.append(text)
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
    return Comments(annotations, bracketed, rooted, tuple(header))


def beside_comments(blanked: Blanked, starts: Offsets, ends: Offsets) -> dict[int, str]:
    """The labels that a dropped comment touches, but for white space: place of the label -> both as they stand there.

    Args:
        blanked: The text.
        starts, ends: (K,) offsets of labels, ascending.
    """
    found: dict[int, str] = {}
    if not len(blanked.comment_starts) or not len(starts):
        return found
    data, comments = blanked.source.data, blanked.comment_starts
    # From the one before the first label to the one behind the last.
    first, last = np.searchsorted(comments, (starts[0], ends[-1]))
    first, last = max(first - 1, 0), min(last + 1, len(comments))
    dropped = np.frombuffer(data, np.uint8)[comments[first:last] + 1] != ord("&")
    for i in (np.flatnonzero(dropped)[:_MOST_BESIDE] + first).tolist():
        begin, end = int(comments[i]), int(blanked.comment_ends[i])
        label = int(np.searchsorted(starts, begin))
        gaps = []
        if label and begin - ends[label - 1] < _FAR:
            gaps.append((data[ends[label - 1] : begin], label - 1))
        if label < len(starts) and starts[label] - end < _FAR:
            gaps.append((data[end : starts[label]], label))
        # Nearest first; what touches the label directly belongs to it.
        for gap, place in sorted(gaps, key=lambda pair: len(pair[0])):
            if not gap.strip():
                whole = slice(min(begin, int(starts[place])), max(end, int(ends[place])))
                found[place] = " ".join(data[whole].decode("utf-8", "replace").split())
                break
    return found


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
