"""What is asked of one trait: its observations on the tree, priors or given values, all in the unit of computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hxcli.edge_data import EdgeTable
from hxcli.errors import ModelError, OptionError
from hxcli.inference.parameter_plane import Question
from hxcli.inference.priors import Prior, default_prior, parse_prior
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.parameter_columns import ModelEdges, seen_tree
from hxcli.prebuilt.tip_likelihoods import refuse_bad_variance
from hxcli.prebuilt.units import Units
from hxcli.regime_tree import Regimes
from hxcli.traits import Observations


@dataclass(frozen=True)
class Options:
    """What a user may ask of a posterior. Variances are in squared trait units (sigma2: per unit of edge length).

    Attributes:
        sigma2, tau2: Given values; None where a prior stands instead.
        prior_sigma2, prior_tau2: As `priors.parse_prior` reads them; None for one that fits the data's scale.
        root_mean, root_variance: Normal prior of the root; both None for a flat one.
        root_state: The root's state if it is given.
        method: `quadrature` or `nuts`.
        draws: Number of joint draws of the parameters and all nodes.
        seed: Of the random numbers.
        chains, samples: Of the sampler: number of chains, and of draws of each.
        loo: Whether to predict every observed tip from all others.
        models: Names of the models; none for Brownian motion.
        priors: Shape parameter -> its prior, as `priors.parse_prior` reads it; mean -> its, as `parse_normal` does.
        model_priors: Model -> its weight before the data; empty for equal ones.
        held: Shape parameter -> a given value.
        ou_root, regimes, lambda_max, edge_data: As in `fit`.
        pairs: Pairs of nodes to tell together.
    """

    sigma2: float | None = None
    tau2: float | None = None
    prior_sigma2: str | None = None
    prior_tau2: str | None = None
    root_mean: float | None = None
    root_variance: float | None = None
    root_state: float | None = None
    method: str = "quadrature"
    draws: int = 0
    seed: int = 0
    loo: bool = False
    chains: int = 4
    samples: int = 1000
    models: tuple[str, ...] = ()
    priors: Mapping[str, str] = field(default_factory=dict)
    model_priors: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    ou_root: str | None = None
    regimes: Regimes | None = None
    lambda_max: bool = False
    edge_data: EdgeTable | None = None
    pairs: NodePairs | None = None

    def refuse_nonsense(self) -> None:
        """Raises unless the options make sense, whatever the data.

        Raises:
            OptionError: Names the option.
        """
        if self.sigma2 is not None and not (np.isfinite(self.sigma2) and self.sigma2 > 0):
            raise OptionError(f"sigma2 must be a positive number, got {self.sigma2:g}")
        if self.tau2 is not None:
            refuse_bad_variance("tau2", self.tau2)
        for name, value, prior in (("sigma2", self.sigma2, self.prior_sigma2), ("tau2", self.tau2, self.prior_tau2)):
            if prior is not None:
                parse_prior(prior)
                if value is not None:
                    raise OptionError(f"{name} is given, so it has no prior (leave one of the two out)")
        for name, weight in self.model_priors.items():
            if not 0 < weight < np.inf:
                raise OptionError(f"--model-prior {name}={weight:g}: a weight is above 0 (or leave the model out)")
        if self.method == "nuts":
            if self.sigma2 is not None and self.tau2 is not None:
                raise OptionError("both variances are given: nothing is left to sample (leave --method nuts out)")
            if self.draws > self.chains * self.samples:
                raise OptionError(f"--draws {self.draws} is more than the sampler makes (give more --samples)")
        mean, variance = self.root_mean, self.root_variance
        if (mean is None) != (variance is None):
            raise OptionError("a normal root needs a mean and a variance")
        if mean is not None and variance is not None and not (np.isfinite(mean) and 0 < variance < np.inf):
            raise OptionError(f"a normal root needs a finite mean and a positive variance, got {mean:g}, {variance:g}")
        if self.root_state is not None and (mean is not None or not np.isfinite(self.root_state)):
            raise OptionError("the root has either a state, a finite number, or a prior")

    @property
    def root(self) -> str:
        """The root in words."""
        if self.root_state is not None:
            return f"root fixed at {self.root_state:g}"
        return "flat root" if self.root_mean is None else f"root N({self.root_mean:g}, {self.root_variance:g})"


class Asked(NamedTuple):
    """One trait's question, and its priors as the user may write them; None for a given value."""

    question: Question
    prior_sigma2: Prior | None
    prior_tau2: Prior | None
    scaled_to_data: tuple[str, ...]


def ask(
    phylogeny: Phylogeny,
    observations: Observations,
    units: Units,
    trait: int,
    options: Options,
    edges: ModelEdges | None = None,
) -> Asked:
    """The question of one trait.

    Args:
        phylogeny: N nodes.
        observations: In the unit of computation.
        units: That unit.
        trait: Its number.
        options: What the user wants.
        edges: Of another process than Brownian motion, in the unit of computation.

    Raises:
        ModelError: A default prior is needed and the values give no scale, or a given value is out of proportion.
    """
    name = observations.traits[trait]
    log_variance = 2 * float(np.log(units.scale[trait]))
    log_rate = log_variance - float(np.log(units.length))
    scaled: list[str] = []

    def prior(which: str, text: str | None, log_unit: float, guess: float) -> Prior:
        if text is not None:
            return parse_prior(text)
        scaled.append(which)
        if not np.isfinite(guess):
            raise ModelError(
                f"trait {name!r}: its values give no scale for a default prior of {which} (all equal, one only, or no "
                f"edge length): give --prior-{which}, or leave the trait out with --column"
            )
        return default_prior(guess + log_unit)

    spread, height = _spread_and_height(phylogeny, observations, units.length, trait)
    if edges is not None:
        # What the tips have in place of a height.
        height = float(edges.variance.sum()) / max(1, len(phylogeny.tips))
    with np.errstate(divide="ignore"):
        guesses = float(np.log(spread) - np.log(height)) if height else np.nan, float(np.log(spread / 10))
    prior_sigma2 = None if options.sigma2 is not None else prior("sigma2", options.prior_sigma2, log_rate, guesses[0])
    prior_tau2 = None if options.tau2 is not None else prior("tau2", options.prior_tau2, log_variance, guesses[1])
    root = None
    if options.root_state is not None:
        root = (float(units.state(options.root_state, "the root's state")[trait]), 0.0)
    elif options.root_mean is not None and options.root_variance is not None:
        centre = float(units.state(options.root_mean, "the root's mean")[trait])
        root = (centre, float(units.variance(options.root_variance, "the root's variance")[trait]))
    question = Question(
        seen_tree(phylogeny, observations, trait, units.length, edges),
        prior_sigma2.in_unit(log_rate) if prior_sigma2 else float(units.rate(options.sigma2 or 0.0, "sigma2")[trait]),
        prior_tau2.in_unit(log_variance) if prior_tau2 else float(units.variance(options.tau2 or 0.0, "tau2")[trait]),
        root,
    )
    return Asked(question, prior_sigma2, prior_tau2, tuple(scaled))


def _spread_and_height(
    phylogeny: Phylogeny, observations: Observations, length: float, trait: int
) -> tuple[float, float]:
    """Variance of the observed values, and mean distance of their tips from the root, in the unit of computation."""
    values: FloatArray = observations.values[:, trait]
    there = ~np.isnan(values)
    if there.sum() < 2:
        return 0.0, 0.0
    return float(values[there].var()), float((phylogeny.root_distances[observations.nodes[there]] / length).mean())
