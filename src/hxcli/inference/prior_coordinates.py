"""The coordinates of the priors of F parameters: places on lines without bounds, and what they stand for.

Behind them may be unit normal variables that stand for themselves: what single edges have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.models.bound_model import Coordinate
from hxcli.phylogeny import FloatArray

# In a coordinate, for slopes of priors and of values, which are smooth.
_STEP = 1e-4


class PriorCoordinates:
    """Parameters with their priors.

    Attributes:
        names: Of the parameters.
        priors: Theirs, in their order.
        single: M, how many numbers of single edges are behind them.
    """

    def __init__(self, coordinates: Sequence[Coordinate], priors: Sequence[ParameterPrior], single: int = 0) -> None:
        self.names, self.priors = tuple(each.name for each in coordinates), tuple(priors)
        self.single = single
        # The priors' supports are the declarations', but for rounding.
        self._ends = np.array([(each.low, each.high) for each in coordinates]).reshape(-1, 2).T

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return [prior.start() for prior in self.priors]

    @property
    def middle(self) -> FloatArray:
        """(F + M,) the middle of the priors."""
        return np.array([*((low + high) / 2 for low, high in self.starts), *[0.0] * self.single])

    def values(self, w: FloatArray) -> FloatArray:
        """(K, F + M) the parameters at K places w, (K, F + M), and the numbers of single edges behind them."""
        return np.concatenate([self.reported(w), w[:, len(self.priors) :]], 1)

    def reported(self, w: FloatArray) -> FloatArray:
        """(K, F) the parameters alone, as samplers ask for them."""
        return np.clip(self._columns(w, lambda prior, own: prior.value(own)), *self._ends)

    def edge_values(self, values: FloatArray) -> dict[str, FloatArray]:
        """Name -> (K, N, ...) what every edge has at K sets of `values`; nothing without numbers of single edges."""
        del values
        return {}

    def sizes(self, w: FloatArray) -> FloatArray:
        """(K, F) what grows as the logarithms of the parameters do."""
        return self._columns(w, lambda prior, own: prior.size(own))

    def log_prior(self, w: FloatArray) -> FloatArray:
        """(K,) log densities of the coordinates under the priors alone."""
        return self._log_priors(w).sum(1) + np.asarray(log_normal_density(w[:, len(self.priors) :]))

    def slopes(self, w: FloatArray, by_value: FloatArray) -> FloatArray:
        """(K, F + M) slopes of the log posterior density, of those of the log likelihood by the values, (K, F + M)."""
        ahead, behind, count = w + _STEP, w - _STEP, len(self.priors)
        moved = self._columns(ahead, _value) - self._columns(behind, _value)
        of_parameters = by_value[:, :count] * moved + self._log_priors(ahead) - self._log_priors(behind)
        return np.concatenate([of_parameters / (2 * _STEP), by_value[:, count:] - w[:, count:]], 1)

    def _log_priors(self, w: FloatArray) -> FloatArray:
        return self._columns(w, lambda prior, own: prior.log_density(own))

    def _columns(self, w: FloatArray, of: Callable[[ParameterPrior, Any], Any]) -> FloatArray:
        columns = [np.asarray(of(prior, w[:, place]), float) for place, prior in enumerate(self.priors)]
        return np.stack(columns, 1) if columns else np.zeros((len(w), 0))


def log_normal_density(z: Any) -> Any:
    """Log density of unit normal variables along the last axis."""
    return -(z**2).sum(-1) / 2 - z.shape[-1] * math.log(2 * math.pi) / 2


def _value(prior: ParameterPrior, own: Any) -> Any:
    return prior.value(own)
