"""Draws of the parameters of a diffusion on a grid.

They are drawn on few cells, whose log likelihood has at its top the value and the slope of that on many; how far they
are from draws on many cells is measured afterwards, by weights of some of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hxcli.inference.fitted_mixture import Budget
from hxcli.inference.grid_density import GridDensity
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_traced import traced_log_likelihood
from hxcli.inference.no_u_turn import numpyro_for
from hxcli.inference.parameter_chains import ParameterChains, sample_parameters, tops_of
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray

# Cells on which parameters are drawn at first.
SAMPLED_CELLS = 64
# A place takes milliseconds.
_BUDGET = Budget(draws=500, wanted=0.7, fewest=1, most=4, more=2)
_SEARCHES = 4
_ASKED = "--model with several unknown parameters"
# Stands for minus the logarithm of 0, with which a search cannot go on.
_IMPOSSIBLE = 1e300


class FewCells:
    """The posterior density of F parameters on few cells, as `parameter_chains` samples it.

    Its log likelihood is moved and tilted so that it touches that on many cells at one place.

    Attributes:
        names: Of the parameters.
        cells: How many.
    """

    def __init__(self, density: GridDensity, cells: int) -> None:
        self._density, self.cells = density, cells
        self._few = density.likelihood.on_cells(cells)
        self.names = [each.name for each in density.likelihood.coordinates]
        self._at, self._slope, self._more = np.zeros(len(self.names)), np.zeros(len(self.names)), 0.0

    def touch(self, w: FloatArray) -> None:
        """Has value and slope of the likelihood on many cells at a place (F,), where these are finite."""
        at = self._density.search(w[None])[0]
        value, gradient = self._density.likelihood.value_and_gradient(at)
        few, few_gradient = self._few.unextrapolated(at, self.cells, slopes=True)
        if np.isfinite(gradient - few_gradient).all() and np.isfinite(value - few):
            self._at, self._slope, self._more = at, gradient - few_gradient, value - few

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return self._density.starts

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log densities of K places (K, F); -inf where there is none."""
        found = self._density.log_prior(w)
        with np.errstate(all="ignore"):
            x = self._density.search(w)
        possible = np.flatnonzero((found > -np.inf) & np.isfinite(x).all(1))
        found[possible] += self._few.heights(x[possible]) + self._touching(x[possible])
        found[np.setdiff1d(np.arange(len(found)), possible)] = -np.inf
        return np.where(np.isnan(found), -np.inf, found)

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log densities (K,) and their gradients (K, F)."""
        with np.errstate(all="ignore"):
            x = self._density.search(w)
            found = in_threads(partial(_value_and_slopes, self._few), x)
            heights, slopes = np.array([each for each, _ in found]), np.stack([each for _, each in found])
            heights = heights + self._density.log_prior(w) + self._touching(x)
            slopes = self._density.gradient(w, slopes + self._slope)
        wrong = ~(np.isfinite(heights) & np.isfinite(slopes).all(1))
        return np.where(wrong, _IMPOSSIBLE, -heights), np.where(wrong[:, None], 0.0, -slopes)

    def reported(self, w: FloatArray) -> FloatArray:
        """(K, F) the parameters at K places."""
        return self._density.values(w)

    def traced(self, top: FloatArray) -> Callable[[Any], Any]:
        """The log density of a place (F,), to be called while tracing."""
        del top
        density, on_few, more = self._density, traced_log_likelihood(self._few), self._more
        slope, at = jnp.asarray(self._slope), jnp.asarray(self._at)

        def log_density(w: Any) -> Any:
            x = density.traced_search(w)
            prior = sum(prior.log_density(w[i]) for i, prior in enumerate(density.priors))
            return prior + on_few(x) + more + slope @ (x - at)

        return log_density

    def _touching(self, x: FloatArray) -> FloatArray:
        """(K,) what is added to the log likelihoods of K points of the search."""
        return self._more + (x - self._at) @ self._slope


def _value_and_slopes(likelihood: GridLikelihood, x: FloatArray) -> tuple[float, FloatArray]:
    if not np.isfinite(x).all():
        return np.nan, np.full(len(x), np.nan)
    return likelihood.unextrapolated(x, likelihood.cells, slopes=True)


class GridChains(NamedTuple):
    """What a sampler found.

    Attributes:
        chains: In the coordinates of the priors.
        density: That it sampled.
    """

    chains: ParameterChains
    density: FewCells


def sample_on_grid(
    density: GridDensity, chains: int, samples: int, seed: list[int], method: str, cells: int
) -> GridChains:
    """Runs the sampler that takes so long as a grid does.

    Args:
        density: Of F parameters.
        chains, samples: Number of chains, and of draws of each.
        seed: Two numbers.
        method: `nuts`, or `independence`.
        cells: On which it runs.

    Raises:
        HxError: NumPyro is not installed.
    """
    # Before any work is done.
    numpyro_for(_ASKED)
    few = FewCells(density, cells)
    tops = tops_of(few, seed, _SEARCHES)
    few.touch(tops[0])
    found = sample_parameters(few, chains, samples, seed, _ASKED, method, _BUDGET, tops)
    return GridChains(found, few)
