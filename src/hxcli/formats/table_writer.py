"""The tidy table of a reconstruction: one row for every node and trait, as CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import polars as pl

from hxcli.formats.node_names import mrca_tips, node_names
from hxcli.formats.tree_text import pieces
from hxcli.phylogeny import FloatArray
from hxcli.reconstruction import Reconstruction


def table_frames(reconstruction: Reconstruction) -> Iterator[pl.DataFrame]:
    """The (N * D) rows, a piece at a time: nodes in breadth-first order, the traits of a node one after the other.

    Columns: node, parent (null at the root), tip_a, tip_b, n_tips, trait, observed, estimate, se, lower, upper
    and the reconstruction's own. A null stands where there is no number.
    """
    phylogeny, traits = reconstruction.phylogeny, pl.Series(list(reconstruction.traits), dtype=pl.String)
    topology, count = phylogeny.topology, len(reconstruction.traits)
    names = node_names(phylogeny)
    tip_a, tip_b = mrca_tips(phylogeny)
    numbers = {
        "observed": reconstruction.observed,
        "estimate": reconstruction.estimates,
        "se": reconstruction.standard_errors,
        "lower": reconstruction.lower,
        "upper": reconstruction.upper,
        **reconstruction.columns,
    }
    for piece in pieces(topology.size, count):
        nodes = np.repeat(np.arange(piece.start, piece.stop, dtype=np.int32), count)
        parents = names.gather(topology.parents[nodes])
        if not piece.start:
            parents = pl.select(pl.when(pl.Series(nodes != 0)).then(parents)).to_series()
        yield pl.DataFrame(
            {
                "node": names.gather(nodes),
                "parent": parents,
                "tip_a": names.gather(tip_a[nodes]),
                "tip_b": names.gather(tip_b[nodes]),
                "n_tips": phylogeny.tip_counts[nodes],
                "trait": traits.gather(np.tile(np.arange(count, dtype=np.int32), piece.stop - piece.start)),
                **{name: _numbers(values[piece]) for name, values in numbers.items()},
            }
        )


def table_frame(reconstruction: Reconstruction) -> pl.DataFrame:
    """The whole table of `table_frames`."""
    return pl.concat(list(table_frames(reconstruction)))


def write_csv(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """The table as CSV: empty where there is no number, the shortest text that reads back the same double."""
    _write_delimited(stream, reconstruction, ",")


def write_tsv(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """The table as `write_csv` has it, with tabs."""
    _write_delimited(stream, reconstruction, "\t")


def write_parquet(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """The table as Parquet."""
    table_frame(reconstruction).write_parquet(stream)


def _write_delimited(stream: BinaryIO, reconstruction: Reconstruction, separator: str) -> None:
    for number, frame in enumerate(table_frames(reconstruction)):
        frame.write_csv(stream, separator=separator, include_header=number == 0)


def _numbers(values: FloatArray) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values, np.float64).ravel()).fill_nan(None)
