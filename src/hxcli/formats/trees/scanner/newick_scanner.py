"""The strict scan: one Newick tree from text to arrays, every byte accounted for.

No recursion and no loop over nodes: which token may follow which is one table, nesting is one running sum, and
breadth-first order is one stable sort. Time and memory are proportional to the text, whatever its shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray, IntArray, Topology
from hxcli.formats.trees.scanner import newick_errors
from hxcli.formats.trees.scanner.byte_positions import Bytes, Offsets, offset_type
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.scanner.newick_errors import CLOSE, COLON, COMMA, NUMBER, OPEN, SPACE, WORD, Tokens
from hxcli.formats.trees.scanner.parse_floats import read_numbers
from hxcli.phylogeny import FloatArray

# Nodes are numbered with 32 bits, and the engine wants room for padding.
MAX_NODES = 2**29
# Bytes looked at together: what is made of them stays in the processor's cache.
_PIECE = 1 << 18
# Tokens looked at together: likewise.
_TOKENS = 1 << 16
_CLASSES = np.full(256, WORD, np.uint8)
_CLASSES[list(b" \t\n\v\f\r")] = SPACE
for _character, _class in zip(b"(),:", (OPEN, CLOSE, COMMA, COLON), strict=True):
    _CLASSES[_character] = _class

# By eight times the kind of a token plus that of the next one: whether they may stand so.
_FOLLOWS = np.zeros(64, bool)
for _first, _allowed in {
    OPEN: (OPEN, WORD),
    COMMA: (OPEN, WORD),
    CLOSE: (WORD, COLON, COMMA, CLOSE),
    WORD: (COLON, COMMA, CLOSE),
    COLON: (NUMBER,),
    NUMBER: (COMMA, CLOSE),
}.items():
    _FOLLOWS[[8 * _first + _next for _next in _allowed]] = True
# How much deeper a token of a kind leads.
_STEPS = np.zeros(8, np.int8)
_STEPS[[OPEN, CLOSE]] = 1, -1


@dataclass(frozen=True, eq=False)
class ScannedTree:
    """One tree as the scan found it; nodes in breadth-first order, siblings in the file's order.

    Attributes:
        topology: The shape, N nodes.
        edge_lengths: (N,) nan where the text has none.
        labelled: (K,) the nodes that have a label, in the order of the file.
        label_starts: (K,) offsets of the labels.
        label_ends: (K,) offsets behind them.
        kinds: (T,) the tokens, in the order of the file.
        offsets: (T,) where they begin.
        close_tokens: (N,) per node in closing order, the token that is or ends it: a tip's label, or a `)`.
        place: (N,) per node in closing order, its number.
    """

    topology: Topology
    edge_lengths: FloatArray
    labelled: IntArray
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
    found = tokens(blanked, start, end)
    if not len(found.kinds):
        return None
    refusal = newick_errors.Complaints(blanked, found, end, terminated, tree)
    if found.kinds[0] not in (OPEN, WORD):
        raise refusal.at_start()
    close, depths, unclosed = _closing_order(found.kinds, refusal)
    if unclosed or found.kinds[-1] in (COLON, COMMA, OPEN):
        raise refusal.unfinished(unclosed)
    if len(close) > MAX_NODES:
        raise blanked.source.error(f"a tree of {len(close)} nodes is too large: nodes are numbered with 32 bits")
    return _assemble(blanked, found, close, depths)


def tokens(blanked: Blanked, start: int, end: int, table: NDArray[np.uint8] = _CLASSES) -> Tokens:
    """The tokens of a text, by a (256,) table of the bytes' kinds."""
    kind = offset_type(len(blanked.blank))
    # There are no more tokens than bytes, and memory behind the last one is never touched.
    kinds, offsets, word_ends = (np.empty(end - start, dtype) for dtype in (np.uint8, kind, kind))
    count = words = 0
    for first in range(start, end, _PIECE):
        some, begins, ends = _piece(blanked.blank, first, min(first + _PIECE, end), start, end, table)
        kinds[count : count + len(some)] = some
        # With the last token of the piece before, which may be a colon.
        both = kinds[max(count - 1, 0) : count + len(some)]
        both[1:][(both[:-1] == COLON) & (both[1:] == WORD)] = NUMBER
        offsets[count : count + len(some)] = begins
        word_ends[words : words + len(ends)] = ends
        count, words = count + len(some), words + len(ends)
    return Tokens(kinds[:count], offsets[:count], word_ends[:words])


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


def _closing_order(kinds: NDArray[np.uint8], refusal: newick_errors.Complaints) -> tuple[Offsets, IntArray, int]:
    """(N,) the tokens that are tips or close groups, (N,) the depth of each node, and how many groups stay open."""
    kind = offset_type(len(kinds))
    closing: list[Offsets] = []
    depths: list[IntArray] = []
    depth = 0
    for first in range(0, len(kinds), _TOKENS):
        some = kinds[first : first + _TOKENS]
        behind = kinds[first + 1 : first + _TOKENS + 1]
        followed = _FOLLOWS.take(some[: len(behind)] * np.uint8(8) + behind)
        deep = np.cumsum(_STEPS.take(some), dtype=np.int32) + np.int32(depth)
        # At depth 0 there is the root's own label and length, and nothing beside it.
        outside = (deep < 0) | ((deep == 0) & (some == COMMA))
        if not followed.all() or outside.any():
            raise refusal.first(
                None if followed.all() else first + int(followed.argmin()),
                first + int(outside.argmax()) if outside.any() else None,
            )
        is_tip = some == WORD
        is_tip[1:] &= some[:-1] != CLOSE
        if first and kinds[first - 1] == CLOSE:
            is_tip[0] = False
        ends = np.flatnonzero(is_tip | (some == CLOSE))
        closing.append((ends + first).astype(kind))
        depths.append(deep[ends])
        depth = int(deep[-1])
    return np.concatenate(closing), np.concatenate(depths), depth


def _assemble(blanked: Blanked, found: Tokens, close: Offsets, depths: IntArray) -> ScannedTree:
    # Every token that passed the table is followed as it may be, so that looking one or two ahead is safe; behind the
    # last one only the root looks, which has no parent whose last child it could be.
    kinds = found.kinds
    is_tip = kinds[close] == WORD
    has_inner_label = ~is_tip & (kinds.take(close + 1, mode="clip") == WORD)
    behind = close + has_inner_label + close.dtype.type(1)
    has_length = kinds.take(behind, mode="clip") == COLON
    behind += has_length.view(np.int8) * np.int8(2)
    is_last = kinds.take(behind, mode="clip") == CLOSE

    # Labels and lengths stand in the order in which their nodes close.
    words = kinds >= WORD
    is_number = kinds[words] == NUMBER
    starts = found.offsets[words]
    numbers = read_numbers(blanked, starts[is_number], found.word_ends[is_number])
    lengths = numbers
    if len(numbers) < len(close):
        lengths = np.full(len(close), np.nan)
        lengths[has_length] = numbers
    label_starts, label_ends = starts[~is_number], found.word_ends[~is_number]

    # Sixteen bits are sorted by radix, in a fraction of the time.
    narrow = depths.astype(np.int16) if depths.max() < 2**15 else depths
    order = np.argsort(narrow, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    topology = _topology(depths[order], is_tip[order], is_last[order])
    labelled = place[is_tip | has_inner_label]
    return ScannedTree(topology, lengths[order], labelled, label_starts, label_ends, kinds, found.offsets, close, place)


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
