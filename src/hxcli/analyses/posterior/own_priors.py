"""The priors in a user's model file, as what a posterior is asked that integrates over one rate and all means."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from hxcli.analyses.posterior.declared_question import TAU2
from hxcli.analyses.posterior.question import Options
from hxcli.errors import InputError
from hxcli.model import Declaration
from hxcli.models.bound_model import BoundModel, Coordinate
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.gaussian_model import OFFSET, GaussianModel

# How much of a prior may lie beyond the ends of its parameter's support.
_BEYOND = 1e-3


def fits_plane(model: GaussianModel, fields: EdgeFields, options: Options) -> bool:
    """Whether the priors of a file are those that a posterior of one rate, means and shape parameters takes.

    Args:
        model: Of a file that returns a `Gaussian`.
        fields: The tree's edges.
        options: What the user wants.
    """
    try:
        bound = model.on(fields)
    except InputError:
        # It may ask for figures of the trait; if it is wrong, it is so for every trait.
        return False
    if model.by_edge:
        return False
    means = [name for name in bound.unknowns if name != OFFSET]
    one_rate = len(bound.rates) == 1 and model.noise is None and TAU2 not in bound.declarations
    if not one_rate or not means or any(name in options.held for name in (*means, *bound.rates)):
        return False
    rate = bound.declarations[bound.rates[0].partition("(")[0]]
    if options.sigma2 is None and options.prior_sigma2 is None and rate.family:
        low, high = (float(np.min(end)) for end in rate.support)
        if rate.family != "log_normal" or low > 0 or high < math.inf:
            return False
    if len(means) > 1 and options.root != "flat root":
        return False
    if not all(_is_normal(bound.declarations[name]) for name, _ in bound.layout if name in bound.declarations):
        return False
    if not all(_as_normal(options.priors[name]) for name in means if name in options.priors):
        return False
    free = [each for each in bound.coordinates if each.name not in options.held]
    if len(free) > 1 and options.sigma2 is None and options.prior_sigma2 is None:
        # Which would be sampled too.
        return False
    return all(_fits(bound.declarations[each.parameter], each, options.priors.get(each.name)) for each in free)


def with_rate_prior(bound: BoundModel, options: Options) -> Options:
    """The options with the prior of the file's rate, unless the options give another.

    Args:
        bound: A model that fits.
        options: What the user wants.
    """
    rate = bound.declarations[bound.rates[0].partition("(")[0]]
    if options.sigma2 is None and options.prior_sigma2 is None and rate.family:
        median, sd = (float(rate.numbers[key]) for key in ("median", "sd"))
        return dataclasses.replace(options, prior_sigma2=f"lognormal({math.log(median):.15g},{sd:.15g})")
    return options


def normal_priors(bound: BoundModel) -> dict[str, tuple[float, float]]:
    """Unknown of the mean -> mean and standard deviation of its normal prior; inf for a flat one.

    Raises:
        InputError: Another prior, or one with ends.
    """
    found: dict[str, tuple[float, float]] = {}
    names = iter(bound.unknowns)
    for name, shape in bound.layout:
        mean, count = bound.declarations.get(name), math.prod(shape)
        entries = [next(names) for _ in range(count)]
        if mean is None or not mean.family:
            found |= dict.fromkeys(entries, (0.0, math.inf))
            continue
        if not _is_normal(mean):
            raise mean.site.error(
                f"the prior of the mean {mean.name!r} is {mean.prior}, or has ends",
                "write normal without ends, or param for a flat one",
            )
        numbers = (np.broadcast_to(np.asarray(mean.numbers[key], float), shape).ravel() for key in ("mean", "sd"))
        found |= dict(zip(entries, zip(*(each.tolist() for each in numbers), strict=True), strict=True))
    found.pop(OFFSET, None)
    return found


def _is_normal(declared: Declaration) -> bool:
    """Whether a prior is normal or flat over all numbers."""
    return declared.family in ("", "normal") and declared.low is None and declared.high is None


def _as_normal(text: str) -> bool:
    return text.strip().startswith("normal")


def _fits(declared: Declaration, coordinate: Coordinate, given: str | None) -> bool:
    """Whether a shape parameter's prior is of positive numbers, or log_normal or flat and within its support."""
    from scipy.special import ndtr

    if given is not None:
        return coordinate.low >= 0 and not _as_normal(given)
    if declared.family != "log_normal":
        return declared.family != "normal" and math.isfinite(coordinate.high - coordinate.low)
    if any(map(np.ndim, declared.numbers.values())):
        return False
    median, sd = (float(declared.numbers[key]) for key in ("median", "sd"))
    with np.errstate(divide="ignore"):
        ends = (np.log([coordinate.low, coordinate.high]) - math.log(median)) / sd
    return bool(ndtr(ends[0]) + ndtr(-ends[1]) < _BEYOND)
