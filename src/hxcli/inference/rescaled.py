"""A likelihood whose coordinates without ends are counted in steps that move it by a little.

A logarithm, and a share of a support with two ends, are of a size that a search knows. A plain number is not: the
growth of a rate is 0.01 in millions of years and 1e-8 in years. Its unit is found by looking.
"""

from __future__ import annotations

import numpy as np

from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.inference.searched import Searched
from hxcli.models.bound_model import Coordinate
from hxcli.phylogeny import FloatArray

# Decades around a usual size in which a unit is looked for, below and above.
_BELOW, _ABOVE = 16, 6
# Log units that a step of a unit may move the likelihood.
_MOVES = 1.0


class Rescaled:
    """The same likelihood in other units; as `Searched` wants it.

    Attributes:
        coordinates: As they are, ends and starts in their own units.
        unit: (S,) of each.
    """

    def __init__(self, likelihood: Searched, unit: FloatArray) -> None:
        self._likelihood, self.unit = likelihood, unit
        self.coordinates: tuple[Coordinate, ...] = likelihood.coordinates

    @property
    def profiled(self) -> bool:
        return self._likelihood.profiled

    @property
    def start(self) -> FloatArray:
        return self._likelihood.start / self.unit

    @property
    def ends(self) -> FloatArray:
        return self._likelihood.ends / self.unit[:, None]

    def at(self, x: FloatArray) -> ColumnFigures:
        return self._likelihood.at(x * self.unit)

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = self._likelihood.value_and_gradient(x * self.unit)
        return value, gradient * self.unit

    def figures_and_slopes(self, x: FloatArray) -> tuple[ColumnFigures, ColumnFigures]:
        figures, slopes = self._likelihood.figures_and_slopes(x * self.unit)
        return figures, ColumnFigures(*(each * self.unit for each in slopes))


def units_around(likelihood: Searched, x: FloatArray) -> FloatArray:
    """(S,) units in which the likelihood moves by a little around a point of the search, (S,).

    1 for what has two ends, or is a logarithm. The usual distance from the start where the likelihood does not move,
    however far one goes, and where it is impossible.
    """
    unit = np.ones(len(x))
    for place, each in enumerate(likelihood.coordinates):
        if not is_without_scale(each):
            continue
        unit[place] = each.spread
        size = max(abs(float(x[place])), each.spread)
        steps = size * 10.0 ** np.arange(-_BELOW, _ABOVE + 1)
        points = np.repeat(x[None], 2 * len(steps) + 1, 0)
        points[1:, place] += np.concatenate([steps, -steps])
        heights = likelihood.at(np.clip(points, *likelihood.ends.T)).log_likelihood
        if np.isfinite(heights[0]):
            moved = np.maximum(*abs(heights[1:] - heights[0]).reshape(2, -1))
            far = np.flatnonzero(~(moved <= _MOVES))
            if len(far):
                unit[place] = steps[max(int(far[0]) - 1, 0)]
    return unit


def is_without_scale(coordinate: Coordinate) -> bool:
    """Whether a coordinate is neither a logarithm nor within two ends."""
    return not (coordinate.log or np.isfinite([coordinate.low, coordinate.high]).all())
