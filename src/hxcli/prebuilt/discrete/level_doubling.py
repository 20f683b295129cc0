"""What any rate matrices do along the edges of a tree, in numpy: the sweeps' `Doubling`, with which nothing cancels.

exp(Q t) is a product of exp(Q unit 2^j) over the binary digits of t / unit, and a uniformised series for what is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.phylogeny import FloatArray

# Largest mean number of changes on what the binary digits of an edge length leave; terms of its series, at least.
_REST, _TERMS = 1 / 16, 10
# Numbers in all transition matrices up to which they are made once and kept.
_MOST_KEPT = 2**19
# Nodes whose derivatives are added up together.
_BLOCK = 4096


class DoubledEdges:
    """The `LevelEdges` of K rate matrices by powers of their exponentials.

    Args:
        rates: (K, S, S) with rows that sum to 0.
        lengths: (N,).
    """

    # A transition may be impossible.
    least = 0.0

    def __init__(self, rates: FloatArray, lengths: FloatArray) -> None:
        states = rates.shape[-1]
        longest = max(float(lengths.max(initial=0.0)), np.finfo(float).tiny)
        leaving = -np.diagonal(rates, axis1=1, axis2=2)
        fastest = float(leaving.max(initial=0.0)) or _REST / longest
        digits = max(0, int(np.ceil(np.log2(fastest * longest / _REST))))
        unit = longest / 2.0**digits
        count = np.floor(lengths / unit)
        self._terms = max(_TERMS, states)
        self._changes_of_unit = fastest * unit
        self._steps = np.maximum(rates / fastest + np.eye(states), 0)
        self._unit, self._step = unit, rates * unit
        self._rest = np.clip(lengths / unit - count, 0, 1)
        self._digits = [np.floor(count / 2.0**place) % 2 == 1 for place in range(digits + 1)]
        power = self._series(np.broadcast_to(np.eye(states), rates.shape), self._steps, np.ones(1))
        self._powers = []
        for _ in self._digits:
            # Rounding must not add up over the squarings.
            power = power / power.sum(2, keepdims=True)
            self._powers.append(power)
            power = power @ power
        self._kept = None
        if rates.size * len(lengths) <= _MOST_KEPT:
            units = np.broadcast_to(np.eye(states)[..., None], (*rates.shape, len(lengths)))
            self._kept = self._along(slice(None), units, turned=False)

    def said(self, nodes: Any, below: FloatArray) -> FloatArray:
        """(K, S, n) exp(Q t) times vectors (K, S, n)."""
        if self._kept is None:
            return self._along(nodes, below, turned=False)
        found: FloatArray = (self._kept[..., nodes] * below[:, None]).sum(2)
        return found

    def reached(self, nodes: Any, above: FloatArray) -> FloatArray:
        """(K, S, n) vectors (K, S, n) times exp(Q t)."""
        if self._kept is None:
            return self._along(nodes, above, turned=True)
        found: FloatArray = (self._kept[..., nodes] * above[:, :, None]).sum(1)
        return found

    def slopes(self, above: FloatArray, below: FloatArray) -> FloatArray:
        """(K, S, S) derivative by every cell, from what stands above and below all edges, (K, S, N)."""
        # By every power, and by Q of the series: for its term m the sums over edges of rest^m above below'.
        by_powers = [np.zeros(self._step.shape) for _ in self._powers]
        moments = [np.zeros(self._step.shape) for _ in range(self._terms + 1)]
        for first in range(0, above.shape[2], _BLOCK):
            nodes = slice(first, first + _BLOCK)
            self._add_up(nodes, above[..., nodes], below[..., nodes], by_powers, moments)
        whole = np.zeros(self._step.shape)
        for power, own in zip(reversed(self._powers), reversed(by_powers), strict=True):
            whole = own + power.swapaxes(1, 2) @ whole + whole @ power.swapaxes(1, 2)
        # The sum over m of 1 / m! times the sum over i < m of A^i M_m A^(m - 1 - i), from the last term on.
        turned = self._step.swapaxes(1, 2)
        series, total = np.zeros(self._step.shape), np.zeros(self._step.shape)
        for number in range(self._terms, 0, -1):
            series = moments[number] + whole + series @ turned / (number + 1)
            total = series + turned @ total / (number + 1)
        return total * self._unit

    def _add_up(self, nodes: slice, above: FloatArray, below: FloatArray, by_powers: Any, moments: Any) -> None:
        """Adds some edges to the derivatives by powers and to the moments."""
        rest = self._rest[nodes]
        held = [self._series(below, self._steps, rest)]
        for power, digit in zip(self._powers, self._digits, strict=True):
            held.append(np.where(digit[nodes], power @ held[-1], held[-1]))
        for place in range(len(self._powers) - 1, -1, -1):
            there = self._digits[place][nodes]
            by_powers[place] += np.where(there, above, 0) @ held[place].swapaxes(1, 2)
            above = np.where(there, self._powers[place].swapaxes(1, 2) @ above, above)
        for number in range(1, self._terms + 1):
            above = above * rest
            moments[number] += above @ below.swapaxes(1, 2)

    def _along(self, nodes: Any, vectors: FloatArray, turned: bool) -> FloatArray:
        """exp(Q t), or its transpose, times vectors (K, S, ..., n)."""

        def sided(matrix: FloatArray) -> FloatArray:
            return matrix.swapaxes(1, 2) if turned else matrix

        held = self._series(vectors, sided(self._steps), self._rest[nodes])
        for power, digit in zip(self._powers, self._digits, strict=True):
            held = np.where(digit[nodes], _times(sided(power), held), held)
        return held

    def _series(self, vectors: FloatArray, steps: FloatArray, rest: FloatArray) -> FloatArray:
        """exp(Q rest), or its transpose, times vectors (K, S, ..., n), of rests (n,) in units."""
        changes = self._changes_of_unit * rest
        total = vectors
        for number in range(self._terms, 0, -1):
            total = vectors + changes / number * _times(steps, total)
        return total * np.exp(-changes)


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """(K, S, ..., n) products of matrices (K, S, S) and vectors (K, S, ..., n)."""
    found: FloatArray = (matrices @ vectors.reshape(*vectors.shape[:2], -1)).reshape(vectors.shape)
    return found
