"""The covariance of traits together by maximum likelihood, restricted or plain, with a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hxcli.errors import ModelError
from hxcli.inference.joint_parameters import CholeskyCoordinates, JointCoordinates, JointParameters
from hxcli.inference.joint_problem import JointProblem
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray

# Log likelihoods that differ by less are one optimum; a larger step than the last would promise is no optimum.
_AGREEING, _PROMISE = 1e-5, 1e-6
# Newton's steps go on while one promises more: a hundred-millionth of a standard error. And a sum's rounding.
_SHARP, _ROUNDING = 1e-16, 1e-13
# A correlation matrix with a smaller eigenvalue is that of traits of which one follows from the others.
_SINGULAR, _NEARLY_SINGULAR = 1e-9, 1e-3
_STEP = 1e-4
# Nodes times traits.
_LARGE = 20_000


@dataclass(frozen=True, eq=False)
class JointFit:
    """The best covariances, and what shows that they are.

    Attributes:
        parameters: In units of computation.
        log_likelihood: Likewise.
        coordinates: Around the optimum, which is `place`.
        place: (P,).
        gradient: (P,) at the optimum.
        hessian: (P, P) of the log likelihood.
        starts: How many starts were made, and how many came to the same.
        at_bound: Whether the shape parameter is at an end of its support.
    """

    parameters: JointParameters
    log_likelihood: float
    coordinates: JointCoordinates
    place: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    starts: tuple[int, int]
    at_bound: bool

    @property
    def promise(self) -> float:
        """How much more log likelihood a step of Newton's promises."""
        free = np.abs(self.gradient) > 0
        free[-1:] &= not self.at_bound
        curvature = -self.hessian[np.ix_(free, free)]
        if not free.any():
            return 0.0
        step = np.linalg.lstsq(curvature, self.gradient[free], rcond=None)[0]
        return float(abs(self.gradient[free] @ step) / 2)

    def certificate(self) -> dict[str, Any]:
        """The figures that show whether this is a maximum, as JSON values."""
        inside = slice(None, -1) if self.at_bound else slice(None)
        values = np.linalg.eigvalsh(-self.hessian[inside, inside])
        return {
            "gradient_norm": float(np.linalg.norm(self.gradient[inside])),
            "promised_by_newton_step": self.promise,
            "hessian_eigenvalues": [float(-values[-1]), float(-values[0])],
            "starts": self.starts[0],
            "starts_that_agree": self.starts[1],
            "at_bound": self.at_bound,
            "converged": bool(self.promise < _PROMISE and values[0] > 0),
        }


def fit_jointly(problem: JointProblem) -> JointFit:
    """Maximises the likelihood from several starts.

    Raises:
        ModelError: The likelihood has no maximum, because a trait follows from the others.
    """
    _refuse_undetermined(problem)
    if problem.complete and problem.model == "bm":
        return _closed_form(problem)
    from scipy.optimize import minimize

    runs = []
    for start in _starts(problem):
        number = float(problem.cells.mean())
        coordinates = JointCoordinates(problem, CholeskyCoordinates(start.rate, number), start)

        def lowered(place: FloatArray, at: JointCoordinates = coordinates) -> tuple[float, FloatArray]:
            value, gradient = at.value_and_gradient(place)
            return (-value, -gradient) if np.isfinite(value) else (1e300, np.zeros_like(place))

        # A gradient of 1e-4 promises 1e-8 in these coordinates, and Newton's steps come after it. L-BFGS-B, whose own
        # steps take longer than a small likelihood, is for shapes, which have bounds.
        options: dict[str, Any] = {"gtol": 1e-4, "maxiter": 500}
        if problem.model == "bm":
            found = minimize(lowered, coordinates.start, jac=True, method="BFGS", options=options)
        else:
            options |= {"maxcor": 30, "ftol": 1e-12, "maxls": 40}
            found = minimize(
                lowered, coordinates.start, jac=True, method="L-BFGS-B", bounds=coordinates.bounds, options=options
            )
        parameters = coordinates.parameters(found.x)
        _refuse_singular(problem, parameters)
        runs.append((-float(found.fun), parameters))
    best, parameters = max(runs, key=lambda run: run[0])
    agreeing = sum(best - value < _AGREEING for value, _ in runs)
    fit = _around(problem, parameters, (len(runs), agreeing))
    if not fit.certificate()["converged"]:
        # On its way to infinity: too few cells are seen together.
        _refuse_singular(problem, fit.parameters, _NEARLY_SINGULAR)
    return fit


def _closed_form(problem: JointProblem) -> JointFit:
    """Complete data: the squared contrasts over their number, to which one step along the natural gradient leads."""
    start = _starts(problem)[0]
    rate = start.rate
    for again in range(2):
        found = problem.evaluate(rate)
        number = float(found.densities[0])
        # Once more, because the first step may start far away.
        rate = rate + 2 / number * rate @ found.rate @ rate
        rate = (rate + rate.T) / 2
        scale = np.sqrt(np.maximum(np.diag(rate), 1e-300))
        values, vectors = np.linalg.eigh(rate / scale / scale[:, None])
        if values[0] < _SINGULAR:
            raise dependent_traits(problem.observations.traits, vectors[:, 0])
        if again:
            break
    parameters = JointParameters(rate)
    coordinates = JointCoordinates(problem, CholeskyCoordinates(rate, number), parameters)
    value, gradient = coordinates.value_and_gradient(coordinates.start)
    return JointFit(
        parameters, value, coordinates, coordinates.start, gradient, -np.eye(coordinates.size), (1, 1), False
    )


def _around(problem: JointProblem, parameters: JointParameters, starts: tuple[int, int]) -> JointFit:
    """The fit in coordinates around an optimum, which a few steps of Newton's make sharper."""
    number = float(problem.cells.mean())
    for again in range(3):
        coordinates = JointCoordinates(problem, CholeskyCoordinates(parameters.rate, number), parameters)
        place = coordinates.start
        value, gradient = coordinates.value_and_gradient(place)
        if not again:
            hessian = hessian_at(coordinates, place, gradient)
        bound = coordinates.bounds[-1]
        at_bound = any(end is not None and abs(place[-1] - end) < 1e-9 for end in bound)
        fit = JointFit(parameters, value, coordinates, place, gradient, hessian, starts, at_bound)
        if fit.promise < _SHARP:
            break
        inside = slice(None, -1) if at_bound else slice(None)
        step = np.zeros_like(place)
        step[inside] = np.linalg.lstsq(-hessian[inside, inside], gradient[inside], rcond=None)[0]
        after = coordinates.parameters(place + step)
        # So near the top the log likelihood itself moves by its rounding only.
        least = value - _ROUNDING * max(1.0, abs(value))
        if np.abs(step).max() > 1 or not problem.evaluate(*after).log_likelihood >= least:
            break
        parameters = after
    return fit


def hessian_at(coordinates: JointCoordinates, place: FloatArray, gradient: FloatArray) -> FloatArray:
    """(P, P) second derivatives by differences of exact first ones, several at a time."""

    def column(i: int) -> FloatArray:
        step = np.zeros_like(place)
        step[i] = -_STEP if i == len(place) - 1 and coordinates.bounds[-1][1] is not None else _STEP
        return (coordinates.value_and_gradient(place + step)[1] - gradient) / step[i]

    columns = np.stack(in_threads(column, range(len(place))))
    return (columns + columns.T) / 2


def _starts(problem: JointProblem) -> list[JointParameters]:
    """Where to begin: uncorrelated traits, and what some steps along the natural gradient make of them."""
    seen = problem.units.observations(problem.observations).values
    count = (~np.isnan(seen)).sum(0)
    middle = np.nansum(seen, 0) / count
    spread = np.nansum((seen - middle) ** 2, 0) / count
    height = float(problem.depths[problem.is_tip].mean()) or 1.0
    rate = np.diag(spread / height)
    within = np.diag(spread / 4) if problem.phenotypic else None
    shapes = {"bm": [0.0], "lambda": [0.9, 0.3], "ou": [0.3 / height, 5 / height]}[problem.model]
    starts = []
    for shape in shapes:
        plain = JointParameters(rate * (1 + 2 * shape * height if problem.model == "ou" else 1), within, shape)
        starts.append(plain)
        if not (problem.complete and problem.model == "bm"):
            starts.append(_climbed(problem, plain))
    # With so many cells the likelihood is close to a parabola, and every start takes seconds.
    large = problem.model == "bm" and problem.size * problem.traits > _LARGE
    return starts[1:] if large and len(starts) > 1 else starts


def _climbed(problem: JointProblem, start: JointParameters) -> JointParameters:
    """A few steps along the natural gradient, each of which stays positive definite."""
    at = start
    for _ in range(3):
        found = problem.evaluate(*at)
        if not np.isfinite(found.log_likelihood):
            return start
        rate = _natural(at.rate, found.rate, float(problem.cells.max()))
        within = at.within
        if within is not None:
            within = _natural(within, found.within, float(len(problem.observations.nodes)))
        at = JointParameters(rate, within, at.shape)
    return at


def _natural(matrix: FloatArray, derivative: FloatArray, number: float) -> FloatArray:
    step = 2 / number * matrix @ derivative @ matrix
    for _ in range(30):
        if np.linalg.eigvalsh(matrix + step)[0] > 1e-3 * np.linalg.eigvalsh(matrix)[0]:
            return matrix + step
        step = step / 2
    return matrix


def _refuse_undetermined(problem: JointProblem) -> None:
    """Raises where no covariance is the most likely one, before anything is searched."""
    seen, traits = problem.observations, problem.observations.traits
    for trait, name in enumerate(traits):
        values = seen.values[~np.isnan(seen.values[:, trait]), trait]
        if len(values) < 2 or np.ptp(values) == 0:
            what = "one value only" if len(values) == 1 else "no two different values" if len(values) else "no value"
            raise ModelError(
                f"trait {name!r} has {what} at the tips: it varies with no other trait (leave it out with --column)"
            )
    tips = len(np.unique(seen.nodes[(~np.isnan(seen.values)).any(1)]))
    if tips <= len(traits):
        raise ModelError(
            f"{len(traits)} traits at {tips} tips with values: their covariance needs more tips than traits (choose "
            "some with --column)"
        )
    if problem.phenotypic and len(np.unique(seen.nodes)) == len(seen.nodes):
        raise ModelError(
            "--phenotypic: no tip has more than one row, so that nothing tells variation within species from that "
            "between them (leave it out, or give several rows a tip)"
        )
    if problem.phenotypic or np.any(seen.standard_errors[~np.isnan(seen.values)] > 0):
        return
    # Among tips that have all of some traits a dependence shows before it makes the likelihood infinite.
    values = problem.units.observations(seen).values
    for chosen in (range(len(traits)), *combinations(range(len(traits)), 2)):
        some = values[:, list(chosen)]
        some = some[~np.isnan(some).any(1)]
        if len(some) <= len(chosen) or len(chosen) < 2:
            continue
        _, sizes, vectors = np.linalg.svd(some - some.mean(0), full_matrices=False)
        if sizes[-1] <= 1e-9 * sizes[0]:
            raise dependent_traits(tuple(traits[i] for i in chosen), vectors[-1])


def _refuse_singular(problem: JointProblem, parameters: JointParameters, least: float = _SINGULAR) -> None:
    scale = np.sqrt(np.diag(parameters.rate))
    values, vectors = np.linalg.eigh(parameters.rate / scale / scale[:, None])
    if values[0] > least or not problem.known.any():
        return
    raise dependent_traits(problem.observations.traits, vectors[:, 0])


def dependent_traits(traits: tuple[str, ...], weights: FloatArray) -> ModelError:
    """The refusal of traits of which some weighted sum has no variance."""
    named = [repr(name) for name, weight in zip(traits, weights, strict=True) if abs(weight) > 0.05]
    which = ", ".join(named[:6]) + (", ..." if len(named) > 6 else "")
    return ModelError(
        f"traits {which}: one follows exactly from the others (correlation 1), so that their covariance has no "
        "likelihood (leave one of them out with --column)"
    )
