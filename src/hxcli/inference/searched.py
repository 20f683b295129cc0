"""What a search for the most likely parameters, and for the ends of their intervals, asks of a likelihood."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.models.bound_model import Coordinate
from hxcli.phylogeny import FloatArray


class MovedCoordinates:
    """Where the coordinates of a search begin and end.

    Attributes:
        coordinates: What the search moves, S of them.
    """

    coordinates: tuple[Coordinate, ...]

    @property
    def start(self) -> FloatArray:
        """(S,) usual values, as the search has them."""
        return np.array([float(each.to_search(each.start)) for each in self.coordinates])

    @property
    def ends(self) -> FloatArray:
        """(S, 2) ends of the supports, as the search has them."""
        ends = [(float(each.to_search(each.low)), float(each.to_search(each.high))) for each in self.coordinates]
        return np.array(ends).reshape(-1, 2)


class Searched(Protocol):
    """A log likelihood of S coordinates, what enters linearly solved for at every point."""

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """What a search moves."""

    @property
    def profiled(self) -> bool:
        """Whether the first rate is solved for."""

    @property
    def start(self) -> FloatArray:
        """(S,) usual values, as the search has them."""

    @property
    def ends(self) -> FloatArray:
        """(S, 2) ends of the supports, as the search has them."""

    def at(self, x: FloatArray) -> ColumnFigures:
        """The likelihood at K points of the search, (K, S)."""

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood at one point, (S,), and its exact gradient."""

    def figures_and_slopes(self, x: FloatArray) -> tuple[ColumnFigures, ColumnFigures]:
        """One column at a point, (S,), and the exact derivatives, each with a last axis S."""
