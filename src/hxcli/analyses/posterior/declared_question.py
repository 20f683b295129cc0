"""A model all of whose declared parameters have priors, as a posterior asks for it; all in the trait's units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hxcli.analyses.posterior.coordinate_priors import coordinate_prior
from hxcli.analyses.posterior.question import Options
from hxcli.errors import ModelError, OptionError
from hxcli.inference.parameter_priors import ParameterPrior, PositivePrior
from hxcli.inference.priors import Prior, default_prior, parse_prior
from hxcli.model import Gaussian, log_normal
from hxcli.models.bound_model import BoundModel, Coordinate
from hxcli.models.edge_fields import EdgeFields, trait_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.traits import Observations

TAU2 = "tau2"
# Of the values' variance, what the observation variance is a priori around: that of the other posteriors.
_NOISE = 10.0


@dataclasses.dataclass(frozen=True)
class NormalRoot:
    """A file's function of the root, of a normal prior that is given."""

    mean: float
    variance: float

    def __call__(self) -> Any:
        return Gaussian(mean=self.mean, variance=self.variance)


class DeclaredQuestion:
    """One trait under one model, whose parameters are to be integrated over.

    Attributes:
        name: The model's name.
        asked_as: The name that the user gave.
        bound: The model on the tree, its root and its observation variance those that are asked for.
        held: Parameter -> given value.
        priors: Of the free parameters, in the order of the coordinates of the likelihood.
        names: Theirs.
        flat_root: Whether the root has no prior.
    """

    def __init__(
        self, asked_as: str, model: GaussianModel, fields: EdgeFields, seen: Observations, trait: int, options: Options
    ) -> None:
        """Finds the priors.

        Args:
            asked_as: The name that the user gave.
            model: The model.
            fields: The tree's edges.
            seen: Observations at its nodes.
            trait: Which of their columns.
            options: What the user wants.

        Raises:
            ModelError: Values that give no scale for the prior of the observation variance.
            OptionError: A root or an observation variance that the model has already; a prior that it does not take.
            InputError: A parameter of a file that has a prior with one end only.
        """
        self.name, self.asked_as = model.name, asked_as
        self.seen, self.trait = seen, trait
        values = seen.values[:, trait]
        there = values[~np.isnan(values)]
        own = dataclasses.replace(fields, columns=trait_fields(fields.columns, values))
        self._noise = _noise_prior(model, own, options, there, seen.traits[trait])
        self.tau2 = options.tau2 or 0.0
        noise = model.noise if self._noise is None else _noise
        root = _asked_root(model, options)
        self.flat_root = root is None
        start = {} if self._noise is None else {TAU2: _middle(self._noise)}
        self.bound: BoundModel = _with_parts(model, root, noise).on(own, start)
        known = self.known - {TAU2}
        self.held = {name: value for name, value in options.held.items() if name in known}
        free = [each for each in self.bound.coordinates if each.name not in self.held]
        self.names = tuple(each.name for each in free)
        spread = float(there.std()) if len(there) else 0.0
        self.priors = tuple(self._prior(each, options.priors, spread) for each in free)

    @property
    def known(self) -> set[str]:
        """Names of all its parameters but the observation variance."""
        return {each.name for each in self.bound.coordinates} - {TAU2} | set(self.bound.fixed)

    @property
    def prior_names(self) -> set[str]:
        """Names of what may have a prior of the user's."""
        return {*self.names} - {TAU2}

    @property
    def flat_means(self) -> int:
        """How many unknowns have no proper prior, the root's state among them."""
        return self.flat_root + sum(prior.flat for prior in self.priors)

    def priors_in_words(self) -> dict[str, str]:
        """Free parameter -> its prior."""
        return {name: prior.text for name, prior in zip(self.names, self.priors, strict=True)}

    def given(self) -> dict[str, float]:
        """Parameter -> value, of all that have no prior."""
        fixed = {name: float(value) for name, value in self.bound.fixed.items() if name not in self.held}
        of_noise = {} if TAU2 in self.names or self.bound.model.noise is not None else {TAU2: self.tau2}
        return {**fixed, **self.held, **of_noise}

    def _prior(self, coordinate: Coordinate, given: Mapping[str, str], spread: float) -> ParameterPrior:
        if coordinate.name == TAU2 and self._noise is not None:
            return PositivePrior(self._noise)
        declared = self.bound.declarations[coordinate.parameter]
        return coordinate_prior(coordinate, declared, given.get(coordinate.name), spread)


@lru_cache(16)
def _with_parts(model: GaussianModel, root: Any, noise: Any) -> GaussianModel:
    # One model for all traits, so that one program serves them.
    return model.with_parts(root, noise)


def _noise_prior(model: GaussianModel, fields: EdgeFields, options: Options, values: Any, trait: str) -> Prior | None:
    """The prior of the observation variance; None where it is given, or the file says what it is."""
    if model.noise is not None:
        if options.prior_tau2 is not None:
            raise OptionError(
                f"--prior-tau2 with --model {model.source}: its noise(tip) is the observation variance (leave one out)"
            )
        return None
    if TAU2 in {*model.on(fields).declarations}:
        raise OptionError(
            f"--model {model.source}: {TAU2} is the observation variance in posteriors (call the parameter otherwise)"
        )
    if options.tau2 is not None:
        return None
    if options.prior_tau2:
        return parse_prior(options.prior_tau2)
    variance = float(values.var()) if len(values) else 0.0
    if not variance > 0:
        raise ModelError(
            f"trait {trait!r}: its values give no scale for a default prior of tau2 (all equal, or one only): give "
            "--prior-tau2, or leave the trait out with --column"
        )
    return default_prior(math.log(variance / _NOISE))


def _noise(tip: Any) -> Any:
    """An observation variance that is a parameter, as a file's `noise(tip)` is."""
    del tip
    return log_normal(TAU2, median=1.0, sd=1.0, unit="trait^2")


def _middle(prior: Prior) -> float:
    return sum(prior.numbers) / 2 if prior.bounded else math.exp(sum(prior.start()) / 2)


def _asked_root(model: GaussianModel, options: Options) -> Any:
    """The function of the root: the file's, or what the options say; None for a flat one."""
    if options.root == "flat root":
        return model.root
    if model.root is not None:
        raise OptionError(f"--root with --model {model.source}: the file has a root() (leave one of them out)")
    if options.root_state is not None:
        return NormalRoot(options.root_state, 0.0)
    assert options.root_mean is not None
    assert options.root_variance is not None
    return NormalRoot(options.root_mean, options.root_variance)
