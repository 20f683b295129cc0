"""Draws of the rates of discrete states, or of the parameters of a file that returns them.

Hidden classes that are alike before anything is seen are told apart by their speed in every draw, the slowest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.inference.state_density import RateDensity
from hxcli.models.rate_patterns import RatePattern
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.edge_likelihood import MOST_CHANGES, TracedSlopes, edge_matrices, power_products

# Rates in units of the fastest at the top that a compiled program is made for, in binary digits of the longest edge.
_ROOM, _REST, _MOST_DIGITS = 2.0**12, 1 / 16, 40


@dataclass(frozen=True, eq=False)
class SampledRates:
    """The free rates or parameters as `parameter_chains` samples them.

    Attributes:
        density: Of F free ones.
        exchangeable: Whether hidden classes are alike before anything is seen.
    """

    density: RateDensity
    exchangeable: bool

    @property
    def names(self) -> list[str]:
        """Of the free ones."""
        return self.density.names

    @property
    def starts(self) -> list[tuple[float, float]]:
        """F ranges of the coordinates that hold most of the priors."""
        return self.density.starts

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log posterior densities of K places (K, F)."""
        return self.density(w)

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the same, (K,), and its gradients, (K, F)."""
        return self.density.depths(w)

    def values(self, w: FloatArray) -> FloatArray:
        """(K, P) all of them, given ones too, at K places."""
        values, pattern = self.density.values(w), self.density.pattern
        return by_speed(pattern, values) if self.exchangeable and isinstance(pattern, RatePattern) else values

    def reported(self, w: FloatArray) -> FloatArray:
        """(K, F) the free ones at K places."""
        return self.values(w)[:, self.density.free]

    def traced(self, top: FloatArray) -> Callable[[Any], Any]:
        """The log density of a place (F,), to be called while tracing; the place with the highest is known."""
        density, likelihood = self.density, _likelihood(self.density, top)
        held, free = jnp.asarray(density.held), density.free

        def log_density(w: Any) -> Any:
            own = [prior.value(w[place]) for place, prior in enumerate(density.priors)]
            total = sum(prior.log_density(w[place]) for place, prior in enumerate(density.priors))
            return total + likelihood(held.at[free].set(jnp.stack(own)))

        return log_density


def by_speed(pattern: RatePattern, values: FloatArray) -> FloatArray:
    """(K, P) the same draws with hidden classes in the order of the sums of their rates."""
    observed = len(set(pattern.observed.tolist()))
    classes = len(pattern.states) // observed
    rates = pattern.rates(values)
    blocks = rates.reshape(len(values), classes, observed, classes, observed)
    own = np.stack(
        [np.where(np.eye(observed, dtype=bool), 0, blocks[:, c, :, c]).sum((1, 2)) for c in range(classes)], 1
    )
    orders = np.argsort(own, axis=1, kind="stable")
    found = np.empty_like(values)
    for order in np.unique(orders, axis=0):
        states = (order[:, None] * observed + np.arange(observed)).ravel()
        moved = pattern.cells[np.ix_(states, states)]
        # The number of the rate that stands where each of the P rates is to stand.
        source = np.empty(pattern.count, np.intp)
        there = pattern.cells > 0
        source[pattern.cells[there] - 1] = moved[there] - 1
        chosen = (orders == order).all(1)
        found[chosen] = values[chosen][:, source]
    return found


def _likelihood(density: RateDensity, top: FloatArray) -> Callable[[Any], Any]:
    """The log likelihood of all rates or parameters, (P,), to be called while tracing; nan where there is none."""
    pattern, tree = density.pattern, density.tree
    length, states = tree.tree["length"], tree.states
    rates_at_top = pattern.rates(density.values(top[None]))[0]
    if rates_at_top.ndim == 3:
        # Beyond these rates halvings of the edges do not reach.
        slopes, fastest = TracedSlopes(tree.tree, tree.few, lambda rates: edge_matrices(rates, length)), MOST_CHANGES
        changes = length[:, None]
    else:
        at_top = float(-np.diagonal(rates_at_top).min()) * _ROOM
        digits = int(np.clip(math.ceil(math.log2(max(at_top * tree.longest / _REST, 2.0)) / 8) * 8, 8, _MOST_DIGITS))
        unit = tree.longest / (2.0**digits - 1)
        slopes = TracedSlopes(tree.tree, tree.few, lambda rates: power_products(rates, length, unit, digits))
        # Beyond these the program's binary digits do not.
        changes, fastest = unit, 1.0
    kind = density.root.kind
    shares = None if density.root.shares is None else jnp.asarray(density.root.shares)

    @jax.custom_vjp
    def of_rates(rates: Any, root: Any) -> Any:
        return forwards(rates, root)[0]

    def forwards(rates: Any, root: Any) -> Any:
        value, by_rates, by_root = slopes(rates, None if kind == "fitzjohn" else root)
        return value, (by_rates, by_root)

    of_rates.defvjp(forwards, lambda found, by_value: tuple(by_value * each for each in found))

    def log_likelihood(values: Any) -> Any:
        rates = pattern.traced(values)
        root = jnp.full(states, 1 / states) if shares is None else shares
        if kind == "stationary":
            # p Q = 0 and p 1 = 1, in one.
            root = jnp.linalg.solve((rates + 1).T, jnp.ones(states))
        leaving = -jnp.diagonal(rates, axis1=-2, axis2=-1)
        # No rates are below 0: a file's function may give such.
        lowest = jnp.where(jnp.eye(states, dtype=bool), 0.0, rates).min()
        wrong = ((leaving * changes).max() > fastest) | (lowest < 0)
        return jnp.where(wrong, jnp.nan, of_rates(rates, root))

    return log_likelihood
