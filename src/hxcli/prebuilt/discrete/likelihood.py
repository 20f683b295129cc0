"""Likelihoods of K rate matrices side by side, their exact gradients, and every node's probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.engine.program import program
from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree
from hxcli.engine.views import View
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.device_placement import on_cpu
from hxcli.prebuilt.discrete.edge_likelihood import (
    best_of_edges,
    marginals_of_edges,
    messages_of_edges,
    slopes_of_edges,
    values_of_edges,
)
from hxcli.prebuilt.discrete.level_doubling import DoubledEdges
from hxcli.prebuilt.discrete.level_spectral import SpectralEdges, bases_of
from hxcli.prebuilt.discrete.level_sweeps import (
    MOST_LEVELS,
    Level,
    LevelEdges,
    levels_of,
    matrices_of,
    sweep_down,
    sweep_up,
)
from hxcli.prebuilt.discrete.sweeps import FEW_CHILDREN, best_partials, best_states, partials, posteriors
from hxcli.prebuilt.discrete.transitions import (
    Spectral,
    Transitions,
    columns_of,
    matrix_of,
    slopes,
    spectra_of,
    transitions_of,
)
from hxcli.prebuilt.units import refuse_extreme_lengths

# Numbers in one field of the widest sweep: nodes times columns times states.
_MOST_NUMBERS = 2**23
# The same of a sweep level by level, whose fields stay in the processor's cache.
_LEVEL_NUMBERS = 2**18
# Changes along the longest edge from which a number of binary digits would leave the range of a double.
_FASTEST = 2.0**900
# Few different widths, because each compiles a program of its own.
_WIDTHS = (1, 4, 16)


@dataclass(frozen=True, eq=False)
class StateTree:
    """A tree and what was seen at its tips.

    Attributes:
        topology: N nodes.
        lengths: (N,) of the edges.
        seen: (N, S) probability of what was seen, given the state.
    """

    topology: Topology
    lengths: FloatArray
    seen: FloatArray

    @property
    def size(self) -> int:
        """N."""
        return self.topology.size

    @property
    def states(self) -> int:
        """S."""
        return int(self.seen.shape[1])

    @cached_property
    def longest(self) -> float:
        """Length of the longest edge."""
        return float(self.lengths.max(initial=0.0))

    @cached_property
    def few(self) -> bool:
        """Whether no node has more than `FEW_CHILDREN` children."""
        return int(self.topology.child_counts.max(initial=0)) <= FEW_CHILDREN

    @cached_property
    def tree(self) -> Tree:
        """On the device, framed, with the fields `length` (N,) and `seen` (N, S)."""
        return Tree.on_frame(self.topology, {"length": self.lengths, "seen": self.seen}, 2 * self.states)

    @cached_property
    def by_levels(self) -> bool:
        """Whether sweeps go level by level on the host."""
        return on_cpu() and self.topology.depth <= MOST_LEVELS

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """For sweeps level by level."""
        return levels_of(self.topology, self.lengths)

    @cached_property
    def seen_across(self) -> FloatArray:
        """(S, N) `seen`, nodes last."""
        return np.ascontiguousarray(self.seen.T)

    @property
    def most_columns(self) -> int:
        """How many rate matrices a compiled sweep takes at a time."""
        room = _MOST_NUMBERS // (self.tree.size * self.states)
        return max(width for width in _WIDTHS if width <= max(room, 1))


class Slopes(NamedTuple):
    """Log likelihoods and their derivatives, for K columns.

    Attributes:
        log_likelihood: (K,).
        by_rates: Of the rates' shape: by every cell of the rate matrix, those of the diagonal too, each by itself.
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

    Raises:
        ModelError: Edge lengths that are too large or small to compute with.
    """
    refuse_extreme_lengths(phylogeny)
    return StateTree(phylogeny.topology, phylogeny.lengths if lengths is None else lengths, seen)


def log_likelihoods(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> FloatArray:
    """(K,) log likelihoods.

    Args:
        tree: N nodes, S states.
        rates: (K, S, S) rate matrices; or (K, N, S, S), a finite one of every edge.
        root: (K, S) prior of the root; None for one in proportion to the root's own likelihood (FitzJohn et al. 2009).
    """
    if rates.ndim == 4:
        return values_of_edges(tree.tree, rates, root, tree.few)
    values = np.full(len(rates), np.nan)
    for columns, edges in level_columns(tree, rates):
        up = sweep_up(tree.levels, tree.seen_across, edges, len(columns))
        prior = None if root is None else root[columns]
        values[columns] = value_and_prior(up.partial[..., 0], up.log_scale, prior)[0]
    for columns, _, along, prior in chunks(tree, rates, root):
        values[columns] = np.asarray(_values(tree.tree, along, prior, tree.few))[: len(columns)]
    return values


def log_likelihood_slopes(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> Slopes:
    """Log likelihoods and gradients, in a time that grows with N only; arguments as for `log_likelihoods`."""
    if rates.ndim == 4:
        return Slopes(*slopes_of_edges(tree.tree, rates, root, tree.few))
    found = Slopes(*(np.full(shape, np.nan) for shape in (len(rates), rates.shape, rates.shape[:2])))
    for columns, edges in level_columns(tree, rates):
        part = _level_slopes(tree, edges, len(columns), None if root is None else root[columns])
        for whole, values in zip(found, part, strict=True):
            whole[columns] = values
    for columns, matrices, transitions, prior in chunks(tree, rates, root):
        parts = _slopes(tree.tree, transitions, jnp.asarray(matrices), prior, tree.few)
        for whole, values in zip(found, parts, strict=True):
            whole[columns] = np.asarray(values)[: len(columns)]
    return found


def level_columns(tree: StateTree, rates: FloatArray) -> Iterator[tuple[NDArray[np.intp], LevelEdges]]:
    """Places of columns that are swept together level by level, some at a time, and what they do along edges.

    Matrices that are not finite, or so fast that no number of changes is, are left out.
    """
    if not tree.by_levels:
        return
    with np.errstate(over="ignore"):
        usable = np.isfinite(rates).all((1, 2)) & (abs(rates).max((1, 2)) * max(tree.longest, 1.0) < _FASTEST)
    parts, sound = spectra_of(rates)
    step = max(1, _LEVEL_NUMBERS // (tree.size * tree.states))
    for first in range(0, len(rates), step):
        some = slice(first, first + step)
        for places, basis in bases_of(Spectral(*(field[some] for field in parts)), sound[some] & usable[some]):
            yield first + places, SpectralEdges(basis, tree.lengths)
        if len(places := first + np.flatnonzero(usable[some] & ~sound[some])):
            yield places, DoubledEdges(rates[places], tree.lengths)


def _level_slopes(tree: StateTree, edges: LevelEdges, columns: int, root: FloatArray | None) -> Slopes:
    up = sweep_up(tree.levels, tree.seen_across, edges, columns)
    message = up.partial[..., 0]
    value, prior = value_and_prior(message, up.log_scale, root)
    # What is impossible has no slopes.
    with np.errstate(invalid="ignore"):
        seed, by_root = _seed_and_slope(message, prior, root)
    _, above = sweep_down(tree.levels, up, edges, seed)
    return Slopes(value, edges.slopes(above, up.partial), by_root)


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
        rates: (S, S), or (N, S, S), a matrix of every edge.
        root: (S,) prior of the root; None as for `log_likelihoods`.
    """
    if rates.ndim == 3:
        prior = None if root is None else root[None]
        found = marginals_of_edges(tree.tree, rates[None], prior, tree.few)
        return Found(float(found[0][0]), found[1][0], found[2][0])
    for _, edges in level_columns(tree, rates[None]):
        up = sweep_up(tree.levels, tree.seen_across, edges, 1)
        message = up.partial[..., 0]
        reached, used = value_and_prior(message, up.log_scale, None if root is None else root[None])
        given = used * message
        posterior = np.maximum(sweep_down(tree.levels, up, edges, given / given.sum(-1, keepdims=True))[0][0], 0).T
        return Found(float(reached[0]), posterior / posterior.sum(-1, keepdims=True), used[0])
    transitions = transitions_of(rates[None], tree.longest)
    found = columns_marginals(tree.tree, transitions, None if root is None else jnp.asarray(root)[None], tree.few)
    value, probabilities, prior = (np.asarray(each) for each in found)
    return Found(float(value[0]), probabilities[: tree.size, 0], prior[0])


def joint_states(tree: StateTree, rates: FloatArray, root: FloatArray) -> tuple[FloatArray, float]:
    """(N,) the most probable states of all nodes together, and the log of their joint probability with the tips.

    Args:
        tree: N nodes, S states.
        rates: (S, S), or (N, S, S), a matrix of every edge.
        root: (S,) prior of the root.
    """
    if rates.ndim == 3:
        return best_of_edges(tree.tree, rates, root, tree.few)
    transitions = transitions_of(rates[None], tree.longest)
    states, value = _joint(tree.tree, transitions, jnp.asarray(root)[None], tree.few)
    return np.asarray(states)[: tree.size, 0], float(value[0])


def messages(tree: StateTree, rates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N, S) likelihood of what is below every node given its state, up to a factor, and (N, S, S) transitions.

    Args:
        tree: N nodes, S states.
        rates: (S, S), or (N, S, S), a matrix of every edge.
    """
    if rates.ndim == 3:
        return messages_of_edges(tree.tree, rates, tree.few)
    for _, edges in level_columns(tree, rates[None]):
        up = sweep_up(tree.levels, tree.seen_across, edges, 1)
        matrices = matrices_of(edges, tree.states, tree.size)
        return np.ascontiguousarray(up.partial[0].T), np.maximum(matrices, 0)
    transitions = transitions_of(rates[None], tree.longest)
    partials, matrices = _messages(tree.tree, transitions, tree.few)
    return np.asarray(partials)[: tree.size, 0], np.maximum(np.asarray(matrices)[: tree.size, 0], 0)


def chunks(tree: StateTree, rates: FloatArray, root: FloatArray | None) -> Iterator[tuple[Any, ...]]:
    """Places, matrices, transitions and priors of columns swept together by compiled sweeps, none by levels.

    Columns are filled up to few different widths.
    """
    if tree.by_levels:
        return
    most = tree.most_columns
    for start in range(0, len(rates), most):
        columns = np.arange(len(rates))[start : start + most]
        width = next(width for width in _WIDTHS if width >= len(columns))
        room = [(0, width - len(columns)), (0, 0)]
        matrices = np.pad(rates[columns], [*room, (0, 0)], "edge")
        prior = None if root is None else jnp.asarray(np.pad(root[columns], room, "edge"))
        yield columns, matrices, transitions_of(matrices, tree.longest), prior


def swept_columns(tree: Tree, transitions: Any, few: bool) -> Tree:
    """The tree with the messages of K columns."""
    columns = columns_of(transitions)
    seen = tree["seen"]
    start = jnp.broadcast_to(seen[:, None], (len(seen), columns, seen.shape[1]))
    fields = {"length": tree["length"], "partial": start, "log_scale": jnp.zeros(start.shape[:2], seen.dtype)}
    return partials("length", few)(Tree.from_data(tree.topology, fields), params=transitions)


def value_and_prior(message: Any, log_scale: Any, root: Any) -> tuple[Any, Any]:
    """(K,) log likelihoods and (K, S) the prior of the root, from its message; of numpy or JAX."""
    numbers: Any = np if isinstance(message, np.ndarray) else jnp
    total = message.sum(-1, keepdims=True)
    prior = message / numbers.where(total > 0, total, 1) if root is None else root
    with np.errstate(divide="ignore"):
        return numbers.log((prior * message).sum(-1)) + log_scale, prior


def _seed_and_slope(message: Any, prior: Any, root: Any) -> tuple[Any, Any]:
    """(K, S) the seed of the sweep down for derivatives, and the derivative by the prior; of numpy or JAX."""
    given = prior * message / (prior * message).sum(-1, keepdims=True)
    if root is not None:
        return given, message / (prior * message).sum(-1, keepdims=True)
    # How the log likelihood grows with every entry of the root's message, times that entry: with a prior that does not
    # follow from the message, the root's probabilities.
    return 2 * given - message / message.sum(-1, keepdims=True), 0 * message


def _at_root(swept: Tree, root: Any) -> tuple[Any, Any]:
    return value_and_prior(swept["partial"][0], swept["log_scale"][0], root)


@program(static_argnames="few")
def _values(tree: Tree, transitions: Transitions, root: Any, few: bool) -> Any:
    return _at_root(swept_columns(tree, transitions, few), root)[0]


def _down(swept: Tree, transitions: Transitions, seed: Any) -> Tree:
    """The messages of `posteriors`, from the root's seed (K, S)."""
    empty = jnp.zeros_like(swept["partial"])
    seeded = swept.update(posterior=empty, above=empty).at[0].set(posterior=seed)
    return posteriors("length")(seeded, params=transitions)


@program(static_argnames="few")
def _slopes(tree: Tree, transitions: Transitions, rates: Any, root: Any, few: bool) -> tuple[Any, Any, Any]:
    swept = swept_columns(tree, transitions, few)
    value, prior = _at_root(swept, root)
    seed, by_root = _seed_and_slope(swept["partial"][0], prior, root)
    below = _down(swept, transitions, seed)
    return value, slopes(transitions, rates, tree["length"], below["above"], swept["partial"]), by_root


@program(static_argnames="few")
def columns_marginals(tree: Tree, transitions: Transitions, root: Any, few: bool) -> tuple[Any, Any, Any]:
    swept = swept_columns(tree, transitions, few)
    value, prior = _at_root(swept, root)
    given = prior * swept["partial"][0]
    below = _down(swept, transitions, given / given.sum(-1, keepdims=True))
    probabilities = jnp.maximum(below["posterior"], 0)
    return value, probabilities / probabilities.sum(-1, keepdims=True), prior


@program(static_argnames="few")
def _joint(tree: Tree, transitions: Transitions, root: Any, few: bool) -> tuple[Any, Any]:
    seen = tree["seen"][:, None]
    fields = {"length": tree["length"], "partial": seen, "log_scale": jnp.zeros(seen.shape[:2], seen.dtype)}
    swept = best_partials("length", few)(Tree.from_data(tree.topology, fields), params=transitions)
    weights = root * swept["partial"][0]
    best = jnp.argmax(weights, -1).astype(jnp.int32)
    seeded = swept.update(state=jnp.zeros(seen.shape[:2], jnp.int32)).at[0].set(state=best)
    found = best_states("length")(seeded, params=transitions)
    return found["state"], jnp.log(weights.max(-1)) + swept["log_scale"][0]


@program(static_argnames="few")
def _messages(tree: Tree, transitions: Transitions, few: bool) -> tuple[Any, Any]:
    swept = swept_columns(tree, transitions, few)
    matrices = jax.vmap(lambda length: matrix_of(transitions, View({"length": length})))(tree["length"])
    return swept["partial"], matrices
