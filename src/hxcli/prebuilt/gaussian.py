"""Gaussian messages: everything that is linear on its edges, `x_child ~ N(scale * x_parent + shift, variance)`.

The up sweep gives what the observations at and below a node say about it, the likelihood

    L(x) = exp(-(count * log(2 pi) + log_det + quadratic) / 2) * exp(-precision * (x - mean)^2 / 2),

the down sweep what all observations say. Felsenstein (1973, Am. J. Hum. Genet. 25:471) gives the upward
recursion; the downward one is the smoother of Rauch, Tung and Striebel (1965, AIAA J. 3:1445) on a tree.

A node whose state is known exactly (an observation without error, at the end of no or only zero-variance
edges) has infinite precision, which is kept as a mask: `known` with `precision` 0. So zero edge lengths,
missing observations (precision 0) and their combinations need no special case and give no nan.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.sweep import down, up
from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree

EDGE = ("scale", "shift", "variance")
LIKELIHOOD = ("count", "known", "log_det", "mean", "precision", "quadratic")
STATE = ("state", "state_variance")
SLOPE = ("slope",)


@up(reads=(), reads_children=(*EDGE, *LIKELIHOOD), writes=LIKELIHOOD)
def likelihoods(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """What the observations below a node say about it: `LIKELIHOOD` fields are `(D,)`, `EDGE` fields () or `(D,)`."""
    over_edges = children.map(_over_edge)
    # One reduction of all that is summed: a loop over children for each would take longer to compile and to run.
    number_known, known_mean, count, log_det, precision, quadratic, weighted = over_edges.sums.sum(0)
    known = number_known > 0
    mean = jnp.where(known, known_mean / jnp.maximum(number_known, 1), _ratio(weighted, precision))

    def misfit(child: Any) -> dict[str, Any]:
        # Around the mean just found, not as a difference of sums of squares, which would cancel.
        return {"value": child.weight * (child.residual - child.slope * mean) ** 2}

    return {
        "count": count,
        "known": known.astype(mean.dtype),
        "log_det": log_det,
        "mean": mean,
        "precision": jnp.where(known, 0, precision),
        "quadratic": quadratic + over_edges.map(misfit).value.sum(0),
    }


def _over_edge(child: Any) -> dict[str, Any]:
    """What a child says about its parent, its likelihood integrated over the edge, and what is summed of it."""
    variance = child.variance
    hard = child.known > 0
    certain = hard & (variance == 0)
    safe = jnp.where(variance == 0, 1, variance)
    spread = 1 + child.precision * variance
    weight = jnp.where(hard, jnp.where(certain, 0, 1 / safe), child.precision / spread)
    residual = child.mean - child.shift
    slope = jnp.broadcast_to(child.scale, residual.shape)
    sums = [
        certain.astype(residual.dtype),
        jnp.where(certain, residual / jnp.where(slope == 0, 1, slope), 0),
        child.count + (hard & ~certain),
        child.log_det + jnp.where(hard, jnp.log(safe), jnp.log(spread)),
        slope**2 * weight,
        child.quadratic,
        slope * weight * residual,
    ]
    return {"weight": weight, "residual": residual, "slope": slope, "sums": jnp.stack(sums)}


@down(reads=(*EDGE, "known", "mean", "precision"), reads_parent=STATE, writes=STATE)
def states(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """Mean and variance of a node given all observations; seed `state` and `state_variance` at the root."""
    pull = _pull(node)
    from_parent = node.scale * parent.state + node.shift
    return {
        "state": pull * from_parent + (1 - pull) * node.mean,
        "state_variance": pull * node.variance + (pull * node.scale) ** 2 * parent.state_variance,
    }


@down(reads=(*EDGE, "known", "mean", "precision"), reads_parent=(*STATE, *SLOPE), writes=(*STATE, *SLOPE))
def states_given_root(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """As `states`, and `slope`, how much the mean moves with the root's state; seed `slope` with 1 at the root."""
    found = states.function(node, parent, params)
    return {**found, "slope": _pull(node) * node.scale * parent.slope}


@down(reads=(*EDGE, "known", "mean", "precision"), reads_parent=("state",), writes=("state",))
def drawn_states(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """One joint draw of all nodes given all observations; seed `state` at the root with a draw, and give a key."""
    pull = _pull(node)
    mean = pull * (node.scale * parent.state + node.shift) + (1 - pull) * node.mean
    noise = jax.random.normal(node.key, mean.shape, mean.dtype)
    return {"state": mean + jnp.sqrt(pull * node.variance) * noise}


def _pull(node: Any) -> Any:
    """How much of the node's own expectation comes from its parent."""
    return jnp.where(node.known > 0, 0, 1 / (1 + node.precision * node.variance))


def gaussian_tree(topology: Any, edges: dict[str, Any], tips: dict[str, Any]) -> Tree:
    """A framed tree that is ready for both sweeps.

    Args:
        topology: N nodes, or a frame of them.
        edges: The fields of `EDGE`, each `(N,)` or `(N, D)`; of no meaning at the root.
        tips: The fields of `LIKELIHOOD`, each `(N, D)`; of meaning at the tips only.
    """
    make = Tree.on_frame if isinstance(topology, Topology) else Tree.from_data
    # What the states begin with is of no meaning: an array that is there costs no memory.
    return make(topology, {**edges, **tips, "state": tips["mean"], "state_variance": tips["mean"]})


def with_edges(tree: Tree, edges: dict[str, Any]) -> Tree:
    """The tree with other edges, for instance scaled by a rate."""
    return Tree.from_data(tree.topology, {**tree.data, **edges})


def smooth(tree: Tree, root_mean: Any, root_variance: Any, roots: int | slice = 0) -> tuple[Any, Any]:
    """Both (N, D): mean and variance of every node given all observations, from a tree swept up.

    Args:
        tree: The result of `likelihoods`.
        root_mean, root_variance: (D,) state of the root given all observations; of B roots (B, D).
        roots: Which nodes are the roots.
    """
    seeded = tree.at[roots].set(state=root_mean, state_variance=root_variance)
    swept = states(seeded)
    return swept["state"], swept["state_variance"]


def root_given_flat(tree: Tree) -> tuple[Any, Any]:
    """(D,) mean and variance of the root under a flat prior; nan where nothing was observed."""
    known, precision = tree["known"][0] > 0, tree["precision"][0]
    informed = known | (precision > 0)
    mean = jnp.where(informed, tree["mean"][0], jnp.nan)
    return mean, jnp.where(known, 0, jnp.where(informed, 1 / jnp.where(precision > 0, precision, 1), jnp.nan))


def log_density(tree: Tree, x: Any = None) -> Any:
    """(D,) log density of the observations given the root's state, at its best value or at x."""
    count, log_det, quadratic = (tree[name][0] for name in ("count", "log_det", "quadratic"))
    away = 0 if x is None else tree["precision"][0] * (x - tree["mean"][0]) ** 2
    return -(count * np.log(2 * np.pi) + log_det + quadratic + away) / 2


def log_marginal_flat(tree: Tree) -> Any:
    """(D,) log of the likelihood integrated over a flat root (the restricted likelihood)."""
    known, precision = tree["known"][0] > 0, tree["precision"][0]
    width = jnp.log(2 * np.pi / jnp.where(precision > 0, precision, 1)) / 2
    return log_density(tree) + jnp.where(known, 0, width)


def _ratio(above: Any, below: Any) -> Any:
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)
