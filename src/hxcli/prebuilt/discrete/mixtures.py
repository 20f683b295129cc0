"""Nodes' probabilities averaged over many rate matrices, and joint draws of all nodes, one for every matrix."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.engine.program import program
from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.edge_likelihood import draws_of_edges, marginals_of_edges
from hxcli.prebuilt.discrete.level_sweeps import draw_down, sweep_down, sweep_up
from hxcli.prebuilt.discrete.likelihood import (
    StateTree,
    chunks,
    columns_marginals,
    level_columns,
    swept_columns,
    value_and_prior,
)
from hxcli.prebuilt.discrete.sweeps import drawn_states, picked
from hxcli.prebuilt.discrete.transitions import Transitions


def normalised(total: FloatArray) -> FloatArray:
    """Probabilities (..., S) without what the rounding of weights leaves."""
    return total / total.sum(-1, keepdims=True)


def summed_marginals(tree: StateTree, rates: FloatArray, root: FloatArray | None, weights: FloatArray) -> FloatArray:
    """(W, N, S) every node's probabilities given all tips, times weights and added up over K rate matrices in W ways.

    Args:
        tree: N nodes, S states.
        rates: (K, S, S), or (K, N, S, S), a finite one of every edge.
        root: (K, S) prior of the root; None as for `log_likelihoods`.
        weights: (W, K).
    """
    if rates.ndim == 4:
        _, of_columns, _ = marginals_of_edges(tree.tree, rates, root, tree.few)
        return np.asarray(np.einsum("wk,kns->wns", weights, of_columns))
    total = np.zeros((len(weights), tree.size, tree.states))
    for columns, edges in level_columns(tree, rates):
        up = sweep_up(tree.levels, tree.seen_across, edges, len(columns))
        given = _given_root(up.partial[..., 0], None if root is None else root[columns])
        shares = np.maximum(sweep_down(tree.levels, up, edges, given)[0], 0)
        shares /= shares.sum(1, keepdims=True)
        total += np.einsum("wk,ksn->wns", weights[:, columns], shares)
    for columns, _, along, prior in chunks(tree, rates, root):
        found = np.asarray(columns_marginals(tree.tree, along, prior, tree.few)[1])
        total += np.einsum("wk,nks->wns", weights[:, columns], found[: tree.size, : len(columns)])
    return total


def draw_nodes(tree: StateTree, rates: FloatArray, root: FloatArray | None, chances: FloatArray) -> NDArray[np.int16]:
    """(K, N) states of all nodes drawn jointly given all tips, one draw for every rate matrix.

    Args:
        tree: N nodes, S states.
        rates: (K, S, S), or (K, N, S, S), a finite one of every edge.
        root: (K, S) prior of the root; None as for `log_likelihoods`.
        chances: (K, N) numbers between 0 and 1 that pick the states.
    """
    if rates.ndim == 4:
        return draws_of_edges(tree.tree, rates, root, chances, tree.few)
    states = np.empty((len(rates), tree.size), np.int16)
    for columns, edges in level_columns(tree, rates):
        up = sweep_up(tree.levels, tree.seen_across, edges, len(columns))
        given = _given_root(up.partial[..., 0], None if root is None else root[columns])
        first = picked(given, chances[columns, 0], np)
        states[columns] = draw_down(tree.levels, up, edges, first, chances[columns])
    for columns, matrices, along, prior in chunks(tree, rates, root):
        room = np.zeros((tree.tree.size, len(matrices)))
        room[: tree.size, : len(columns)] = chances[columns].T
        found = np.asarray(_drawn(tree.tree, along, prior, jnp.asarray(room), tree.few))
        states[columns] = found[: tree.size, : len(columns)].T
    return states


def _given_root(message: Any, root: Any) -> Any:
    """(K, S) probabilities of the root's state given all tips, from its message."""
    _, prior = value_and_prior(message, 0.0, root)
    given = prior * message
    return given / given.sum(-1, keepdims=True)


@program(static_argnames="few")
def _drawn(tree: Tree, transitions: Transitions, root: Any, chances: Any, few: bool) -> Any:
    swept = swept_columns(tree, transitions, few)
    first = picked(_given_root(swept["partial"][0], root), chances[0], jnp).astype(jnp.int32)
    empty = jnp.zeros(chances.shape, jnp.int32)
    seeded = swept.update(state=empty, chance=chances).at[0].set(state=first)
    return drawn_states("length")(seeded, params=transitions)["state"]
