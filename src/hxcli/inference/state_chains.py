"""Draws of the rates of discrete states: by the independence sampler, or by the no-U-turn sampler.

The proposals of the one are fitted to the posterior. The other walks in coordinates in which the top of the posterior
looks like a unit normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from hxcli.inference.fitted_mixture import fitted_mixture
from hxcli.inference.independence_sampler import sample_independently
from hxcli.inference.no_u_turn import diagnose, numpyro_for, unhealthy, walk
from hxcli.inference.side_by_side import Evaluate, side_by_side
from hxcli.inference.state_density import RateDensity
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.edge_likelihood import TracedSlopes

# Transitions until the step and the directions are settled.
WARM_UP = 500
# Searches for tops, and how far around the middle of the priors they begin.
_SEARCHES, _SPREAD = 8, 1.5
# Of the range that holds most of a prior, the scale of the widest proposals.
_WIDTHS = 10
# How many times more draws than usual its fits have, one after another.
_EFFORTS = (1, 4)
# Step for second derivatives, and what a top has at least of curvature in a coordinate of a prior.
_STEP, _LEAST = 1e-4, 1e-2
# Rates in units of the fastest at the top that a compiled program is made for, in binary digits of the longest edge.
_ROOM, _REST, _MOST_DIGITS = 2.0**12, 1 / 16, 40


class RateChains(NamedTuple):
    """What the sampler found.

    Attributes:
        values: (C, S, P) rates, given ones too.
        divergences: Number of transitions that diverged.
        diagnostics: Name of a free rate -> `rhat`, `ess_bulk`, `ess_tail`.
        log_evidence: Logarithm of the probability of what was seen; nan where the sampler does not tell it.
        details: What the run record says of the sampler.
    """

    values: FloatArray
    divergences: int
    diagnostics: Mapping[str, Mapping[str, float]]
    log_evidence: float
    details: Mapping[str, Any]

    def spaced(self, count: int) -> FloatArray:
        """(K, P) rates of draws at equal distances in all chains."""
        values = self.values.reshape(-1, self.values.shape[2])
        return values[np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)]


def sample_rates(
    density: RateDensity, chains: int, samples: int, seed: list[int], exchangeable: bool, method: str = ""
) -> RateChains:
    """Runs the independence sampler, and where that does not do the no-U-turn sampler.

    Args:
        density: Of F free rates.
        chains, samples: Number of chains, and of draws of each.
        seed: Two numbers.
        exchangeable: Whether hidden classes are alike before anything is seen, so that they are told apart by their
            speed in every draw, the slowest first.
        method: `nuts` for the no-U-turn sampler alone.

    Raises:
        HxError: NumPyro is not installed.
    """
    random = np.random.default_rng([*seed, 2])
    tops = _tops(density, random)
    top = max(tops, key=lambda found: found[0])[1]
    scale = _scale(density, top)
    for effort in () if method == "nuts" else _EFFORTS:
        begin = [place for _, place in tops], scale
        found = _independent(density, begin, effort, chains, samples, seed, exchangeable)
        if not unhealthy(0, found.diagnostics):
            return found
    places = np.stack([tops[chain % len(tops)][1] for chain in range(chains)])
    starts = np.linalg.solve(scale, (places - top).T).T + random.normal(0, 1, places.shape)
    potential = _potential(density, top, scale)
    walked = walk(potential, starts, WARM_UP, samples, seed, "--model with several unknown rates")
    w = top + walked.places @ scale.T
    details = {"method": "nuts", "warm_up": WARM_UP, "divergences": walked.divergences}
    return _chains(density, w, exchangeable, walked.divergences, math.nan, details)


def _independent(
    density: RateDensity,
    begin: tuple[list[FloatArray], FloatArray],
    effort: int,
    chains: int,
    samples: int,
    seed: list[int],
    exchangeable: bool,
) -> RateChains:
    numpyro_for("--model with several unknown rates")
    random, (tops, scale) = np.random.default_rng([*seed, 3]), begin
    low, high = np.array(density.starts).T
    wide = (low + high) / 2, (high - low) / _WIDTHS
    mixture, expected = fitted_mixture(density, np.stack(tops), scale @ scale.T, wide, random, effort)
    found = sample_independently(density, mixture, expected, chains, samples, random, effort)
    details = {
        "method": "independence",
        "proposals_per_draw": found.proposals,
        "efficiency": found.efficiency,
        "log_evidence_error": found.evidence_error,
    }
    return _chains(density, found.places, exchangeable, 0, found.log_evidence, details)


def _chains(
    density: RateDensity,
    w: FloatArray,
    exchangeable: bool,
    divergences: int,
    log_evidence: float,
    details: Mapping[str, Any],
) -> RateChains:
    """The chains, from places (C, S, F)."""
    values = density.values(w.reshape(-1, w.shape[2]))
    if exchangeable:
        values = by_speed(density, values)
    values = values.reshape(*w.shape[:2], -1)
    labels = density.pattern.labels
    diagnostics = {labels[place]: diagnose(values[..., place]) for place in density.free}
    return RateChains(values, divergences, diagnostics, log_evidence, details)


def by_speed(density: RateDensity, values: FloatArray) -> FloatArray:
    """(K, P) the same draws with hidden classes in the order of the sums of their rates."""
    pattern = density.pattern
    observed = len(set(pattern.observed.tolist()))
    classes = len(pattern.states) // observed
    rates = pattern.rates(values)
    blocks = rates.reshape(len(values), classes, observed, classes, observed)
    own = np.stack(
        [np.where(np.eye(observed, dtype=bool), 0, blocks[:, c, :, c]).sum((1, 2)) for c in range(classes)], 1
    )
    orders = np.argsort(own, axis=1, kind="stable")
    found = np.empty_like(values)
    for order in np.unique(orders, axis=0):
        states = (order[:, None] * observed + np.arange(observed)).ravel()
        moved = pattern.cells[np.ix_(states, states)]
        # The number of the rate that stands where each of the P rates is to stand.
        source = np.empty(pattern.count, np.intp)
        there = pattern.cells > 0
        source[pattern.cells[there] - 1] = moved[there] - 1
        chosen = (orders == order).all(1)
        found[chosen] = values[chosen][:, source]
    return found


def _tops(density: RateDensity, random: np.random.Generator) -> list[tuple[float, FloatArray]]:
    """Heights and places of the ends of searches from several starts."""
    middle = np.array([sum(start) / 2 for start in density.starts])
    starts = [middle, *(middle + random.normal(0, _SPREAD, len(middle)) for _ in range(_SEARCHES - 1))]

    def climb(evaluate: Evaluate, start: FloatArray) -> tuple[float, FloatArray]:
        found = minimize(evaluate, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-9, "gtol": 1e-4})
        return -float(found.fun), np.asarray(found.x)

    return side_by_side(density.depths, [partial(climb, start=start) for start in starts])


def _scale(density: RateDensity, top: FloatArray) -> FloatArray:
    """(F, F) from coordinates in which the top is like a unit normal distribution to those of the priors."""
    steps = _STEP * np.eye(len(top))
    _, slopes = density.depths(np.concatenate([top + steps, top - steps]))
    ahead, behind = np.split(slopes, 2)
    curvature = (ahead - behind) / (2 * _STEP)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return np.asarray(vectors / np.sqrt(np.maximum(values, _LEAST)))


def _potential(density: RateDensity, top: FloatArray, to_w: FloatArray) -> Callable[[Any], Any]:
    """Minus the log density at a place (F,), in the sampler's coordinates."""
    centre, scale, likelihood = jnp.asarray(top), jnp.asarray(to_w), _likelihood(density, top)

    def potential(z: Any) -> Any:
        w = centre + scale @ z
        total, logs = 0.0, []
        for place, prior in enumerate(density.priors):
            at = prior.coordinate(w[place], jnp)
            total = total + prior.log_density(at.log_value, jnp) + at.log_slope
            logs.append(at.log_value)
        return -(total + likelihood(jnp.stack(logs)))

    return potential


def _likelihood(density: RateDensity, top: FloatArray) -> Callable[[Any], Any]:
    """The log likelihood of the logarithms of the free rates, to be called while tracing."""
    pattern, tree = density.pattern, density.tree
    fastest = float(-np.diagonal(pattern.rates(density.values(top[None]))[0]).min()) * _ROOM
    digits = int(np.clip(math.ceil(math.log2(max(fastest * tree.longest / _REST, 2.0)) / 8) * 8, 8, _MOST_DIGITS))
    unit = tree.longest / (2.0**digits - 1)
    slopes = TracedSlopes(tree.tree, tree.few, unit, digits)
    cells, held, free = jnp.asarray(pattern.cells), jnp.asarray(density.held), density.free
    kind = density.root.kind
    shares = None if density.root.shares is None else jnp.asarray(density.root.shares)

    @jax.custom_vjp
    def of_rates(rates: Any, root: Any) -> Any:
        return forwards(rates, root)[0]

    def forwards(rates: Any, root: Any) -> Any:
        value, by_rates, by_root = slopes(rates, None if kind == "fitzjohn" else root)
        return value, (by_rates, by_root)

    of_rates.defvjp(forwards, lambda found, by_value: tuple(by_value * each for each in found))

    def log_likelihood(x: Any) -> Any:
        values = held.at[free].set(jnp.exp(x))
        off = jnp.concatenate([jnp.zeros(1), values])[cells]
        rates = off - jnp.diag(off.sum(1))
        root = jnp.full(tree.states, 1 / tree.states) if shares is None else shares
        if kind == "stationary":
            # p Q = 0 and p 1 = 1, in one.
            root = jnp.linalg.solve((rates + 1).T, jnp.ones(tree.states))
        # Beyond these rates the program's binary digits do not reach.
        far = off.sum(1).max() * unit > 1.0
        return jnp.where(far, jnp.nan, of_rates(rates, root))

    return log_likelihood
