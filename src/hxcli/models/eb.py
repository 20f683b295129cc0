"""Early burst: a rate that falls exponentially with time (Harmon et al. 2010, Evolution 64:2385)."""

import math

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal, uniform

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    rate_change = uniform("rate_change", math.log(1e-5) / edge.tree_height, 0.0, unit="1/length")
    return Gaussian(scale=1, shift=0, variance=sigma2 * accelerated(rate_change, edge))


def accelerated(rate_change, edge):
    """The integral of e^(rate_change t) along the edge."""
    growth = rate_change * edge.length
    flat = jnp.abs(growth) < 1e-9
    share = jnp.where(flat, 1 + growth / 2, jnp.expm1(growth) / jnp.where(flat, 1, growth))
    return edge.length * jnp.exp(rate_change * edge.start) * share
