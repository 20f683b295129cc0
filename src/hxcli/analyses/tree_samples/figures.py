"""What an analysis finds on the trees of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray
from hxcli.tree_batch import TreeBatch

# Trait, model ("" where there is one only) and name of a figure of every tree; a name that begins with a dot is not
# told tree by tree.
Row = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class SampledStates:
    """A trait of S states on the trees of a sample.

    Attributes:
        name: Of the trait.
        states: (S,) names.
        observed: (L,) what the table says of every tip name, or of every node.
        known: (L, S) probabilities of those whose state no tree changes; nan elsewhere.
        model: Name of the model.
        root_prior: Its kind.
        rates: Names of the rates.
        count: How many of them are estimated.
        fitted: Name of the figure that is its log likelihood, or its log evidence.
    """

    name: str
    states: tuple[str, ...]
    observed: tuple[str, ...]
    known: FloatArray
    model: str
    root_prior: str
    rates: tuple[str, ...]
    count: int
    fitted: str

    def on(self, taxa: NDArray[np.integer]) -> SampledStates:
        """The same of nodes: `taxa`, (N,), has their numbers among the tip names, -1 for internal nodes."""
        there = taxa >= 0
        known = np.full((len(taxa), len(self.states)), np.nan)
        known[there] = self.known[taxa[there]]
        return replace(self, observed=tuple(self.observed[t] if t >= 0 else "" for t in taxa.tolist()), known=known)


@dataclass(frozen=True, eq=False)
class BatchFigures:
    """States and parameters of B trees of N nodes for D traits of numbers.

    Attributes:
        matrices: `estimate`, `se` and the further columns of the analysis, each (N, D).
        parameters: Name -> (B, D).
        probabilities: For every trait of states (N, S) of each state.
        rows: (R, B) figures of every tree, in the order of the analysis's `rows`.
    """

    matrices: Mapping[str, FloatArray]
    parameters: Mapping[str, FloatArray]
    probabilities: tuple[FloatArray, ...] = ()
    rows: FloatArray | None = None


class BatchAnalysis(Protocol):
    """An analysis of many trees.

    Attributes:
        columns: Names of its further columns.
        method: What is computed, in words.
        known: (L, D) value of every tip name whose state no tree changes; nan elsewhere.
        states: Traits of states.
        rows: What `BatchFigures.rows` are.
        of_nodes: Whether it finds states of nodes at all.
    """

    known: NDArray[np.float64]
    states: tuple[SampledStates, ...]
    rows: tuple[Row, ...]
    of_nodes: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its further columns."""

    @property
    def method(self) -> str:
        """What is computed, in words."""

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch."""
        ...
