"""The tidy table of a reconstruction: one row for every node and trait, as CSV, TSV or Parquet."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import polars as pl

from hxcli.formats.node_names import mrca_tips, node_names
from hxcli.phylogeny import FloatArray
from hxcli.reconstruction import Reconstruction


def table_frame(reconstruction: Reconstruction) -> pl.DataFrame:
    """The (N * D) rows: nodes in breadth-first order, the traits of a node one after the other.

    Columns: node, parent (null at the root), tip_a, tip_b, n_tips, trait, observed, estimate, se, lower, upper
    and the reconstruction's own. A null stands where there is no number.
    """
    phylogeny, traits = reconstruction.phylogeny, reconstruction.traits
    topology = phylogeny.topology
    names = pl.Series(node_names(phylogeny).tolist(), dtype=pl.String)
    nodes = np.repeat(np.arange(topology.size), len(traits))
    tip_a, tip_b = mrca_tips(phylogeny)
    is_root = pl.Series(topology.is_root[nodes])
    parents = names.gather(topology.parents[nodes])
    numbers = {
        "observed": reconstruction.observed,
        "estimate": reconstruction.estimates,
        "se": reconstruction.standard_errors,
        "lower": reconstruction.lower,
        "upper": reconstruction.upper,
        **reconstruction.columns,
    }
    trait_names = pl.Series(list(traits), dtype=pl.String).gather(np.tile(np.arange(len(traits)), topology.size))
    return pl.DataFrame(
        {
            "node": names.gather(nodes),
            "parent": pl.select(pl.when(~is_root).then(parents)).to_series(),
            "tip_a": names.gather(tip_a[nodes]),
            "tip_b": names.gather(tip_b[nodes]),
            "n_tips": phylogeny.tip_counts[nodes],
            "trait": trait_names,
            **{name: _numbers(values) for name, values in numbers.items()},
        }
    )


def write_csv(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """The table as CSV: empty where there is no number, the shortest text that reads back the same double."""
    table_frame(reconstruction).write_csv(stream)


def write_tsv(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """The table as `write_csv` has it, with tabs."""
    table_frame(reconstruction).write_csv(stream, separator="\t")


def write_parquet(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """The table as Parquet."""
    table_frame(reconstruction).write_parquet(stream)


def _numbers(values: FloatArray) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values, np.float64).ravel()).fill_nan(None)
