"""Newick: labels and edge lengths, nothing else."""

from __future__ import annotations

from hxcli.formats.tree_text import NEWICK_QUOTED, joined, label_texts, length_texts, nested
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction


def write_newick(phylogeny: Phylogeny, reconstruction: Reconstruction | None = None) -> bytes:
    """The tree with its labels or support values and edge lengths, one line.

    Args:
        phylogeny: The tree.
        reconstruction: Not used: the table has the numbers, and its rows join by label.
    """
    labels = label_texts(phylogeny, NEWICK_QUOTED)
    rooting = {True: "[&R] ", False: "[&U] ", None: ""}[phylogeny.rooted]
    return (rooting + nested(phylogeny.topology, joined(labels, length_texts(phylogeny))) + "\n").encode()
