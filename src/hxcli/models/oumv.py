"""Ornstein-Uhlenbeck process with an optimum and a rate for every regime (Beaulieu et al. 2012, Evolution 66:2369)."""

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal, param
from hxcli.models.ou import grown, pull
from hxcli.models.oum import free_root, root

RATES = ("sigma2",)
MEANS = ("theta", "root")
ROOTS = {"theta": root, "free": free_root}


def model(edge):
    alpha = pull(edge.tree_height)
    sigma2 = log_normal("sigma2", median=1, sd=2, shape=edge.regime.shape, unit="trait^2/length") @ edge.regime
    theta = param(edge.regime.shape, name="theta", unit="trait")
    scale = jnp.exp(-alpha * edge.length)
    shift = theta @ edge.regime * -jnp.expm1(-alpha * edge.length)
    return Gaussian(scale, shift, sigma2 * grown(alpha, edge.length))
