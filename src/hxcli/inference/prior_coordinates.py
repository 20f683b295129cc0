"""The coordinates of the priors of F parameters: places on lines without bounds, and what they stand for."""

from __future__ import annotations

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
    """

    def __init__(self, coordinates: Sequence[Coordinate], priors: Sequence[ParameterPrior]) -> None:
        self.names, self.priors = tuple(each.name for each in coordinates), tuple(priors)
        # The priors' supports are the declarations', but for rounding.
        self._ends = np.array([(each.low, each.high) for each in coordinates]).reshape(-1, 2).T

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return [prior.start() for prior in self.priors]

    def values(self, w: FloatArray) -> FloatArray:
        """(K, F) the parameters at K places w, (K, F)."""
        return np.clip(self._columns(w, lambda prior, own: prior.value(own)), *self._ends)

    def reported(self, w: FloatArray) -> FloatArray:
        """`values`, as samplers ask for them."""
        return self.values(w)

    def sizes(self, w: FloatArray) -> FloatArray:
        """(K, F) what grows as the logarithms of the parameters do."""
        return self._columns(w, lambda prior, own: prior.size(own))

    def log_prior(self, w: FloatArray) -> FloatArray:
        """(K,) log densities of the coordinates under the priors alone."""
        return self._log_priors(w).sum(1)

    def slopes(self, w: FloatArray, by_value: FloatArray) -> FloatArray:
        """(K, F) slopes of the log posterior density, of those of the log likelihood by the parameters, (K, F)."""
        ahead, behind = w + _STEP, w - _STEP
        moved = self._columns(ahead, _value) - self._columns(behind, _value)
        return (by_value * moved + self._log_priors(ahead) - self._log_priors(behind)) / (2 * _STEP)

    def _log_priors(self, w: FloatArray) -> FloatArray:
        return self._columns(w, lambda prior, own: prior.log_density(own))

    def _columns(self, w: FloatArray, of: Callable[[ParameterPrior, Any], Any]) -> FloatArray:
        columns = [np.asarray(of(prior, w[:, place]), float) for place, prior in enumerate(self.priors)]
        return np.stack(columns, 1) if columns else np.zeros((len(w), 0))


def _value(prior: ParameterPrior, own: Any) -> Any:
    return prior.value(own)
