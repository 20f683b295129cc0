"""Fits of models on one tree of a sample after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses import load, load_of_states, options_for_numbers
from hxcli.analyses.fit.flags import WORDS
from hxcli.analyses.tree_samples.figures import BatchFigures, Row, SampledStates
from hxcli.analyses.tree_samples.observed_names import observations_on
from hxcli.analyses.tree_samples.tables_one_by_one import rows_of
from hxcli.findings import TableFindings
from hxcli.inference.state_rates import FLAGS
from hxcli.models.rate_patterns import is_state_model
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations
from hxcli.tree_batch import TaxonNames, TreeBatch

# Figures of a fit as its table has them; those behind a dot are not told tree by tree.
FIGURES = ("log_likelihood", "aicc", "weight", ".n", ".k", ".aic", ".converged")
CODES = (*dict.fromkeys((*WORDS, *FLAGS, "states_of_one_tip", "states_without_tips")),)
# A model that only some trees allow is fitted where it is named only.
_SOME_TREES = "trend"


class FitsOneByOne:
    """Models of every trait, compared on every tree.

    Args:
        observations: At the tips of the star of all names.
        taxa: The names.
        summary: The summary tree; the models that are tried on it are tried on all trees.
        options: Of the fit of traits of numbers.
        state_options: Of the fit of traits of states.
    """

    columns: tuple[str, ...] = ()
    states: tuple[SampledStates, ...] = ()
    of_nodes = False

    def __init__(
        self,
        observations: Observations,
        taxa: TaxonNames,
        summary: Phylogeny,
        options: Mapping[str, Any],
        state_options: Mapping[str, Any],
    ) -> None:
        self._observations, self._taxa = observations, taxa
        self._options = options_for_numbers(options) if observations.states else dict(options)
        self._state_options = dict(state_options)
        for each in (self._options, self._state_options):
            # Nothing is drawn of the single trees.
            each.pop("picture", None)
        self.known: FloatArray = np.zeros((len(taxa), len(observations.traits)))
        first = self._fitted(summary, observations_on(summary, observations, taxa), intervals=False)
        if observations.traits and not self._options.get("models"):
            tried = dict.fromkeys(first.tables["fits table"]["model"])
            self._options["models"] = tuple(name for name in tried if name != _SOME_TREES and not is_state_model(name))
        fits, parameters = (first.tables[kind] for kind in ("fits table", "parameter table"))
        self.method = first.method
        rows: list[Row] = []
        for trait, model in zip(fits["trait"], fits["model"], strict=True):
            if model == _SOME_TREES and _SOME_TREES not in self._options.get("models", ()):
                continue
            rows += [(trait, model, name) for name in (*FIGURES, *(f".{code}" for code in CODES))]
            for own, of, name in zip(*(parameters[each] for each in ("trait", "model", "parameter")), strict=True):
                if (own, of) == (trait, model):
                    rows += [(trait, model, name), (trait, model, f".lower {name}"), (trait, model, f".upper {name}")]
                    rows.append((trait, model, f".given {name}"))
        self.rows = tuple(rows)

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch.

        Raises:
            ModelError: A model has no answer on one of the trees.
        """
        return rows_of(batch, self._observations, self._taxa, lambda *where: _figures(self._fitted(*where)), self.rows)

    def _fitted(self, phylogeny: Phylogeny, observations: Observations, **further: Any) -> TableFindings:
        found = None
        if observations.traits:
            found = load("fit")(phylogeny, observations, **{**self._options, **further})
        if observations.states:
            found = load_of_states("fit")(phylogeny, observations, found, **{**self._state_options, **further})
        assert isinstance(found, TableFindings)
        return found


def _figures(found: TableFindings) -> dict[Row, float]:
    fits, parameters = (found.tables[kind] for kind in ("fits table", "parameter table"))
    figures: dict[Row, float] = {}
    for place, (trait, model) in enumerate(zip(fits["trait"], fits["model"], strict=True)):
        for name in FIGURES:
            figures[trait, model, name] = float(fits[name.removeprefix(".")][place])
        flags = fits["flags"][place].split(";")
        figures |= {(trait, model, f".{code}"): float(code in flags) for code in CODES}
    columns = (parameters[name] for name in ("trait", "model", "parameter", "value", "lower", "upper", "how"))
    for trait, model, name, value, lower, upper, how in zip(*columns, strict=True):
        figures[trait, model, name] = float(value)
        figures[trait, model, f".lower {name}"], figures[trait, model, f".upper {name}"] = float(lower), float(upper)
        figures[trait, model, f".given {name}"] = float(how == "given")
    return figures
