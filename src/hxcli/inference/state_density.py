"""The posterior density of the parameters of discrete states' rates, over coordinates without bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.schedule import size_class
from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.inference.range_of_mass import DEPTH
from hxcli.inference.state_objective import RootPrior, depths_and_slopes, sound_rates
from hxcli.models.file_rates import FileRates, StateModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.likelihood import StateTree, log_likelihoods
from hxcli.prebuilt.discrete.mixtures import draw_nodes, normalised, summed_marginals

# Places around which it is looked whether a density falls off, and how far from where parameters usually are.
_AROUND, _FAR = 64, (100.0, 200.0, 400.0, 600.0)
# Numbers in the rates of as many sets of parameters as are made at a time.
_MOST_NUMBERS = 2**24
# In a coordinate, for the slope of a prior and of what it maps to, which are smooth.
_STEP = 1e-4


@dataclass(frozen=True, eq=False)
class RateDensity:
    """The likelihood of what was seen times the priors of the free parameters.

    Attributes:
        tree: What was seen.
        pattern: The model: P rates, or P parameters of a file.
        root: Prior of the root.
        held: (P,) parameters that are given; nan for F free ones.
        priors: F times the prior of a free parameter.
    """

    tree: StateTree
    pattern: StateModel
    root: RootPrior
    held: FloatArray
    priors: tuple[ParameterPrior, ...]

    @property
    def free(self) -> Any:
        """Places of the free parameters, F of them."""
        return np.flatnonzero(np.isnan(self.held))

    @property
    def names(self) -> list[str]:
        """(F,) of the free parameters."""
        return [self.pattern.labels[place] for place in self.free]

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return [prior.start() for prior in self.priors]

    def sizes(self, w: FloatArray) -> FloatArray:
        """(K, F) what grows as the logarithms of the free parameters do, at K places w, (K, F)."""
        return self._columns(w, lambda prior, own: prior.size(own))

    def values(self, w: FloatArray) -> FloatArray:
        """(K, P) all parameters at K places."""
        values = np.broadcast_to(self.held, (len(w), len(self.held))).copy()
        values[:, self.free] = self._columns(w, lambda prior, own: prior.value(own))
        return values

    def marginals(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """(W, N, S) every node's probabilities, averaged over K times P parameters by weights (W, K) in W ways."""
        parts = [
            summed_marginals(self.tree, *self._rates_and_root(values[some]), weights[:, some])
            for some in self._pieces(len(values))
        ]
        return normalised(np.sum(parts, axis=0))

    def draws(self, values: FloatArray, chances: FloatArray) -> NDArray[np.int16]:
        """(K, N) states of all nodes drawn given K times P parameters, by numbers between 0 and 1, (K, N)."""
        parts = [
            draw_nodes(self.tree, *self._rates_and_root(values[some]), chances[some])
            for some in self._pieces(len(values))
        ]
        return np.concatenate(parts)

    def _rates_and_root(self, values: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        rates = self.pattern.rates(values)
        return rates, self.root.columns(rates)

    def _pieces(self, count: int) -> list[slice]:
        """Of so many sets of parameters as many at a time as there is room for their rates."""
        edges = self.tree.size if isinstance(self.pattern, FileRates) and self.pattern.by_edge else 1
        most = max(_MOST_NUMBERS // (edges * self.tree.states**2), 1)
        return [slice(first, first + most) for first in range(0, count, most)]

    def impossible(self, w: FloatArray) -> Any:
        """(K,) whether what a file's function gives at K places are no rates."""
        return sound_rates(self.pattern.rates(self.values(w)))[1]

    @property
    def endless(self) -> bool:
        """Whether the density does not fall off along a parameter without a proper prior, and has no integral."""
        flat = [place for place, prior in enumerate(self.priors) if prior.flat]
        if not flat:
            return False
        low, high = np.array(self.starts).T
        around = np.random.default_rng(0).uniform(low, high, (_AROUND, len(low)))
        top, highest = self(around).max(), -np.inf
        for place in flat:
            for end in (*_FAR, *(-end for end in _FAR)):
                moved = around.copy()
                moved[:, place] = end
                highest = max(highest, self(moved).max())
        return bool(highest > top - DEPTH)

    def log_prior(self, w: FloatArray) -> FloatArray:
        """(K,) log densities of the coordinates under the priors alone."""
        return self._columns(w, lambda prior, own: prior.log_density(own)).sum(1)

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log posterior densities of the coordinates, up to the evidence; -inf where there is none."""
        values, found = self.values(w), self.log_prior(w)
        for some in self._pieces(len(w)):
            rates, bad = sound_rates(self.pattern.rates(values[some]))
            heights = log_likelihoods(self.tree, rates, self.root.columns(rates))
            found[some] += np.where(bad, -np.inf, heights)
        return np.where(np.isnan(found), -np.inf, found)

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log posterior densities (K,) and their gradients (K, F)."""
        depths, by_values = depths_and_slopes(self.tree, self.pattern, self.root, self.values(w))
        moved = self._slopes(w, lambda prior, own: prior.value(own))
        slopes = by_values[:, self.free] * moved - self._slopes(w, lambda prior, own: prior.log_density(own))
        return depths - self.log_prior(w), slopes

    def _slopes(self, w: FloatArray, of: Callable[[ParameterPrior, FloatArray], Any]) -> FloatArray:
        """(K, F) derivatives of what every prior maps its own coordinate to."""
        return (self._columns(w + _STEP, of) - self._columns(w - _STEP, of)) / (2 * _STEP)

    def _columns(self, w: FloatArray, of: Callable[[ParameterPrior, FloatArray], Any]) -> FloatArray:
        """(K, F) what every prior maps its own coordinate to."""
        # Few sizes: what JAX computes is compiled for each.
        room = np.pad(w, [(0, size_class(len(w)) - len(w)), (0, 0)], "edge") if len(w) else w
        found = np.empty(w.shape)
        for place, prior in enumerate(self.priors):
            found[:, place] = np.asarray(of(prior, room[:, place]), float)[: len(w)]
        return found
