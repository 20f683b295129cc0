"""Pagel's lambda: covariances between tips times lambda, variances as they are (Pagel 1999, Nature 401:877)."""

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal, uniform

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    share = uniform("lambda", 0.0, 1.0)
    # What internal edges lose, the edge of every tip below gains; beyond 1 a tip's may come to nothing, and no further.
    length = jnp.where(edge.is_tip, edge.length + (1 - share) * edge.start, share * edge.length)
    return Gaussian(scale=1, shift=0, variance=sigma2 * jnp.maximum(length, 0))
