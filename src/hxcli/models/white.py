"""White noise: every tip by itself around one mean, whatever the tree (as in geiger; Harmon et al. 2008)."""

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2")
    return Gaussian(scale=1, shift=0, variance=jnp.where(edge.is_tip, sigma2, 0))
