"""Pagel's kappa: edge lengths to a power; at 0 every split counts the same (Pagel 1999, Nature 401:877)."""

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal, uniform

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length^kappa")
    kappa = uniform("kappa", 0.0, 10.0, start=1.0)
    long = edge.length > 0
    length = jnp.where(long, jnp.where(long, edge.length, 1) ** kappa, 0)
    return Gaussian(scale=1, shift=0, variance=sigma2 * length)
