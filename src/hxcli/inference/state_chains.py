"""Draws of the rates of discrete states.

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
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.edge_likelihood import TracedSlopes

# Rates in units of the fastest at the top that a compiled program is made for, in binary digits of the longest edge.
_ROOM, _REST, _MOST_DIGITS = 2.0**12, 1 / 16, 40


@dataclass(frozen=True, eq=False)
class SampledRates:
    """The free rates as `parameter_chains` samples them.

    Attributes:
        density: Of F free rates.
        exchangeable: Whether hidden classes are alike before anything is seen.
    """

    density: RateDensity
    exchangeable: bool

    @property
    def names(self) -> list[str]:
        """Of the free rates."""
        labels = self.density.pattern.labels
        return [labels[place] for place in self.density.free]

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
        """(K, P) all rates, given ones too, at K places."""
        values = self.density.values(w)
        return by_speed(self.density, values) if self.exchangeable else values

    def reported(self, w: FloatArray) -> FloatArray:
        """(K, F) the free rates at K places."""
        return self.values(w)[:, self.density.free]

    def traced(self, top: FloatArray) -> Callable[[Any], Any]:
        """The log density of a place (F,), to be called while tracing; the place with the highest is known."""
        density, likelihood = self.density, _likelihood(self.density, top)

        def log_density(w: Any) -> Any:
            total, logs = 0.0, []
            for place, prior in enumerate(density.priors):
                at = prior.coordinate(w[place], jnp)
                total = total + prior.log_density(at.log_value, jnp) + at.log_slope
                logs.append(at.log_value)
            return total + likelihood(jnp.stack(logs))

        return log_density


def by_speed(density: RateDensity, values: FloatArray) -> FloatArray:
    """(K, P) the same draws with hidden classes in the order of the sums of their rates."""
    pattern = density.pattern
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
    """The log likelihood of the logarithms of the free rates, to be called while tracing."""
    pattern, tree = density.pattern, density.tree
    fastest = float(-np.diagonal(pattern.rates(density.values(top[None]))[0]).min()) * _ROOM
    digits = int(np.clip(math.ceil(math.log2(max(fastest * tree.longest / _REST, 2.0)) / 8) * 8, 8, _MOST_DIGITS))
    unit = tree.longest / (2.0**digits - 1)
    slopes = TracedSlopes(tree.tree, tree.few, unit, digits)
    cells, held, free = jnp.asarray(pattern.cells), jnp.asarray(density.held), density.free
    kind = density.root.kind
    shares = None if density.root.shares is None else jnp.asarray(density.root.shares)

    @jax.custom_vjp
    def of_rates(rates: Any, root: Any) -> Any:
        return forwards(rates, root)[0]

    def forwards(rates: Any, root: Any) -> Any:
        value, by_rates, by_root = slopes(rates, None if kind == "fitzjohn" else root)
        return value, (by_rates, by_root)

    of_rates.defvjp(forwards, lambda found, by_value: tuple(by_value * each for each in found))

    def log_likelihood(x: Any) -> Any:
        values = held.at[free].set(jnp.exp(x))
        off = jnp.concatenate([jnp.zeros(1), values])[cells]
        rates = off - jnp.diag(off.sum(1))
        root = jnp.full(tree.states, 1 / tree.states) if shares is None else shares
        if kind == "stationary":
            # p Q = 0 and p 1 = 1, in one.
            root = jnp.linalg.solve((rates + 1).T, jnp.ones(tree.states))
        # Beyond these rates the program's binary digits do not reach.
        far = off.sum(1).max() * unit > 1.0
        return jnp.where(far, jnp.nan, of_rates(rates, root))

    return log_likelihood
