"""Intervals and tests of the correlations of traits together: by Fisher's z, or by the profile likelihood.

The interval of a correlation is where twice its profile's log likelihood is less than a quantile of chi-squared with
one degree of freedom below the maximum; its p is that of the likelihood ratio against a correlation of 0.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from hxcli.inference.joint_fit import JointFit
from hxcli.inference.joint_parameters import CorrelationCoordinates, JointCoordinates
from hxcli.inference.joint_problem import JointProblem
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray

# Steps of the quasi-Newton search for an end, and what its log likelihood may be off.
_STEPS, _OFF = 40, 1e-6
# Beyond this Fisher transform a correlation is 1.
_FURTHEST = 12.0


class CorrelationFigures(NamedTuple):
    """Each (D, D), symmetric; nan on the diagonal.

    Attributes:
        lower, upper: Ends of the intervals; 1 or -1 where the likelihood never falls so far.
        p: Of the hypothesis that the correlation is 0.
    """

    lower: FloatArray
    upper: FloatArray
    p: FloatArray


def fisher_intervals(correlation: FloatArray, contrasts: float, number: float, level: float) -> CorrelationFigures:
    """Fisher's z intervals of complete data, and the exact likelihood ratio's p.

    Args:
        correlation: (D, D).
        contrasts: Independent contrasts; the transform's variance is 1 / (contrasts - 2), as theirs have no mean.
        number: What the squares are divided by: the contrasts, or the tips for plain maximum likelihood.
        level: Probability of the interval.
    """
    from scipy.special import chdtrc, ndtri

    own = np.eye(len(correlation), dtype=bool)
    r = np.where(own, 0.0, correlation)
    z = np.arctanh(r)
    half = -ndtri((1 - level) / 2) / np.sqrt(contrasts - 2) if contrasts > 2 else np.inf
    p = chdtrc(1, -number * np.log1p(-(r**2)))
    return CorrelationFigures(*(np.where(own, np.nan, x) for x in (np.tanh(z - half), np.tanh(z + half), p)))


def profile_intervals(problem: JointProblem, fit: JointFit, level: float) -> CorrelationFigures:
    """Profile likelihood intervals and likelihood ratio tests of all pairs, several at a time."""
    # Not scipy.stats, which takes as long to import as JAX.
    from scipy.special import chdtrc, chdtri

    size = problem.traits
    lower, upper, p = (np.full((size, size), np.nan) for _ in range(3))
    drop = float(chdtri(1, 1 - level)) / 2
    pairs = list(combinations(range(size), 2))
    profiles = [_Profile(problem, fit, pair) for pair in pairs]
    tasks = [(profile, side) for profile in profiles for side in (-1, 1, 0)]

    def solve(task: tuple[_Profile, int]) -> float:
        profile, side = task
        return profile.end(side, drop) if side else float(chdtrc(1, 2 * max(profile.lost_at(0.0), 0.0)))

    found = in_threads(solve, tasks)
    for i, (a, b) in enumerate(pairs):
        for table, value in zip((lower, upper, p), found[3 * i : 3 * i + 3], strict=True):
            table[a, b] = table[b, a] = value
    return CorrelationFigures(lower, upper, p)


class _Profile:
    """The likelihood as a function of one correlation, all else at its best."""

    def __init__(self, problem: JointProblem, fit: JointFit, pair: tuple[int, int]) -> None:
        rate = CorrelationCoordinates(fit.parameters.rate, pair)
        self._at = JointCoordinates(problem, rate, fit.parameters)
        self._best, self._start = fit.log_likelihood, self._at.start
        # At the optimum, where the gradient is 0, second derivatives change with coordinates as tensors do.
        jacobian = _jacobian(fit, self._at, rate.size)
        metric = -jacobian.T @ fit.hessian @ jacobian
        if fit.at_bound:
            # A shape parameter at an end of its support stays there.
            metric = metric[:-1, :-1]
        self._free = len(metric)
        self._metric = _positive(metric)

    def _value(self, place: FloatArray) -> tuple[float, FloatArray]:
        whole = np.concatenate([place, self._start[self._free :]])
        bounds = self._at.bounds[self._free - 1 : self._free]
        if bounds and bounds[0][0] is not None and bounds[0][1] is not None:
            whole[self._free - 1] = np.clip(whole[self._free - 1], *bounds[0])
        value, gradient = self._at.value_and_gradient(whole)
        return value, gradient[: self._free]

    def lost_at(self, z: float) -> float:
        """How far the likelihood falls where the Fisher transform is z."""
        return self._best - self._highest(z, self._predicted(z))[0]

    def _predicted(self, z: float) -> FloatArray:
        """Where the best parameters would lie if the likelihood were a parabola; all as they are if z is far."""
        place = self._start[: self._free].copy()
        away = z - place[0]
        place[0] = z
        if self._free > 1 and abs(away) * np.sqrt(self._metric[0, 0]) < 4:
            place[1:] -= np.linalg.solve(self._metric[1:, 1:], self._metric[1:, 0]) * away
        return place

    def _highest(self, z: float, start: FloatArray) -> tuple[float, FloatArray]:
        """The maximum over all but the first coordinate, and where."""
        from scipy.optimize import minimize

        if self._free == 1:
            return self._value(np.array([z]))[0], np.array([z])
        turn = np.linalg.inv(np.linalg.cholesky(self._metric[1:, 1:])).T

        def lowered(step: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = self._value(np.concatenate([[z], start[1:] + turn @ step]))
            if not np.isfinite(value):
                return 1e300, np.zeros_like(step)
            return -value, -(turn.T @ gradient[1:])

        # In these coordinates, where an inverse Hessian begins as the identity, a gradient of 1e-4 promises 1e-8.
        options = {"gtol": 1e-4, "maxiter": 300}
        found = minimize(lowered, np.zeros(self._free - 1), jac=True, method="BFGS", options=options)
        return -float(found.fun), np.concatenate([[z], start[1:] + turn @ found.x])

    def end(self, side: int, drop: float) -> float:
        """The correlation on one side at which the profile has fallen by `drop`; 1 or -1 if it never does."""
        quick = self._quick_end(side, drop)
        return float(np.tanh(quick if quick is not None else self._searched_end(side, drop)))

    def _quick_end(self, side: int, drop: float) -> float | None:
        """Newton's steps for all equations of the end at once (Venzon and Moolgavkar 1988, Appl. Stat. 37:87)."""
        metric = self._metric.copy()
        inverse = np.linalg.inv(metric)
        place = self._start[: self._free] + side * inverse[:, 0] * np.sqrt(2 * drop / inverse[0, 0])
        value, gradient = self._value(place)
        for _ in range(_STEPS):
            if not np.isfinite(value):
                return None
            lost = self._best - value
            rest = gradient[1:]
            solved = np.linalg.solve(metric[1:, 1:], rest) if self._free > 1 else rest
            if abs(lost - drop) < _OFF and abs(rest @ solved) < 2 * _OFF:
                right = np.sign(place[0] - self._start[0]) == side and gradient[0] * side < 0
                return float(place[0]) if right else None
            system = np.vstack([gradient, -metric[1:]])
            wanted = np.concatenate([[lost - drop], -rest])
            try:
                step = np.linalg.solve(system, wanted)
            except np.linalg.LinAlgError:
                return None
            size = np.sqrt(step @ self._metric @ step)
            step = step * min(1.0, 3.0 / size) if size > 0 else step
            new_value, new_gradient = self._value(place + step)
            change = gradient - new_gradient
            if step @ change > 1e-12 * (step @ step):
                moved = metric @ step
                metric = metric + np.outer(change, change) / (change @ step) - np.outer(moved, moved) / (step @ moved)
            place, value, gradient = place + step, new_value, new_gradient
        return None

    def _searched_end(self, side: int, drop: float) -> float:
        """By a root of the profile itself: slower, and never lost."""
        from scipy.optimize import brentq

        memory = {"place": self._start[: self._free]}

        def over(z: float) -> float:
            value, place = self._highest(z, np.concatenate([[z], memory["place"][1:]]))
            memory["place"] = place
            return self._best - value - drop

        near, step = float(self._start[0]), 2 * np.sqrt(2 * drop / self._metric[0, 0])
        while True:
            far = near + side * step
            if abs(far) > _FURTHEST:
                return side * np.inf
            if over(far) > 0:
                return float(brentq(over, near, far, xtol=1e-8))
            near, step = far, step * 1.5


def _jacobian(fit: JointFit, other: JointCoordinates, size: int) -> FloatArray:
    """(P, P) derivatives of the fit's coordinates by others, at the optimum."""
    traits = fit.parameters.rate.shape[0]
    lower = np.tril_indices(traits)

    def rates(at: JointCoordinates) -> FloatArray:
        start, columns = at.start, []
        for i in range(size):
            step = np.zeros_like(start)
            step[i] = 1e-5
            above, below = at.parameters(start + step).rate, at.parameters(start - step).rate
            columns.append((above - below)[lower] / 2e-5)
        return np.stack(columns, 1)

    found = np.eye(len(fit.place))
    found[:size, :size] = np.linalg.solve(rates(fit.coordinates), rates(other))
    return found


def _positive(metric: FloatArray) -> FloatArray:
    """The nearest matrix that a step can be measured with."""
    values, vectors = np.linalg.eigh(metric)
    if values[0] > 1e-10 * values[-1]:
        return metric
    return (vectors * np.maximum(np.abs(values), 1e-8 * values[-1])) @ vectors.T
