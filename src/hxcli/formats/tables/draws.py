"""Joint draws of parameters and nodes: one row for every draw and trait, one column for every node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import polars as pl

from hxcli.formats.trees.node_identifiers import node_names
from hxcli.phylogeny import Phylogeny

FIRST = ("draw", "trait", "sigma2", "tau2")


def draws_frame(phylogeny: Phylogeny, draws: Mapping[str, Any]) -> pl.DataFrame:
    """The columns `draw`, `trait`, `sigma2`, `tau2`, further ones, and one for every node, by its name in the table.

    A node that is itself called like one of the columns before has `_node` behind its name.

    Args:
        phylogeny: N nodes.
        draws: The first four columns, `states` (rows, N), and the others, whatever their names.
    """
    first = (*FIRST, *(name for name in draws if name not in (*FIRST, "states")))
    names, taken = [], set(first)
    for name in node_names(phylogeny).to_list():
        while name in taken:
            name += "_node"
        names.append(name)
        taken.add(name)
    states = pl.from_numpy(draws["states"], schema=names)
    return pl.DataFrame({name: draws[name] for name in first}).hstack(states)


def write_csv(stream: BinaryIO, phylogeny: Phylogeny, draws: Mapping[str, Any]) -> None:
    """CSV."""
    draws_frame(phylogeny, draws).write_csv(stream)


def write_parquet(stream: BinaryIO, phylogeny: Phylogeny, draws: Mapping[str, Any]) -> None:
    """Parquet."""
    draws_frame(phylogeny, draws).write_parquet(stream)
