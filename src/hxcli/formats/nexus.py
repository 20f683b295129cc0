"""Annotated NEXUS, as FigTree, ape, treeio, DendroPy and Biopython read it."""

from __future__ import annotations

import re

import polars as pl

from hxcli.formats.annotations import beast_texts
from hxcli.formats.tree_text import NEXUS_QUOTED, joined, label_texts, length_texts, nested, quoted
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction


def write_nexus(phylogeny: Phylogeny, reconstruction: Reconstruction | None = None) -> bytes:
    """A TAXA block, and a TREES block with one tree whose nodes carry the numbers of the reconstruction.

    There is no TRANSLATE command: ape splits it at white space and stumbles over quotation marks in it, so names
    stand in the tree itself, where every reader looks. Names with an underscore are in quotes, without which
    most readers see a space.

    Args:
        phylogeny: The tree; its own annotations are written beside those of the reconstruction.
        reconstruction: The numbers; None writes the tree as it came.
    """
    labels = label_texts(phylogeny, NEXUS_QUOTED)
    annotations = beast_texts(phylogeny, reconstruction)
    tree = nested(phylogeny.topology, joined(labels, annotations, length_texts(phylogeny)))
    taxa = "\n".join(f"    {label}" for label in labels.gather(phylogeny.tips).to_list())
    rooting = {True: "[&R] ", False: "[&U] ", None: ""}[phylogeny.rooted]
    # `=` would end the name for most readers.
    name = re.sub(r"[\s=\[\];]+", "_", phylogeny.name) or "tree1"
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
    return "\n".join(lines).encode()
