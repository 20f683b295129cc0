"""Messages about states: what the tips at and below a node say about its state, and what all tips say.

Upwards, the pruning of Felsenstein (1981, J. Mol. Evol. 17:368): `partial`, (K, S), is proportional to the likelihood
of what is below given the node's state, its largest entry 1, and `log_scale`, (K,), the logarithm of the factor.
Downwards, `posterior` is the probability of every state given all tips: exact for rates of any kind, reversible or
not, because it goes from what the parent's state says and never turns an edge round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax.numpy as jnp

from hxcli.engine.sweep import Sweep, down, up
from hxcli.prebuilt.discrete.transitions import Transitions, back_over_edge, matrix_of, over_edge

# Children whose messages may be multiplied as they are: the largest entry of each is 1.
FEW_CHILDREN = 4
MESSAGE = ("partial", "log_scale")


@cache
def partials(edge: str = "length", few: bool = True) -> Sweep:
    """The sweep that gives every node with children its `partial` and `log_scale`; params: `Transitions`.

    Args:
        edge: The field of an edge: `length`, or `transition` for `Matrices`.
        few: Whether no node has more than `FEW_CHILDREN` children; else the messages are added as logarithms.
    """

    @up(reads=(), reads_children=(edge, *MESSAGE), writes=MESSAGE)
    def likelihoods_of_states(node: Any, children: Any, params: Transitions) -> dict[str, Any]:
        return _combined(children, lambda child: over_edge(params, child, child.partial), few)

    return likelihoods_of_states


@cache
def best_partials(edge: str = "length", few: bool = True) -> Sweep:
    """As `partials`, with the most probable states below in place of the sum over all (Pupko et al. 2000)."""

    @up(reads=(), reads_children=(edge, *MESSAGE), writes=MESSAGE)
    def likelihoods_of_best_states(node: Any, children: Any, params: Transitions) -> dict[str, Any]:
        def best(child: Any) -> Any:
            return (matrix_of(params, child) * child.partial[:, None, :]).max(-1)

        return _combined(children, best, few)

    return likelihoods_of_best_states


def _combined(children: Any, message: Callable[[Any], Any], few: bool) -> dict[str, Any]:
    """The product of all children's messages, its largest entry taken out."""
    log_scale = children.log_scale.sum(0)
    if few:
        product = children.map(lambda child: {"message": message(child)}).message.prod(0)
    else:
        logs = children.map(lambda child: {"message": jnp.log(message(child))}).message.sum(0)
        highest = logs.max(-1, keepdims=True)
        highest = jnp.where(jnp.isfinite(highest), highest, 0)
        product = jnp.exp(logs - highest)
        log_scale = log_scale + highest[..., 0]
    largest = product.max(-1, keepdims=True)
    return {
        "partial": product / jnp.where(largest > 0, largest, 1),
        "log_scale": log_scale + jnp.log(largest[..., 0]),
    }


@cache
def posteriors(edge: str = "length") -> Sweep:
    """The sweep that gives every node its `posterior`; seed it at the root.

    `above` is written too: what the parent's state and all tips beyond the edge say, (K, S) at the parent's end, so
    that `above . exp(Q t) partial` is the sum of the root's seed.
    """

    @down(reads=(edge, "partial"), reads_parent=("posterior",), writes=("posterior", "above"))
    def states_given_tips(node: Any, parent: Any, params: Transitions) -> dict[str, Any]:
        message = over_edge(params, node, node.partial)
        above = jnp.where(message > 0, parent.posterior / jnp.where(message > 0, message, 1), 0)
        return {"posterior": node.partial * back_over_edge(params, node, above), "above": above}

    return states_given_tips


@cache
def best_states(edge: str = "length") -> Sweep:
    """The sweep from the root's best state, seeded as `state` (K,), to every node's; after `best_partials`."""

    @down(reads=(edge, "partial"), reads_parent=("state",), writes=("state",))
    def most_probable_given_parent(node: Any, parent: Any, params: Transitions) -> dict[str, Any]:
        weights = matrix_of(params, node) * node.partial[:, None, :]
        rows = jnp.take_along_axis(weights, parent.state[:, None, None], 1)[:, 0]
        return {"state": jnp.argmax(rows, -1).astype(parent.state.dtype)}

    return most_probable_given_parent


@cache
def drawn_states(edge: str = "length") -> Sweep:
    """The sweep that draws all nodes jointly given all tips; seed `state` (K,) at the root.

    `chance`, (K,), is a number between 0 and 1 for each draw of a node, by which its state is picked.
    """

    @down(reads=(edge, "partial", "chance"), reads_parent=("state",), writes=("state",))
    def draw_given_parent(node: Any, parent: Any, params: Transitions) -> dict[str, Any]:
        weights = matrix_of(params, node) * node.partial[:, None, :]
        rows = jnp.take_along_axis(weights, parent.state[:, None, None], 1)[:, 0]
        return {"state": picked(rows, node.chance, jnp).astype(parent.state.dtype)}

    return draw_given_parent


def picked(weights: Any, chance: Any, numbers: Any) -> Any:
    """(...) the state that a number between 0 and 1 picks of weights (..., S); `numbers` is numpy or jax.numpy."""
    ranked = numbers.cumsum(weights, -1)
    below = (ranked <= chance[..., None] * ranked[..., -1:]).sum(-1)
    # A chance next to 1 times the sum may round to the sum.
    last = weights.shape[-1] - 1 - numbers.argmax(weights[..., ::-1] > 0, -1)
    return numbers.minimum(below, last)
