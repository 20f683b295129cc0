"""What the result of a sample is made of, but for the figures of its trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.tree_samples.figures import Row, SampledStates
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
        parameters: Names of the parameters of every tree, of every trait of numbers.
        states: Traits of states, at the summary's nodes.
        rows: Further figures of every tree.
        of_nodes: Whether there are states of nodes.
    """

    summary: Phylogeny
    observations: Observations
    known: FloatArray
    level: float
    interval: str
    method: str
    columns: tuple[str, ...]
    parameters: tuple[str, ...]
    states: tuple[SampledStates, ...] = ()
    rows: tuple[Row, ...] = ()
    of_nodes: bool = True

    @property
    def open_nodes(self) -> NDArray[np.intp]:
        """(C,) the nodes whose states differ between trees, or may."""
        if not self.of_nodes:
            return np.zeros(0, np.intp)
        return np.flatnonzero(np.any([np.isnan(known).any(1) for known in (self.known, *self._known_states)], axis=0))

    @property
    def _known_states(self) -> list[FloatArray]:
        return [trait.known for trait in self.states]

    @property
    def figures(self) -> int:
        """Number of figures of a clade in the ledger.

        State, error and further columns of D traits of numbers, probabilities of all states, and an age.
        """
        return len(self.observations.traits) * (2 + len(self.columns)) + sum(len(t.states) for t in self.states) + 1
