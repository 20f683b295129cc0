"""Brownian motion between two reflecting bounds (Boucher and Demery 2016, Systematic Biology 65:651)."""

from hxcli.model import Sde, fixed, log_normal


def model(edge):
    usual = edge.trait_sd**2 / edge.tree_height
    sigma2 = log_normal("sigma2", median=usual, sd=2, low=1e-6 * usual, high=1e6 * usual, unit="trait^2/length")
    # The likeliest bounds are the extremes of the observed values themselves.
    low, high = fixed("low", edge.trait_low, unit="trait"), fixed("high", edge.trait_high, unit="trait")
    return Sde(0.0, sigma2**0.5, low=low, high=high)
