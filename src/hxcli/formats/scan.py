"""The strict scan: one Newick tree from text to arrays, every byte accounted for.

No recursion and no loop over nodes: which token may follow which is one table, nesting is one running sum, and
breadth-first order is one stable sort. Time and memory are proportional to the text, whatever its shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray, IntArray, Topology
from hxcli.formats import complaints
from hxcli.formats.blanking import Blanked, Bytes, Offsets, offset_type
from hxcli.formats.complaints import CLOSE, COLON, COMMA, NUMBER, OPEN, SPACE, WORD
from hxcli.formats.numerals import read_numbers
from hxcli.phylogeny import FloatArray

# Nodes are numbered with 32 bits, and the engine wants room for padding.
MAX_NODES = 2**29
# Bytes looked at together: what is made of them stays in the processor's cache.
_PIECE = 1 << 18
_CLASSES = np.full(256, WORD, np.uint8)
_CLASSES[list(b" \t\n\v\f\r")] = SPACE
for _character, _class in zip(b"(),:", (OPEN, CLOSE, COMMA, COLON), strict=True):
    _CLASSES[_character] = _class

_FOLLOWS = np.zeros((8, 8), bool)
for _first, _allowed in {
    OPEN: (OPEN, WORD),
    COMMA: (OPEN, WORD),
    CLOSE: (WORD, COLON, COMMA, CLOSE),
    WORD: (COLON, COMMA, CLOSE),
    COLON: (NUMBER,),
    NUMBER: (COMMA, CLOSE),
}.items():
    _FOLLOWS[_first, list(_allowed)] = True


@dataclass(frozen=True, eq=False)
class ScannedTree:
    """One tree as the scan found it; nodes in breadth-first order, siblings in the file's order.

    Attributes:
        topology: The shape, N nodes.
        edge_lengths: (N,) nan where the text has none.
        label_starts: (N,) offset of the node's label, -1 where it has none.
        label_ends: (N,) offset behind it.
        kinds: (T,) the tokens, in the order of the file.
        offsets: (T,) where they begin.
        close_tokens: (N,) per node in closing order, the token that is or ends it: a tip's label, or a `)`.
        place: (N,) per node in closing order, its number.
    """

    topology: Topology
    edge_lengths: FloatArray
    label_starts: Offsets
    label_ends: Offsets
    kinds: NDArray[np.uint8]
    offsets: Offsets
    close_tokens: Offsets
    place: IntArray


def scan_tree(blanked: Blanked, start: int, end: int, *, terminated: bool = True, tree: str = "") -> ScannedTree | None:
    """Scans the tree between two offsets of the blanked text; `;` is not part of it.

    Args:
        blanked: The text.
        start: Where it begins.
        end: Where it ends.
        terminated: Whether a `;` stands at `end`.
        tree: What messages call the tree, such as `tree 2`; empty for none.

    Returns:
        None where there is nothing but white space.

    Raises:
        InputError: Anything that is not one Newick tree with named tips; line and column say where.
    """
    kinds, offsets, ends = tokens(blanked, start, end)
    if not len(kinds):
        return None
    refusal = complaints.Complaints(blanked, kinds, offsets, ends, end, terminated, tree)
    if kinds[0] not in (OPEN, WORD):
        raise refusal.at_start()
    followed = _FOLLOWS[kinds[:-1], kinds[1:]]
    depth = np.cumsum((kinds == OPEN).view(np.int8) - (kinds == CLOSE).view(np.int8), dtype=np.int32)
    # At depth 0 there is the root's own label and length, and nothing beside it.
    outside = (depth < 0) | ((depth == 0) & (kinds == COMMA))
    if not followed.all() or outside.any():
        after = np.append(~followed, False)
        raise refusal.first(
            int(after.argmax()) if after.any() else None, int(outside.argmax()) if outside.any() else None
        )
    if depth[-1] or kinds[-1] in (COLON, COMMA, OPEN):
        raise refusal.unfinished(depth)
    return _assemble(blanked, kinds, offsets, ends, depth)


def tokens(
    blanked: Blanked, start: int, end: int, table: NDArray[np.uint8] = _CLASSES
) -> tuple[NDArray[np.uint8], Offsets, Offsets]:
    """Kind, begin and end of every token, by a (256,) table of the bytes' kinds."""
    kind = offset_type(len(blanked.blank))
    pieces = [
        _piece(blanked.blank, first, min(first + _PIECE, end), start, end, table) for first in range(start, end, _PIECE)
    ]
    kinds = np.concatenate([piece[0] for piece in pieces] or [np.zeros(0, np.uint8)])
    offsets = np.concatenate([piece[1] for piece in pieces] or [np.zeros(0, kind)])
    ends = offsets + kind(1)
    ends[kinds == WORD] = np.concatenate([piece[2] for piece in pieces] or [np.zeros(0, kind)])
    if len(kinds):
        kinds[1:][(kinds[:-1] == COLON) & (kinds[1:] == WORD)] = NUMBER
    return kinds, offsets, ends


def _piece(
    blank: Bytes, first: int, last: int, start: int, end: int, table: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], Offsets, Offsets]:
    """Kinds and offsets of the tokens that begin in a piece of the text, and where the words end that end in it."""
    kind = offset_type(len(blank))
    classes = table[blank[first:last]]
    word = classes == WORD
    begins = classes != SPACE
    begins[1:] &= ~(word[1:] & word[:-1])
    if first > start and word[0] and table[blank[first - 1]] == WORD:
        begins[0] = False
    found = np.flatnonzero(begins)
    word[:-1] &= ~word[1:]
    if last < end and word[-1] and table[blank[last]] == WORD:
        word[-1] = False
    shift = kind(first)
    return classes[found], found.astype(kind) + shift, np.flatnonzero(word).astype(kind) + (shift + kind(1))


def _assemble(
    blanked: Blanked, kinds: NDArray[np.uint8], offsets: Offsets, ends: Offsets, depth: IntArray
) -> ScannedTree:
    # Every token that passed the table is followed as it may be, so that looking one or two ahead is safe.
    ahead = np.append(kinds, np.zeros(4, np.uint8))
    is_tip_label = kinds == WORD
    is_tip_label[1:] &= kinds[:-1] != CLOSE
    close = np.flatnonzero(is_tip_label | (kinds == CLOSE)).astype(offsets.dtype)
    if len(close) > MAX_NODES:
        raise blanked.source.error(f"a tree of {len(close)} nodes is too large: nodes are numbered with 32 bits")
    is_tip = is_tip_label[close]
    has_inner_label = ~is_tip & (ahead[close + 1] == WORD)
    label_token = close + has_inner_label
    has_length = ahead[label_token + 1] == COLON
    is_last = ahead[label_token + 1 + 2 * has_length] == CLOSE

    lengths = np.full(len(close), np.nan)
    number = label_token[has_length] + 2
    lengths[has_length] = read_numbers(blanked, offsets[number], ends[number])
    has_label = is_tip | has_inner_label
    label_starts = np.where(has_label, offsets[label_token], -1)
    label_ends = np.where(has_label, ends[label_token], -1)

    depths = depth[close]
    # Sixteen bits are sorted by radix, in a fraction of the time.
    narrow = depths.astype(np.int16) if depths.max() < 2**15 else depths
    order = np.argsort(narrow, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    topology = _topology(depths[order], is_tip[order], is_last[order])
    lengths, label_starts, label_ends = lengths[order], label_starts[order], label_ends[order]
    return ScannedTree(topology, lengths, label_starts, label_ends, kinds, offsets, close, place)


def _topology(depths: IntArray, is_tip: BoolArray, is_last: BoolArray) -> Topology:
    """The shape from nodes in breadth-first order and whether each is the last child of its parent."""
    inner = np.flatnonzero(~is_tip).astype(np.int32)
    parents = np.zeros(len(depths), np.int32)
    if len(depths) > 1:
        # Parents come in the order of their children: a new one begins behind every last child.
        rank = np.cumsum(is_last[1:], dtype=np.int32)
        rank -= is_last[1:]
        parents[1:] = inner[rank]
    return Topology(parents, depths)
