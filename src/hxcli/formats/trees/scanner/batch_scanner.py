"""The strict scan of many trees of one text at once: as `newick_scanner` reads them, without a call for each.

A tree that this scan cannot vouch for is none of its business: the batch is then read tree by tree, which either says
what is wrong or finds that nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray, IntArray, Topology
from hxcli.formats.trees.scanner.byte_positions import Offsets
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.scanner.newick_errors import CLOSE, COLON, COMMA, NUMBER, OPEN, SPACE, WORD
from hxcli.formats.trees.scanner.newick_scanner import MAX_NODES, tokens
from hxcli.formats.trees.scanner.parse_floats import read_numbers
from hxcli.phylogeny import FloatArray

_END = 7
_CLASSES = np.full(256, WORD, np.uint8)
_CLASSES[list(b" \t\n\v\f\r")] = SPACE
for _character, _class in zip(b"(),:;", (OPEN, CLOSE, COMMA, COLON, _END), strict=True):
    _CLASSES[_character] = _class
# By eight times the kind of a token plus that of the next one: whether they may stand so.
_FOLLOWS = np.zeros(64, bool)
for _first, _allowed in {
    OPEN: (OPEN, WORD),
    COMMA: (OPEN, WORD),
    CLOSE: (WORD, COLON, COMMA, CLOSE, _END),
    WORD: (COLON, COMMA, CLOSE, _END),
    COLON: (NUMBER,),
    NUMBER: (COMMA, CLOSE, _END),
    # A tree of one tip without brackets may be text beside a tree.
    _END: (OPEN,),
}.items():
    _FOLLOWS[[8 * _first + _next for _next in _allowed]] = True
_STEPS = np.zeros(8, np.int8)
_STEPS[[OPEN, CLOSE]] = 1, -1


@dataclass(frozen=True, eq=False)
class ScannedBatch:
    """B trees as the scan found them, nodes by levels: all roots, all their children, and so on.

    Attributes:
        topology: N nodes, of which the first B are the roots.
        edge_lengths: (N,) nan where the text has none.
        trees: (N,) the tree of every node, from 0.
        tips: (L,) the tips, in the order of the file.
        label_starts, label_ends: (L,) offsets of their labels.
        inner_starts, inner_ends: (I,) offsets of the labels that other nodes have.
        offsets: (N,) offset of the label of every tip, and of the `)` of every other node.
    """

    topology: Topology
    edge_lengths: FloatArray
    trees: IntArray
    tips: IntArray
    label_starts: Offsets
    label_ends: Offsets
    inner_starts: Offsets
    inner_ends: Offsets
    offsets: Offsets


def scan_batch(blanked: Blanked, starts: Sequence[int], ends: Sequence[int]) -> ScannedBatch | None:
    """Scans trees that follow each other in a text, each ended by `;`; None where they are to be read one by one.

    Args:
        blanked: The text.
        starts: (B,) where the Newick text of every tree begins, ascending.
        ends: (B,) where its `;` stands.

    Raises:
        InputError: An edge length that is no finite number.
    """
    found = tokens(_trees_only(blanked, starts, ends), starts[0], ends[-1] + 1, _CLASSES)
    kinds = found.kinds
    if not len(kinds) or kinds[0] != OPEN or kinds[-1] != _END:
        return None
    deep = np.cumsum(_STEPS.take(kinds), dtype=np.int32)
    is_end = kinds == _END
    # At depth 0 there is a root's own label and length, and nothing beside it; every tree ends there.
    sound = _FOLLOWS.take(kinds[:-1] * np.uint8(8) + kinds[1:]).all() and deep.min() >= 0
    if not sound or deep[is_end].any() or ((deep == 0) & (kinds == COMMA)).any() or is_end.sum() != len(starts):
        return None
    is_tip = kinds == WORD
    is_tip[1:] &= kinds[:-1] != CLOSE
    close = np.flatnonzero(is_tip | (kinds == CLOSE))
    if len(close) > MAX_NODES:
        return None
    depths = deep[close]
    tree_of = np.cumsum(is_end, dtype=np.int32)[close]

    tip = is_tip[close]
    has_label = kinds[close + 1] == WORD
    has_label &= ~tip
    behind = close + has_label + 1
    has_length = kinds[behind] == COLON
    behind += has_length.view(np.int8) * np.int8(2)
    is_last = kinds[behind] == CLOSE

    is_number = kinds == NUMBER
    words = (kinds == WORD) | is_number
    number = is_number[words]
    offsets = found.offsets
    numbers = read_numbers(blanked, offsets[is_number], found.word_ends[number])
    lengths = np.full(len(close), np.nan)
    lengths[has_length] = numbers

    order = np.argsort(depths.astype(np.int16) if depths.max() < 2**15 else depths, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    tip_label = is_tip[words]
    inner = ~(tip_label | number)
    return ScannedBatch(
        topology=_topology(depths[order], tip[order], is_last[order], len(starts)),
        edge_lengths=lengths[order],
        trees=tree_of[order],
        tips=place[tip],
        label_starts=offsets[is_tip],
        label_ends=found.word_ends[tip_label],
        inner_starts=offsets[words][inner],
        inner_ends=found.word_ends[inner],
        offsets=offsets[close[order]],
    )


def _trees_only(blanked: Blanked, starts: Sequence[int], ends: Sequence[int]) -> Blanked:
    """The text without what stands between the trees."""
    if all(start == end + 1 for start, end in zip(starts[1:], ends, strict=False)):
        return blanked
    blank: NDArray[np.uint8] = blanked.blank.copy()
    for start, end in zip(starts[1:], ends, strict=False):
        blank[end + 1 : start] = ord(" ")
    return replace(blanked, blank=blank)


def _topology(depths: IntArray, is_tip: BoolArray, is_last: BoolArray, roots: int) -> Topology:
    """The shape from nodes by levels and whether each is the last child of its parent."""
    inner = np.flatnonzero(~is_tip).astype(np.int32)
    parents = np.arange(len(depths), dtype=np.int32)
    rank = np.cumsum(is_last[roots:], dtype=np.int32)
    rank -= is_last[roots:]
    parents[roots:] = inner[rank]
    return Topology(parents, depths)
