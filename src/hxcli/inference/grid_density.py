"""The posterior density of the parameters of a diffusion on a grid, over coordinates without bounds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.inference.threads import SETS, in_threads
from hxcli.phylogeny import FloatArray

# In a coordinate, for the slopes of priors.
_STEP = 1e-4


class GridDensity:
    """The likelihood of one trait times the priors of F parameters.

    Attributes:
        likelihood: Of the trait, F coordinates.
        priors: Theirs, in their order.
    """

    def __init__(self, likelihood: GridLikelihood, priors: Sequence[ParameterPrior]) -> None:
        self.likelihood, self.priors = likelihood, tuple(priors)
        self._coarse = likelihood.coarser()

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return [prior.start() for prior in self.priors]

    def values(self, w: FloatArray) -> FloatArray:
        """(M, F) the parameters at M places w, (M, F)."""
        return self._columns(w, lambda prior, own: prior.value(own))

    def sizes(self, w: FloatArray) -> FloatArray:
        """(M, F) what grows as the logarithms of the parameters do."""
        return self._columns(w, lambda prior, own: prior.size(own))

    def search(self, w: FloatArray) -> FloatArray:
        """(M, F) the same places as the likelihood's search has them."""
        values = self.values(w)
        columns = [each.to_search(values[:, i]) for i, each in enumerate(self.likelihood.coordinates)]
        return np.stack(columns, 1) if columns else values

    def traced_search(self, w: Any) -> Any:
        """(F,) `search` of one place while tracing."""
        values = [prior.value(w[i]) for i, prior in enumerate(self.priors)]
        logs = [each.log for each in self.likelihood.coordinates]
        return jnp.stack([jnp.log(value) if log else value for value, log in zip(values, logs, strict=True)])

    def log_prior(self, w: FloatArray) -> FloatArray:
        """(M,) log densities of the coordinates under the priors alone."""
        return self._columns(w, lambda prior, own: prior.log_density(own)).sum(1)

    def gradient(self, w: FloatArray, by_search: FloatArray) -> FloatArray:
        """(M, F) slopes of the log density at M places from those of the log likelihood by the search, (M, F)."""
        found = np.empty(w.shape)
        for axis in range(w.shape[1]):
            step = np.zeros(w.shape[1])
            step[axis] = _STEP
            # Both are smooth, and of one coordinate each.
            moved = (self.search(w + step) - self.search(w - step))[:, axis]
            found[:, axis] = by_search[:, axis] * moved + self.log_prior(w + step) - self.log_prior(w - step)
        return found / (2 * _STEP)

    def __call__(self, w: FloatArray) -> FloatArray:
        """(M,) log posterior densities of the coordinates, up to the evidence; -inf where there is none."""
        return self._heights(self.likelihood, w)

    def nearly(self, w: FloatArray) -> FloatArray:
        """The same on few cells."""
        return self._heights(self._coarse, w)

    def _heights(self, likelihood: GridLikelihood, w: FloatArray) -> FloatArray:
        found = self.log_prior(w)
        possible = np.flatnonzero(found > -np.inf)
        with np.errstate(all="ignore"):
            points = self.search(w[possible])
        found[possible] += np.array(
            in_threads(partial(_height, likelihood), points, SETS) if len(points) else [], float
        )
        return np.where(np.isnan(found), -np.inf, found)

    def _columns(self, w: FloatArray, of: Any) -> FloatArray:
        columns = [np.asarray(of(prior, w[:, i]), float) for i, prior in enumerate(self.priors)]
        return np.stack(columns, 1) if columns else np.zeros((len(w), 0))


def _height(likelihood: GridLikelihood, x: FloatArray) -> float:
    return likelihood.value(x) if np.isfinite(x).all() else -np.inf
