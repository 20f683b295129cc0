"""What the result of a sample is made of, but for the figures of its trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations


@dataclass(frozen=True, eq=False)
class SampleSetting:
    """Everything that a result is made of but the figures of the trees themselves.

    Attributes:
        summary: The summary tree, N nodes.
        observations: On its tips.
        known: (N, D) value of every tip whose state no tree changes; nan elsewhere.
        level: Probability of the intervals.
        interval: What they are called, `CI` or `HPD`.
        method: What was computed, in words.
        columns: Names of further columns of the analysis.
        parameters: Names of the parameters of every tree.
    """

    summary: Phylogeny
    observations: Observations
    known: FloatArray
    level: float
    interval: str
    method: str
    columns: tuple[str, ...]
    parameters: tuple[str, ...]

    @property
    def open_nodes(self) -> NDArray[np.intp]:
        """(C,) the nodes whose states differ between trees, or may."""
        return np.flatnonzero(np.isnan(self.known).any(1))

    @property
    def figures(self) -> int:
        """Number of figures of a clade in the ledger: state, error and further columns of D traits, and an age."""
        return len(self.observations.traits) * (2 + len(self.columns)) + 1
