"""Tables about some nodes of a tree: their number becomes the columns that say which nodes they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from hxcli.formats.tables import plain_table
from hxcli.formats.tables.node_table import about_nodes
from hxcli.phylogeny import Phylogeny

Columns = Mapping[str, Any]


def named(phylogeny: Phylogeny, columns: Columns) -> dict[str, Any]:
    """The columns with `node`, `parent`, `tip_a`, `tip_b` and `n_tips` in the place of numbers of nodes."""
    nodes = np.asarray(columns["node"], np.int32)
    about = about_nodes(phylogeny)(nodes) if len(nodes) else {"node": []}
    others = {name: values for name, values in columns.items() if name != "node"}
    return {**{name: list(values) for name, values in about.items()}, **others}


def write_csv(stream: BinaryIO, phylogeny: Phylogeny, columns: Columns) -> None:
    """As CSV."""
    plain_table.write_csv(stream, named(phylogeny, columns))


def write_tsv(stream: BinaryIO, phylogeny: Phylogeny, columns: Columns) -> None:
    """As `write_csv`, with tabs."""
    plain_table.write_tsv(stream, named(phylogeny, columns))


def write_parquet(stream: BinaryIO, phylogeny: Phylogeny, columns: Columns) -> None:
    """As Parquet."""
    plain_table.write_parquet(stream, named(phylogeny, columns))
