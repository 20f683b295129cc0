"""The likelihood of rates of discrete states as a function of their logarithms, with the prior of the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.models.rate_patterns import RatePattern
from hxcli.models.searched_rates import SearchedRates
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.likelihood import StateTree, log_likelihood_slopes
from hxcli.prebuilt.discrete.transitions import stationary

# Stands for minus the logarithm of 0, with which a search cannot go on.
_IMPOSSIBLE = 1e300

RootKind = Literal["flat", "stationary", "fitzjohn", "given"]
# A model of S states with P rates, or with P other parameters, which a search moves as if they were rates.
RateModel = RatePattern | SearchedRates


@dataclass(frozen=True, eq=False)
class RootPrior:
    """What is believed of the root's state before anything is seen; it enters once.

    Attributes:
        kind: `flat`, `stationary` (the distribution that the rates keep), `fitzjohn` (in proportion to the root's
            likelihood; FitzJohn et al. 2009, Syst. Biol. 58:595) or `given`.
        shares: (S,) for `given`.
    """

    kind: RootKind
    shares: FloatArray | None = None

    def columns(self, rates: FloatArray) -> FloatArray | None:
        """(K, S) priors for K rate matrices; None where the likelihood makes it."""
        count, states = len(rates), rates.shape[-1]
        if self.kind == "fitzjohn":
            return None
        if self.kind == "stationary":
            return np.stack([stationary(matrix) for matrix in rates])
        shares = np.full(states, 1 / states) if self.shares is None else self.shares
        return np.broadcast_to(shares, (count, states)).copy()

    def slopes(self, rates: FloatArray, shares: FloatArray | None, by_root: FloatArray) -> FloatArray:
        """(K, S, S) what the root's prior adds to the derivatives by the rates, from those by the prior, (K, S)."""
        if self.kind != "stationary" or shares is None:
            return np.zeros_like(rates)
        # A change dQ moves the stationary p by p dQ (1 p - Q)^-1 (Meyer 1975, SIAM Rev. 17:443).
        moved = shares[:, None, :] - rates
        try:
            inverse = np.linalg.inv(moved)
        except np.linalg.LinAlgError:
            # Several distributions are kept, and which one the rates go to is not defined.
            inverse = np.linalg.pinv(moved)
        return shares[:, :, None] * np.einsum("kij,kj->ki", inverse, by_root)[:, None, :]


@dataclass(frozen=True, eq=False)
class Objective:
    """The log likelihood as a function of the logarithms of the free rates.

    Attributes:
        tree: What was seen.
        pattern: The model, P rates.
        root: Prior of the root.
        held: (P,) rates that are given; nan for free ones.
    """

    tree: StateTree
    pattern: RateModel
    root: RootPrior
    held: FloatArray

    @property
    def free(self) -> Any:
        """Places of the free rates, F of them."""
        return np.flatnonzero(np.isnan(self.held))

    def values(self, x: FloatArray) -> FloatArray:
        """(K, P) rates at K places x, (K, F)."""
        values = np.broadcast_to(self.held, (len(x), len(self.held))).copy()
        values[:, self.free] = np.exp(x)
        return values

    def heights(self, x: FloatArray) -> FloatArray:
        """(K,) log likelihoods; -inf where what was seen is impossible."""
        # By the program for gradients: compiling another one takes longer than they do.
        heights = -self(x)[0]
        return np.where(heights <= -_IMPOSSIBLE, -np.inf, heights)

    def __call__(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log likelihoods (K,) and their gradients (K, F)."""
        values = self.values(x)
        depths, slopes = depths_and_slopes(self.tree, self.pattern, self.root, values)
        return depths, (slopes * values)[:, self.free]


class Moved(Protocol):
    """What a likelihood asks of a model: its rates at K sets of P numbers, and their derivatives."""

    def rates(self, values: FloatArray) -> FloatArray: ...

    def slopes(self, by_rates: FloatArray, values: FloatArray) -> FloatArray: ...


def depths_and_slopes(
    tree: StateTree, model: Moved, root: RootPrior, values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Minus the log likelihoods (K,) at K sets of numbers, (K, P), and their derivatives by these, (K, P).

    A very large number and 0 where what was seen is impossible, or a file's function gives what are no rates: a search
    turns back there.
    """
    rates, bad = sound_rates(model.rates(values))
    shares = root.columns(rates)
    found = log_likelihood_slopes(tree, rates, shares)
    by_values = model.slopes(found.by_rates + root.slopes(rates, shares, found.by_root), values)
    wrong = ~np.isfinite(found.log_likelihood) | bad
    return np.where(wrong, _IMPOSSIBLE, -found.log_likelihood), np.where(wrong[:, None], 0.0, -by_values)


def sound_rates(rates: FloatArray) -> tuple[FloatArray, BoolArray]:
    """The matrices with some that are rates in place of those that are not, and which these are, (K,).

    Rates are finite, and not negative off the diagonal.
    """
    size = rates.shape[-1]
    off = np.where(np.eye(size, dtype=bool), 0.0, rates)
    bad = ~(np.isfinite(rates) & (off >= 0)).reshape(len(rates), -1).all(1)
    found = rates.copy()
    found[bad] = np.ones(size) - size * np.eye(size)
    return found, np.asarray(bad)
