"""Ornstein-Uhlenbeck process with an optimum for every regime (Butler and King 2004, Am. Nat. 164:683)."""

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal, param
from hxcli.models.ou import grown, pull

RATES = ("sigma2",)
MEANS = ("theta", "root")


def model(edge):
    alpha = pull(edge.tree_height)
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    theta = param(edge.regime.shape, name="theta", unit="trait")
    scale = jnp.exp(-alpha * edge.length)
    shift = theta @ edge.regime * -jnp.expm1(-alpha * edge.length)
    return Gaussian(scale, shift, sigma2 * grown(alpha, edge.length))


def root(tree):
    """The root lies at the optimum of its regime."""
    return Gaussian(mean=param(tree.regime.shape, name="theta", unit="trait") @ tree.regime, variance=0)


def free_root(tree):
    """The root is a parameter of its own."""
    return Gaussian(mean=param("root", unit="trait"), variance=0)


ROOTS = {"theta": root, "free": free_root}
