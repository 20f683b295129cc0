"""Likelihoods where every edge has a rate matrix of its own; exact for any rate matrix.

The matrices exp(Q t) of all edges are made together: a uniformised series for exp(Q t / 2^d), squared d times. All
numbers in it are sums of products of numbers that are not negative, so that nothing cancels (Xue and Ye 2008, Numer.
Math. 111:119).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from hxcli.engine.program import program
from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.sweeps import best_partials, best_states, drawn_states, partials, picked, posteriors
from hxcli.prebuilt.discrete.transitions import Matrices, doubling_tables

# Largest mean number of changes on what the halvings leave of an edge, terms of its series, and halvings at most.
_REST, _TERMS, _HALVINGS = 1 / 16, 10, 48
# Few different widths, because each compiles a program of its own: more columns at a time take no less for each, nor do
# more than one with derivatives. Numbers in the matrices of the widest.
_WIDTHS, _MOST_NUMBERS = (1, 8), 2**23
# Changes on an edge that so many halvings are for.
MOST_CHANGES = _REST * 2.0**_HALVINGS
_EDGE = "transition"


def edge_matrices(rates: Any, lengths: Any) -> Any:
    """(N, S, S) the transition matrices of N edges; differentiable by the rates.

    Args:
        rates: (N, S, S) with rows that sum to 0.
        lengths: (N,).
    """
    states = rates.shape[-1]
    identity = jnp.eye(states)[None]
    changes = rates * lengths[:, None, None]
    leaving = -jnp.diagonal(changes, axis1=1, axis2=2).min(-1)
    # How the exponential is computed has no derivative.
    fastest = lax.stop_gradient(jnp.maximum(leaving, jnp.finfo(rates.dtype).tiny))
    halvings = jnp.clip(jnp.ceil(jnp.log2(fastest.max() / _REST)), 0, _HALVINGS)
    # On an edge of more changes than that its start is forgotten, and so is how many more they are.
    part = jnp.minimum(fastest, MOST_CHANGES) / 2.0**halvings
    jumps = identity + changes / fastest[:, None, None]
    jumps = jumps + lax.stop_gradient(jnp.maximum(jumps, 0) - jumps)

    def term(total: Any, number: Any) -> tuple[Any, None]:
        return identity + (part / number)[:, None, None] * (jumps @ total), None

    def doubled(power: Any, number: Any) -> tuple[Any, None]:
        return lax.cond(number < halvings, lambda power: _even(power @ power), lambda power: power, power), None

    numbers = jnp.arange(max(_TERMS, states), 0, -1, dtype=rates.dtype)
    power = lax.scan(term, jnp.broadcast_to(identity, jumps.shape), numbers)[0]
    return lax.scan(doubled, _even(power), jnp.arange(_HALVINGS))[0]


def _even(power: Any) -> Any:
    """Rows that sum to 1, whatever the rounding; a derivative has nothing to do with that."""
    return power * lax.stop_gradient(1 / power.sum(-1, keepdims=True))


def power_products(rates: Any, lengths: Any, unit: Any, digits: int) -> Any:
    """(N, S, S) exp(Q t) of N edges of one rate matrix (S, S), from powers that all edges share; differentiable by it.

    Args:
        rates: With rows that sum to 0.
        lengths: (N,), each below `unit` times 2 to the power of `digits`.
        unit: Length on which few changes are expected.
        digits: Binary digits of lengths in this unit.
    """
    leaving = -jnp.diagonal(rates).min()[None]
    powers, _, steps, fastest = doubling_tables(rates[None], lax.stop_gradient(leaving), unit, digits)
    powers, steps, fastest = powers[:, 0], steps[0], fastest[0]
    count = jnp.floor(lengths / unit)
    rest = jnp.clip(lengths - count * unit, 0, unit)
    changes, states = (fastest * rest)[:, None, None], rates.shape[-1]
    identity = jnp.broadcast_to(jnp.eye(states), (len(lengths), states, states))

    def term(total: Any, number: Any) -> tuple[Any, None]:
        return identity + changes / number * (total @ steps), None

    def digit(held: Any, power_and_place: Any) -> tuple[Any, None]:
        power, place = power_and_place
        there = (count.astype(jnp.int64) >> place) & 1
        return jnp.where(there[:, None, None] == 1, held @ power, held), None

    numbers = jnp.arange(max(_TERMS, states), 0, -1, dtype=rates.dtype)
    held = lax.scan(term, identity, numbers)[0] * jnp.exp(-changes)
    return lax.scan(digit, held, (powers, jnp.arange(digits)))[0]


class TracedSlopes:
    """Log likelihoods and their derivatives for one set of rates, to be called while tracing a larger program.

    Args:
        tree: Framed, with `length` and `seen`; placed on the device before that program is traced.
        few: Whether no node has more than `FEW_CHILDREN` children.
        matrices: From rates, (S, S) or (M, S, S), to the transition matrices of the M edges.
    """

    def __init__(self, tree: Tree, few: bool, matrices: Callable[[Any], Any]) -> None:
        self._tree, self._few, self._matrices = tree, few, matrices

    def __call__(self, rates: Any, root: Any) -> tuple[Any, Any, Any]:
        """() log likelihood, its derivatives by every cell, each by itself, and by the root's prior (S,).

        Args:
            rates: As the matrices are made of.
            root: (S,); None for a prior in proportion to the root's own likelihood.
        """
        tree, prior = self._tree, None if root is None else root[None]
        matrices, back = jax.vjp(self._matrices, rates)
        value, by_matrices, by_root = _values_and_slopes(_ready(tree, matrices[:, None]), prior, self._few)
        return value[0], back(by_matrices[:, 0])[0], by_root[0]


def values_of_edges(tree: Tree, rates: FloatArray, root: FloatArray | None, few: bool) -> FloatArray:
    """(K,) log likelihoods; arguments as for `slopes_of_edges`."""
    found = np.empty(len(rates))
    for columns, framed, prior in _chunks(tree, rates, root):
        found[columns] = np.asarray(_values(tree, framed, prior, few))[: len(columns)]
    return found


def slopes_of_edges(tree: Tree, rates: FloatArray, root: FloatArray | None, few: bool) -> tuple[Any, Any, Any]:
    """(K,) log likelihoods, their derivatives by every cell (K, N, S, S) and by the root's prior (K, S).

    Args:
        tree: Framed, with `length` and `seen`.
        rates: (K, N, S, S), finite.
        root: (K, S) prior of the root; None for one in proportion to the root's own likelihood.
        few: Whether no node has more than `FEW_CHILDREN` children.
    """
    found = np.empty(len(rates)), np.empty(rates.shape), np.empty((len(rates), rates.shape[-1]))
    for columns, framed, prior in _chunks(tree, rates, root, (1,)):
        value, by_rates, by_root = (np.asarray(each) for each in _slopes(tree, framed, prior, few))
        for whole, part in zip(found, (value, by_rates[:, : rates.shape[1]], by_root), strict=True):
            whole[columns] = part[: len(columns)]
    return found


def marginals_of_edges(tree: Tree, rates: FloatArray, root: FloatArray | None, few: bool) -> tuple[Any, Any, Any]:
    """(K,) log likelihoods, probabilities (K, N, S) and the root's prior (K, S); arguments as for `slopes_of_edges`."""
    found = np.empty(len(rates)), np.empty(rates.shape[:-1]), np.empty((len(rates), rates.shape[-1]))
    for columns, framed, prior in _chunks(tree, rates, root):
        value, probabilities, used = (np.asarray(each) for each in _marginals(tree, framed, prior, few))
        for whole, part in zip(found, (value, probabilities[: rates.shape[1]].swapaxes(0, 1), used), strict=True):
            whole[columns] = part[: len(columns)]
    return found


def draws_of_edges(
    tree: Tree, rates: FloatArray, root: FloatArray | None, chances: FloatArray, few: bool
) -> NDArray[np.int16]:
    """(K, N) states of all nodes drawn jointly given all tips, one draw for every set of rates.

    Args:
        tree, rates, root, few: As for `slopes_of_edges`.
        chances: (K, N) numbers between 0 and 1 that pick the states.
    """
    found = np.empty(chances.shape, np.int16)
    for columns, framed, prior in _chunks(tree, rates, root):
        room = np.zeros((tree.size, len(framed)))
        room[: chances.shape[1], : len(columns)] = chances[columns].T
        drawn = np.asarray(_drawn(tree, framed, prior, jnp.asarray(room), few))
        found[columns] = drawn[: chances.shape[1], : len(columns)].T
    return found


def _chunks(
    tree: Tree, rates: FloatArray, root: FloatArray | None, widths: tuple[int, ...] = _WIDTHS
) -> Iterator[tuple[NDArray[np.intp], Any, Any]]:
    """Places of columns that are swept together, their rates (K, M, S, S) on a frame, and priors of the root (K, S).

    Columns are filled up to few different widths, with copies of the last one.
    """
    room = _MOST_NUMBERS // (tree.size * rates.shape[-1] ** 2)
    most = max(width for width in widths if width <= max(room, 1))
    for start in range(0, len(rates), most):
        columns = np.arange(len(rates))[start : start + most]
        width = next(width for width in widths if width >= len(columns))
        some = np.pad(columns, (0, width - len(columns)), "edge")
        framed = np.pad(rates[some], [(0, 0), (0, tree.size - rates.shape[1]), (0, 0), (0, 0)], "edge")
        yield columns, jnp.asarray(framed), None if root is None else jnp.asarray(root[some])


def best_of_edges(tree: Tree, rates: FloatArray, root: FloatArray, few: bool) -> tuple[Any, Any]:
    """(N,) the most probable states of all nodes together, and the log of their joint probability with the tips."""
    states, value = _best(tree, _framed(rates, tree), jnp.asarray(root)[None], few)
    return np.asarray(states)[: len(rates), 0], np.asarray(value)[0]


def messages_of_edges(tree: Tree, rates: FloatArray, few: bool) -> tuple[Any, Any]:
    """(N, S) likelihood of what is below every node given its state, up to a factor, and (N, S, S) transitions."""
    below, matrices = _messages(tree, _framed(rates, tree), few)
    return np.asarray(below)[: len(rates), 0], np.asarray(matrices)[: len(rates)]


def _framed(rates: FloatArray, tree: Tree) -> Any:
    """With the padding, whose edges are like the last one."""
    return jnp.asarray(np.pad(rates, [(0, tree.size - len(rates)), (0, 0), (0, 0)], "edge"))


def _column_matrices(tree: Tree, rates: Any) -> Any:
    """(M, K, S, S) the transition matrices of K columns, from (K, M, S, S); differentiable by the rates."""
    flat = edge_matrices(rates.reshape(-1, *rates.shape[2:]), jnp.tile(tree["length"], len(rates)))
    return flat.reshape(rates.shape).swapaxes(0, 1)


def _ready(tree: Tree, matrices: Any) -> Tree:
    """The tree with K columns of messages to be filled, and its transition matrices (M, K, S, S)."""
    seen = jnp.broadcast_to(tree["seen"][:, None], matrices.shape[:3])
    fields = {_EDGE: matrices, "partial": seen, "log_scale": jnp.zeros(seen.shape[:2], seen.dtype)}
    return Tree.from_data(tree.topology, fields)


def _at_root(swept: Tree, root: Any) -> tuple[Any, Any]:
    message = swept["partial"][0]
    total = message.sum(-1, keepdims=True)
    prior = message / jnp.where(total > 0, total, 1) if root is None else root
    return jnp.log((prior * message).sum(-1)) + swept["log_scale"][0], prior


def _down(swept: Tree, seed: Any) -> Tree:
    empty = jnp.zeros_like(swept["partial"])
    seeded = swept.update(posterior=empty, above=empty).at[0].set(posterior=seed)
    return posteriors(_EDGE)(seeded, params=Matrices())


def _values_and_slopes(ready: Tree, root: Any, few: bool) -> tuple[Any, Any, Any]:
    """(K,) log likelihoods, their derivatives by every cell of the matrices (M, K, S, S) and by the prior (K, S)."""
    swept = partials(_EDGE, few)(ready, params=Matrices())
    value, prior = _at_root(swept, root)
    message = swept["partial"][0]
    given = prior * message / (prior * message).sum(-1, keepdims=True)
    # With a prior that follows from the message, how the likelihood grows with every entry of it, times that entry.
    seed = given if root is not None else 2 * given - message / message.sum(-1, keepdims=True)
    above = _down(swept, seed)["above"]
    by_root = jnp.zeros_like(message) if root is None else message / (prior * message).sum(-1, keepdims=True)
    return value, above[..., :, None] * swept["partial"][..., None, :], by_root


@program(static_argnames="few")
def _values(tree: Tree, rates: Any, root: Any, few: bool) -> Any:
    swept = partials(_EDGE, few)(_ready(tree, _column_matrices(tree, rates)), params=Matrices())
    return _at_root(swept, root)[0]


@program(static_argnames="few")
def _slopes(tree: Tree, rates: Any, root: Any, few: bool) -> tuple[Any, Any, Any]:
    matrices, back = jax.vjp(lambda rates: _column_matrices(tree, rates), rates)
    value, by_matrices, by_root = _values_and_slopes(_ready(tree, matrices), root, few)
    return value, back(by_matrices)[0], by_root


@program(static_argnames="few")
def _marginals(tree: Tree, rates: Any, root: Any, few: bool) -> tuple[Any, Any, Any]:
    swept = partials(_EDGE, few)(_ready(tree, _column_matrices(tree, rates)), params=Matrices())
    value, prior = _at_root(swept, root)
    given = prior * swept["partial"][0]
    probabilities = _down(swept, given / given.sum(-1, keepdims=True))["posterior"]
    return value, probabilities / probabilities.sum(-1, keepdims=True), prior


@program(static_argnames="few")
def _drawn(tree: Tree, rates: Any, root: Any, chances: Any, few: bool) -> Any:
    swept = partials(_EDGE, few)(_ready(tree, _column_matrices(tree, rates)), params=Matrices())
    _, prior = _at_root(swept, root)
    first = picked(prior * swept["partial"][0], chances[0], jnp).astype(jnp.int32)
    seeded = swept.update(state=jnp.zeros(chances.shape, jnp.int32), chance=chances).at[0].set(state=first)
    return drawn_states(_EDGE)(seeded, params=Matrices())["state"]


@program(static_argnames="few")
def _best(tree: Tree, rates: Any, root: Any, few: bool) -> tuple[Any, Any]:
    swept = best_partials(_EDGE, few)(_ready(tree, edge_matrices(rates, tree["length"])[:, None]), params=Matrices())
    weights = root * swept["partial"][0]
    best = jnp.argmax(weights, -1).astype(jnp.int32)
    states = jnp.zeros(swept["partial"].shape[:2], jnp.int32)
    found = best_states(_EDGE)(swept.update(state=states).at[0].set(state=best), params=Matrices())
    return found["state"], jnp.log(weights.max(-1)) + swept["log_scale"][0]


@program(static_argnames="few")
def _messages(tree: Tree, rates: Any, few: bool) -> tuple[Any, Any]:
    swept = partials(_EDGE, few)(_ready(tree, edge_matrices(rates, tree["length"])[:, None]), params=Matrices())
    return swept["partial"], swept[_EDGE][:, 0]
