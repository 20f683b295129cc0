"""Tables of some nodes, each named by the tree's own label and by the two tips whose common ancestor it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from hxcli.formats.tables import plain_table
from hxcli.formats.trees.node_identifiers import mrca_tips, node_names
from hxcli.phylogeny import Phylogeny

Columns = Mapping[str, Any]


def write_csv(stream: BinaryIO, phylogeny: Phylogeny, columns: Columns) -> None:
    """As CSV.

    Args:
        stream: Takes the bytes.
        phylogeny: N nodes.
        columns: Name -> values of one length; `node` are numbers of nodes, and come first.
    """
    plain_table.write_csv(stream, _named(phylogeny, columns))


def write_tsv(stream: BinaryIO, phylogeny: Phylogeny, columns: Columns) -> None:
    """As `write_csv`, with tabs."""
    plain_table.write_tsv(stream, _named(phylogeny, columns))


def write_parquet(stream: BinaryIO, phylogeny: Phylogeny, columns: Columns) -> None:
    """As Parquet."""
    plain_table.write_parquet(stream, _named(phylogeny, columns))


def _named(phylogeny: Phylogeny, columns: Columns) -> dict[str, Any]:
    nodes = np.asarray(columns["node"])
    names = node_names(phylogeny).to_list()
    first, second = mrca_tips(phylogeny)
    ends = {"tip_a": first, "tip_b": second}
    return {
        "node": [names[node] for node in nodes],
        **{key: [names[tip] for tip in tips[nodes]] for key, tips in ends.items()},
        **{key: values for key, values in columns.items() if key != "node"},
    }
