"""Other tools' commands for the same files, for those that are here."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

BIOPYTHON = "import sys; sys.setrecursionlimit(10**6); from Bio import Phylo; Phylo.read(sys.argv[1], 'newick')"
TREESWIFT = "import sys, treeswift; treeswift.read_tree_newick(sys.argv[1])"
CASTOR = """
files <- commandArgs(TRUE)
tree <- castor::read_tree(file = files[1])
table <- read.csv(files[2], row.names = 1)
found <- castor::asr_independent_contrasts(tree, table[tree$tip.label, 1])
write.csv(found$ancestral_states, files[3])
"""
PHYTOOLS = """
files <- commandArgs(TRUE)
tree <- ape::read.tree(files[1])
table <- read.csv(files[2], row.names = 1)
found <- phytools::fastAnc(tree, setNames(table[tree$tip.label, 1], tree$tip.label), vars = TRUE, CI = TRUE)
write.csv(data.frame(found$ace, found$CI95), files[3])
"""


def parsers(tree: Path) -> dict[str, list[str]]:
    """Libraries that only read the tree."""
    known = {
        "Biopython, reading the tree only": ("Bio", BIOPYTHON),
        "treeswift, reading the tree only": ("treeswift", TREESWIFT),
    }
    return {
        name: [sys.executable, "-c", code, str(tree)]
        for name, (module, code) in known.items()
        if importlib.util.find_spec(module)
    }


def tools(tree: Path, table: Path, *, slow: bool) -> dict[str, list[str]]:
    """Tools that reconstruct ancestral states of the one trait in the table.

    Args:
        tree: Newick file.
        table: CSV file.
        slow: Those too that take time more than proportional to the tree.
    """
    found: dict[str, list[str]] = {}
    target = str(tree.with_suffix(".peer.csv"))
    if shutil.which("Rscript"):
        found["castor"] = ["Rscript", "-e", CASTOR, str(tree), str(table), target]
        if slow:
            found["phytools"] = ["Rscript", "-e", PHYTOOLS, str(tree), str(table), target]
    if slow and importlib.util.find_spec("phykit"):
        # It wants tabs and no header.
        tabs = table.with_suffix(".tsv")
        tabs.write_text(table.read_text().split("\n", 1)[1].replace(",", "\t"))
        command = [sys.executable, "-m", "phykit", "ancestral_state_reconstruction", "-t", str(tree), "-d", str(tabs)]
        found["PhyKIT"] = command
    return found
