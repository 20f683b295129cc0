"""Traits of states on one tree of a sample after the other, their rates searched from those of the summary tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from hxcli.analyses.ancestral_states import (
    StateOptions,
    chosen_options,
    pattern_for,
    root_prior,
    states_of_trait,
)
from hxcli.analyses.tree_samples.figures import BatchFigures, Row, SampledStates
from hxcli.analyses.tree_samples.observed_names import observations_on
from hxcli.errors import ModelError, OptionError
from hxcli.inference.state_rates import FLAGS
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_states import SeenStates, seen_states
from hxcli.state_findings import TraitStates
from hxcli.traits import Observations
from hxcli.tree_batch import TaxonNames, TreeBatch


def options_of(options: Mapping[str, Any], mixed: bool) -> StateOptions:
    """How traits of states are modelled.

    Args:
        options: As `ancestral_states` takes them.
        mixed: Whether there are traits of numbers too.

    Raises:
        OptionError: Several models, or what is found for one tree only.
    """
    options = dict(options)
    models, tables = options.pop("models", ()), options.pop("tables", None) or {}
    for name, option in (("joint", "--joint"), ("sets", "--mppa"), ("pairs", "--pairs"), ("loo", "--loo")):
        if options.get(name):
            raise OptionError(f"{option} does not go with --all-trees (leave one of them out)")
    options = {name: value for name, value in options.items() if name not in ("pairs", "loo")}
    return chosen_options(models, tables, options, mixed)


class OnOneTree(Protocol):
    """What is done about a trait of states on one tree.

    Attributes:
        options: How traits of states are modelled.
        fitted: What the log likelihood that is found is called.
        flags: Codes of what may be wrong on a tree.
    """

    @property
    def options(self) -> StateOptions: ...

    @property
    def fitted(self) -> str: ...

    @property
    def flags(self) -> tuple[str, ...]: ...

    def __call__(
        self, phylogeny: Phylogeny, seen: SeenStates, options: StateOptions, start: FloatArray | None
    ) -> tuple[TraitStates, str]:
        """The trait with its flags, and how it was found, in words.

        Args:
            phylogeny: N nodes.
            seen: What was seen at them.
            options: With all states of the sample.
            start: (P,) what was found on the summary tree; None there.
        """


@dataclass(frozen=True, eq=False)
class FittedOnOneTree:
    """Rates of highest likelihood, searched from those of the summary tree."""

    options: StateOptions
    fitted: str = "log_likelihood"
    flags: tuple[str, ...] = FLAGS

    def __call__(
        self, phylogeny: Phylogeny, seen: SeenStates, options: StateOptions, start: FloatArray | None
    ) -> tuple[TraitStates, str]:
        found = states_of_trait(phylogeny, seen, options, start=start, intervals=False)
        return found, f"probabilities of states given all tips, rates by ML, {options.root_prior} root"


class StatesOneByOne:
    """Probabilities of states of all nodes given all tips.

    Args:
        star: One tip for every name.
        observations: At the tips of the star.
        taxa: The names, numbered in the order of the star's tips.
        summary: The summary tree, whose best rates are near those of every tree.
        on_one_tree: What is done on every tree.
    """

    columns: tuple[str, ...] = ()
    of_nodes = True

    def __init__(
        self, star: Phylogeny, observations: Observations, taxa: TaxonNames, summary: Phylogeny, on_one_tree: OnOneTree
    ) -> None:
        options = on_one_tree.options
        self._observations, self._taxa, self._on_one_tree = observations, taxa, on_one_tree
        self.known: FloatArray = np.zeros((len(taxa), 0))
        methods = []
        on_summary = observations_on(summary, observations, taxa)
        # States are those of the whole table, whatever tips a tree has.
        self._all = [seen_states(star, observations.nodes, column, options.states) for column in observations.states]
        self._starts: list[FloatArray | None] = []
        traits: list[SampledStates] = []
        rows: list[Row] = []
        for seen, column in zip(self._all, on_summary.states, strict=True):
            own = replace(options, states=seen.states)
            pattern = pattern_for(own, seen.states, summary)
            root_prior(own, pattern, seen.states)
            here = seen_states(summary, on_summary.nodes, column, seen.states)
            at, method = on_one_tree(summary, here, own, None)
            methods.append(method)
            values = {label: value for label, value, *_ in at.rates}
            self._starts.append(np.array([values[label] for label in pattern.labels]))
            tips = seen.likelihoods[star.tips]
            sure = ((tips > 0).sum(1) == 1)[:, None]
            known = np.where(sure, (tips > 0).astype(float), np.nan)
            texts = tuple(seen.texts.tolist()[tip] for tip in star.tips.tolist())
            rates = tuple(values)
            traits.append(
                SampledStates(
                    seen.name, seen.states, texts, known, at.model, own.root_prior, rates, at.count, at.fitted
                )
            )
            flags = (f".{flag}" for flag in on_one_tree.flags)
            rows += [(seen.name, "", name) for name in (*rates, on_one_tree.fitted, *flags)]
        self.method = "; ".join(dict.fromkeys(methods))
        self.states, self.rows = tuple(traits), tuple(rows)

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch.

        Raises:
            ModelError: What was seen is impossible on one of the trees.
        """
        probabilities = tuple(np.full((batch.topology.size, len(trait.states)), np.nan) for trait in self.states)
        rows = np.empty((len(self.rows), batch.count))
        for tree in range(batch.count):
            phylogeny, nodes, figures = batch.phylogeny(tree, self._taxa), batch.nodes_of(tree), []
            seen = observations_on(phylogeny, self._observations, self._taxa)
            for number, column in enumerate(seen.states):
                own: Any = replace(self._on_one_tree.options, states=self.states[number].states)
                try:
                    here = seen_states(phylogeny, seen.nodes, column, own.states)
                    found, _ = self._on_one_tree(phylogeny, here, own, self._starts[number])
                except ModelError as error:
                    raise ModelError(f"tree {batch.numbers[tree]}: {error}") from None
                probabilities[number][nodes] = found.probabilities
                figures += [value for _, value, *_ in found.rates] + [found.log_likelihood]
                figures += [float(flag in found.flags) for flag in self._on_one_tree.flags]
            rows[:, tree] = figures
        return BatchFigures({}, {}, probabilities, rows)


class Both:
    """Traits of numbers by one analysis, and traits of states by another."""

    of_nodes = True

    def __init__(self, numbers: Any, of_states: StatesOneByOne) -> None:
        self._numbers, self._of_states = numbers, of_states
        self.known, self.states, self.rows = numbers.known, of_states.states, of_states.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the traits of numbers."""
        columns: tuple[str, ...] = self._numbers.columns
        return columns

    @property
    def method(self) -> str:
        """Both, in words."""
        return f"{self._numbers.method}; {self._of_states.method}"

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch."""
        found, of_states = self._numbers(batch), self._of_states(batch)
        return replace(found, probabilities=of_states.probabilities, rows=of_states.rows)
