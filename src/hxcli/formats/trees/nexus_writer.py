"""Annotated NEXUS, as FigTree, ape, treeio, DendroPy and Biopython read it."""

from __future__ import annotations

import re
from typing import BinaryIO

import polars as pl

from hxcli.findings import Findings
from hxcli.formats.memo import kept
from hxcli.formats.trees.annotations import beast_texts
from hxcli.formats.trees.newick_text import (
    NEXUS_QUOTED,
    Nesting,
    nesting,
    pieces,
    plain_texts,
    quoted,
    write_nested,
    write_texts,
)
from hxcli.phylogeny import Phylogeny


def write_nexus(stream: BinaryIO, phylogeny: Phylogeny, reconstruction: Findings | None = None) -> None:
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
    labels, tips = _labels(phylogeny), phylogeny.tips
    notes = beast_texts(phylogeny, reconstruction)
    rooting = {True: "[&R] ", False: "[&U] ", None: ""}[phylogeny.rooted]
    rooting += "".join(f"[{text}] " for text in phylogeny.header)
    # ape and treeio look for these without regard to quotation marks.
    name = re.sub(r"[\n\r\t=\[\];()]+", "_", phylogeny.name) or "tree1"
    name = quoted(pl.Series([name]), NEXUS_QUOTED).item()
    stream.write(f"#NEXUS\nBEGIN TAXA;\n  DIMENSIONS NTAX={len(tips)};\n  TAXLABELS\n".encode())
    for piece in pieces(len(tips)):
        write_texts(stream, "    ", labels.gather(tips[piece]), "\n")
    stream.write(f"  ;\nEND;\nBEGIN TREES;\n  TREE {name} = {rooting}".encode())
    traits = 0 if reconstruction is None else len(reconstruction.traits)

    write_nested(stream, _nesting(phylogeny), notes, traits)
    stream.write(b"\nEND;\n")


def prepare_nexus(phylogeny: Phylogeny) -> None:
    """Finds what `write_nexus` needs of the tree alone."""
    _nesting(phylogeny)


@kept
def _labels(phylogeny: Phylogeny) -> pl.Series:
    """(N,) the label or support value of every node, in quotes where NEXUS needs them."""
    plain = plain_texts(phylogeny)
    return quoted(plain, NEXUS_QUOTED, _ambiguous(plain, plain.gather(phylogeny.tips)))


@kept
def _nesting(phylogeny: Phylogeny) -> Nesting:
    return nesting(phylogeny, _labels(phylogeny), notes_last=False)


def _ambiguous(texts: pl.Series, tips: pl.Series) -> pl.Series | bool:
    """(N,) true for labels that a NEXUS reader could take for another tip's; False where there is none.

    A number may stand for a place in TAXLABELS, and an underscore for the space in another name.

    Args:
        texts: (N,) the labels.
        tips: (L,) those of the tips.
    """
    numbers = tips.filter(tips.str.contains("^[0-9]{1,9}$"))
    places = numbers.cast(pl.Int64)
    there = places.is_between(1, len(tips))
    numbers, places = numbers.filter(there), places.filter(there) - 1
    doubtful = [numbers.filter(tips.gather(places) != numbers)]
    spaced = tips.filter(tips.str.contains(" ", literal=True))
    if len(spaced):
        scored = tips.filter(tips.str.contains("_", literal=True))
        doubtful.append(scored.filter(scored.str.replace_all("_", " ", literal=True).is_in(spaced.implode())))
    found = pl.concat(doubtful)
    return texts.is_in(found.implode()) if len(found) else False
