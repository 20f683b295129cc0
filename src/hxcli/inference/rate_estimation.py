"""Estimating the Brownian rate sigma2 by restricted (REML) or plain (ML) maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hxcli.engine.tree import Tree
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.gaussian import likelihoods, log_density, log_marginal_flat, with_edges

# Decades searched for the rate below and above the rate of a model without observation error, and points a decade.
_DECADES_BELOW, _DECADES_ABOVE, _POINTS = 12, 1, 4
# Halvings of two grid steps: to the last bit of a double.
_HALVINGS = 55


def degrees_of_freedom(tree: Tree, restricted: bool) -> Any:
    """(D,) what the squared contrasts are divided by: observations, less one for the root when restricted.

    A root that an observation fixes exactly leaves one contrast fewer and nothing to subtract.
    """
    count, known = tree["count"][0], tree["known"][0]
    return count - (1 - known) if restricted else count


def rate_without_error(tree: Tree, restricted: bool) -> tuple[Any, Any]:
    """(D,) sigma2 and log likelihood from a tree swept up with unit rate and error-free observations.

    sigma2 is q / (n - 1) or q / n with q the sum of squared contrasts (Felsenstein 1985, Am. Nat. 125:1);
    nan where there are no degrees of freedom.
    """
    freedom = degrees_of_freedom(tree, restricted)
    quadratic, count, log_det = tree["quadratic"][0], tree["count"][0], tree["log_det"][0]
    sigma2 = jnp.where(freedom > 0, quadratic / jnp.maximum(freedom, 1), jnp.nan)
    soft = tree["known"][0] == 0
    width = jnp.where(soft & restricted, jnp.log(jnp.where(soft, tree["precision"][0], 1)), 0)
    size = freedom if restricted else count
    return sigma2, -(size * jnp.log(2 * np.pi * sigma2) + log_det + width + size) / 2


def same(values: Any) -> Any:
    """What one tree by itself needs for `at_roots` and `per_node`."""
    return values


def rate_with_error(
    tree: Tree,
    lengths: Any,
    start: Any,
    restricted: bool,
    at_roots: Callable[[Any], Any] = same,
    per_node: Callable[[Any], Any] = same,
) -> Any:
    """(D,) sigma2 when the observations have known errors.

    A grid of logarithmic steps finds the highest point, because the likelihood may have several; bisection of the
    derivative finishes. sigma2 is 0 where the likelihood still rises at the lower end.

    Args:
        tree: Before any sweep, with the tips' likelihoods.
        lengths: (N,) edge lengths.
        start: (D,) rate to search around, such as that of a model without observation error.
        restricted: REML or ML.
        at_roots: For B trees side by side: takes a swept tree to its fields with the B roots as one node; figures that
            are (D,) are then (B, D).
        per_node: Likewise: takes (B, D) rates to (N, D).
    """
    start = jnp.where(start > 0, start, 1)

    def height(log_rate: Any) -> Any:
        swept = likelihoods(with_edges(tree, brownian_edges(lengths, per_node(start * jnp.exp(log_rate)))))
        return log_likelihood_of(at_roots(swept), restricted)

    def step(i: Any, state: Any) -> Any:
        """One evaluation: of the next grid point first, of the middle of the bracket afterwards."""
        best, best_height, low, high = state
        scanning = i < len(grid)
        x = jnp.where(scanning, grid[jnp.minimum(i, len(grid) - 1)], (low + high) / 2)
        found, rising = jax.jvp(height, (x,), (jnp.ones_like(x),))
        better = scanning & (found > best_height)
        best, best_height = jnp.where(better, i, best), jnp.where(better, found, best_height)
        low = jnp.where(scanning, grid[jnp.maximum(best - 1, 0)], jnp.where(rising > 0, x, low))
        high = jnp.where(scanning, grid[jnp.minimum(best + 1, len(grid) - 1)], jnp.where(rising > 0, high, x))
        return best, best_height, low, high

    points = (_DECADES_BELOW + _DECADES_ABOVE) * _POINTS + 1
    grid = jnp.asarray(np.log(10) * np.linspace(-_DECADES_BELOW, _DECADES_ABOVE, points), start.dtype)
    nothing = (jnp.zeros(start.shape, jnp.int32), jnp.full_like(start, -jnp.inf), start * 0, start * 0)
    best, _, low, high = lax.fori_loop(0, points + _HALVINGS, step, nothing)
    return jnp.where(best == 0, 0, start * jnp.exp((low + high) / 2))


def log_likelihood_of(swept: Tree, restricted: bool) -> Any:
    """(D,) what REML or ML maximises, from a tree swept up at the rate."""
    return log_marginal_flat(swept) if restricted else log_density(swept)
