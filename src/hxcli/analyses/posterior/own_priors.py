"""The priors in a user's model file, as what a posterior is asked."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from hxcli.analyses.posterior.question import Options
from hxcli.errors import InputError
from hxcli.model import Declaration
from hxcli.models.bound_model import BoundModel, Coordinate
from hxcli.models.gaussian_model import line_of

# How much of a prior may lie beyond the ends of its parameter's support.
_BEYOND = 1e-3


def own_priors(bound: BoundModel, options: Options) -> Options:
    """The options with the prior of the file's rate, unless the options give another.

    Args:
        bound: The model.
        options: What the user wants.

    Raises:
        InputError: A file whose variances are not all multiplied by one rate, that has errors of its own, or a
            prior that posteriors do not take.
    """
    model = bound.model
    if model.noise is not None:
        raise InputError(
            "noise(tip) is not in posteriors, which have one observation variance",
            "take noise out; tau2 and its prior stand for it",
            file=model.source,
            line=line_of(model.noise),
        )
    if len(bound.rates) != 1:
        raise InputError(
            f"posteriors integrate over one rate of all variances, and RATES names {len(bound.rates)} here",
            'name it, as in RATES = ("sigma2",)',
            file=model.source,
        )
    rate = bound.declarations[bound.rates[0].partition("(")[0]]
    if options.sigma2 is None and options.prior_sigma2 is None and rate.family:
        low, high = (float(np.min(end)) for end in rate.support)
        if rate.family != "log_normal" or low > 0 or high < math.inf:
            raise rate.site.error(
                f"the prior of the rate {rate.name!r} is {rate.prior} over {low:.6g} to {high:.6g}",
                "write log_normal without ends, or give --prior-sigma2",
            )
        median, sd = (float(rate.numbers[key]) for key in ("median", "sd"))
        options = dataclasses.replace(options, prior_sigma2=f"lognormal({math.log(median):.15g},{sd:.15g})")
    return options


def own_mean_priors(bound: BoundModel) -> dict[str, tuple[float, float]]:
    """Mean -> mean and standard deviation of its normal prior, of those in a user's file that have one.

    Raises:
        InputError: Another prior, or one with ends.
    """
    found: dict[str, tuple[float, float]] = {}
    names = iter(bound.unknowns)
    for name, shape in bound.layout:
        mean, count = bound.declarations.get(name), math.prod(shape)
        entries = [next(names) for _ in range(count)]
        if mean is None or not mean.family:
            continue
        if mean.family != "normal" or mean.low is not None or mean.high is not None:
            raise mean.site.error(
                f"the prior of the mean {mean.name!r} is {mean.prior}, or has ends",
                "write normal without ends, or param for a flat one",
            )
        numbers = (np.broadcast_to(np.asarray(mean.numbers[key], float), shape).ravel() for key in ("mean", "sd"))
        found |= dict(zip(entries, zip(*(each.tolist() for each in numbers), strict=True), strict=True))
    return found


def prior_fits(declared: Declaration, coordinate: Coordinate) -> bool:
    """Whether a shape parameter's prior is log_normal or flat and lies within its support."""
    from scipy.special import ndtr

    if declared.family != "log_normal":
        return declared.family != "normal" and math.isfinite(coordinate.high - coordinate.low)
    median, sd = (float(declared.numbers[key]) for key in ("median", "sd"))
    with np.errstate(divide="ignore"):
        ends = (np.log([coordinate.low, coordinate.high]) - math.log(median)) / sd
    return bool(ndtr(ends[0]) + ndtr(-ends[1]) < _BEYOND)
