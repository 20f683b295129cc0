"""Geometric Brownian motion of a positive trait: dx = mu x dt + sigma x dW, on a logarithmic axis."""

from hxcli.model import Sde, fixed, log_normal


def model(edge):
    usual = (edge.trait_sd / edge.trait_mean) ** 2 / edge.tree_height
    sigma2 = log_normal("sigma2", median=usual, sd=2, low=1e-6 * usual, high=1e6 * usual, unit="1/length")
    # A growth that tips of one age cannot tell from the root: given, not searched for.
    mu = fixed("mu", 0.0, unit="1/length")
    return Sde(lambda x: mu * x, lambda x: sigma2**0.5 * x, axis="log")
