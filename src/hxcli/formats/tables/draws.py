"""Joint draws of parameters and nodes: one row for every draw and trait, one column for every node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from hxcli.formats.trees.node_identifiers import node_names
from hxcli.phylogeny import Phylogeny


def draws_frame(phylogeny: Phylogeny, draws: Mapping[str, Any]) -> pl.DataFrame:
    """The columns `draw`, `trait`, those of the parameters, and one for every node, by its name in the table.

    A node that is itself called like one of the columns before has `_node` behind its name.

    Args:
        phylogeny: N nodes.
        draws: The columns before the nodes, in order, and `states`: (rows, N) numbers, or one `DrawnStates` a trait.
            Of what every edge has, (rows, N) too, a column for every node but the root: `rate(A)`.
    """
    called = node_names(phylogeny).to_list()
    further: dict[str, Any] = {}
    for name, values in draws.items():
        if name != "states" and np.ndim(values) == 2:
            further |= {f"{name}({node})": values[:, place] for place, node in enumerate(called) if place}
        elif name != "states":
            further[name] = values
    first = tuple(further)
    names, taken = [], set(first)
    for name in called:
        while name in taken:
            name += "_node"
        names.append(name)
        taken.add(name)
    states = _nodes(draws["states"], names)
    return pl.DataFrame(further).hstack(states)


def _nodes(states: Any, names: list[str]) -> pl.DataFrame:
    """A column for every node."""
    if isinstance(states, np.ndarray):
        return pl.from_numpy(states, schema=names)
    frames = []
    for of_trait in states:
        called = pl.Series(list(of_trait.names), dtype=pl.String)
        frames.append(pl.DataFrame([called.gather(of_trait.numbers[:, i]).alias(n) for i, n in enumerate(names)]))
    return pl.concat(frames)


def write_csv(stream: BinaryIO, phylogeny: Phylogeny, draws: Mapping[str, Any]) -> None:
    """CSV."""
    draws_frame(phylogeny, draws).write_csv(stream)


def write_parquet(stream: BinaryIO, phylogeny: Phylogeny, draws: Mapping[str, Any]) -> None:
    """Parquet."""
    draws_frame(phylogeny, draws).write_parquet(stream)
