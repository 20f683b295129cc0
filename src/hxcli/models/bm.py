"""Brownian motion: changes add up, as much in every unit of length (Felsenstein 1973, Am. J. Hum. Genet. 25:471)."""

from hxcli.model import Gaussian, log_normal

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    return Gaussian(scale=1, shift=0, variance=sigma2 * edge.length)
