"""Densities of nodes: a row for every node, trait and cell of the grid."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import polars as pl

from hxcli.errors import OptionError
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings


def density_frame(found: Reconstruction | StateFindings) -> pl.DataFrame:
    """`node`, `trait`, `x` (a state) and `density` (chance per unit of the trait); no rows for known values.

    Raises:
        OptionError: No trait's model has densities beside means and standard errors.
    """
    numbers = found.numbers if isinstance(found, StateFindings) else found
    densities = getattr(numbers, "densities", None)
    if not densities:
        raise OptionError(
            "--density: states under this model are normal, as estimate and se say (it is of models on a grid, such as "
            "--model doublewell)"
        )
    names, parts = node_names(found.phylogeny), []
    for trait, each in densities.items():
        nodes = np.flatnonzero(~np.isnan(each.density).any(1))
        cells = len(each.states)
        parts.append(
            pl.DataFrame(
                {
                    "node": names.gather(np.repeat(nodes, cells)),
                    "trait": pl.Series([trait]).new_from_index(0, len(nodes) * cells),
                    "x": np.tile(each.states, len(nodes)),
                    "density": each.density[nodes].ravel(),
                }
            )
        )
    return pl.concat(parts)


def write_csv(stream: BinaryIO, found: Reconstruction | StateFindings) -> None:
    """CSV."""
    density_frame(found).write_csv(stream)


def write_tsv(stream: BinaryIO, found: Reconstruction | StateFindings) -> None:
    """The same with tabs."""
    density_frame(found).write_csv(stream, separator="\t")


def write_parquet(stream: BinaryIO, found: Reconstruction | StateFindings) -> None:
    """Parquet."""
    density_frame(found).write_parquet(stream)
