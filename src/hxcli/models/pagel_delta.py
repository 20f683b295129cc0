"""Pagel's delta: depths to a power; above 1 the changes are late (Pagel 1999, Nature 401:877)."""

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    delta = log_normal("delta", median=1, sd=2, low=1e-3, high=100.0)
    height = edge.tree_height
    deep, below_root = edge.end > 0, edge.start > 0
    # The difference of two powers as one product, which keeps the digits of short edges.
    end = jnp.where(deep, edge.end, 1)
    ratio = jnp.where(below_root, edge.length / end, 0)
    share = jnp.where(below_root, -jnp.expm1(delta * jnp.log1p(-ratio)), 1)
    length = jnp.where(deep & (edge.length > 0), height * (end / height) ** delta * share, 0)
    return Gaussian(scale=1, shift=0, variance=sigma2 * length)
