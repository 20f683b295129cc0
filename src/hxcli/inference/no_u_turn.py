"""Chains of the no-U-turn sampler, and whether they are healthy.

Hoffman and Gelman (2014, J. Mach. Learn. Res. 15:1593). NumPyro is imported only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import HxError
from hxcli.phylogeny import FloatArray

# What a healthy run has (Vehtari et al. 2021, Bayesian Analysis 16:667).
_MOST_RHAT, _LEAST_ESS = 1.01, 400
# What the numbers of a place are called that have directions together, and those that have a scale each.
_TOGETHER, _SINGLE = ("together",), ("single",)


class Walked(NamedTuple):
    """Where chains went after their warm-up.

    Attributes:
        places: (C, S, P).
        divergences: Number of transitions that diverged.
    """

    places: FloatArray
    divergences: int


def numpyro_for(asked: str) -> Any:
    """NumPyro's module of samplers.

    Args:
        asked: The option that needs it.

    Raises:
        HxError: It is not installed.
    """
    try:
        from numpyro import infer
    except ImportError:
        raise HxError(f"{asked} needs NumPyro, which is not installed (pip install 'hxcli[mcmc]')") from None
    return infer


def walk(
    potential: Callable[[Any], Any],
    starts: FloatArray,
    warm_up: int,
    count: int,
    seed: Sequence[int],
    asked: str,
    single: int = 0,
) -> Walked:
    """Runs the sampler; no transition is left out.

    Args:
        potential: Minus the log density at a place (P,), differentiable.
        starts: (C, P) where C chains begin.
        warm_up: Transitions until the step and the directions are settled.
        count: S, transitions of each chain after them.
        seed: Two numbers.
        asked: The option that needs NumPyro.
        single: How many of the last numbers of a place have a scale each, and no directions with others.

    Raises:
        HxError: NumPyro is not installed.
    """
    infer = numpyro_for(asked)
    together, dense = starts.shape[1] - single, True if not single else [_TOGETHER]
    if not together:
        dense = False

    def joined(parts: Any) -> Any:
        return parts if not single else jnp.concatenate([parts[name] for name in (*_TOGETHER, *_SINGLE)], -1)

    run = infer.MCMC(
        infer.NUTS(potential_fn=jax.jit(lambda w: potential(joined(w))), dense_mass=dense, target_accept_prob=0.9),
        num_warmup=warm_up,
        num_samples=count,
        num_chains=len(starts),
        chain_method="vectorized",
        progress_bar=False,
    )
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    # One chain alone has no axis of chains.
    first: Any = jnp.asarray(starts if len(starts) > 1 else starts[0])
    if single:
        parts = first[..., :together], first[..., together:]
        first = dict(zip((*_TOGETHER, *_SINGLE), parts, strict=True))
    run.run(key, init_params=first, extra_fields=("diverging",))
    # Not by NumPyro's own thinning, which would hide the divergences of what is left out.
    places = np.asarray(joined(run.get_samples(group_by_chain=True)), np.float64)
    return Walked(places, int(np.asarray(run.get_extra_fields()["diverging"]).sum()))


def unhealthy(divergences: int, diagnostics: Mapping[str, Mapping[str, float]]) -> str:
    """What is not healthy about a run, in words; "" if nothing is.

    Args:
        divergences: Of all chains.
        diagnostics: Parameter -> what `diagnose` says of it.
    """
    wrong = [f"{divergences} divergent transitions"] if divergences else []
    for name, figures in diagnostics.items():
        if not figures["rhat"] < _MOST_RHAT:
            wrong.append(f"R-hat of {name} is {figures['rhat']:.3f}")
        least = min(figures["ess_bulk"], figures["ess_tail"])
        if not least >= _LEAST_ESS:
            wrong.append(f"effective sample size of {name} is {least:.0f}")
    return ", ".join(wrong)


def diagnose(draws: FloatArray) -> dict[str, float]:
    """Rank-normalised split R-hat, bulk and tail effective sample sizes (Vehtari et al. 2021) of (C, S) draws."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    half = draws.shape[1] // 2
    split = np.concatenate([draws[:, :half], draws[:, -half:]])
    folded = abs(draws - np.median(draws))
    tails = [(split <= np.quantile(draws, p)).astype(float) for p in (0.05, 0.95)]
    # Of chains that hardly move there may be no tail, and no number of it: nan.
    with np.errstate(invalid="ignore"):
        return {
            "rhat": float(max(split_gelman_rubin(_normal_scores(draws)), split_gelman_rubin(_normal_scores(folded)))),
            "ess_bulk": float(effective_sample_size(_normal_scores(split))),
            "ess_tail": float(min(effective_sample_size(tail) for tail in tails)),
        }


def _normal_scores(draws: FloatArray) -> FloatArray:
    ranks = np.argsort(np.argsort(draws, axis=None)).reshape(draws.shape) + 1
    return np.asarray(jax.scipy.special.ndtri(jnp.asarray((ranks - 0.375) / (draws.size + 0.25))), np.float64)
