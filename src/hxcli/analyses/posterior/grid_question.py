"""A diffusion on a grid as a posterior asks for it: its likelihood, and the priors of its parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses.posterior.coordinate_priors import coordinate_prior
from hxcli.analyses.posterior.question import Options
from hxcli.errors import ModelError, OptionError
from hxcli.inference.grid_density import GridDensity
from hxcli.inference.grid_likelihood import CELLS, GridLikelihood
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


class GridQuestion:
    """One trait under one diffusion, whose parameters are to be integrated over; all in the trait's units.

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
            model: Whose function returns an `Sde`.
            fields: The tree's edges.
            seen: Observations at its nodes.
            trait: Which of their columns.
            options: What the user wants.

        Raises:
            ModelError: Values that no grid can be laid for.
            OptionError: A root or an observation variance that the model has already; a prior that it does not take.
            InputError: A parameter of a file that has a prior with one end only.
        """
        self.name, self.asked_as = model.name, asked_as
        self._seen, self._trait = seen, trait
        values = seen.values[:, trait]
        there = values[~np.isnan(values)]
        if len(there) < 2 or np.ptp(there) == 0:
            raise ModelError(
                f"model {model.name}: the trait has fewer than two different values, so no grid can be laid"
            )
        own = dataclasses.replace(fields, columns=trait_fields(fields.columns, values))
        self._noise = _noise_prior(model, own, options, float(there.var()))
        self._tau2 = options.tau2 or 0.0
        noise = model.noise if self._noise is None else _noise_of(self._noise)
        root = _asked_root(model, options)
        self.flat_root = root is None
        self.bound: BoundModel = dataclasses.replace(model, root=root, noise=noise).on(own)
        known = {each.name for each in self.bound.coordinates} | set(self.bound.fixed)
        self.held = {name: value for name, value in options.held.items() if name in known and name != TAU2}
        free = [each for each in self.bound.coordinates if each.name not in self.held]
        self.names = tuple(each.name for each in free)
        spread = float(there.std())
        self.priors = tuple(self._prior(each, options.priors, spread) for each in free)

    @property
    def known(self) -> set[str]:
        """Names of all its parameters but the observation variance."""
        return {each.name for each in self.bound.coordinates} - {TAU2} | set(self.bound.fixed)

    @property
    def flat_means(self) -> int:
        """How many unknowns have no proper prior, the root's state among them."""
        return self.flat_root + sum(prior.flat for prior in self.priors)

    def density(self, cells: int = CELLS) -> GridDensity:
        """The posterior density of the free parameters.

        Raises:
            ModelError: A diffusion, or values, that a grid does not allow.
            OptionError: A parameter is held outside its support.
        """
        likelihood = GridLikelihood(
            self.bound, self._seen, self._trait, tau2=self._tau2, held=self.held, cells=cells, integrated=True
        )
        return GridDensity(likelihood, self.priors)

    def priors_in_words(self) -> dict[str, str]:
        """Free parameter -> its prior."""
        return {name: prior.text for name, prior in zip(self.names, self.priors, strict=True)}

    def given(self) -> dict[str, float]:
        """Parameter -> value, of all that have no prior."""
        fixed = {name: float(value) for name, value in self.bound.fixed.items() if name not in self.held}
        of_noise = {} if TAU2 in self.names or self.bound.model.noise is not None else {TAU2: self._tau2}
        return {**fixed, **self.held, **of_noise}

    def _prior(self, coordinate: Coordinate, given: Mapping[str, str], spread: float) -> ParameterPrior:
        if coordinate.name == TAU2 and self._noise is not None:
            return PositivePrior(self._noise)
        declared = self.bound.declarations[coordinate.parameter]
        return coordinate_prior(coordinate, declared, given.get(coordinate.name), spread)


def _noise_prior(model: GaussianModel, fields: EdgeFields, options: Options, variance: float) -> Prior | None:
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
    return parse_prior(options.prior_tau2) if options.prior_tau2 else default_prior(math.log(variance / _NOISE))


def _noise_of(prior: Prior) -> Any:
    """An observation variance that is a parameter, as a file's `noise(tip)` is."""
    middle = math.exp(sum(prior.start()) / 2) if not prior.bounded else sum(prior.numbers) / 2

    def noise(tip: Any) -> Any:
        del tip
        return log_normal(TAU2, median=middle, sd=1.0, unit="trait^2")

    return noise


def _asked_root(model: GaussianModel, options: Options) -> Any:
    """The function of the root: the file's, or what the options say; None for a flat one."""
    if options.root == "flat root":
        return model.root
    if model.root is not None:
        raise OptionError(f"--root with --model {model.source}: the file has a root() (leave one of them out)")
    mean = options.root_mean if options.root_state is None else options.root_state
    variance = options.root_variance if options.root_state is None else 0.0
    return lambda: Gaussian(mean=mean, variance=variance)
