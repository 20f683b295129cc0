"""A walk between cells by squares of its matrix: exp(t Q) for all edges, without a negative number.

As `grid_transition`, of which this is the twin on the host: in steps of one mean jump, a time is a whole number of
steps and a rest. The rest is uniformisation (Jensen 1953), the whole number its binary digits, for which
exp(2^j step Q) is made once by squaring. Everything is a sum of products of positive numbers, so that small chances
keep their digits where eigenvectors lose them. Slopes go the same way backwards.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_levels import RateSlopes

# Terms after which the Poisson weights of a mean of 1 are below rounding.
_TERMS = 18
# Digits: after 2^50 steps every walk of a thousand cells has forgotten its start.
_MOST_DIGITS = 50
# Change of a square that is rounding.
_SAME = 1e-15
# Chances below it are none: numbers that the processor must treat apart slow it down.
_NOTHING = 1e-290


class SquaredEdges:
    """Edges under a walk; as `grid_levels.Edges` wants them.

    Attributes:
        least: Below it a chance counts as this.
        time: (N,) lengths.
    """

    least = 1e-300

    def __init__(self, up: FloatArray, down: FloatArray, lost: FloatArray, time: FloatArray) -> None:
        """Prepares exp(t Q) of N edges.

        Args:
            up, down: (k,) rates to the next and to the previous cell.
            lost: (k,) rate of leaving altogether.
            time: (N,) the edges' lengths.
        """
        self._walk = up, down, lost
        out = up + down + lost
        self._rate = max(float(out.max()), 1e-290)
        self._jumps = 1 - out / self._rate, up / self._rate, down / self._rate
        self._last(time)
        digits = int(self._whole.max(initial=0)).bit_length()
        self._identity = np.eye(len(up))
        self._powers: list[FloatArray] = []
        for _ in range(digits):
            power = self._powers[-1] @ self._powers[-1] if self._powers else self._first()
            power[power < _NOTHING] = 0.0
            if not lost.any():
                # Else every square doubles what rounding took from the sums.
                power /= power.sum(1, keepdims=True)
            if self._powers and abs(power - self._powers[-1]).max() <= _SAME * power.max():
                break
            self._powers.append(power)
        # Squares that no longer change are one.
        self._place = np.minimum(np.arange(digits), len(self._powers) - 1)

    def lasting(self, time: FloatArray) -> SquaredEdges:
        """The same walk along M other edges.

        Args:
            time: (M,) their lengths, none above the longest of those that the walk was prepared for.
        """
        found = copy(self)
        found._last(time)
        return found

    def copies(self, edge: int, count: int) -> SquaredEdges:
        """So many edges that are all as this one is."""
        return self.lasting(np.full(count, self.time[edge]))

    def _last(self, time: FloatArray) -> None:
        self.time = time
        steps = np.minimum(time * self._rate, 2.0**_MOST_DIGITS - 1)
        self._whole = np.floor(steps).astype(np.int64)
        self._mean: FloatArray = steps - np.floor(steps)

    def _first(self) -> FloatArray:
        return np.ascontiguousarray(self._rest(self._identity, np.ones(len(self._identity))).T)

    def backwards(self, edges: slice, ended: FloatArray) -> FloatArray:
        """(n, k) likelihoods at the starts of edges from those at their ends."""
        found = self._rest(ended, self._mean[edges])
        for digit, place in enumerate(self._place):
            on = np.flatnonzero(self._whole[edges] >> digit & 1)
            if len(on):
                found[on] = found[on] @ self._powers[place].T
        return found

    def forwards(self, edges: slice, begun: FloatArray) -> FloatArray:
        """(n, k) weights of the cells at the ends of edges from those at their starts."""
        found = self._rest(begun, self._mean[edges], turned=True)
        for digit, place in enumerate(self._place):
            on = np.flatnonzero(self._whole[edges] >> digit & 1)
            if len(on):
                found[on] = found[on] @ self._powers[place]
        return found

    def doubt(self, below: FloatArray, outside: FloatArray, total: FloatArray) -> float:
        """None: see the module."""
        del below, outside, total
        return 0.0

    def slopes(self, below: FloatArray, over: FloatArray, outside: FloatArray, total: FloatArray) -> RateSlopes:
        """Slopes by rates and lengths of the log likelihood, after both sweeps.

        Args:
            below, over: (N, k) likelihoods at the ends and at the starts of edges.
            outside: (N, k) weights of the cells at their starts.
            total: (N,) likelihood, by every edge.
        """
        ended, pull = below, outside / total[:, None]
        by_time = np.einsum("nk,nk->n", pull, self._walked(over))
        whole, mean = self._whole, self._mean
        # What each digit is given; the cotangents of the powers, from the last digit to the first.
        given, current = [], self._rest(ended, mean)
        for digit, place in enumerate(self._place):
            on = np.flatnonzero(whole >> digit & 1)
            given.append((on, current[on]))
            current[on] = current[on] @ self._powers[place].T
        by_power = [np.zeros_like(self._identity) for _ in self._powers]
        for digit in range(len(self._place) - 1, -1, -1):
            place = self._place[digit]
            on, before = given[digit]
            if len(on):
                by_power[place] += pull[on].T @ before
                pull[on] = pull[on] @ self._powers[place]
            if digit and self._place[digit - 1] < place:
                # A square of the one before.
                former = self._powers[place - 1]
                by_power[place - 1] += by_power[place] @ former.T + former.T @ by_power[place]
        by_jumps = self._rest_slopes(ended, mean, pull)
        if by_power:
            first = self._rest_slopes(self._identity, np.ones(len(self._identity)), np.ascontiguousarray(by_power[0].T))
            by_jumps = tuple(one + other for one, other in zip(by_jumps, first, strict=True))
        stay, up, down = (each / self._rate for each in by_jumps)
        return RateSlopes(up - stay, down - stay, -stay, by_time)

    def _walked(self, values: FloatArray) -> FloatArray:
        """(N, k) rows of Q values."""
        up, down, lost = self._walk
        found = -(up + down + lost) * values
        found[:, :-1] += up[:-1] * values[:, 1:]
        found[:, 1:] += down[1:] * values[:, :-1]
        return found

    def _jumped(self, values: FloatArray, turned: bool) -> FloatArray:
        stay, up, down = self._jumps
        found = stay * values
        if turned:
            found[:, 1:] += up[:-1] * values[:, :-1]
            found[:, :-1] += down[1:] * values[:, 1:]
        else:
            found[:, :-1] += up[:-1] * values[:, 1:]
            found[:, 1:] += down[1:] * values[:, :-1]
        return found

    def _weights(self, mean: FloatArray) -> FloatArray:
        """(terms + 1, n, 1) Poisson weights."""
        factors = mean / np.arange(1.0, _TERMS + 1)[:, None]
        return (np.exp(-mean) * np.concatenate([np.ones((1, len(mean))), np.cumprod(factors, 0)]))[:, :, None]

    def _rest(self, values: FloatArray, mean: FloatArray, *, turned: bool = False) -> FloatArray:
        """(n, k) exp(mean (J - 1)) of rows for means of at most 1, J the matrix of jumps, or its transpose."""
        weights = self._weights(mean)
        found, jumped = weights[0] * values, values
        for weight in weights[1:]:
            jumped = self._jumped(jumped, turned)
            found += weight * jumped
        return found

    def _rest_slopes(self, values: FloatArray, mean: FloatArray, pull: FloatArray) -> tuple[FloatArray, ...]:
        """(k,) each: slopes by the chances to stay, go up and down of the sum of pull' exp(mean (J - 1)) values."""
        weights = self._weights(mean)
        jumped = [values]
        for _ in range(_TERMS - 1):
            jumped.append(self._jumped(jumped[-1], turned=False))
        stay, up, down = np.zeros((3, values.shape[1]))
        back = np.zeros_like(pull)
        for number in range(_TERMS, 0, -1):
            back = weights[number] * pull + (self._jumped(back, turned=True) if number < _TERMS else 0.0)
            before = jumped[number - 1]
            stay += np.einsum("nk,nk->k", back, before)
            up[:-1] += np.einsum("nk,nk->k", back[:, :-1], before[:, 1:])
            down[1:] += np.einsum("nk,nk->k", back[:, 1:], before[:, :-1])
        return stay, up, down
