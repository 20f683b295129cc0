"""Brownian motion with a trend: the mean moves with the distance from the root (Hunt 2006, Paleobiology 32:578)."""

from hxcli.model import Gaussian, log_normal, param

RATES = ("sigma2",)
MEANS = ("root", "slope")


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    slope = param("slope", unit="trait/length")
    return Gaussian(scale=1, shift=slope * edge.length, variance=sigma2 * edge.length)


def root(tree):
    """The root is a parameter."""
    return Gaussian(mean=param("root", unit="trait"), variance=0)
