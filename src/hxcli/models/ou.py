"""Ornstein-Uhlenbeck process: a trait that is pulled to an optimum (Hansen 1997, Evolution 51:1341)."""

import math

import jax.numpy as jnp

from hxcli.model import Gaussian, log_normal, param

RATES = ("sigma2",)
MEANS = ("theta", "root")


def model(edge):
    height = edge.tree_height
    alpha = pull(height)
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    theta = param("theta", unit="trait")
    scale = jnp.exp(-alpha * edge.length)
    return Gaussian(scale, theta * -jnp.expm1(-alpha * edge.length), sigma2 * grown(alpha, edge.length))


def root(tree):
    """The root lies at the optimum."""
    return Gaussian(mean=param("theta", unit="trait"), variance=0)


def stationary_root(tree):
    """The root is drawn from the stationary distribution."""
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    return Gaussian(mean=param("theta", unit="trait"), variance=sigma2 / (2 * pull(tree.tree_height)))


def free_root(tree):
    """The root is a parameter of its own."""
    return Gaussian(mean=param("root", unit="trait"), variance=0)


ROOTS = {"theta": root, "stationary": stationary_root, "free": free_root}


def pull(height, shape=()):
    """The strength alpha of the pull; its half-life ln 2 / alpha is a priori around the height of the tree."""
    low, high = 1e-6 / height, 1000 / height
    return log_normal("alpha", median=math.log(2) / height, sd=2, low=low, high=high, shape=shape, unit="1/length")


def grown(alpha, length):
    """Variance after a length, at sigma2 = 1."""
    return -jnp.expm1(-2 * alpha * length) / (2 * alpha)
