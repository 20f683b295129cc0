"""Units in which every trait is centred and of order one and so are the edges: what single precision can hold."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.errors import ModelError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """One unit for every trait and one for the edges.

    Scales are powers of two and locations have few digits, so that going there and back changes no value of
    ordinary size.

    Attributes:
        traits: (D,) names, for messages.
        location, scale: (D,) a value x is `(x - location) / scale` in these units.
        length: An edge length t is `t / length`.
    """

    traits: tuple[str, ...]
    location: FloatArray
    scale: FloatArray
    length: float

    def observations(self, given: Observations) -> Observations:
        """The observations in these units."""
        values = (given.values - self.location) / self.scale
        return dataclasses.replace(given, values=values, standard_errors=given.standard_errors / self.scale)

    def variance(self, given: Any, name: str) -> FloatArray:
        """(D,) a variance, trait^2, in these units.

        Raises:
            ModelError: It is out of all proportion to the values.
        """
        with np.errstate(over="ignore", under="ignore"):
            return self._fitting(given / self.scale / self.scale, given, name)

    def state(self, given: float, name: str) -> FloatArray:
        """(D,) a state, in the trait's own unit, in these units.

        Raises:
            ModelError: It is out of all proportion to the values.
        """
        with np.errstate(over="ignore", under="ignore"):
            found = (given - self.location) / self.scale
        self._refuse_unfitting(~(np.abs(found) < _room()), given, name)
        return found

    def rate(self, given: float, name: str) -> FloatArray:
        """(D,) a rate, trait^2 per unit of length, in these units.

        Raises:
            ModelError: It is out of all proportion to the values and edge lengths.
        """
        with np.errstate(over="ignore", under="ignore"):
            return self._fitting(given / self.scale * self.length / self.scale, given, name)

    def states(self, means: FloatArray, deviations: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both (N, D): means and standard deviations in the traits' own units.

        Raises:
            ModelError: A figure is beyond double precision.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            means, deviations = means * self.scale + self.location, deviations * self.scale
            self.refuse_beyond(np.isinf(means).any(0) | np.isinf(deviations * 10).any(0))
        return means, deviations

    def rates(self, found: FloatArray) -> FloatArray:
        """(D,) rates in the traits' own units.

        Raises:
            ModelError: A figure is beyond double precision.
        """
        with np.errstate(over="ignore", under="ignore"):
            rates = found * self.scale / self.length * self.scale
        self.refuse_beyond(np.isinf(rates) | ((found > 0) & (rates == 0)))
        return rates

    def log_likelihoods(self, found: FloatArray, densities: FloatArray) -> FloatArray:
        """(D,) log densities of the traits themselves, given how many one-dimensional densities each is made of."""
        return found - densities * np.log(self.scale)

    def refuse_extreme(self) -> None:
        """Raises where the square of a trait's unit is no double, so that no rate is.

        Raises:
            ModelError: Names the trait.
        """
        with np.errstate(over="ignore", under="ignore"):
            squares = self.scale * self.scale
        self.refuse_beyond(~((squares >= np.finfo(float).tiny) & (squares < np.inf)))

    def _fitting(self, values: FloatArray, given: float, name: str) -> FloatArray:
        room = _room()
        wrong = (values != 0) & ~((values > 1 / room) & (values < room)) | ((values == 0) & (given != 0))
        self._refuse_unfitting(wrong, given, name)
        return values

    def _refuse_unfitting(self, wrong: Any, given: float, name: str) -> None:
        if wrong.any():
            trait = self.traits[int(np.argmax(wrong))]
            raise ModelError(f"{name} {given:g} is out of all proportion to trait {trait!r} (check its unit)")

    def refuse_beyond(self, wrong: Any) -> None:
        """Raises for the first of the (D,) traits of which a figure is beyond double precision.

        Raises:
            ModelError: Names the trait.
        """
        if wrong.any():
            trait = self.traits[int(np.argmax(wrong))]
            raise ModelError(
                f"trait {trait!r}: the results are beyond the range of double precision (give the trait or the edge "
                "lengths in another unit)"
            )


def _room() -> float:
    """What can be squared in the precision of the computation."""
    return float(jnp.finfo(jnp.result_type(float)).max) ** 0.5


def units_of(phylogeny: Phylogeny, observations: Observations) -> Units:
    """The units in which the observed values reach from -1 to 1 and the longest edge is of order one.

    Raises:
        ModelError: Edge lengths that no unit fits.
    """
    count = len(observations.traits)
    location, scale = location_and_scale(observations.values)
    return Units(observations.traits, location.reshape(count), scale, length_unit(phylogeny))


def location_and_scale(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(D,) a number near the mean of every column, of few digits, and a power of two of the size of its range.

    Where all values of a column are equal, the number is that value.

    Args:
        values: (M, D), nan where there is none.
    """
    there = ~np.isnan(values)
    known = np.where(there, values, 0.0)
    lowest = np.where(there, values, np.inf).min(0, initial=np.inf)
    highest = np.where(there, values, -np.inf).max(0, initial=-np.inf)
    empty = lowest > highest
    lowest, highest = np.where(empty, 0.0, lowest), np.where(empty, 0.0, highest)
    # Halved before they are subtracted or added, because their sum may be beyond the largest double.
    scale = power_of_two(2 * np.maximum(highest / 4 - lowest / 4, 0))
    number = np.maximum(there.sum(0), 1)
    mean = (known / number).sum(0)
    digit = scale / 1024
    location = np.where(np.abs(mean / digit) < 2**52, np.round(mean / digit) * digit, mean)
    # Equal values are 0 then, and no rounding is taken for a difference.
    return np.where(lowest == highest, lowest, location), scale


def length_unit(phylogeny: Phylogeny) -> float:
    """The power of two that edge lengths are divided by, so that the longest is of order one.

    Raises:
        ModelError: An edge is so short beside the longest that in this unit the computation would take it for 0.
    """
    lengths = phylogeny.lengths
    unit = float(power_of_two(np.array([lengths.max(initial=0.0)]))[0])
    lost = lost_lengths(lengths, unit)
    if lost.any():
        node = int(np.flatnonzero(lost)[0])
        name = f" above {phylogeny.labels[node]!r}" if phylogeny.labels[node] else ""
        raise ModelError(
            f"the edge lengths are too different in size: {lengths[node]:g}{name} would be lost beside "
            f"{lengths.max():g} (write 0 where there is no distance, or correct the lengths)"
        )
    return unit


def lost_lengths(lengths: FloatArray, unit: float) -> BoolArray:
    """(N,) which edge lengths are above 0 and so short in a unit that the computation would take them for 0."""
    # Processors take numbers near the smallest double for 0, and an edge is multiplied by a rate as well.
    return np.asarray((lengths > 0) & (lengths / unit < 1 / _room()))


def refuse_extreme_lengths(phylogeny: Phylogeny) -> None:
    """Raises where rates, which are per unit of length, or their squares would be no doubles.

    Raises:
        ModelError: Edge lengths that no unit fits, or a longest one that is too large or small by itself.
    """
    length_unit(phylogeny)
    longest = float(phylogeny.lengths.max(initial=0.0))
    if longest and not 1 / _room() < longest < _room():
        raise ModelError(
            f"the edge lengths are beyond the range of the computation: the longest is {longest:g} (give them in "
            "another unit)"
        )


def power_of_two(values: FloatArray) -> FloatArray:
    """For every value a power of two of its size; 1 for 0."""
    positive = np.where(values > 0, values, 1.0)
    return np.ldexp(1.0, np.clip(np.frexp(positive)[1], -1020, 1020))
