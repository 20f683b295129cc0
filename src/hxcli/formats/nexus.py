"""Annotated NEXUS, as FigTree, ape, treeio, DendroPy and Biopython read it."""

from __future__ import annotations

import re
from typing import BinaryIO

import polars as pl

from hxcli.formats.annotations import beast_texts
from hxcli.formats.tree_text import NEXUS_QUOTED, joined, length_texts, nested, plain_texts, quoted
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction


def write_nexus(stream: BinaryIO, phylogeny: Phylogeny, reconstruction: Reconstruction | None = None) -> None:
    """A TAXA block, and a TREES block with one tree whose nodes carry the numbers of the reconstruction.

    There is no TRANSLATE command: ape splits it at white space and fails on quotation marks in it, so names
    stand in the tree itself, where every reader looks. A name with an underscore stands without quotation marks,
    which ape and Biopython would take for a part of it; DendroPy reads the underscore as a space unless told
    `preserve_underscores=True`.

    Args:
        stream: Takes the text.
        phylogeny: The tree; its own annotations are written beside those of the reconstruction.
        reconstruction: The numbers; None writes the tree as it came.
    """
    plain = plain_texts(phylogeny)
    labels = quoted(plain, NEXUS_QUOTED, _ambiguous(phylogeny, plain))
    annotations = beast_texts(phylogeny, reconstruction)
    tree = nested(phylogeny.topology, joined(labels, annotations, length_texts(phylogeny)))
    taxa = "\n".join(f"    {label}" for label in labels.gather(phylogeny.tips).to_list())
    rooting = {True: "[&R] ", False: "[&U] ", None: ""}[phylogeny.rooted]
    # ape and treeio look for these without regard to quotation marks.
    name = re.sub(r"[\n\r\t=\[\];()]+", "_", phylogeny.name) or "tree1"
    name = quoted(pl.Series([name]), NEXUS_QUOTED).item()
    lines = (
        "#NEXUS",
        "BEGIN TAXA;",
        f"  DIMENSIONS NTAX={len(phylogeny.tips)};",
        "  TAXLABELS",
        taxa,
        "  ;",
        "END;",
        "BEGIN TREES;",
        f"  TREE {name} = {rooting}{tree}",
        "END;",
        "",
    )
    stream.write("\n".join(lines).encode())


def _ambiguous(phylogeny: Phylogeny, texts: pl.Series) -> pl.Series:
    """(N,) true for labels that a NEXUS reader could take for another tip's.

    A number may stand for a place in TAXLABELS, and an underscore for the space in another name.
    """
    tips = phylogeny.tip_names.tolist()
    numbers = {name for name in tips if name.isdecimal() and name.isascii() and len(name) < 10}
    doubtful = {name for name in numbers if 1 <= int(name) <= len(tips) and tips[int(name) - 1] != name}
    spaced = {name for name in tips if " " in name}
    if spaced:
        doubtful |= {name for name in tips if "_" in name and name.replace("_", " ") in spaced}
    return texts.is_in(list(doubtful))
