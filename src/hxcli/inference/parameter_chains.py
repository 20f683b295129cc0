"""Draws of unknown parameters from their posterior, whatever it is of.

By the independence sampler, whose proposals are fitted to the posterior: first with the usual effort, then with more.
Where that does not do, by the no-U-turn sampler, in coordinates in which the top looks like a unit normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from hxcli.inference.fitted_mixture import USUAL, Budget, beginning, fitted_mixture
from hxcli.inference.independence_sampler import sample_independently
from hxcli.inference.no_u_turn import diagnose, numpyro_for, unhealthy, walk
from hxcli.inference.side_by_side import Evaluate, side_by_side
from hxcli.phylogeny import FloatArray

# Transitions of the no-U-turn sampler until its step and its directions are settled.
WARM_UP = 500
# Of the range that holds most of a prior, the scale of the widest proposals.
_WIDTHS = 10
# Searches for tops, and how far around the middle of the priors they begin, in that scale.
_SEARCHES, _SPREAD = 8, 0.75
# Of the number of draws, the effective one at which they are as good as independent ones: more effort would not help.
_AS_GOOD = 0.5
# In a coordinate, how far apart the ends of searches are that are not the same.
_SAME = 0.05
# Step for second derivatives, and what a top has at least of curvature in a coordinate of a prior.
_STEP, _LEAST = 1e-4, 1e-2


class ParameterDensity(Protocol):
    """A posterior density of F parameters over coordinates without bounds, each that of its parameter's prior.

    Attributes:
        names: Of the parameters, F.
        starts: F ranges of the coordinates that hold most of the priors.
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def starts(self) -> Sequence[tuple[float, float]]: ...

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log densities at K places (K, F), up to the evidence; -inf where there is none."""

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log densities (K,) and their gradients (K, F); 1e300 and 0 where there is none."""

    def reported(self, w: FloatArray) -> FloatArray:
        """(K, F) values of the parameters at K places, as they are reported."""

    def traced(self, top: FloatArray) -> Callable[[Any], Any]:
        """The log density of one place (F,), differentiable, to be called while tracing.

        Args:
            top: (F,) the highest place that is known.
        """


class ParameterChains(NamedTuple):
    """What a sampler found.

    Attributes:
        places: (C, S, F) draws of C chains, in the coordinates of the density, numbers of single edges behind them.
        divergences: Number of transitions that diverged.
        diagnostics: Name of a parameter -> `rhat`, `ess_bulk`, `ess_tail`.
        log_evidence: Logarithm of the integral of the density; nan where the sampler does not tell it.
        evidence_error: Its standard error; nan likewise.
        details: What the run record says of the sampler.
    """

    places: FloatArray
    divergences: int
    diagnostics: Mapping[str, Mapping[str, float]]
    log_evidence: float
    evidence_error: float
    details: Mapping[str, Any]

    def spaced(self, count: int) -> FloatArray:
        """(K, F) places of draws at equal distances in all chains."""
        places = self.places.reshape(-1, self.places.shape[2])
        return places[np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)]


def sample_parameters(
    density: ParameterDensity,
    chains: int,
    samples: int,
    seed: list[int],
    asked: str,
    method: str = "",
    budget: Budget = USUAL,
    starts: Sequence[FloatArray] | None = None,
    single: int = 0,
) -> ParameterChains:
    """Runs the independence sampler, and where that does not do the no-U-turn sampler.

    Args:
        density: Of F parameters.
        chains, samples: Number of chains, and of draws of each.
        seed: Two numbers.
        asked: The option that needs NumPyro, for messages.
        method: `nuts` for the no-U-turn sampler alone, `independence` for the other alone, "" for whichever does.
        budget: How often the density may be computed, with the usual effort.
        starts: (F,) each, where searches for tops begin; None for several places that the priors allow.
        single: How many numbers of single edges, unit normal variables under their priors, a place has behind the
            parameters: only the no-U-turn sampler takes any.

    Raises:
        HxError: NumPyro is not installed.
    """
    # Before any work is done.
    numpyro_for(asked)
    random = np.random.default_rng([*seed, 2])
    tops = _tops(density, _scattered(density, random) if starts is None else starts)
    top = tops[0]
    # What single edges have is best left as it is: it takes each of them many others to be told from its prior.
    scale = np.eye(len(top)) if single else _scale(density, top)
    if method != "nuts":
        found, sound = _independent(density, tops, scale, chains, samples, seed, budget)
        if sound or method == "independence":
            return found
    places = np.stack([tops[chain % len(tops)] for chain in range(chains)])
    begin = np.linalg.solve(scale, (places - top).T).T + random.normal(0, 1, places.shape)
    centre, to_w, log_density = jnp.asarray(top), jnp.asarray(scale), density.traced(top)
    walked = walk(lambda z: -log_density(centre + to_w @ z), begin, WARM_UP, samples, seed, asked, single)
    w = top + walked.places @ scale.T
    details = {"method": "nuts", "warm_up": WARM_UP, "divergences": walked.divergences}
    return ParameterChains(w, walked.divergences, _diagnostics(density, w), math.nan, math.nan, details)


def _independent(
    density: ParameterDensity,
    tops: Sequence[FloatArray],
    scale: FloatArray,
    chains: int,
    samples: int,
    seed: list[int],
    budget: Budget,
) -> tuple[ParameterChains, bool]:
    """What the independence sampler found with as much effort as it took, and whether that is sound."""
    random = np.random.default_rng([*seed, 3])
    low, high = np.array(density.starts).T
    fit = beginning(np.stack(tops), scale @ scale.T, ((low + high) / 2, (high - low) / _WIDTHS))
    drawn = None
    for each in (budget, budget.times(budget.more)):
        if drawn is not None:
            # Where chains stood still for long, there are too few proposals.
            fit = fit.told(drawn.proposed, drawn.heights).moved(random, each)
        fit = fitted_mixture(density, fit, random, each)
        drawn = sample_independently(density, fit, chains, samples, random, each)
        diagnostics = _diagnostics(density, drawn.places)
        details = {
            "method": "independence",
            "proposals_per_draw": drawn.proposals,
            "efficiency": drawn.efficiency,
            "log_evidence_error": drawn.evidence_error,
        }
        found = ParameterChains(drawn.places, 0, diagnostics, drawn.log_evidence, drawn.evidence_error, details)
        effective = min(min(one["ess_bulk"], one["ess_tail"]) for one in diagnostics.values())
        sound = not unhealthy(0, diagnostics) or effective >= _AS_GOOD * chains * samples
        if sound:
            break
    return found, sound


def _diagnostics(density: ParameterDensity, places: FloatArray) -> dict[str, dict[str, float]]:
    """Of the reported values of draws (C, S, F)."""
    values = density.reported(places.reshape(-1, places.shape[2])).reshape(*places.shape[:2], -1)
    return {name: diagnose(values[..., axis]) for axis, name in enumerate(density.names)}


def tops_of(density: ParameterDensity, seed: list[int], searches: int) -> list[FloatArray]:
    """(F,) each, where searches from several places that the priors allow end, the highest first; each place once."""
    kept: list[FloatArray] = []
    for place in _tops(density, _scattered(density, np.random.default_rng([*seed, 4]), searches)):
        if all(abs(place - other).max() > _SAME for other in kept):
            kept.append(place)
    return kept


def _scattered(density: ParameterDensity, random: np.random.Generator, count: int = _SEARCHES) -> list[FloatArray]:
    """Places around the middle of the priors, that first."""
    low, high = np.array(density.starts).T
    middle, spread = (low + high) / 2, _SPREAD * (high - low) / _WIDTHS
    return [middle, *(middle + random.normal(0, spread) for _ in range(count - 1))]


def _tops(density: ParameterDensity, starts: Sequence[FloatArray]) -> list[FloatArray]:
    """The ends of searches, the highest first."""

    def climb(evaluate: Evaluate, start: FloatArray) -> tuple[float, FloatArray]:
        found = minimize(evaluate, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-7, "gtol": 1e-3})
        return float(found.fun), np.asarray(found.x)

    ends = side_by_side(density.depths, [partial(climb, start=start) for start in starts])
    return [place for _, place in sorted(ends, key=lambda end: end[0])]


def _scale(density: ParameterDensity, top: FloatArray) -> FloatArray:
    """(F, F) from coordinates in which the top is like a unit normal distribution to those of the priors."""
    steps = _STEP * np.eye(len(top))
    _, slopes = density.depths(np.concatenate([top + steps, top - steps]))
    ahead, behind = np.split(slopes, 2)
    curvature = (ahead - behind) / (2 * _STEP)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return np.asarray(vectors / np.sqrt(np.maximum(values, _LEAST)))
