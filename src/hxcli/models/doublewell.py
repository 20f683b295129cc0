"""Diffusion with two optima and a barrier between them (Boucher et al. 2018, Systematic Biology 67:304).

dx = alpha (z - z^3) h dt + sigma dW, z = (x - middle) / h and h = half_distance: the optima are middle - h and
middle + h, and near each the trait is pulled with the strength 2 alpha.
"""

import math

from hxcli.model import Sde, log_normal, normal


def model(edge):
    usual, height = edge.trait_sd**2 / edge.tree_height, edge.tree_height
    sigma2 = log_normal("sigma2", median=usual, sd=2, low=1e-4 * usual, high=1e4 * usual, unit="trait^2/length")
    alpha = log_normal(
        "alpha", median=math.log(2) / height, sd=2, low=1e-4 / height, high=1e3 / height, unit="1/length"
    )
    middle = normal("middle", mean=edge.trait_mean, sd=2 * edge.trait_sd, unit="trait")
    half = log_normal(
        "half_distance", edge.trait_sd, 1, low=1e-2 * edge.trait_sd, high=10 * edge.trait_sd, unit="trait"
    )

    def drift(x):
        z = (x - middle) / half
        return alpha * half * (z - z**3)

    return Sde(drift, sigma2**0.5)
