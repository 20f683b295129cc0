"""The posterior of one trait, as every method hands it to the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.left_out_tips import LeftOut
from hxcli.analyses.pairs import PairStates
from hxcli.analyses.posterior.joint_draws import Draws
from hxcli.analyses.posterior.question import Asked
from hxcli.errors import Note
from hxcli.inference.box_quadrature import Box
from hxcli.inference.normal_mixture import Mixture, NodeFigures
from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.phylogeny import FloatArray

# Kinds of parameters by their unit: a state of the trait, a change of it, a rate.
KINDS = STATE, CHANGE, RATE = "state", "change", "rate"
PROBABILITIES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)


def unit_of(kind: str, scale: float, location: float, length: float) -> tuple[float, float]:
    """What a parameter of a kind is multiplied by, and what is then added, from the unit of computation."""
    with np.errstate(over="ignore", under="ignore"):
        units = {STATE: (scale, location), CHANGE: (scale, 0.0), RATE: (scale / length * scale, 0.0)}
    return units.get(kind, (1.0, 0.0))


class Figures(NamedTuple):
    """Figures of one parameter.

    Attributes:
        mean, deviation: nan where the posterior has none.
        quantiles: (P,) at `PROBABILITIES`.
        diagnostics: Of its draws: `rhat`, `ess_bulk`, `ess_tail`; empty without draws.
    """

    mean: float
    deviation: float
    quantiles: FloatArray
    diagnostics: Mapping[str, float] = {}

    @classmethod
    def of_draws(cls, draws: FloatArray, diagnostics: Mapping[str, float]) -> Figures:
        """Of one parameter at draws (K,)."""
        return cls(float(draws.mean()), float(draws.std()), np.quantile(draws, PROBABILITIES), diagnostics)

    @classmethod
    def of_box(cls, box: Box, axis: int, values: FloatArray, prior: ParameterPrior) -> Figures:
        """Of the parameter of one axis of an integral, whose values (K,) at its points are given."""
        weights = box.weights.ravel()
        mean = float(weights @ values) if box.moments else np.nan
        deviation = float(np.sqrt(weights @ (values - mean) ** 2)) if box.moments else np.nan
        return cls(mean, deviation, np.asarray(prior.value(box.quantiles(axis, np.array(PROBABILITIES))), float))

    def times(self, factor: float, plus: float = 0.0) -> Figures:
        """The same figures in another unit."""
        moved = (self.mean * factor + plus, self.deviation * factor, self.quantiles * factor + plus)
        return Figures(*moved, self.diagnostics)


class WeighedModel(NamedTuple):
    """A model among several.

    Attributes:
        name: Its name.
        prior, probability: Before and after the data.
        log_evidence: Log density of the observations under it; nan where it was not computed.
    """

    name: str
    prior: float
    probability: float
    log_evidence: float


class Given(NamedTuple):
    """What a posterior was given beforehand, as it is told.

    Attributes:
        priors: Of `sigma2` and `tau2` those that have a prior -> it in words.
        scaled_to_data: Of those the ones that were made for the observations.
        flat_root: Whether the root has no prior.
        root: The root in words, "" for nothing; None for what the options say.
    """

    priors: Mapping[str, str]
    scaled_to_data: tuple[str, ...]
    flat_root: bool
    root: str | None = None


def given_to(asked: Asked) -> Given:
    """What a question says."""
    priors = {"sigma2": asked.prior_sigma2, "tau2": asked.prior_tau2}
    texts = {name: str(prior) for name, prior in priors.items() if prior is not None}
    return Given(texts, asked.scaled_to_data, asked.question.root is None)


class Solved(NamedTuple):
    """The posterior of one trait, in the unit of computation.

    Attributes:
        given: What it was given.
        nodes: (N,) figures of all nodes.
        figures: Of `sigma2`, `tau2`, `root` and all else.
        log_evidence: Log density of the observations; nan where it was not computed.
        densities: How many one-dimensional densities it is made of.
        moments: Whether the variances have a mean and a variance themselves.
        details: For the run record.
        warnings: Sentences without the trait's name.
        draws: Joint draws, if asked for.
        left_out: What all other tips predict of every observed tip, if asked for.
        pairs: Pairs of nodes together and the weights of their components, if asked for.
        models: Of every model; empty for Brownian motion alone.
        kinds: Parameter -> what unit it has, of those that are no shape parameters; see `KINDS`.
        rate: What the first rate is called.
        priors: Parameter -> its prior in words, of those that are no variances.
        mixture: Of all nodes, under models; None otherwise.
        told: Name, prior in words (None for none) and figures of every parameter in the trait's own units, where these
            are not those of `figures`, which is empty then.
        columns: Further columns of the table of nodes, (N,) each.
        recorded: What a user's file records of no edge, as the record of the run has it.
    """

    given: Given
    nodes: NodeFigures
    figures: Mapping[str, Figures]
    log_evidence: float
    densities: float
    moments: bool
    details: Mapping[str, Any]
    warnings: tuple[Note, ...] = ()
    draws: Draws | None = None
    left_out: LeftOut | None = None
    pairs: tuple[PairStates, FloatArray] | None = None
    models: Sequence[WeighedModel] = ()
    kinds: Mapping[str, str] = {}
    rate: str = "sigma2"
    priors: Mapping[str, str] = {}
    mixture: Mixture | None = None
    told: Sequence[tuple[str, str | None, Figures | None]] = ()
    columns: Mapping[str, FloatArray] = {}
    recorded: Mapping[str, Any] = {}
