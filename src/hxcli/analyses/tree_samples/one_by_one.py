"""Any analysis of one tree, on one tree after the other; trees of a size class share its compiled programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.analyses.tree_samples.figures import BatchFigures, Row, SampledStates
from hxcli.analyses.tree_samples.observed_names import observations_on
from hxcli.errors import ModelError
from hxcli.phylogeny import FloatArray
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations
from hxcli.tree_batch import TaxonNames, TreeBatch


@dataclass(eq=False)
class OneByOne:
    """An analysis of many trees that is made of an analysis of one.

    Attributes:
        analysis: Takes a phylogeny, its observations and options.
        observations: At the tips of the star of all names.
        taxa: The names.
        options: The analysis's own.
        method: What is computed, in words; known when the first tree is done.
        more: Takes what the analysis found, and gives further parameters of all D traits.
        columns: Names of its further columns, likewise.
        known: (L, D) value of every name whose state no tree changes.
    """

    analysis: Callable[..., Any]
    observations: Observations
    taxa: TaxonNames
    options: dict[str, Any]
    known: FloatArray
    more: Callable[[Reconstruction], dict[str, FloatArray]] | None = None
    method: str = ""
    columns: tuple[str, ...] = ()
    states: tuple[SampledStates, ...] = ()
    rows: tuple[Row, ...] = ()
    of_nodes: bool = True

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch.

        Raises:
            ModelError: The analysis has no answer on one of the trees.
        """
        size, width = batch.topology.size, len(self.observations.traits)
        matrices: dict[str, FloatArray] = {}
        parameters: dict[str, FloatArray] = {}
        for tree in range(batch.count):
            found = self._one(batch, tree)
            self.method, self.columns = found.method, tuple(found.columns)
            nodes = batch.nodes_of(tree)
            figures = {"estimate": found.estimates, "se": found.standard_errors, **found.columns}
            for name, values in figures.items():
                matrices.setdefault(name, np.full((size, width), np.nan))[nodes] = values
            for d, trait in enumerate(found.traits):
                for name, parameter in found.parameters[trait].items():
                    values = parameters.setdefault(name, np.full((batch.count, width), np.nan))
                    values[tree, d] = parameter.value
            for name, of_traits in (self.more(found) if self.more else {}).items():
                parameters.setdefault(name, np.full((batch.count, width), np.nan))[tree] = of_traits
        return BatchFigures(matrices, parameters)

    def _one(self, batch: TreeBatch, tree: int) -> Reconstruction:
        phylogeny = batch.phylogeny(tree, self.taxa)
        seen = observations_on(phylogeny, self.observations, self.taxa)
        try:
            found = self.analysis(phylogeny, seen, **self.options)
        except ModelError as error:
            raise ModelError(f"tree {batch.numbers[tree]}: {error}") from None
        assert isinstance(found, Reconstruction)
        return found
