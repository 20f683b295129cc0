"""Biopython's Newick parser behind a guard: it gets text that it cannot misread, and its answer is checked.

Alone it misreads without a word: `(A:1.,B:.5)` has a tip `.`, `(Homo sapiens:1,...)` a tip `sapiens`, `)95` loses its
label. So the strict scan goes first, and what Biopython is given has every label quoted, marked and escaped, every
number as Python writes it, and no comments.
"""

from __future__ import annotations

import re
from io import StringIO
from urllib.parse import unquote

import numpy as np

from hxcli.errors import HxError
from hxcli.formats.trees.scanner.breadth_first import from_preorder
from hxcli.formats.trees.scanner.newick_errors import CLOSE, COMMA, OPEN
from hxcli.formats.trees.scanner.newick_scanner import ScannedTree
from hxcli.phylogeny import Phylogeny, relabel
from hxcli.text_columns import Texts

# Above this many bytes of text the scan's arrays are used directly: Biopython takes 20 s and 640 MB for a million
# tips, and a tenth of a second for a thousand. A test shows that both ways give the same Phylogeny.
BIOPYTHON_LIMIT = 2**14
# Before every label, so that none is empty and none looks like a support value.
_MARK = "_"
_ESCAPED = re.compile(r"[%'\\]")


def parse_again(scanned: ScannedTree, phylogeny: Phylogeny) -> Phylogeny:
    """The tree as Biopython parses it, which must be the tree that the scan found.

    Raises:
        HxError: The two differ: a defect of hxcli or of Biopython, never of the file.
    """
    from Bio.Phylo import NewickIO

    trees = list(NewickIO.Parser(StringIO(plain_newick(scanned, phylogeny))).parse())
    if len(trees) != 1:
        raise HxError(f"Biopython found {len(trees)} trees where the scan found one: please report this")
    parsed = _convert(trees[0].root, phylogeny)
    if parsed != phylogeny:
        raise HxError("Biopython and the scan read this tree differently: please report this")
    return parsed


def plain_newick(scanned: ScannedTree, phylogeny: Phylogeny) -> str:
    """The tree in the order of its tokens, written so that there is one way to read it."""
    text = {OPEN: "(", COMMA: ",", CLOSE: ")"}
    # A node has a label, or a support value, or neither.
    names = (phylogeny.labels.array + phylogeny.support.array)[scanned.place].tolist()
    lengths = phylogeny.edge_lengths[scanned.place].tolist()
    nodes = dict(zip(scanned.close_tokens.tolist(), range(len(names)), strict=True))
    pieces = []
    for token, kind in enumerate(scanned.kinds.tolist()):
        pieces.append(text.get(kind, ""))
        if token in nodes:
            name, length = names[nodes[token]], lengths[nodes[token]]
            escaped = _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", name)
            pieces.append(f"'{_MARK}{escaped}'" + ("" if length != length else f":{length!r}"))
    return "".join(pieces) + ";"


def _convert(root: object, found: Phylogeny) -> Phylogeny:
    """Biopython's clades as a Phylogeny, without recursion; what Biopython never saw is taken from the scan."""
    depths, names, lengths = [], [], []
    stack = [(root, 0)]
    while stack:
        clade, depth = stack.pop()
        children = clade.clades  # type: ignore[attr-defined]
        name, length = clade.name, clade.branch_length  # type: ignore[attr-defined]
        depths.append(depth)
        names.append(unquote(name, errors="strict").removeprefix(_MARK))
        lengths.append(np.nan if length is None else length)
        stack.extend((child, depth + 1) for child in reversed(children))
    topology, place = from_preorder(depths)
    labels = np.empty(topology.size, object)
    labels[place] = names
    edge_lengths = np.empty(topology.size)
    edge_lengths[place] = lengths
    support = np.full(topology.size, "", object)
    if found.support.any():
        inner = topology.is_inner | topology.is_root & ~topology.is_leaf
        # The root may have a name beside support values.
        inner[0] &= not found.labels[0]
        support[inner], labels[inner] = labels[inner], ""
    return relabel(found, topology=topology, edge_lengths=edge_lengths, labels=Texts(labels), support=Texts(support))
