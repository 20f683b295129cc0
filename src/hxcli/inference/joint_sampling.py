"""Covariances of traits together by sampling from their posterior, around what maximises the likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hxcli.errors import Doubt
from hxcli.inference.joint_fit import JointFit
from hxcli.inference.joint_parameters import CholeskyCoordinates, JointParameters
from hxcli.inference.joint_prior import CovariancePrior, JointPriors
from hxcli.inference.joint_problem import JointProblem
from hxcli.inference.no_u_turn import diagnose, unhealthy, walk
from hxcli.inference.priors import Prior
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.joint_smoothing import restricted_likelihood

# Transitions until step and directions are settled: they start from those of the likelihood.
WARM_UP = 500
# Directions in which the likelihood says less than this share of what it says in the best one are taken to have it.
_LEAST = 1e-4


class JointSampled(NamedTuple):
    """Draws of the covariances, in units of computation.

    Attributes:
        rates: (C, S, D, D) of C chains.
        withins: Likewise, of the covariance within species; None without one.
        shapes: (C, S) of the model's shape parameter; None without one.
        divergences: Number of transitions that diverged.
        diagnostics: Parameter -> `rhat`, `ess_bulk`, `ess_tail`.
    """

    rates: FloatArray
    withins: FloatArray | None
    shapes: FloatArray | None
    divergences: int
    diagnostics: dict[str, dict[str, float]]

    @property
    def total(self) -> int:
        """Number of draws of all chains."""
        return self.rates.shape[0] * self.rates.shape[1]

    def at(self, draw: int) -> JointParameters:
        """The parameters of one draw of all chains."""
        chain, number = divmod(draw, self.rates.shape[1])
        within = None if self.withins is None else self.withins[chain, number]
        return JointParameters(
            self.rates[chain, number], within, 0.0 if self.shapes is None else float(self.shapes[chain, number])
        )

    def mean(self) -> JointParameters:
        """Their means over all draws."""
        within = None if self.withins is None else self.withins.mean((0, 1))
        return JointParameters(
            self.rates.mean((0, 1)), within, 0.0 if self.shapes is None else float(self.shapes.mean())
        )

    def complaints(self) -> tuple[Doubt, ...]:
        """What is not healthy about the run, a sentence; empty if nothing is."""
        wrong = unhealthy(self.divergences, self.diagnostics)
        return (Doubt(f"the sampler has not converged: {wrong} (give more --samples)"),) if wrong else ()


def sample_jointly(
    problem: JointProblem, priors: JointPriors, fit: JointFit, chains: int, samples: int, seed: Sequence[int]
) -> JointSampled:
    """Samples the covariances and the model's shape parameter.

    The chains move among factors of covariances (`CholeskyCoordinates`) and along the shape's prior's own coordinate,
    turned and scaled by the curvature of the likelihood at its maximum, so that the posterior is close to a standard
    normal distribution.

    Args:
        problem: Its likelihood the restricted one: the means are integrated out.
        priors: In the users' units.
        fit: Of the problem.
        chains, samples: Number of chains, and of draws of each.
        seed: Two numbers.

    Raises:
        HxError: NumPyro is not installed.
    """
    blocks = _blocks(problem, priors, fit)
    shape = _ShapeBlock.around(problem, priors, fit)
    first = sum(coordinates.size for coordinates, _ in blocks)
    turn = _turn(fit.hessian if shape is None else shape.in_coordinate(fit))
    centre = np.zeros(len(turn))
    if shape is not None:
        centre[-1] = shape.centre
    tree, none = problem.tree, jnp.zeros((problem.traits, problem.traits))

    def potential(z: Any) -> Any:
        place, density, start, covariances = centre + turn @ z, 0.0, 0, []
        for coordinates, prior in blocks:
            part = place[start : start + coordinates.size]
            factor = coordinates.factor(part, jnp)
            density = density + prior.log_density(factor, jnp) + coordinates.log_volume(part)
            covariances.append(factor @ factor.T)
            start += coordinates.size
        edges = {name: tree[name] for name in ("time", "scale")}
        if shape is not None:
            at = shape.prior.coordinate(place[first], jnp)
            density = density + shape.prior.log_density(at.log_value, jnp) + at.log_slope
            edges = problem.edges(jnp.exp(at.log_value), jnp)
        covariances += [none] if len(blocks) == 1 else []
        return -(density + restricted_likelihood(tree, *covariances, edges["time"], edges["scale"]))

    starts = np.random.default_rng([*seed, 2]).uniform(-2, 2, (chains, len(turn)))
    walked = walk(potential, starts, WARM_UP, samples, seed, "--together")
    found, start = [], 0
    everywhere = centre + walked.places @ turn.T
    for coordinates, _ in blocks:
        places = everywhere[..., start : start + coordinates.size]
        factors = np.array([coordinates.factor(place) for place in places.reshape(-1, coordinates.size)])
        found.append((factors @ np.swapaxes(factors, 1, 2)).reshape(chains, samples, *factors.shape[1:]))
        start += coordinates.size
    rates, withins = found[0], found[1] if len(found) > 1 else None
    diagnostics = _diagnostics(problem.observations.traits, rates, withins)
    shapes = None
    if shape is not None:
        shapes = np.exp(shape.prior.coordinate(everywhere[..., first]).log_value)
        diagnostics[shape.name] = diagnose(shapes)
    return JointSampled(rates, withins, shapes, walked.divergences, diagnostics)


def _blocks(
    problem: JointProblem, priors: JointPriors, fit: JointFit
) -> list[tuple[CholeskyCoordinates, CovariancePrior]]:
    """For every covariance its coordinates around the fit, and its prior in units of computation."""
    log_scale = np.log(problem.units.scale)
    number = float(problem.cells.mean())

    def in_units(prior: CovariancePrior, log_units: FloatArray) -> CovariancePrior:
        moved = (each.in_unit(float(unit)) for each, unit in zip(prior.deviations, log_units, strict=True))
        return CovariancePrior(prior.concentration, tuple(moved))

    rate = CholeskyCoordinates(fit.parameters.rate, number)
    blocks = [(rate, in_units(priors.rate, log_scale - np.log(problem.units.length) / 2))]
    if priors.within is not None and fit.parameters.within is not None:
        within = CholeskyCoordinates(fit.parameters.within, float(len(problem.observations.nodes)))
        blocks.append((within, in_units(priors.within, log_scale)))
    return blocks


@dataclass(frozen=True)
class _ShapeBlock:
    """The model's shape parameter among what is sampled.

    Attributes:
        name: As it is reported.
        prior: In units of computation.
        centre: Of the prior's coordinate, where the likelihood is highest or the prior ends.
        width: Of the prior.
    """

    name: str
    prior: Prior
    centre: float
    width: float

    @classmethod
    def around(cls, problem: JointProblem, priors: JointPriors, fit: JointFit) -> _ShapeBlock | None:
        """Around a fit; None without a shape parameter."""
        if priors.shape is None:
            return None
        name, prior = priors.shape
        if problem.model == "ou":
            prior = prior.in_unit(-float(np.log(problem.units.length)))
        places = np.linspace(*prior.start(), 401)
        at = prior.coordinate(places)
        density = prior.log_density(at.log_value) + at.log_slope
        likely = density > density.max() - 2
        with np.errstate(divide="ignore"):
            centre = np.interp(np.log(fit.parameters.shape), at.log_value[likely], places[likely])
        return cls(name, prior, float(centre), float(np.ptp(places[likely])))

    def in_coordinate(self, fit: JointFit) -> FloatArray:
        """Second derivatives of the log likelihood, the last place the prior's coordinate, with its own curvature."""
        at = self.prior.coordinate(np.array(self.centre))
        slope = fit.coordinates.shape_slope(float(np.exp(at.log_value))) * float(np.exp(at.log_slope))
        found = fit.hessian.copy()
        # At an end of its support the likelihood has a slope there, and no curvature to speak of.
        found[-1] *= 0.0 if fit.at_bound else slope
        found[:, -1] *= 0.0 if fit.at_bound else slope
        # The prior's density falls by 2 within half its width.
        found[-1, -1] -= 16 / self.width**2
        return found


def _turn(hessian: FloatArray) -> FloatArray:
    """(P, P) from places of unit information to places, by second derivatives of the log likelihood."""
    values, vectors = np.linalg.eigh(-hessian)
    return np.asarray(vectors / np.sqrt(np.maximum(values, _LEAST * values[-1])))


def correlations(covariances: FloatArray) -> FloatArray:
    """(..., D, D) of covariances."""
    scale = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    return covariances / scale[..., None] / scale[..., None, :]


def _diagnostics(traits: Sequence[str], rates: FloatArray, withins: FloatArray | None) -> dict[str, dict[str, float]]:
    found = {}
    for draws, (own, pair) in zip((rates, withins), NAMES, strict=True):
        if draws is not None:
            between = correlations(draws)
            for a, trait in enumerate(traits):
                found[own.format(trait)] = diagnose(draws[..., a, a])
                for b in range(a + 1, len(traits)):
                    found[pair.format(trait, traits[b])] = diagnose(between[..., a, b])
    return found


# What variances and correlations are called: of the rate, and within species.
NAMES = (("sigma2({})", "correlation({},{})"), ("tau2({})", "within_correlation({},{})"))
