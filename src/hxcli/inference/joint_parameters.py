"""Covariances of traits together as points of a space without bounds: where an optimiser or a sampler moves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hxcli.inference.joint_problem import JointProblem
from hxcli.phylogeny import FloatArray

# Of alpha times the height of the tree.
_ALPHA = (1e-6, 1e3)


class JointParameters(NamedTuple):
    """What is to be found for traits together, in units of computation.

    Attributes:
        rate: (D, D) covariance of the traits per unit of length.
        within: (D, D) covariance within species; None without one.
        shape: The shape parameter; 0 where there is none.
    """

    rate: FloatArray
    within: FloatArray | None = None
    shape: float = 0.0


class CholeskyCoordinates:
    """Symmetric positive definite matrices as factors relative to one of them, scaled for an optimiser.

    With R = L T T' L', L the factor of the reference, the coordinates are sqrt(2 n) log T_ii and sqrt(n) T_ij: at the
    reference the information of n complete observations is then the identity (as of a Wishart matrix).

    Args:
        reference: (D, D).
        number: n.
    """

    def __init__(self, reference: FloatArray, number: float) -> None:
        self._factor = np.linalg.cholesky(reference)
        self._lower = np.tril_indices(len(reference))
        self._own = self._lower[0] == self._lower[1]
        self._scales = np.sqrt(np.where(self._own, 2, 1) * max(number, 1.0))
        self.size = len(self._own)
        self._entries = np.zeros((self.size, *reference.shape))
        self._entries[np.arange(self.size), *self._lower] = 1.0

    def matrix(self, place: FloatArray) -> FloatArray:
        """The matrix at a place (P,)."""
        root = self._factor @ self._relative(place)
        return root @ root.T

    def factor(self, place: Any, xp: Any = np) -> Any:
        """(D, D) lower triangular, whose product with its transpose is the matrix at a place (P,).

        Args:
            place: (P,).
            xp: numpy, or jax.numpy while tracing.
        """
        scaled = place / self._scales
        return self._factor @ xp.tensordot(
            xp.where(self._own, xp.exp(xp.clip(scaled, -30, 30)), scaled), self._entries, 1
        )

    def log_volume(self, place: Any) -> Any:
        """Log of how much of the space of matrices a unit of places takes, up to a constant."""
        size = len(self._factor)
        # Of T T' by T the product of T_ii^(D - i + 1), and of T_ii by its log once more (Muirhead 1982, 2.1.9).
        powers = np.where(self._own, size - self._lower[0] + 1, 0)
        return (place / self._scales) @ powers

    def gradient(self, place: FloatArray, derivative: FloatArray) -> FloatArray:
        """(P,) derivatives by the place, from the symmetric (D, D) ones by the matrix."""
        relative = self._relative(place)
        found = (2 * self._factor.T @ derivative @ self._factor @ relative)[self._lower]
        return np.where(self._own, found * relative[self._lower], found) / self._scales

    def _relative(self, place: FloatArray) -> FloatArray:
        relative = np.zeros_like(self._factor)
        scaled = place / self._scales
        relative[self._lower] = np.where(self._own, np.exp(np.clip(scaled, -30, 30)), scaled)
        return relative


class CorrelationCoordinates:
    """Matrices by the Fisher transform of one correlation, and what is left: logs of scales, and a factor's rows.

    With the two traits first, R = L L' and L's second row is s (tanh z, sech z): the first coordinate is z, so that a
    correlation is held by holding one coordinate.

    Args:
        reference: (D, D), where off-diagonal rows have their scale from.
        pair: Numbers of the two traits.
    """

    def __init__(self, reference: FloatArray, pair: tuple[int, int]) -> None:
        size = len(reference)
        self._order = np.array([*pair, *(i for i in range(size) if i not in pair)])
        rows, columns = np.tril_indices(size)
        later = rows >= 2
        self._rows, self._columns = rows[later], columns[later]
        factor = np.linalg.cholesky(reference[np.ix_(self._order, self._order)])
        self._scales = np.sqrt((factor**2).sum(1))[self._rows]
        self._own = self._rows == self._columns
        entries = factor[self._rows, self._columns] / self._scales
        first = np.log(factor[0, 0]), np.log(np.hypot(factor[1, 0], factor[1, 1]))
        z = np.arctanh(factor[1, 0] / np.hypot(factor[1, 0], factor[1, 1]))
        self.reference = np.array([z, *first, *np.where(self._own, np.log(np.abs(entries)), entries)])
        self.size = len(self.reference)

    def matrix(self, place: FloatArray) -> FloatArray:
        """The matrix at a place (P,)."""
        factor = self._factor(place)
        found = np.empty_like(factor)
        found[np.ix_(self._order, self._order)] = factor @ factor.T
        return found

    def gradient(self, place: FloatArray, derivative: FloatArray) -> FloatArray:
        """(P,) derivatives by the place, from the symmetric (D, D) ones by the matrix."""
        factor = self._factor(place)
        by_factor = 2 * derivative[np.ix_(self._order, self._order)] @ factor
        tanh, sech, scale = np.tanh(place[0]), 1 / np.cosh(place[0]), np.exp(place[2])
        by_z = scale * sech * (by_factor[1, 0] * sech - by_factor[1, 1] * tanh)
        by_first = by_factor[0, 0] * factor[0, 0], by_factor[1, 0] * factor[1, 0] + by_factor[1, 1] * factor[1, 1]
        entries = by_factor[self._rows, self._columns]
        own = factor[self._rows, self._columns]
        return np.array([by_z, *by_first, *(entries * np.where(self._own, own, self._scales))])

    def _factor(self, place: FloatArray) -> FloatArray:
        size = len(self._order)
        factor = np.zeros((size, size))
        factor[0, 0] = np.exp(place[1])
        factor[1, :2] = np.exp(place[2]) * np.tanh(place[0]), np.exp(place[2]) / np.cosh(place[0])
        entries = np.where(self._own, np.exp(np.clip(place[3:], -50, 50)), place[3:])
        factor[self._rows, self._columns] = entries * self._scales
        return factor


class JointCoordinates:
    """All parameters of a problem as one vector: the rate's coordinates, those within species, the shape's.

    Args:
        problem: What is to be fitted.
        rate: Coordinates of the rate.
        reference: Where the others have their scale from.
    """

    def __init__(
        self, problem: JointProblem, rate: CholeskyCoordinates | CorrelationCoordinates, reference: JointParameters
    ) -> None:
        self._problem, self._rate = problem, rate
        self._within = None
        if reference.within is not None:
            self._within = CholeskyCoordinates(reference.within, float(len(problem.observations.nodes)))
        self._shaped = problem.model != "bm"
        # A step of one is about one standard deviation where the shape parameter is well known.
        self._shape_scale = np.sqrt(float(problem.cells.max()))
        self.start = np.zeros(self.size)
        if isinstance(rate, CorrelationCoordinates):
            self.start[: rate.size] = rate.reference
        if self._shaped:
            self.start[-1] = self._from_shape(reference.shape)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self._rate.size + (0 if self._within is None else self._within.size) + int(self._shaped)

    @property
    def bounds(self) -> list[tuple[float | None, float | None]]:
        """Of every coordinate."""
        shape = [(0.0, 1.0)] if self._problem.model == "lambda" else [_ALPHA] if self._shaped else []
        ends: list[tuple[float | None, float | None]] = [(None, None)] * (self.size - len(shape))
        return ends + [tuple(self._from_shape(x / self._shape_unit) for x in end) for end in shape]  # type: ignore[misc]

    @property
    def _shape_unit(self) -> float:
        return self._problem.height if self._problem.model == "ou" else 1.0

    def _from_shape(self, shape: float) -> float:
        return self._shape_scale * (float(np.log(shape)) if self._problem.model == "ou" else shape)

    def shape_slope(self, shape: float) -> float:
        """Derivative of the last coordinate by the logarithm of the shape parameter."""
        return float(self._shape_scale * (1.0 if self._problem.model == "ou" else shape))

    def parameters(self, place: FloatArray) -> JointParameters:
        """The parameters at a place (P,)."""
        first = self._rate.size
        within = None
        if self._within is not None:
            within = self._within.matrix(place[first : first + self._within.size])
        shape = 0.0
        if self._shaped:
            scaled = float(place[-1]) / self._shape_scale
            shape = float(np.exp(scaled)) if self._problem.model == "ou" else min(max(scaled, 0.0), 1.0)
        return JointParameters(self._rate.matrix(place[:first]), within, shape)

    def value_and_gradient(self, place: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood at a place (P,), and its derivatives."""
        at = self.parameters(place)
        found = self._problem.evaluate(*at)
        first = self._rate.size
        parts = [self._rate.gradient(place[:first], found.rate)]
        if self._within is not None:
            parts.append(self._within.gradient(place[first : first + self._within.size], found.within))
        if self._shaped:
            slope = found.shape * (at.shape if self._problem.model == "ou" else 1.0)
            parts.append(np.array([slope / self._shape_scale]))
        return found.log_likelihood, np.concatenate(parts)
