"""Likelihoods of K rate matrices side by side, their exact gradients, and every node's probabilities."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.engine.views import View
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.discrete.sweeps import FEW_CHILDREN, best_partials, best_states, partials, posteriors
from hxcli.prebuilt.discrete.transitions import Transitions, columns_of, matrix_of, slopes, transitions_of

# Numbers in one field of the widest sweep: nodes times columns times states.
_MOST_NUMBERS = 2**23
# Few different widths, because each compiles a program of its own.
_WIDTHS = (1, 4, 16)


class StateTree(NamedTuple):
    """A tree and what was seen at its tips.

    Attributes:
        tree: Framed, with the fields `length` (N,) and `seen` (N, S): probability of what was seen, given the state.
        size: N, without the padding.
        few: Whether no node has more than `FEW_CHILDREN` children.
        longest: Longest edge.
    """

    tree: Tree
    size: int
    few: bool
    longest: float

    @property
    def states(self) -> int:
        """S."""
        return int(self.tree["seen"].shape[1])

    @property
    def most_columns(self) -> int:
        """How many rate matrices are swept at a time."""
        room = _MOST_NUMBERS // (self.tree.size * self.states)
        return max(width for width in _WIDTHS if width <= max(room, 1))


class Slopes(NamedTuple):
    """Log likelihoods and their derivatives, for K columns.

    Attributes:
        log_likelihood: (K,).
        by_rates: (K, S, S) by every cell of the rate matrix, those of the diagonal too, each by itself.
        by_root: (K, S) by the root's prior; 0 where it follows from the likelihood.
    """

    log_likelihood: FloatArray
    by_rates: FloatArray
    by_root: FloatArray


def state_tree(phylogeny: Phylogeny, seen: FloatArray, lengths: FloatArray | None = None) -> StateTree:
    """Places what was seen on the tree.

    Args:
        phylogeny: N nodes.
        seen: (N, S) probability of what was seen at a node, given its state; 1 where nothing was.
        lengths: (N,) edge lengths; None for the phylogeny's own.
    """
    topology = phylogeny.topology
    lengths = phylogeny.lengths if lengths is None else lengths
    tree = Tree.on_frame(topology, {"length": lengths, "seen": seen}, 2 * seen.shape[1])
    few = int(topology.child_counts.max(initial=0)) <= FEW_CHILDREN
    return StateTree(tree, topology.size, few, float(lengths.max(initial=0.0)))


def log_likelihoods(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> FloatArray:
    """(K,) log likelihoods.

    Args:
        tree: N nodes, S states.
        rates: (K, S, S) rate matrices.
        root: (K, S) prior of the root; None for one in proportion to the root's own likelihood (FitzJohn et al. 2009).
    """
    parts = _chunks(tree, rates, root)
    return np.concatenate([np.asarray(_values(tree.tree, t, r, tree.few))[:n] for n, _, t, r in parts])


def log_likelihood_slopes(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> Slopes:
    """Log likelihoods and gradients, in a time that grows with N only; arguments as for `log_likelihoods`."""
    found = []
    for count, matrices, transitions, prior in _chunks(tree, rates, root):
        part = _slopes(tree.tree, transitions, jnp.asarray(matrices), prior, tree.few)
        found.append([np.asarray(value)[:count] for value in part])
    return Slopes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


class Found(NamedTuple):
    """What all tips say, for one rate matrix.

    Attributes:
        log_likelihood: Of the tips.
        probabilities: (N, S) of every state at every node.
        root: (S,) the prior of the root that was used.
    """

    log_likelihood: float
    probabilities: FloatArray
    root: FloatArray


def marginals(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> Found:
    """Every node's probabilities given all tips.

    Args:
        tree: N nodes, S states.
        rates: (S, S).
        root: (S,) prior of the root; None as for `log_likelihoods`.
    """
    transitions = transitions_of(rates[None], tree.longest)
    found = _marginals(tree.tree, transitions, None if root is None else jnp.asarray(root)[None], tree.few)
    value, probabilities, prior = (np.asarray(each) for each in found)
    return Found(float(value[0]), probabilities[: tree.size, 0], prior[0])


def joint_states(tree: StateTree, rates: FloatArray, root: FloatArray) -> tuple[FloatArray, float]:
    """(N,) the most probable states of all nodes together, and the log of their joint probability with the tips.

    Args:
        tree: N nodes, S states.
        rates: (S, S).
        root: (S,) prior of the root.
    """
    transitions = transitions_of(rates[None], tree.longest)
    states, value = _joint(tree.tree, transitions, jnp.asarray(root)[None], tree.few)
    return np.asarray(states)[: tree.size, 0], float(value[0])


def messages(tree: StateTree, rates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N, S) likelihood of what is below every node given its state, up to a factor, and (N, S, S) transitions.

    Args:
        tree: N nodes, S states.
        rates: (S, S).
    """
    transitions = transitions_of(rates[None], tree.longest)
    partials, matrices = _messages(tree.tree, transitions, tree.few)
    return np.asarray(partials)[: tree.size, 0], np.maximum(np.asarray(matrices)[: tree.size, 0], 0)


def _chunks(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> list[tuple[int, FloatArray, Any, Any]]:
    """Number, matrices, transitions and priors of columns swept together, filled up to few different widths."""
    most = tree.most_columns
    parts = []
    for start in range(0, len(rates), most):
        part = rates[start : start + most]
        width = next(width for width in _WIDTHS if width >= len(part))
        room = [(0, width - len(part)), (0, 0)]
        matrices = np.pad(part, [*room, (0, 0)], "edge")
        prior = None if root is None else jnp.asarray(np.pad(root[start : start + most], room, "edge"))
        parts.append((len(part), matrices, transitions_of(matrices, tree.longest), prior))
    return parts


def _swept(tree: Tree, transitions: Any, few: bool) -> Tree:
    """The tree with the messages of K columns."""
    columns = columns_of(transitions)
    seen = tree["seen"]
    start = jnp.broadcast_to(seen[:, None], (len(seen), columns, seen.shape[1]))
    fields = {"length": tree["length"], "partial": start, "log_scale": jnp.zeros(start.shape[:2], seen.dtype)}
    return partials("length", few)(Tree.from_data(tree.topology, fields), params=transitions)


def _at_root(swept: Tree, root: Any) -> tuple[Any, Any]:
    """(K,) log likelihoods and (K, S) the prior of the root."""
    message = swept["partial"][0]
    total = message.sum(-1, keepdims=True)
    prior = message / jnp.where(total > 0, total, 1) if root is None else root
    return jnp.log((prior * message).sum(-1)) + swept["log_scale"][0], prior


@partial(jax.jit, static_argnames="few")
def _values(tree: Tree, transitions: Transitions, root: Any, few: bool) -> Any:
    return _at_root(_swept(tree, transitions, few), root)[0]


def _down(swept: Tree, transitions: Transitions, seed: Any) -> Tree:
    """The messages of `posteriors`, from the root's seed (K, S)."""
    empty = jnp.zeros_like(swept["partial"])
    seeded = swept.update(posterior=empty, above=empty).at[0].set(posterior=seed)
    return posteriors("length")(seeded, params=transitions)


@partial(jax.jit, static_argnames="few")
def _slopes(tree: Tree, transitions: Transitions, rates: Any, root: Any, few: bool) -> tuple[Any, Any, Any]:
    swept = _swept(tree, transitions, few)
    value, prior = _at_root(swept, root)
    message = swept["partial"][0]
    given = prior * message / (prior * message).sum(-1, keepdims=True)
    # How the log likelihood grows with every entry of the root's message, times that entry: with a prior that does not
    # follow from the message, the root's probabilities.
    seed = given if root is not None else 2 * given - message / message.sum(-1, keepdims=True)
    below = _down(swept, transitions, seed)
    by_rates = slopes(transitions, rates, tree["length"], below["above"], swept["partial"])
    by_root = jnp.zeros_like(message) if root is None else message / (prior * message).sum(-1, keepdims=True)
    return value, by_rates, by_root


@partial(jax.jit, static_argnames="few")
def _marginals(tree: Tree, transitions: Transitions, root: Any, few: bool) -> tuple[Any, Any, Any]:
    swept = _swept(tree, transitions, few)
    value, prior = _at_root(swept, root)
    given = prior * swept["partial"][0]
    below = _down(swept, transitions, given / given.sum(-1, keepdims=True))
    probabilities = jnp.maximum(below["posterior"], 0)
    return value, probabilities / probabilities.sum(-1, keepdims=True), prior


@partial(jax.jit, static_argnames="few")
def _joint(tree: Tree, transitions: Transitions, root: Any, few: bool) -> tuple[Any, Any]:
    seen = tree["seen"][:, None]
    fields = {"length": tree["length"], "partial": seen, "log_scale": jnp.zeros(seen.shape[:2], seen.dtype)}
    swept = best_partials("length", few)(Tree.from_data(tree.topology, fields), params=transitions)
    weights = root * swept["partial"][0]
    best = jnp.argmax(weights, -1).astype(jnp.int32)
    seeded = swept.update(state=jnp.zeros(seen.shape[:2], jnp.int32)).at[0].set(state=best)
    found = best_states("length")(seeded, params=transitions)
    return found["state"], jnp.log(weights.max(-1)) + swept["log_scale"][0]


@partial(jax.jit, static_argnames="few")
def _messages(tree: Tree, transitions: Transitions, few: bool) -> tuple[Any, Any]:
    swept = _swept(tree, transitions, few)
    matrices = jax.vmap(lambda length: matrix_of(transitions, View({"length": length})))(tree["length"])
    return swept["partial"], matrices
