"""Newick text: statements that end in `;`, each one tree. Written are labels and edge lengths, nothing else."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from hxcli.errors import InputError, Note
from hxcli.formats.source import Source
from hxcli.formats.trees.biopython_check import BIOPYTHON_LIMIT, parse_again
from hxcli.formats.trees.newick_text import newick_nesting, write_nested
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.formats.trees.scanner.byte_positions import positions
from hxcli.formats.trees.scanner.labels import Header, Rename, phylogeny_of
from hxcli.formats.trees.scanner.masking import Blanked, blank_out, shorten
from hxcli.formats.trees.scanner.newick_scanner import scan_tree
from hxcli.phylogeny import Phylogeny, relabel
from hxcli.reconstruction import Reconstruction
from hxcli.text_columns import Texts

_SPACE = np.zeros(256, bool)
_SPACE[list(b" \t\n\v\f\r")] = True


def read_newick(source: Source) -> tuple[list[Phylogeny], list[str]]:
    """All trees of a Newick text, and warnings.

    Raises:
        InputError: No tree, or anything that is not one; line and column say where.
    """
    blanked = blank_out(source)
    refuse_other_text(blanked)
    trees: list[Phylogeny] = []
    warnings: list[str] = []
    starts: list[int] = []
    start = 0
    ends = positions(blanked.blank, ord(";")).tolist()
    for end in [*ends, len(blanked.blank)]:
        terminated = end < len(blanked.blank)
        name = f"tree {len(trees) + 1}" if trees or len(ends) > 1 else ""
        tree = read_tree(blanked, start, end, Header(start, tree=name), terminated=terminated)
        if tree is not None:
            if not terminated:
                warnings.append(Note("the last ';' is missing: was the file cut short?"))
            trees.append(tree)
            starts.append(start)
        start = end + 1
    _refuse_bare_tips(blanked, trees, starts)
    if not trees:
        commented = len(blanked.comment_starts) > 0
        found = "the file contains no tree" + (": everything is inside a [comment]" if commented else "")
        raise source.error(found, "give a Newick, NEXUS, phyloXML or NeXML file")
    return trees, warnings


def read_tree(
    blanked: Blanked, start: int, end: int, header: Header, rename: Rename | None = None, *, terminated: bool = True
) -> Phylogeny | None:
    """The tree between two offsets; None where there is only white space.

    Raises:
        InputError: Anything that is not one tree.
    """
    scanned = scan_tree(blanked, start, end, terminated=terminated, tree=header.tree)
    if scanned is None:
        return None
    phylogeny = phylogeny_of(blanked, scanned, header, rename)
    if len(blanked.blank) > BIOPYTHON_LIMIT:
        return phylogeny
    return parse_again(scanned, phylogeny)


def refuse_other_text(blanked: Blanked) -> None:
    """A text without any bracket is something else, unless it is a single tip with a length (`A:1.5;`)."""
    if b"(" in blanked.source.data:
        return
    text = blanked.blank[:100_000].tobytes()
    if not text.strip() or re.fullmatch(rb"\s*[^\s:;]+\s*:\s*[^\s:;]+\s*;\s*", text):
        return
    first = blanked.source.data[:100_000].lstrip().split(b"\n")[0].split(b"\r")[0]
    kind = "it looks like a table" if b"\t" in first or b"," in first else "it has no '('"
    raise blanked.source.error(f"not a tree file: {kind}", "give a Newick, NEXUS, phyloXML or NeXML file")


def _refuse_bare_tips(blanked: Blanked, trees: list[Phylogeny], starts: list[int]) -> None:
    """A tip without brackets is a tree only where it is alone; elsewhere it is text beside a tree."""
    for tree, start in zip(trees, starts, strict=True):
        if tree.topology.size == 1 and len(trees) > 1:
            raise bare_tip_error(blanked, tree, start)


def bare_tip_error(blanked: Blanked, tree: Phylogeny, start: int) -> InputError:
    """The refusal of a tip without brackets that is not alone; it stands behind an offset."""
    offset = start + int((_SPACE[blanked.blank[start:]]).argmin())
    found = f"unexpected text {shorten(tree.labels[0])} beside a tree"
    return blanked.source.error(found, "remove it, or write (name:length);", offset)


def write_newick(stream: BinaryIO, phylogeny: Phylogeny, reconstruction: Reconstruction | None = None) -> None:
    """The tree with its labels or support values and edge lengths, one line.

    Args:
        stream: Takes the text.
        phylogeny: The tree.
        reconstruction: Not used: the table has the numbers, and its rows join by label.
    """
    rooting = {True: "[&R] ", False: "[&U] ", None: ""}[phylogeny.rooted]
    stream.write(rooting.encode())
    write_nested(stream, newick_nesting(phylogeny))
    stream.write(b"\n")


def write_named_newick(stream: BinaryIO, phylogeny: Phylogeny) -> None:
    """The tree in which every node has the name that the table and the node data have; support values give way."""
    nothing = Texts.blank(phylogeny.topology.size)
    write_newick(stream, relabel(phylogeny, labels=Texts(node_names(phylogeny)), support=nothing))
