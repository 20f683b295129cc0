"""Reading the independent results: nodes are named by the two tips whose common ancestor they are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hxcli.formats.source import read_source
from hxcli.formats.tables.read import read_table
from hxcli.formats.trees.node_identifiers import mrca_tips
from hxcli.formats.trees.read import analysable, pick_tree, read_trees
from hxcli.phylogeny import Phylogeny
from hxcli.run.matching import match
from hxcli.traits import Observations

# Data set -> the trait its results are about.
PRIMARY = {
    "vertebrate": "ln_mass",
    "geospiza": "wingL",
    "shorebird": "ln_M_Mass",
    "anole": "SVL",
    "primates_na": "body_mass",
    "dino": "ln_mass",
    "sim_fossil200": "bm_trend",
    "sim_ladder300": "bm",
}


def load(
    folder: Path, tree: str = "tree.nwk", columns: tuple[str, ...] | None = None
) -> tuple[Phylogeny, Observations]:
    """The tree and the primary trait (or the given ones) of a data set."""
    phylogeny = analysable(pick_tree(read_trees(folder / tree), None), file=tree)
    source = read_source(folder / "traits.csv")
    table, _ = read_table(source, columns=(PRIMARY[folder.name],) if columns is None else columns)
    observations, _, _ = match(phylogeny, table)
    return phylogeny, observations


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scalars(folder: Path) -> dict[str, float]:
    return {row["quantity"]: float(row["value"]) for row in rows(folder / "scalars.csv") if row["value"] != "NA"}


def node_of(phylogeny: Phylogeny) -> dict[tuple[str, str, int], int]:
    """(tip_a, tip_b, number of tips below) -> node."""
    a, b = mrca_tips(phylogeny)
    names = phylogeny.labels
    return {
        (names[first], names[second], int(n)): node
        for node, (first, second, n) in enumerate(zip(a, b, phylogeny.tip_counts, strict=True))
    }


def column(phylogeny: Phylogeny, table: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Node numbers and values of one column of a table of results."""
    nodes = node_of(phylogeny)
    at = [nodes[row["tip_a"], row["tip_b"], int(row["n_tips_below"])] for row in table]
    return np.array(at), np.array([float(row[name]) for row in table])


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-9) -> None:
    """Equal within a tolerance relative to the largest expected value: the dense algebra behind it leaves noise."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
