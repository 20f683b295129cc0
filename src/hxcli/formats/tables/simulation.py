"""Simulated traits: a row for every tip or node, a column for every replicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import polars as pl

from hxcli.formats.trees.node_identifiers import mrca_tips, node_names
from hxcli.phylogeny import Phylogeny


def simulation_frame(phylogeny: Phylogeny, simulation: Mapping[str, Any]) -> pl.DataFrame:
    """The column `node`, for inner nodes also `parent`, `tip_a`, `tip_b` and `n_tips`, and one for every replicate.

    Args:
        phylogeny: N nodes.
        simulation: `names` of the replicates, their `values` (rows, replicates), and whether all `nodes` have rows.
    """
    names = node_names(phylogeny)
    # States are texts.
    of_states = simulation["values"].dtype == object
    columns = zip(simulation["names"], simulation["values"].T, strict=True)
    values = (
        pl.DataFrame({name: column.tolist() for name, column in columns})
        if of_states
        else pl.from_numpy(simulation["values"], schema=simulation["names"])
    )
    if not simulation["nodes"]:
        return pl.DataFrame({"node": names.gather(phylogeny.tips)}).hstack(values)
    first, second = mrca_tips(phylogeny)
    parents = names.gather(phylogeny.topology.parents)
    about = pl.DataFrame(
        {
            "node": names,
            "parent": parents.scatter([0], [None]),
            "tip_a": names.gather(first),
            "tip_b": names.gather(second),
            "n_tips": phylogeny.tip_counts,
        }
    )
    return about.hstack(values)


def write_csv(stream: BinaryIO, phylogeny: Phylogeny, simulation: Mapping[str, Any]) -> None:
    """CSV."""
    simulation_frame(phylogeny, simulation).write_csv(stream)


def write_parquet(stream: BinaryIO, phylogeny: Phylogeny, simulation: Mapping[str, Any]) -> None:
    """Parquet."""
    simulation_frame(phylogeny, simulation).write_parquet(stream)
