"""The table of traits of states: one row for every node, trait and state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl

from hxcli.engine.topology import IntArray
from hxcli.formats.trees.newick_text import pieces
from hxcli.state_findings import StateFindings


def state_frames(
    found: StateFindings, about: Callable[[IntArray], dict[str, Any]], rows: int
) -> Iterator[pl.DataFrame]:
    """The rows, about so many at a time: trait by trait, nodes in breadth-first order, all states of a node together.

    Columns: what `about` says of the nodes, trait, observed, state, probability, best (1 at the most probable state,
    at none where two are equally probable) and, where the run was asked for them, joint and mppa; of a sample of trees
    frequency and se_between too.

    Args:
        found: What was found.
        about: Takes node numbers to the columns that say which nodes these are.
        rows: How many at a time.
    """
    joint = any(trait.joint is not None for trait in found.of_states)
    sets = any(trait.sets is not None for trait in found.of_states)
    for trait in found.of_states:
        count = len(trait.states)
        names, observed = pl.Series(list(trait.states), dtype=pl.String), trait.observed.column
        for piece in pieces(len(trait.probabilities), count, rows):
            nodes = np.repeat(np.arange(piece.start, piece.stop, dtype=np.int32), count)
            which = np.tile(np.arange(count, dtype=np.int32), piece.stop - piece.start)
            columns = {
                **about(nodes),
                "trait": pl.Series([trait.name], dtype=pl.String).new_from_index(0, len(nodes)),
                "observed": observed.gather(nodes),
                "state": names.gather(which),
                "probability": pl.Series(np.ascontiguousarray(trait.probabilities[piece]).ravel()).fill_nan(None),
                "best": pl.Series((trait.best[nodes] == which).astype(np.int8)),
            }
            if joint and trait.joint is not None:
                columns["joint"] = pl.Series((trait.joint[nodes] == which).astype(np.int8))
            if sets and trait.sets is not None:
                columns["mppa"] = pl.Series(trait.sets[piece].ravel().astype(np.int8))
            for name, values in trait.columns.items():
                wide = values[:, None] if values.ndim == 1 else values
                columns[name] = pl.Series(np.broadcast_to(wide, trait.probabilities.shape)[piece].ravel()).fill_nan(
                    None
                )
            frame = pl.DataFrame(columns)
            yield frame.with_columns(pl.when(pl.col("observed") != "").then(pl.col("observed")).alias("observed"))
