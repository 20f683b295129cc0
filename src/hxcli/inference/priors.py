"""Prior distributions of a rate or a variance, written as `lognormal(-3.4,2)`. Needs no jax."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hxcli.errors import OptionError

_LOG_2PI = math.log(2 * math.pi)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
# Beyond these a scale and its square leave the range of a double.
_SMALLEST, _LARGEST = 1e-150, 1e150


@dataclass(frozen=True)
class Prior:
    """A distribution over positive numbers.

    Attributes:
        form: A key of `FORMS`.
        numbers: What stands in its brackets, in the user's units.
        log_unit: Log of the user's unit in the unit of computation: 1 of the user's is `exp(log_unit)` here.
    """

    form: str
    numbers: tuple[float, ...]
    log_unit: float = 0.0

    def __str__(self) -> str:
        return f"{self.form}({','.join(f'{number:.15g}' for number in self.numbers)})"

    @property
    def bounded(self) -> bool:
        """Whether there is a largest possible value."""
        return self.form == "uniform"

    def in_unit(self, log_unit: float) -> Prior:
        """The same distribution of values that are divided by a unit, given as its log, before they are used."""
        return replace(self, log_unit=-log_unit)

    def log_density(self, log_value: Any, xp: Any = np) -> Any:
        """Log density of the value's logarithm; -inf where the value is impossible.

        It is the density of the value times the value (the Jacobian of the logarithm). A density over a logarithm
        does not depend on the unit: another unit only moves it.

        Args:
            log_value: Logs of values in the unit of computation, any shape.
            xp: numpy, or jax.numpy while tracing.
        """
        return FORMS[self.form].log_density(xp, log_value - self.log_unit, *self.numbers)

    def coordinate(self, w: Any, xp: Any = np) -> Coordinate:
        """The value at a point w of the real line: its log, or, between bounds, the logistic curve."""
        if not self.bounded:
            return Coordinate(w, 0 * w)
        low, high = self.numbers
        log_share = -xp.logaddexp(0 * w, -w)
        log_width = math.log(high - low)
        log_value = log_width + log_share
        if low > 0:
            log_value = xp.logaddexp(0 * w + math.log(low), log_value)
        slope = log_width + log_share - xp.logaddexp(0 * w, w) - log_value
        return Coordinate(log_value + self.log_unit, slope)

    @property
    def width(self) -> float:
        """Length of the range of the coordinate where the density of the logarithm is within e^2 of its top."""
        points = np.linspace(*self.start(), 401)
        densities = self.log_density(self.coordinate(points).log_value)
        return float((densities > densities.max() - 2).sum() * (points[1] - points[0]))

    def start(self) -> tuple[float, float]:
        """A range of the coordinate that holds most of the distribution."""
        low, high = FORMS[self.form].start(*self.numbers)
        shift = 0.0 if self.bounded else self.log_unit
        return low + shift, high + shift


def parse_normal(text: str) -> tuple[float, float]:
    """Mean and standard deviation of `normal(mean,sd)`, the prior of a mean.

    Raises:
        OptionError: Another form, or numbers that make no distribution.
    """
    found = re.fullmatch(rf"\s*normal\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)\s*", text)
    mean, sd = (float(found[1]), float(found[2])) if found else (math.nan, math.nan)
    if not (math.isfinite(mean) and _SMALLEST < sd < _LARGEST):
        raise OptionError(f"{text!r} is no prior of a mean (write normal(MEAN,SD), such as normal(0,10))")
    return mean, sd


class Coordinate(NamedTuple):
    """A value whose logarithm is a function of a real number.

    Attributes:
        log_value: Its natural log.
        log_slope: Log of the derivative of `log_value`.
    """

    log_value: Any
    log_slope: Any


class Form(NamedTuple):
    """One family of distributions.

    Attributes:
        names: What its numbers are, in the order in which they are written.
        log_density: `(xp, log of the value, *numbers)` -> log density of that log.
        start: `(*numbers)` -> range of the log (of the coordinate, between bounds) with most of the mass.
        complaint: `(*numbers)` -> what is wrong with them, "" for nothing.
    """

    names: tuple[str, ...]
    log_density: Callable[..., Any]
    start: Callable[..., tuple[float, float]]
    complaint: Callable[..., str]


def parse_prior(text: str) -> Prior:
    """Reads `lognormal(m,s)`, `halfnormal(s)`, `halfcauchy(s)`, `exponential(mean)`, `invgamma(a,b)` or
    `uniform(low,high)`.

    Raises:
        OptionError: Another form, another number of numbers, or numbers that make no distribution.
    """
    found = re.fullmatch(rf"\s*([a-z]+)\s*\(\s*({_NUMBER}(?:\s*,\s*{_NUMBER})*)\s*\)\s*", text)
    if found is None or found[1] not in FORMS:
        raise OptionError(f"{text!r} is not a prior (write {forms_in_words()})")
    form, numbers = FORMS[found[1]], tuple(float(number) for number in found[2].split(","))
    written = f"{found[1]}({','.join(form.names)})"
    if len(numbers) != len(form.names):
        raise OptionError(f"{text!r} has {len(numbers)} number{'s' * (len(numbers) > 1)} (write {written})")
    if wrong := form.complaint(*numbers):
        raise OptionError(f"{text!r}: {wrong} ({written})")
    return Prior(found[1], numbers)


def forms_in_words() -> str:
    """`lognormal(m,s), halfnormal(s), ... or uniform(low,high)`."""
    written = [f"{name}({','.join(form.names)})" for name, form in FORMS.items()]
    return f"{', '.join(written[:-1])} or {written[-1]}"


def default_prior(log_centre: float) -> Prior:
    """A lognormal around a guess that allows a factor of 50 either way (95 %), with numbers as short as they print."""
    return Prior("lognormal", (float(f"{log_centre:.4g}"), 2.0))


def _lognormal(xp: Any, x: Any, m: float, s: float) -> Any:
    return -(((x - m) / s) ** 2) / 2 - math.log(s) - _LOG_2PI / 2


def _halfnormal(xp: Any, x: Any, s: float) -> Any:
    z = x - math.log(s)
    return z - xp.exp(xp.minimum(2 * z, 300.0)) / 2 + math.log(2) - _LOG_2PI / 2


def _halfcauchy(xp: Any, x: Any, s: float) -> Any:
    z = x - math.log(s)
    return z - xp.logaddexp(0 * z, 2 * z) + math.log(2 / math.pi)


def _exponential(xp: Any, x: Any, mean: float) -> Any:
    z = x - math.log(mean)
    return z - xp.exp(xp.minimum(z, 300.0))


def _invgamma(xp: Any, x: Any, a: float, b: float) -> Any:
    z = math.log(b) - x
    return a * z - xp.exp(xp.minimum(z, 300.0)) - math.lgamma(a)


def _uniform(xp: Any, x: Any, low: float, high: float) -> Any:
    inside = (x <= math.log(high)) & (x >= (math.log(low) if low else -math.inf))
    return xp.where(inside, x - math.log(high - low), -math.inf)


def _positive(*numbers: float) -> str:
    return "" if all(_SMALLEST < n < _LARGEST for n in numbers) else "every number must be above 0, none out of range"


def _sound_lognormal(m: float, s: float) -> str:
    if not abs(m) < math.log(_LARGEST):
        return "m is the mean of the logarithm, which is out of range"
    return "" if 1e-6 <= s <= 20 else "s is the standard deviation of the logarithm: between 1e-6 and 20"


def _sound_bounds(low: float, high: float) -> str:
    if not (0 <= low < high and high > _SMALLEST):
        return "the bounds must be 0 or more, and rising"
    return "" if high < _LARGEST else f"the bounds must be below {_LARGEST:g}"


def _around(centre: float, below: float, above: float) -> tuple[float, float]:
    return centre - below, centre + above


FORMS = {
    "lognormal": Form(("m", "s"), _lognormal, lambda m, s: _around(m, 5 * s, 5 * s), _sound_lognormal),
    "halfnormal": Form(("s",), _halfnormal, lambda s: _around(math.log(s), 10, 2), _positive),
    "halfcauchy": Form(("s",), _halfcauchy, lambda s: _around(math.log(s), 10, 10), _positive),
    "exponential": Form(("mean",), _exponential, lambda mean: _around(math.log(mean), 10, 3.3), _positive),
    "invgamma": Form(
        ("a", "b"),
        _invgamma,
        # Below b / 1000 there is nothing; a long way above b the observations end it where the prior hardly does.
        lambda a, b: _around(
            math.log(b / a), min(2 + 5 / a**0.5, 7 + abs(math.log(a))), min(2 + 5 / a**0.5 + 10 / a, 100)
        ),
        _positive,
    ),
    "uniform": Form(("low", "high"), _uniform, lambda low, high: (-12.0, 12.0), _sound_bounds),
}
