"""The no-U-turn sampler (Hoffman and Gelman 2014, J. Mach. Learn. Res. 15:1593) over sigma2 and tau2.

The nodes are integrated out by the up sweep, whose derivative the sampler follows. It is a second, independent way
to what the quadrature gives; NumPyro is imported only where it is asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import HxError
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
# What a healthy run has (Vehtari et al. 2021, Bayesian Analysis 16:667).
_MOST_RHAT, _LEAST_ESS = 1.01, 400


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

    def complaints(self) -> tuple[str, ...]:
        """What is not healthy about the run, a sentence; empty if nothing is."""
        wrong = [f"{self.divergences} divergent transitions"] if self.divergences else []
        for name, figures in self.diagnostics.items():
            if not figures["rhat"] < _MOST_RHAT:
                wrong.append(f"R-hat of {name} is {figures['rhat']:.3f}")
            least = min(figures["ess_bulk"], figures["ess_tail"])
            if not least >= _LEAST_ESS:
                wrong.append(f"effective sample size of {name} is {least:.0f}")
        if not wrong:
            return ()
        return (f"the sampler has not converged: {', '.join(wrong)} (give more --samples, or use --method quadrature)",)


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
    try:
        from numpyro.infer import MCMC, NUTS
    except ImportError:
        raise HxError("--method nuts needs NumPyro, which is not installed (pip install 'hxcli[mcmc]')") from None
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

    run = MCMC(
        NUTS(potential_fn=lambda w: _potential(question, parameters(w, jnp)), dense_mass=True, target_accept_prob=0.9),
        num_warmup=WARM_UP,
        num_samples=samples * TRANSITIONS,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    # One chain alone has no axis of chains.
    run.run(key, init_params=jnp.asarray(starts if chains > 1 else starts[0]), extra_fields=("diverging",))
    # Not by NumPyro's own thinning, which would hide the divergences of what is left out.
    walked = np.asarray(run.get_samples(group_by_chain=True), np.float64)
    places = walked[:, TRANSITIONS - 1 :: TRANSITIONS]
    found = {name: np.exp(at.log_value) for name, at in parameters(places).items()}
    values = {name: found.get(name, np.full(places.shape[:2], getattr(question, name))) for name in ("sigma2", "tau2")}
    divergences = int(np.asarray(run.get_extra_fields()["diverging"]).sum())
    return Sampled(values["sigma2"], values["tau2"], divergences, {name: diagnose(values[name]) for name in free})


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


def diagnose(draws: FloatArray) -> dict[str, float]:
    """Rank-normalised split R-hat, bulk and tail effective sample sizes (Vehtari et al. 2021) of (C, S) draws."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    half = draws.shape[1] // 2
    split = np.concatenate([draws[:, :half], draws[:, -half:]])
    folded = abs(draws - np.median(draws))
    tails = [(split <= np.quantile(draws, p)).astype(float) for p in (0.05, 0.95)]
    return {
        "rhat": float(max(split_gelman_rubin(_normal_scores(draws)), split_gelman_rubin(_normal_scores(folded)))),
        "ess_bulk": float(effective_sample_size(_normal_scores(split))),
        "ess_tail": float(min(effective_sample_size(tail) for tail in tails)),
    }


def _normal_scores(draws: FloatArray) -> FloatArray:
    ranks = np.argsort(np.argsort(draws, axis=None)).reshape(draws.shape) + 1
    return np.asarray(jax.scipy.special.ndtri(jnp.asarray((ranks - 0.375) / (draws.size + 0.25))), np.float64)


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
    return Weighted(Mixture(given.mean, given.slope, given.variance, components), sigma2, tau2)
