"""Priors of a model's parameters over coordinates without bounds, whatever their family and support."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from hxcli.inference.priors import Prior
from hxcli.model import Declaration
from hxcli.phylogeny import FloatArray

_LOG_2PI = math.log(2 * math.pi)
# A range of a unit normal variable with all but 6e-7 of its mass.
_REACH = 5.0


class ParameterPrior(Protocol):
    """The prior of one parameter.

    Attributes:
        text: In words.
        flat: Whether it has no integral.
    """

    @property
    def text(self) -> str: ...

    @property
    def flat(self) -> bool: ...

    def value(self, w: Any) -> Any:
        """The parameter at points w of the real line; rises, and takes numpy's and traced arrays."""

    def log_density(self, w: Any) -> Any:
        """Log density per unit of w."""

    def size(self, w: FloatArray) -> FloatArray:
        """What grows as the logarithm of the parameter, where that is large (or, of a positive one, small)."""

    def start(self) -> tuple[float, float]:
        """A range of w that holds most of the prior."""


@dataclass(frozen=True, eq=False)
class DeclaredPrior:
    """The prior of a declaration in a model: w is the unit normal variable underneath."""

    declared: Declaration
    text: str
    flat = False

    def value(self, w: Any) -> Any:
        return self.declared.from_unit(w)

    def log_density(self, w: Any) -> Any:
        return -(w**2) / 2 - _LOG_2PI / 2

    def size(self, w: FloatArray) -> FloatArray:
        values = np.asarray(self.value(w), float)
        if self.declared.support[0] >= 0:
            return np.asarray(np.log(np.maximum(values, 1e-300)))
        middle, beside = (float(self.value(at)) for at in (0.0, 1.0))
        return np.asarray(np.arcsinh((values - middle) / (beside - middle)))

    def start(self) -> tuple[float, float]:
        return -_REACH, _REACH


@dataclass(frozen=True, eq=False)
class PositivePrior:
    """A prior over positive numbers, as a user writes it."""

    prior: Prior
    flat = False

    @property
    def text(self) -> str:
        return str(self.prior)

    def value(self, w: Any) -> Any:
        xp = jnp if not isinstance(w, np.ndarray) else np
        return xp.exp(self.prior.coordinate(w, xp).log_value)

    def log_density(self, w: Any) -> Any:
        xp = jnp if not isinstance(w, np.ndarray) else np
        at = self.prior.coordinate(w, xp)
        return self.prior.log_density(at.log_value, xp) + at.log_slope

    def size(self, w: FloatArray) -> FloatArray:
        return np.asarray(self.prior.coordinate(w).log_value)

    def start(self) -> tuple[float, float]:
        return self.prior.start()


@dataclass(frozen=True, eq=False)
class FlatPrior:
    """A density of 1 over the whole line, which has no integral.

    Attributes:
        centre, spread: Where values usually are, and how far apart.
    """

    centre: float
    spread: float
    text = "flat"
    flat = True

    def value(self, w: Any) -> Any:
        return self.centre + self.spread * w

    def log_density(self, w: Any) -> Any:
        return 0.0 * w + math.log(self.spread)

    def size(self, w: FloatArray) -> FloatArray:
        return np.asarray(np.arcsinh(w))

    def start(self) -> tuple[float, float]:
        return -_REACH, _REACH
