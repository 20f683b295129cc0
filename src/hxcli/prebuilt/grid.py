"""Densities on a grid: pruning up and down a tree for a trait that follows any diffusion.

Going up, every node has the likelihood of what is below it as a function of its state (Felsenstein 1981), one number
a cell, scaled so that its largest is 1; going down, its density given all observations. See `grid_transition` for
an edge, `grid_observations` for tips and the root.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hxcli.engine.sweep import down, up
from hxcli.engine.tree import Tree
from hxcli.prebuilt.grid_generator import Generator
from hxcli.prebuilt.grid_transition import Transition, backwards, forwards, make_transitions

# Below it a chance counts as this, so that its logarithm is finite.
_TINY = 1e-300
# Edges differentiated at a time: each needs some 40 k numbers.
_CHUNK = 2048


class Swept(NamedTuple):
    """All nodes after both sweeps. N includes the padding.

    Attributes:
        likelihood: (N, k) of what is at and below a node, times a factor.
        over: (N, k) the same at the start of the edge above it.
        outside: (N, k) of all other observations, at the start of that edge.
        arriving: (N, k) the same at its end.
        density: (N, k) chance of every cell given all observations; sums to 1.
    """

    likelihood: Any
    over: Any
    outside: Any
    arriving: Any
    density: Any


@up(
    reads=(),
    reads_children=("time", "group", "likelihood", "log_scale"),
    writes=("likelihood", "log_scale"),
    writes_children=("over",),
)
def _prune(node: Any, children: Any, params: Transition) -> dict[str, Any]:
    def over_edge(child: Any) -> dict[str, Any]:
        over = jnp.maximum(_on_edge(backwards, params, child.group, child.time, child.likelihood), _TINY)
        return {"over": over, "log": jnp.log(over)}

    found = children.map(over_edge)
    together = found.log.sum(0)
    top = together.max()
    return {
        "likelihood": jnp.exp(together - top),
        "log_scale": children.log_scale.sum(0) + top,
        "over": found.over,
    }


@down(
    reads=("time", "group", "likelihood", "over"),
    reads_parent=("density",),
    writes=("outside", "arriving", "density"),
)
def _descend(node: Any, parent: Any, params: Transition) -> dict[str, Any]:
    outside = parent.density / node.over
    outside = outside / jnp.abs(outside).max()
    arriving = _on_edge(forwards, params, node.group, node.time, outside)
    density = arriving * node.likelihood
    return {"outside": outside, "arriving": arriving, "density": density / density.sum()}


def _on_edge(move: Any, transitions: Transition, group: Any, time: Any, values: Any) -> Any:
    """What `backwards` or `forwards` does on an edge that is walked as its group is."""
    count = len(transitions.step)
    if count == 1:
        return move(jax.tree.map(lambda each: each[0], transitions), time, values)

    def one(found: Any, walk: tuple[Transition, Any]) -> tuple[Any, None]:
        transition, number = walk
        return jnp.where(group == number, move(transition, time, values), found), None

    return jax.lax.scan(one, values, (transitions, jnp.arange(count)))[0]


def swept_up(tree: Tree, transitions: Transition) -> Tree:
    """The tree with `likelihood` (N, k), `log_scale` (N,) and `over` (N, k).

    Args:
        tree: Its fields `time` and `group`, (N,), and the tips' `likelihood` are there.
        transitions: Of the groups' walks.
    """
    blank = jnp.zeros_like(tree["likelihood"])
    return _prune(tree.update(over=blank.shape[1:]).set(over=blank), params=transitions)


def swept_down(tree: Tree, transitions: Transition, root: Any) -> Swept:
    """All densities, from a tree swept up.

    Args:
        tree: As `swept_up` leaves it.
        transitions: As there.
        root: (k,) weight of every cell at the root, before any observation.
    """
    blank = jnp.zeros_like(tree["likelihood"])
    names = ("outside", "arriving", "density")
    wide = tree.update(**dict.fromkeys(names, blank.shape[1:])).set(**dict.fromkeys(names, blank))
    density = root * tree["likelihood"][0]
    found = _descend(wide.at[0].set(density=density / density.sum()), params=transitions)
    return Swept(*(found[name] for name in Swept._fields))


def log_at_root(tree: Tree, generator: Generator, likelihood: Any, log_scale: Any, root: Any) -> Any:
    """() log of the observations' density, for weights of the root's cells or the best state of the root.

    Its first derivatives come from the sweep down: three sweeps and one pass over all edges at once.

    Args:
        tree: With the fields `time` (N,), edge lengths, 0 at the root and in the padding, and `group` (N,), whole
            numbers: the walk of every edge.
        generator: Of the walks, (G, k) each.
        likelihood: (N, k) of the tips' own observations, largest 1; 1 elsewhere.
        log_scale: (N,) log of the factor taken out of it; 0 elsewhere.
        root: (k,) weights, or None for the state of the root at which the observations are most likely.
    """
    value = _log_likelihood(tree, generator, tree["time"], likelihood, root)
    return value + log_scale.sum()


@jax.custom_jvp
def _log_likelihood(tree: Tree, generator: Generator, time: Any, likelihood: Any, root: Any) -> Any:
    return _up(tree, generator, time, likelihood, root)[0]


def _up(tree: Tree, generator: Generator, time: Any, likelihood: Any, root: Any) -> tuple[Any, Tree, Transition, Any]:
    transitions = make_transitions(generator, time.max())
    fields = {"time": time, "group": tree["group"], "likelihood": likelihood, "log_scale": jnp.zeros_like(time)}
    swept = swept_up(Tree.from_data(tree.topology, fields), transitions)
    at_root, log_scale = swept["likelihood"][0], swept["log_scale"][0]
    if root is None:
        value, weights = _best(at_root)
        return value + log_scale, swept, transitions, weights
    total = (root * at_root).sum()
    return jnp.log(jnp.maximum(total, _TINY)) + log_scale, swept, transitions, root


def _best(at_root: Any) -> tuple[Any, Any]:
    """Log of the largest likelihood between the cells, and weights of the cells whose sum of likelihoods moves as it.

    The top of the parabola through the logarithms at the best cell and its neighbours: exact for a Gaussian.
    """
    logs = jnp.log(jnp.maximum(at_root, _TINY))
    best = jnp.clip(jnp.argmax(logs), 1, len(logs) - 2)
    low, middle, high = (logs[best + i] for i in (-1, 0, 1))
    bend = low - 2 * middle + high
    place = jnp.where(bend < 0, (low - high) / (2 * jnp.where(bend < 0, bend, -1.0)), 0.0)
    # On the wall at the most.
    place = jax.lax.stop_gradient(jnp.clip(place, -1.5, 1.5))
    shares = [place * (place - 1) / 2, 1 - place**2, place * (place + 1) / 2]
    value = shares[0] * low + shares[1] * middle + shares[2] * high
    weights = jnp.zeros_like(logs)
    for i, share in zip((-1, 0, 1), shares, strict=True):
        weights = weights.at[best + i].set(share / jnp.maximum(at_root[best + i], _TINY))
    return value, weights


@_log_likelihood.defjvp
def _log_likelihood_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    tree, generator, time, likelihood, root = primals
    _, generator_dot, time_dot, likelihood_dot, root_dot = tangents
    value, up_tree, transitions, weights = _up(tree, generator, time, likelihood, root)
    swept = swept_down(up_tree, transitions, weights)
    total = (swept.outside * swept.over).sum(1)
    pull = _ratio(swept.outside, total)
    tangent = jax.jvp(
        lambda generator, time: _summed_over_edges(generator, tree["group"], time, swept.likelihood, pull),
        (generator, time),
        (generator_dot, time_dot),
    )[1]
    # Of the tips alone: what the other nodes have follows from them.
    slope = _ratio(swept.arriving, (swept.arriving * likelihood).sum(1))
    tangent += jnp.where(tree["inner"][:, None], 0.0, slope * likelihood_dot).sum()
    if root is not None:
        at_root = up_tree["likelihood"][0]
        tangent += (at_root * root_dot).sum() / (root * at_root).sum()
    return value, tangent


def _ratio(rows: Any, totals: Any) -> Any:
    """Rows over their totals; 0 where there is none, as at the root and in the padding."""
    return jnp.where(totals > 0, 1 / jnp.where(totals > 0, totals, 1.0), 0.0)[:, None] * rows


def _summed_over_edges(generator: Generator, group: Any, time: Any, likelihood: Any, pull: Any) -> Any:
    """() sum over all edges of pull' exp(t Q) likelihood, whose slope is that of the log likelihood."""
    transitions = make_transitions(generator, time.max())

    def chunk(parts: Any) -> Any:
        group, time, likelihood, pull = parts
        moved = jax.vmap(lambda g, t, u: _on_edge(backwards, transitions, g, t, u))(group, time, likelihood)
        return (moved * pull).sum()

    number = -(-len(time) // _CHUNK)
    if number == 1:
        return chunk((group, time, likelihood, pull))
    size = -(-len(time) // number)
    short = number * size - len(time)
    parts = jax.tree.map(
        lambda x: jnp.pad(x, [(0, short)] + [(0, 0)] * (x.ndim - 1)).reshape(number, size, *x.shape[1:]),
        (group, time, likelihood, pull),
    )
    return jax.lax.map(jax.checkpoint(chunk), parts).sum()
