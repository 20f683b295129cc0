"""Brownian motion with a rate for every regime (O'Meara et al. 2006, Evolution 60:922; Thomas et al. 2006)."""

from hxcli.model import Gaussian, log_normal

RATES = ("sigma2",)


def model(edge):
    # `edge.regime` is 1 for the edge's regime and 0 for all others.
    sigma2 = log_normal("sigma2", median=1, sd=2, shape=edge.regime.shape, unit="trait^2/length")
    return Gaussian(scale=1, shift=0, variance=sigma2 @ edge.regime * edge.length)
