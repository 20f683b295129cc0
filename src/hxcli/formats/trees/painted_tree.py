"""Painted trees: SIMMAP Newick, `:{state,length:state,length}`, and `:[&map={state,length,state}]length`.

In both the state at an edge's end towards the tips comes first (Bollback 2006, BMC Bioinformatics 7:88). In the second,
SIMMAP's form 1.5, the last length is left out: it is what the others leave of the edge.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.trees.read import read_trees
from hxcli.formats.trees.scanner.masking import blank_out
from hxcli.phylogeny import Phylogeny, relabel
from hxcli.regime_tree import RegimeTree, Segments

# Of bytes in which quotes and comments are blank.
_MAP = re.compile(rb":\s*(\{[^{}]*\})")
_ANNOTATION = re.compile(r"^&(?:.*,)?map=\{([^{}]*)\}", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# phytools' name of the block, and one of the same length that every reader knows.
_BLOCK, _TREES = re.compile(rb"(begin\s+)smptrees(\s*;)", re.IGNORECASE), rb"\1   trees\2"
# How far, as a share of an edge, the lengths may miss its own, which are often written with few digits.
_ROUNDED = 1e-3


def is_tree(source: Source) -> bool:
    """Whether a text is a tree and no table."""
    head = source.data[:4096].lstrip().lower()
    return head.startswith((b"(", b"[", b"#nexus", b"<"))


def read_painted_tree(source: Source) -> RegimeTree:
    """Reads a painted tree.

    Raises:
        InputError: No tree, several, an edge that is not painted, or a map that is none.
    """
    source = dataclasses.replace(source, data=_BLOCK.sub(_TREES, source.data))
    maps: list[tuple[str, int]] = []
    text, end = [], 0
    blank = blank_out(source).blank.tobytes()
    for found in _MAP.finditer(blank):
        start, stop = found.span(1)
        # In the place of the map, and as long, so that messages name the right column, its number.
        text += [source.data[end:start], str(len(maps)).encode().ljust(stop - start)]
        maps.append((source.data[start + 1 : stop - 1].decode(), start))
        end = stop
    bare = dataclasses.replace(source, data=b"".join([*text, source.data[end:]]))
    trees = read_trees(bare).phylogenies
    if len(trees) > 1:
        raise InputError(
            f"the file holds {len(trees)} painted trees", "keep one of them, such as with head -n 1", file=source.file
        )
    return _with_maps(source, trees[0], maps) if maps else _with_annotations(source, trees[0])


def _with_maps(source: Source, phylogeny: Phylogeny, maps: list[tuple[str, int]]) -> RegimeTree:
    """The tree whose edge lengths are the numbers of their maps."""
    if len(maps) < phylogeny.topology.size - 1:
        raise InputError(
            f"{phylogeny.topology.size - 1 - len(maps)} edges have no map of regimes",
            "every edge has one, such as {a,0.5:b,1}",
            file=source.file,
        )
    segments: dict[int, Segments] = {}
    lengths = np.full(phylogeny.topology.size, np.nan)
    for node, number in enumerate(phylogeny.edge_lengths.tolist()):
        if number != number:
            continue
        text, offset = maps[int(number)]
        parts = [part.split(",") for part in text.split(":")]
        if any(len(part) != 2 for part in parts):
            raise source.error(f"{{{text}}} is no map of regimes", "write {a,0.5:b,1}, the tip's end first", offset)
        segments[node] = _segments(source, parts, offset)
        lengths[node] = sum(length for _, length in segments[node])
    return RegimeTree(source.file, relabel(phylogeny, edge_lengths=lengths), segments)


def _with_annotations(source: Source, phylogeny: Phylogeny) -> RegimeTree:
    """The tree with maps among its annotations."""
    segments: dict[int, Segments] = {}
    lengths = phylogeny.edge_lengths
    for node in range(phylogeny.topology.size):
        found = [_ANNOTATION.match(text) for text in phylogeny.annotations.get(node, ())]
        texts = [each[1] for each in found if each]
        if not texts:
            if node:
                raise InputError(
                    f"the edge above {_called(phylogeny, node)} has no map of regimes",
                    "every edge has one, such as {a,0.5:b,1} or [&map={a,0.5,b}]1.5 in the place of its length; for "
                    "regimes in the labels of nodes write --regimes labels",
                    file=source.file,
                )
            continue
        words = texts[0].split(",")
        if len(words) % 2:
            known = [_length(source, word, None) for word in words[1::2]]
            rest = float(lengths[node]) - sum(known) if node else 0.0
            if rest < -_ROUNDED * abs(float(lengths[node])) or rest != rest:
                raise InputError(
                    f"the map {{{texts[0]}}} is longer than its edge", "its lengths add up to less", file=source.file
                )
            words.append(repr(max(0.0, rest)))
        segments[node] = _segments(source, list(zip(words[::2], words[1::2], strict=True)), None)
    return RegimeTree(source.file, phylogeny, segments)


def _segments(source: Source, parts: list[tuple[str, str]] | list[list[str]], offset: int | None) -> Segments:
    """The parts of an edge, tip's end first, the other way round."""
    found = []
    for regime, length in parts:
        name = regime.strip().strip("\"'")
        if not name or any(c in name for c in '(){},;=[]"'):
            raise source.error(f"the regime {regime!r} is no name", "use letters, digits, _ and -", offset)
        found.append((name, _length(source, length, offset)))
    return tuple(reversed(found))


def _length(source: Source, text: str, offset: int | None) -> float:
    if not _NUMBER.fullmatch(text.strip()) or not np.isfinite(value := float(text)):
        raise source.error(f"{text.strip()!r} in a map of regimes is no length", "a number of at least 0", offset)
    return value


def _called(phylogeny: Phylogeny, node: int) -> str:
    label = phylogeny.labels[node]
    return f"node {label!r}" if label else f"node n{node}"
