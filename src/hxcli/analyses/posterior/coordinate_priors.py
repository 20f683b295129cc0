"""The prior of one number of a model's parameters: what its file declares, or what a user gives in its place."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from hxcli.errors import OptionError
from hxcli.inference.parameter_priors import DeclaredPrior, FlatPrior, ParameterPrior, PositivePrior
from hxcli.inference.priors import parse_normal, parse_prior
from hxcli.model import Declaration
from hxcli.models.bound_model import Coordinate

# So many standard deviations off, an end of a prior cuts off less than a millionth.
_FAR = 4.9


def coordinate_prior(
    coordinate: Coordinate, declared: Declaration, given: str | None, spread: float | None = None
) -> ParameterPrior:
    """The prior of one number.

    Args:
        coordinate: The number.
        declared: The parameter that it is an entry of.
        given: A prior in words that a user gives, in place of the declared one; None for none.
        spread: How far apart values without a prior are; None for as far as the start is from 0.

    Raises:
        InputError: It has no prior and one end only.
        OptionError: The given prior is none, or its support does not allow it.
    """
    if given is not None:
        return _written_prior(coordinate, given)
    own = _entry(declared, coordinate.entry)
    low, high = coordinate.low, coordinate.high
    finite = math.isfinite(low), math.isfinite(high)
    if own.family:
        return DeclaredPrior(own, own.prior + _ends_that_matter(own))
    if all(finite):
        return DeclaredPrior(own, f"uniform({low:.6g},{high:.6g})")
    if any(finite):
        raise own.site.error(
            f"the parameter {own.name!r} has no prior and one end only, which no posterior has an integral of",
            f"write log_normal, uniform or normal, or give --prior '{coordinate.name}=PRIOR'",
        )
    return FlatPrior(coordinate.start, max(spread or 0.0, abs(coordinate.start)) or 1.0)


def _entry(declared: Declaration, entry: int) -> Declaration:
    """One number of a parameter as a parameter of its own."""

    def scalar(value: Any) -> Any:
        return None if value is None else float(np.broadcast_to(value, declared.shape).reshape(-1)[entry])

    numbers = {name: scalar(value) for name, value in (declared.numbers or {}).items()}
    low, high = (scalar(end) for end in (declared.low, declared.high))
    return dataclasses.replace(declared, shape=(), numbers=numbers, low=low, high=high, start=scalar(declared.start))


def _written_prior(coordinate: Coordinate, text: str) -> ParameterPrior:
    """A prior that a user gives in place of the model's.

    Raises:
        OptionError: One that the parameter's support does not allow.
    """
    name, low, high = coordinate.name, coordinate.low, coordinate.high
    if text.strip().startswith("normal"):
        mean, sd = parse_normal(text)
        below, above = (end if math.isfinite(end) else None for end in (low, high))
        numbers = {"mean": mean, "sd": sd}
        declared = Declaration(name, "param", (), float, "normal", numbers, below, above)
        return DeclaredPrior(declared, f"normal({mean:.15g},{sd:.15g}){_ends_in_words(low, high)}")
    if low < 0:
        raise OptionError(f"--prior {name}: its values may be negative (write normal(MEAN,SD))")
    prior = parse_prior(text)
    if prior.bounded and not (low <= prior.numbers[0] and prior.numbers[1] <= high):
        raise OptionError(f"--prior {name}={text}: outside its support, {low:.6g} to {high:.6g}")
    return PositivePrior(prior)


def _ends_that_matter(declared: Declaration) -> str:
    """The ends of a prior in words, where they cut off any of it."""
    if declared.family == "uniform":
        return ""
    centre, sd = declared.numbers["median" if declared.family == "log_normal" else "mean"], declared.numbers["sd"]
    ends = []
    for end in declared.support:
        if declared.family == "log_normal":
            away = abs(math.log(end / centre)) / sd if 0 < end < math.inf else math.inf
        else:
            away = abs(end - centre) / sd
        ends.append(end if away < _FAR else math.copysign(math.inf, end - centre))
    return _ends_in_words(*ends)


def _ends_in_words(low: float, high: float) -> str:
    """` from 1 to 2`, ` from 1 on`, ` up to 2`, or nothing."""
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:.6g} to {high:.6g}"
    if math.isfinite(low):
        return f" from {low:.6g} on"
    return f" up to {high:.6g}" if math.isfinite(high) else ""
