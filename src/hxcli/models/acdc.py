"""Accelerating or decelerating: a rate that changes exponentially (Blomberg et al. 2003, Evolution 57:717)."""

import math

from hxcli.model import Gaussian, log_normal, uniform
from hxcli.models.eb import accelerated

RATES = ("sigma2",)


def model(edge):
    sigma2 = log_normal("sigma2", median=1, sd=2, unit="trait^2/length")
    fastest = math.log(1e5) / edge.tree_height
    rate_change = uniform("rate_change", -fastest, fastest, unit="1/length")
    return Gaussian(scale=1, shift=0, variance=sigma2 * accelerated(rate_change, edge))
