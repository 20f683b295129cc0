"""The posterior density of the rates of discrete states, over coordinates without bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hxcli.inference.priors import Prior
from hxcli.inference.state_objective import Objective, RootPrior
from hxcli.models.rate_patterns import RatePattern
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.likelihood import StateTree, log_likelihoods

# In a coordinate, for the slope of a prior, which is smooth.
_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class RateDensity:
    """The likelihood of what was seen times the priors of the free rates.

    Attributes:
        tree: What was seen.
        pattern: The model, P rates.
        root: Prior of the root.
        held: (P,) rates that are given; nan for F free ones.
        priors: F times the prior of a free rate.
    """

    tree: StateTree
    pattern: RatePattern
    root: RootPrior
    held: FloatArray
    priors: tuple[Prior, ...]

    @cached_property
    def objective(self) -> Objective:
        """The likelihood alone, over the logarithms of the free rates."""
        return Objective(self.tree, self.pattern, self.root, self.held)

    @property
    def free(self) -> Any:
        """Places of the free rates, F of them."""
        return np.flatnonzero(np.isnan(self.held))

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return [prior.start() for prior in self.priors]

    def log_values(self, w: FloatArray) -> FloatArray:
        """(K, F) logarithms of the free rates at K places w, (K, F)."""
        found = np.empty(w.shape)
        for place, prior in enumerate(self.priors):
            found[:, place] = prior.coordinate(w[:, place]).log_value
        return found

    def values(self, w: FloatArray) -> FloatArray:
        """(K, P) all rates at K places."""
        return self.objective.values(self.log_values(w))

    def rates_and_root(self, values: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """(K, S, S) rate matrices of K times P rates, and the priors of the root (K, S), as sweeps take them."""
        rates = self.pattern.rates(values)
        return rates, self.root.columns(rates)

    def log_prior(self, w: FloatArray) -> FloatArray:
        """(K,) log densities of the coordinates under the priors alone."""
        total = np.zeros(len(w))
        for place, prior in enumerate(self.priors):
            at = prior.coordinate(w[:, place])
            total = total + prior.log_density(at.log_value) + at.log_slope
        return total

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log posterior densities of the coordinates, up to the evidence; -inf where there is none."""
        found = log_likelihoods(self.tree, *self.rates_and_root(self.values(w))) + self.log_prior(w)
        return np.where(np.isnan(found), -np.inf, found)

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log posterior densities (K,) and their gradients (K, F)."""
        depths, slopes = self.objective(self.log_values(w))
        for place, prior in enumerate(self.priors):
            slopes[:, place] = slopes[:, place] * np.exp(prior.coordinate(w[:, place]).log_slope)
            step = np.zeros(w.shape[1])
            step[place] = _STEP
            slopes[:, place] -= (self.log_prior(w + step) - self.log_prior(w - step)) / (2 * _STEP)
        return depths - self.log_prior(w), slopes
