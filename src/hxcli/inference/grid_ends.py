"""Ends of profile likelihood intervals of a diffusion on a grid; see `grid_surface` for the search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_search import GridOptimum
from hxcli.inference.grid_surface import GridSurface
from hxcli.inference.profile_paths import HASTILY, path_to
from hxcli.models.bound_model import Coordinate
from hxcli.phylogeny import FloatArray

# How near to chi2/2 below the top the end of an interval lies.
_NEAR_FLOOR = 1e-3
# Corrections of a log likelihood on few cells; and a share of an interval that is none.
_ROUNDS, _NO_SHIFT = 4, 3e-4
# How far from the top coordinates are followed, which are logarithms out there; and how far is far.
_FARTHEST, _FAR = 30.0, 12.0
# How near to an end of its support a coordinate is there.
_AT_END = 1e-6
# A smaller curvature of the log likelihood than this is none; of a coordinate at an end of its support, the log units
# that are a unit.
_LEAST_CURVATURE, _UNIT = 0.02, 2.0
# Evaluations of one search.
_MOST_STEPS = 60
# Skewed likelihoods are reached from nearer than where a parabola has the end, or from the top itself.
_REACHES = (1.0, 0.3, 0.0)


def profile_ends(likelihood: GridLikelihood, optimum: GridOptimum, level: float) -> FloatArray:
    """(S, 2) ends of profile likelihood intervals, as the search has them; nan where the likelihood never falls so far.

    An end is the extreme of its coordinate over all points whose log likelihood is at most chi2/2 below the top: found
    by sequential least squares (Kraft 1988), in coordinates in which the likelihood is as curved in all directions,
    from where the curvature at the top would have it.
    """
    from scipy.special import chdtri

    ends = _Ends(likelihood, optimum, float(chdtri(1, 1 - level)) / 2)
    return np.array([[ends.end(number, side) for side in (-1, 1)] for number in range(len(optimum.x))]).reshape(-1, 2)


class _StoppedError(Exception):
    """A search takes too long."""


class _Ends:
    """The ends of intervals of one likelihood."""

    def __init__(self, likelihood: GridLikelihood, optimum: GridOptimum, drop: float) -> None:
        self._surface, self._optimum, self._drop = GridSurface(likelihood), optimum, drop
        self._floor = optimum.log_likelihood - drop
        self._top = self._surface.bent(optimum.x)
        self._slope = optimum.gradient * self._surface.bends(self._top)
        low, high = self._surface.ends.T
        self._low, self._high = np.maximum(low, self._top - _FARTHEST), np.minimum(high, self._top + _FARTHEST)
        self._turn = self._turned()
        self._coordinates = likelihood.coordinates

    def end(self, number: int, side: int) -> float:
        """The lower (side -1) or upper (side 1) end of one coordinate, nan where there is none."""
        self._surface.correct(self._top, self._optimum.log_likelihood, self._slope)
        along = self._turn[number]
        step = side * np.sqrt(2 * self._drop) * along / np.linalg.norm(along)
        starts = [reach * step for reach in _REACHES]
        # Where the likelihood hardly moves with it there may be no end.
        far = np.linalg.solve(self._turn, side * _FAR * np.eye(len(along))[number])
        if self._room(far) > 0:
            starts = [far, *starts]
        found = self._corrected(number, side, starts)
        if found is None:
            # Along the ridge, step by step, where a straight line does not get there.
            self._surface.correct(self._top, self._optimum.log_likelihood, self._slope)
            ridge = _Ridge(self._surface, self._coordinates, self._optimum, self._top, self._turn)
            end = (self._low, self._high)[side > 0][number] / ridge.unit[number]
            path = path_to(ridge, ridge, number, float(end), self._drop, HASTILY)
            if path is not None:
                away = [np.asarray(np.linalg.solve(self._turn, y * ridge.unit - self._top), float) for y in path]
                found = self._corrected(number, side, away)
        return np.nan if found is None else found

    def _turned(self) -> FloatArray:
        """(S, S) from coordinates in which the likelihood is as curved in all directions to those of the surface."""
        ends, bends = self._surface.ends, self._surface.bends(self._top)
        curvature = -self._optimum.hessian * bends * bends[:, None]
        free = (self._top > ends[:, 0]) & (self._top < ends[:, 1])
        width = np.minimum(np.ptp(ends, axis=1), 1.0)
        turn = np.diag(np.minimum(width, _UNIT / np.maximum(abs(self._slope), _UNIT)))
        inner = curvature[np.ix_(free, free)]
        if np.isfinite(inner).all() and free.any():
            values, directions = np.linalg.eigh(inner)
            turn[np.ix_(free, free)] = directions / np.sqrt(np.maximum(values, _LEAST_CURVATURE))
        return turn

    def _corrected(self, number: int, side: int, starts: list[FloatArray]) -> float | None:
        """The end on all cells, nan where there is none, and None where the search does not tell."""
        own, reached, near_ones = float(self._top[number]), np.nan, []
        for _ in range(_ROUNDS):
            w = self._farthest(number, side, starts)
            if w is None:
                return None
            z = self._at(w)
            if self._is_held(z, number):
                return np.nan
            value, gradient = self._surface.on_all_cells(z)
            shift, reached = abs(float(z[number]) - reached), float(z[number])
            off, slope = abs(value - self._floor), float(np.linalg.norm(gradient @ self._turn))
            near = off <= max(_NEAR_FLOOR, _NO_SHIFT * slope * float(np.linalg.norm(w)))
            if off <= _NEAR_FLOOR / 10 or (near and shift <= _NO_SHIFT * abs(reached - own)):
                return float(self._surface.point(z)[number])
            if near:
                near_ones.append(z)
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                return None
            self._surface.correct(z, value, gradient)
            starts = [w, *starts[-3:]]
        # Where the best root passes from cell to cell the two likelihoods do not come to agree more closely.
        farthest = max(near_ones, key=lambda z: side * float(z[number]), default=None)
        return None if farthest is None else float(self._surface.point(farthest)[number])

    def _is_held(self, z: FloatArray, number: int) -> bool:
        """Whether it is not the likelihood that holds a point: its own support, or how far others are followed."""
        room = np.minimum(z - self._low, self._high - z)
        ends = self._surface.ends
        followed = (self._low > ends[:, 0]) & (z < self._top) | (self._high < ends[:, 1]) & (z > self._top)
        followed[number] = True
        return bool((followed & (room <= _AT_END)).any())

    def _at(self, w: FloatArray) -> FloatArray:
        return np.clip(self._top + self._turn @ w, self._low, self._high)

    def _farthest(self, number: int, side: int, starts: list[FloatArray]) -> FloatArray | None:
        """The point farthest to one side at which the log likelihood on few cells has not yet fallen below the floor.

        None where none is found.
        """
        along = side * self._turn[number] / np.linalg.norm(self._turn[number])
        best = None
        for start in starts:
            found, stopped = self._searched(along, start)
            height = self._room(found)
            if height > -_NEAR_FLOOR and not stopped and self._is_held(self._at(found), number):
                return found
            if height > -_NEAR_FLOOR and (best is None or along @ found > along @ best[0]):
                best = found, height
            if abs(height) <= _NEAR_FLOOR:
                break
        return best[0] if best is not None and abs(best[1]) <= _NEAR_FLOOR else None

    def _searched(self, along: FloatArray, start: FloatArray) -> tuple[FloatArray, bool]:
        """The farthest point along a direction that a search comes to, and whether it was stopped on its way."""
        from scipy.optimize import minimize

        # The best root passes from cell to cell, where a search would look for a slope that is not there.
        seen = [start]

        def room(w: FloatArray) -> float:
            if len(seen) > _MOST_STEPS:
                raise _StoppedError
            seen.append(w.copy())
            return self._room(w)

        def slope(w: FloatArray) -> FloatArray:
            gradient = self._surface.value_and_gradient(self._at(w))[1]
            return np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0) @ self._turn

        across = np.concatenate([self._turn, -self._turn])
        away = np.concatenate([self._top - self._low, self._high - self._top])
        inside = [
            {"type": "ineq", "fun": room, "jac": slope},
            {"type": "ineq", "fun": lambda w: across @ w + away, "jac": lambda w: across},
        ]
        try:
            ended = minimize(
                lambda w: (-float(along @ w), -along),
                start,
                jac=True,
                constraints=inside,
                method="SLSQP",
                options={"maxiter": _MOST_STEPS, "ftol": 1e-6},
            )
        except _StoppedError:
            reached = [w for w in seen if abs(self._room(w)) <= _NEAR_FLOOR]
            return max(reached, key=lambda w: float(along @ w), default=start), True
        return np.asarray(ended.x, float), False

    def _room(self, w: FloatArray) -> float:
        """How far above the floor the log likelihood on few cells is."""
        value = self._surface.value_and_gradient(self._at(w))[0]
        return value - self._floor if np.isfinite(value) else -1e6


@dataclass(frozen=True, eq=False)
class _Ridge:
    """The surface in units of standard deviations, all else fixed, as paths are followed on it; and its top.

    Attributes:
        unit: (S,) a unit of each coordinate; none is farther than a factor of e.
    """

    surface: GridSurface
    named: tuple[Coordinate, ...]
    optimum: GridOptimum
    top: FloatArray
    turn: FloatArray

    @property
    def unit(self) -> FloatArray:
        return np.minimum(np.linalg.norm(self.turn, axis=1), 1.0)

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        # Without an end they are followed as far as logarithms are.
        return tuple(each._replace(log=True) for each in self.named)

    @property
    def ends(self) -> FloatArray:
        return self.surface.ends / self.unit[:, None]

    @property
    def x(self) -> FloatArray:
        return self.top / self.unit

    @property
    def log_likelihood(self) -> float:
        return self.optimum.log_likelihood

    def value_and_gradient(self, y: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = self.surface.value_and_gradient(y * self.unit)
        return value, gradient * self.unit
