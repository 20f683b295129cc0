"""Observations of tip names, before it is known where the names stand in a tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.engine.topology import Topology
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from hxcli.tree_batch import TaxonNames


def star_of(names: Sequence[str], length: float) -> Phylogeny:
    """One tip for every name, in order, all at one distance from the root."""
    size = len(names) + 1
    depths = np.minimum(np.arange(size, dtype=np.int32), 1).astype(np.int32)
    topology = Topology(np.zeros(size, np.int32), depths)
    return Phylogeny(topology, np.full(size, length), Texts(["", *names]), Texts.blank(size))


def observations_on(phylogeny: Phylogeny, star: Observations, taxa: TaxonNames) -> Observations:
    """The observations of a star's tips on the tips of the same names of another tree.

    Args:
        phylogeny: The other tree.
        star: On the tree that `star_of` makes of the names in `taxa`, or of the first of them.
        taxa: The names.
    """
    place = np.full(len(taxa) + 1, -1, np.intp)
    place[[taxa.number(name) + 1 for name in phylogeny.tip_names]] = phylogeny.tips
    nodes = place[star.nodes]
    rows = np.flatnonzero(nodes >= 0)
    rows = rows[np.argsort(nodes[rows], kind="stable")]
    states = tuple(column.rows(rows) for column in star.states)
    texts = {column: cells[rows] for column, cells in star.texts.items()}
    return Observations(nodes[rows], star.values[rows], star.standard_errors[rows], star.traits, texts, states)
