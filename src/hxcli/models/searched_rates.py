"""A user's own model of states as a search has it, which moves its parameters as it moves rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.models.bound_model import Coordinate
from hxcli.models.file_rates import FileRates
from hxcli.phylogeny import FloatArray

# How far from the start a parameter without an end is searched: logarithms, or multiples of the start.
_REACH = 25.0


class SearchedRates:
    """A model of S states with P parameters, each as a number between two that rates have as well.

    The logarithms of the two are what the ends of its support are mapped to, or what is far from where the search
    begins.

    Attributes:
        file: The model in the parameters' own units.
        held: (P,) what a search has of parameters that are given; nan for free ones.
    """

    def __init__(self, file: FileRates, low: float, high: float, given: Mapping[str, float]) -> None:
        """Finds what a search has.

        Args:
            file: The model.
            low, high: The two numbers.
            given: Name -> value of parameters that are not searched for.

        Raises:
            OptionError: A parameter that the file does not declare, or outside its support.
        """
        self.file, self._logs = file, (math.log(low), math.log(high))
        values = file.held(given)
        self._exact = {int(place): float(values[place]) for place in np.flatnonzero(~np.isnan(values))}
        self.held: FloatArray = np.where(np.isnan(values), np.nan, 1.0)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.file.name

    @property
    def states(self) -> tuple[str, ...]:
        """(S,) names."""
        return self.file.states

    @property
    def observed(self) -> NDArray[np.intp]:
        """(S,) numbers of the states."""
        return self.file.observed

    @property
    def count(self) -> int:
        """P."""
        return self.file.count

    @property
    def transitions(self) -> list[tuple[str, int]]:
        """Name and place of every parameter: what tables list."""
        return self.file.transitions

    @property
    def usual(self) -> FloatArray:
        """(P,) what a search has where it begins."""
        return self.placed(np.array([each.start for each in self.file.coordinates]))

    def placed(self, values: FloatArray) -> FloatArray:
        """(P,) what a search has where the parameters are `values`."""
        logs = [self._log_of(each, value) for each, value in zip(self.file.coordinates, values, strict=True)]
        return np.exp(logs)

    def reported(self, place: int, rate: float) -> float:
        """A parameter's own value, from what a search has."""
        if place in self._exact:
            return self._exact[place] if np.isfinite(rate) else rate
        return float(self._natural(np.full((1, self.count), rate))[0][0, place])

    def rates(self, values: FloatArray) -> FloatArray:
        """(K, S, S) rate matrices where a search has `values`, (K, P), or (K, N, S, S) if by edge."""
        return self.file.rates(self._natural(values)[0])

    def slopes(self, by_rates: FloatArray, values: FloatArray) -> FloatArray:
        """(K, P) derivatives by what a search has from those by every cell, of the rates' shape."""
        natural, slopes = self._natural(values)
        return self.file.slopes(by_rates, natural) * slopes

    def _natural(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(K, P) the parameters' own values, and their derivatives by what a search has."""
        found, slopes = np.empty(values.shape), np.zeros(values.shape)
        for place, each in enumerate(self.file.coordinates):
            if place in self._exact:
                found[:, place] = self._exact[place]
                continue
            low, high = _search_ends(each)
            wide = (high - low) / (self._logs[1] - self._logs[0])
            moved = low + (np.log(values[:, place]) - self._logs[0]) * wide
            found[:, place] = each.from_search(np.clip(moved, low, high))
            slopes[:, place] = wide * (found[:, place] if each.log else 1.0) / values[:, place]
        return found, slopes

    def _log_of(self, each: Coordinate, value: Any) -> float:
        """The logarithm of what a search has of a parameter at a value."""
        low, high = _search_ends(each)
        share = (float(each.to_search(value)) - low) / (high - low) if high > low else 0.0
        return self._logs[0] + share * (self._logs[1] - self._logs[0])


def _search_ends(each: Coordinate) -> tuple[float, float]:
    """Between what a search moves: the ends of the support, far from the start where there is none."""
    start = float(each.to_search(each.start))
    reach = _REACH * (1.0 if each.log else max(1.0, abs(start)))
    low, high = float(each.to_search(each.low)), float(each.to_search(each.high))
    return low if np.isfinite(low) else start - reach, high if np.isfinite(high) else start + reach
