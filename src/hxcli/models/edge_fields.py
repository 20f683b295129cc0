"""What a model sees of every edge of a tree: lengths, distances from the root, tips, regimes, columns of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.errors import ModelError
from hxcli.model.edges import OF_THE_TREE
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.units import refuse_extreme_lengths


@dataclass(frozen=True, eq=False)
class EdgeFields:
    """The edges of a tree with N nodes, as numpy arrays.

    Attributes:
        phylogeny: The tree.
        columns: Field of an edge -> (N, ...), and `tree_height`; see `hxcli.model.Edge`.
        regimes: Names of the regimes, in the order of `columns["regime"]`; empty without any.
    """

    phylogeny: Phylogeny
    columns: Mapping[str, Any]
    regimes: tuple[str, ...] = ()

    @property
    def height(self) -> float:
        """The largest distance between the root and a tip."""
        return float(self.columns["tree_height"])

    def moved(self, phylogeny: Phylogeny, order: Any) -> EdgeFields:
        """The same edges of the same tree with its nodes in another order.

        Args:
            phylogeny: The tree in that order.
            order: (N,) which node every one of it was.
        """
        columns = {
            name: value if name in OF_THE_TREE else np.asarray(value)[order] for name, value in self.columns.items()
        }
        return EdgeFields(phylogeny, columns, self.regimes)


def edge_fields(painted: Painted | Phylogeny, further: Mapping[str, Any] | None = None) -> EdgeFields:
    """What a model sees of the edges.

    Args:
        painted: A tree with or without regimes, edge lengths neither missing nor negative.
        further: Name -> (N, ...) further columns.

    Raises:
        ModelError: No tip has any distance from the root, or edge lengths are too large or small to compute with.
    """
    phylogeny = painted.phylogeny if isinstance(painted, Painted) else painted
    regimes = painted.regimes if isinstance(painted, Painted) else ()
    end = phylogeny.root_distances
    length: FloatArray = phylogeny.lengths
    height = float(end[phylogeny.tips].max(initial=0.0))
    if not 0 < height < np.inf:
        raise ModelError(
            "no tip has any distance from the root: only Brownian motion is defined there (leave out --model)"
        )
    refuse_extreme_lengths(phylogeny)
    # Not end - length, which loses digits.
    start = np.where(phylogeny.topology.is_root, 0.0, end[phylogeny.topology.parents])
    columns: dict[str, Any] = {
        "length": length,
        "start": start,
        "end": end,
        "is_tip": np.asarray(phylogeny.topology.is_leaf),
        "tree_height": height,
    }
    if isinstance(painted, Painted) and regimes:
        columns["regime"] = (painted.of_edge[:, None] == np.arange(len(regimes))).astype(float)
    return EdgeFields(phylogeny, {**columns, **(further or {})}, regimes)


def trait_fields(columns: Mapping[str, Any], values: FloatArray) -> dict[str, Any]:
    """The fields of the edges with the traits' own numbers.

    Args:
        columns: Of `EdgeFields`.
        values: (M,) observations of one trait, whose numbers are scalars; (M, D) of traits together, (D,) then.
    """

    def figures(trait: FloatArray) -> tuple[float, ...]:
        there = trait[~np.isnan(trait)]
        found = (there.min(), there.max(), there.mean(), there.std()) if len(there) else (0.0, 0.0, 0.0, 1.0)
        return tuple(map(float, found))

    names = ("trait_low", "trait_high", "trait_mean", "trait_sd")
    found = figures(values) if values.ndim == 1 else np.array([figures(trait) for trait in values.T]).T
    return {**columns, **dict(zip(names, found, strict=True))}
