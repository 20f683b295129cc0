"""The log likelihood of a diffusion on few cells, made that of many where a search has come to.

A search goes over few cells, whose log likelihood has nearly the shape of that on many. The difference of both, its
value and its slope, is measured where the search ends and added to the log likelihood on few, until the end is that of
many cells too (first-order approximation management: Alexandrov et al. 1998, Structural Optimization 15:16).
"""

from __future__ import annotations

import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.phylogeny import FloatArray

# Steps of the differences of gradients that give second derivatives, in the search's coordinates.
_STEP = 1e-3
# Beyond it numbers are none.
_FARTHEST = 700.0


class GridSurface:
    """The log likelihood on few cells, with value and slope of that on many at one point.

    Its coordinates z are those of the search where these are logarithms. Others are x = middle + spread sinh(z): even
    near usual values and logarithms far from them, so that ridges along which one parameter makes up for another, as an
    optimum far away for a weak pull, are straight.

    Attributes:
        ends: (S, 2) of the supports in z.
    """

    def __init__(self, likelihood: GridLikelihood) -> None:
        self._whole, self._few = likelihood, likelihood.coarser()
        coordinates = likelihood.coordinates
        self._log = np.array([each.log for each in coordinates])
        self._middle, self._spread = likelihood.start, np.array([each.spread for each in coordinates])
        self.ends = self.bent(likelihood.ends.T).T
        self._more, self._slope, self._at = 0.0, np.zeros(len(coordinates)), np.zeros(len(coordinates))
        self._seen: dict[bytes, tuple[float, FloatArray]] = {}

    def bent(self, x: FloatArray) -> FloatArray:
        """Coordinates z of points of the search, (..., S) both."""
        return np.where(self._log, x, np.arcsinh((x - self._middle) / self._spread))

    def point(self, z: FloatArray) -> FloatArray:
        """The points of the search at coordinates z, (..., S) both; the ends of the supports exactly."""
        far = self._middle + self._spread * np.sinh(np.clip(z, -_FARTHEST, _FARTHEST))
        low, high = self._whole.ends.T
        x = np.clip(np.where(self._log, z, far), low, high)
        return np.where(z <= self.ends[:, 0], low, np.where(z >= self.ends[:, 1], high, x))

    def bends(self, z: FloatArray) -> FloatArray:
        """(S,) derivatives of the points of the search by z."""
        return np.where(self._log, 1.0, self._spread * np.cosh(np.clip(z, -_FARTHEST, _FARTHEST)))

    def on_all_cells(self, z: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood on all cells and its gradient by z, (S,)."""
        value, gradient = self._whole.value_and_gradient(self.point(z))
        return value, gradient * self.bends(z)

    def correct(self, z: FloatArray, value: float, gradient: FloatArray) -> None:
        """Makes value and gradient at z those given."""
        few, slope = self._uncorrected(z)
        if np.isfinite(few) and np.isfinite(slope).all():
            self._more, self._slope, self._at = value - few, gradient - slope, z

    def value_and_gradient(self, z: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood on few cells as it is corrected, and its gradient by z, (S,)."""
        value, gradient = self._uncorrected(z)
        return value + self._more + float(self._slope @ (z - self._at)), gradient + self._slope

    def value(self, z: FloatArray) -> float:
        """The log likelihood alone."""
        return self._few.value(self.point(z)) + self._more + float(self._slope @ (z - self._at))

    def hessian(self, z: FloatArray) -> FloatArray:
        """(S, S) second derivatives at z on few cells, without those that straight coordinates would not have."""
        (low, high), x, bends = self._whole.ends.T, self.point(z), self.bends(z)
        # Of vague priors no more than of others.
        steps = _STEP * np.where(self._log, 1.0, np.minimum(1.0, self._spread))
        rows = []
        for number, along in enumerate(np.diag(steps)):
            sides = np.clip(x - along, low, high), np.clip(x + along, low, high)
            before, after = (self._few.value_and_gradient(side)[1] for side in sides)
            rows.append((after - before) / (sides[1] - sides[0])[number])
        found = np.array(rows)
        return (found + found.T) / 2 * bends * bends[:, None]

    def _uncorrected(self, z: FloatArray) -> tuple[float, FloatArray]:
        key = np.asarray(z, float).tobytes()
        if key not in self._seen:
            value, gradient = self._few.value_and_gradient(self.point(z))
            self._seen[key] = value, gradient * self.bends(z)
        return self._seen[key]
