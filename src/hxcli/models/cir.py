"""Square-root diffusion of a positive trait around an optimum (Cox, Ingersoll and Ross 1985, Econometrica 53:385)."""

import math

import jax.numpy as jnp

from hxcli.model import Sde, log_normal


def model(edge):
    height, mean = edge.tree_height, edge.trait_mean
    usual = edge.trait_sd**2 / mean / height
    sigma2 = log_normal("sigma2", median=usual, sd=2, low=1e-4 * usual, high=1e4 * usual, unit="trait/length")
    alpha = log_normal(
        "alpha", median=math.log(2) / height, sd=2, low=1e-4 / height, high=1e3 / height, unit="1/length"
    )
    theta = log_normal("theta", median=mean, sd=1, low=1e-2 * mean, high=1e2 * mean, unit="trait")
    return Sde(lambda x: alpha * (theta - x), lambda x: jnp.sqrt(sigma2 * x), low=0.0, axis="sqrt")
