"""Figures that have profile likelihood intervals: parameters, and what is made of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.phylogeny import FloatArray


class Interval(NamedTuple):
    """Ends of an interval; nan for an end that the likelihood never reaches."""

    lower: float
    upper: float


class Quantity(NamedTuple):
    """A figure with an interval: an unknown of the mean, or `exp(weights . x + rate_power * log(first rate) + shift)`.

    Attributes:
        name: As it is reported.
        unknown: Number of the unknown among those solved for; -1 for a figure of the other kind.
        weights: (S,) of the coordinates as the search has them.
        rate_power: Of the first rate, where that is solved for.
        shift: A constant.
        plain: Whether it is `weights . x + shift` itself and not its exponential.
        mix: (P,) for an unknown: the figure is `mix . unknowns + shift` instead.
    """

    name: str
    unknown: int
    weights: FloatArray
    rate_power: float = 0.0
    shift: float = 0.0
    plain: bool = False
    mix: FloatArray | None = None

    def value(self, x: FloatArray, figures: ColumnFigures) -> float:
        """At one point of the search and its column."""
        if self.mix is not None:
            return float(figures.beta[0] @ self.mix) + self.shift
        if self.unknown >= 0:
            return float(figures.beta[0, self.unknown])
        if self.rate_power and not figures.rate[0] > 0:
            return float(figures.rate[0])
        return float(self.values(x[None], figures.rate[:1], figures.beta[:1])[0])

    def values(self, x: FloatArray, rate: FloatArray, beta: FloatArray) -> FloatArray:
        """(B,) at points of the search, (B, S), with first rates, (B,), and unknowns, (B, P)."""
        if self.unknown >= 0:
            return beta[:, self.unknown]
        log: FloatArray = x @ self.weights + self.shift
        if self.plain:
            return log
        with np.errstate(divide="ignore"):
            return np.exp(log + self.rate_power * np.log(rate) if self.rate_power else log)
