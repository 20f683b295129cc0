"""The no-U-turn sampler over sigma2 and tau2 of one trait.

The nodes are integrated out by the up sweep, whose derivative the sampler follows. It is a second, independent way
to what the quadrature gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hxcli.errors import Doubt
from hxcli.inference.no_u_turn import diagnose, unhealthy, walk
from hxcli.inference.normal_mixture import Components, Mixture, Weighted
from hxcli.inference.parameter_plane import Question, SharedScale, log_marginal, plane_of, root_posterior
from hxcli.inference.priors import Coordinate, Prior
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.gaussian import LIKELIHOOD
from hxcli.prebuilt.parameter_columns import given_root, swept_up

# Transitions until the step and the directions are settled; and for every draw, which makes draws nearly independent.
WARM_UP, TRANSITIONS = 1000, 2
# Draws that stand for all others at the nodes, at most; and numbers in one of their fields.
_MOST_COMPONENTS, _MOST_NUMBERS = 512, 2**25


class Sampled(NamedTuple):
    """What the sampler found for one trait, in the unit of computation.

    Attributes:
        sigma2, tau2: (C, S) draws of C chains.
        divergences: Number of transitions that diverged.
        diagnostics: Sampled parameter -> `rhat`, `ess_bulk`, `ess_tail`.
    """

    sigma2: FloatArray
    tau2: FloatArray
    divergences: int
    diagnostics: dict[str, dict[str, float]]

    def complaints(self) -> tuple[Doubt, ...]:
        """What is not healthy about the run, a sentence; empty if nothing is."""
        wrong = unhealthy(self.divergences, self.diagnostics)
        if not wrong:
            return ()
        return (Doubt(f"the sampler has not converged: {wrong} (give more --samples, or use --method quadrature)"),)


def sample(question: Question, height: float, chains: int, samples: int, seed: list[int]) -> Sampled:
    """Runs the sampler; every draw is the last of some transitions, which are cheap beside what compiling takes.

    Args:
        question: Of one trait.
        height: Mean distance of the tips from the root, in the unit of computation.
        chains, samples: Number of chains, and of draws of each.
        seed: Of the random numbers.

    Raises:
        HxError: NumPyro is not installed.
    """
    free: list[str] = [name for name in ("sigma2", "tau2") if isinstance(getattr(question, name), Prior)]
    shared = isinstance(plane_of(question), SharedScale) and len(free) == 2
    log_height = float(np.log(height)) if shared and height > 0 else 0.0
    middles = np.array([sum(getattr(question, name).start()) / 2 for name in free])
    starts = middles + np.random.default_rng([*seed, 2]).uniform(-1, 1, (chains, len(free)))
    if shared:
        rate, noise = starts[:, 0] + log_height, starts[:, 1]
        starts = np.stack([np.logaddexp(rate, noise), noise - rate], 1)

    def parameters(w: Any, xp: Any = np) -> dict[str, Coordinate]:
        """The free parameters at places of the real line or plane, their last axis."""
        if not shared:
            return {name: getattr(question, name).coordinate(w[..., i], xp) for i, name in enumerate(free)}
        # The data know the total well and the ratio badly, so that these two depend little on each other.
        total, ratio = w[..., 0], w[..., 1]
        rate, noise = (total - xp.logaddexp(0 * ratio, sign * ratio) for sign in (1, -1))
        return {"sigma2": Coordinate(rate - log_height, 0 * ratio), "tau2": Coordinate(noise, 0 * ratio)}

    walked = walk(
        lambda w: _potential(question, parameters(w, jnp)),
        starts,
        WARM_UP,
        samples * TRANSITIONS,
        seed,
        "--method nuts",
    )
    places = walked.places[:, TRANSITIONS - 1 :: TRANSITIONS]
    found = {name: np.exp(at.log_value) for name, at in parameters(places).items()}
    values = {name: found.get(name, np.full(places.shape[:2], getattr(question, name))) for name in ("sigma2", "tau2")}
    return Sampled(
        values["sigma2"], values["tau2"], walked.divergences, {name: diagnose(values[name]) for name in free}
    )


def _potential(question: Question, free: dict[str, Coordinate]) -> Any:
    """Minus the log posterior density, per unit of the places whose parameters these are."""
    density, values = 0.0, {}
    for name in ("sigma2", "tau2"):
        parameter = getattr(question, name)
        if name in free:
            at = free[name]
            density = density + parameter.log_density(at.log_value, jnp) + at.log_slope
            values[name] = jnp.exp(at.log_value)[None]
        else:
            values[name] = jnp.full(1, parameter)
    swept = swept_up(question.seen.tree, values["sigma2"], values["tau2"])
    root = {name: swept[name][0, 0] for name in LIKELIHOOD}
    scale = jnp.zeros_like(root["mean"])
    return -(density + log_marginal(root, scale, question.root, jnp))


def spaced(sampled: Sampled, count: int) -> tuple[FloatArray, FloatArray]:
    """Both (count,): sigma2 and tau2 of draws at equal distances in all chains."""
    places = np.linspace(0, sampled.sigma2.size - 1, count).round().astype(int)
    return sampled.sigma2.ravel()[places], sampled.tau2.ravel()[places]


def sampled_mixture(question: Question, sampled: Sampled) -> Weighted:
    """All nodes' posteriors as mixtures over some hundred draws of the parameters."""
    most = max(16, min(_MOST_COMPONENTS, _MOST_NUMBERS // question.seen.tree.size))
    sigma2, tau2 = spaced(sampled, min(most, sampled.sigma2.size))
    given = given_root(question.seen, sigma2, tau2)
    mean, variance = root_posterior(given.root, np.zeros(len(sigma2)), question.root)
    equal = np.full(len(sigma2), 1 / len(sigma2))
    columns = np.arange(len(sigma2))
    components = Components(columns, equal, mean - given.root["mean"], variance, np.ones(len(sigma2)))
    mixture = Mixture(given.mean, given.slope, given.variance, components)
    return Weighted(mixture, sigma2, tau2, mean[:, None], variance[:, None])
