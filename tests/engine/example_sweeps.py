"""The five patterns as sweeps, and each once more for the loops of `tests.reference`."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

import hxcli as hx
from tests.examples import Example


@hx.up(reads_children=("count",), writes=("count",))
def subtree_size(node: Any, children: Any, params: Any) -> Any:
    return {"count": children.count.sum(0) + 1}


@hx.down(reads=("length",), reads_parent=("depth",), writes=("depth",))
def depth(node: Any, parent: Any, params: Any) -> Any:
    return {"depth": parent.depth + node.length}


@hx.up(reads_children=("value", "weight"), writes=("value", "weight"))
def weighted_mean(node: Any, children: Any, params: Any) -> Any:
    total = children.weight.sum(0)
    return {"value": (children.value * children.weight).sum(0) / total, "weight": total}


@hx.up(reads=("value",), reads_children=("value",), writes=("value",))
def maximum(node: Any, children: Any, params: Any) -> Any:
    return {"value": jnp.maximum(children.value.max(0), node.value)}


# A belief about a node from the leaves below it: density exp(evidence + weighted * x - precision * x ** 2 / 2).
BELIEF = ("evidence", "precision", "weighted")


@hx.up(reads_children=(*BELIEF, "length"), writes=BELIEF)
def belief(node: Any, children: Any, params: Any) -> Any:
    def message(child: Any) -> Any:
        # The belief about the child's parent, one edge away; no division by the length, which may be 0.
        kept = 1 / (1 + params["rate"] * child.length * child.precision)
        spread = params["rate"] * child.length * child.weighted**2 * kept
        return {
            "evidence": child.evidence + (jnp.log(kept) + spread) / 2,
            "precision": child.precision * kept,
            "weighted": child.weighted * kept,
        }

    messages = children.map(message)
    return {name: messages[name].sum(0) for name in BELIEF}


@hx.down(reads=("precision", "weighted", "length"), reads_parent=("mean", "variance"), writes=("mean", "variance"))
def posterior(node: Any, parent: Any, params: Any) -> Any:
    variance = params["rate"] * node.length
    kept = 1 / (1 + variance * node.precision)
    return {
        "mean": kept * (parent.mean + variance * node.weighted),
        "variance": kept * variance + kept**2 * parent.variance,
    }


def condition(topology: Any, observed: Any, lengths: Any, params: Any) -> tuple[Any, hx.Tree]:
    """Log density of the observations at the leaves, and the tree with every node's mean and variance.

    Args:
        topology: One tree, or the merged topology of a forest; the density then has one value for every root.
        observed: (L,) in the order of the leaves.
        lengths: (N,).
        params: `rate`, `noise` and `root`, three variances.
    """
    leaf, root = np.flatnonzero(topology.is_leaf), np.flatnonzero(topology.is_root)
    tree = hx.Tree.empty(topology, dict.fromkeys((*BELIEF, "length", "mean", "variance"), ())).set(length=lengths)
    noise = params["noise"]
    tree = tree.at[leaf].set(
        precision=jnp.ones(len(leaf)) / noise,
        weighted=observed / noise,
        evidence=-0.5 * (observed**2 / noise + jnp.log(2 * jnp.pi * noise)),
    )
    tree = belief(tree, params=params)
    kept = 1 / (1 + params["root"] * tree.precision[root])
    weighted = tree.weighted[root]
    density = tree.evidence[root] + (jnp.log(kept) + params["root"] * weighted**2 * kept) / 2
    tree = tree.at[root].set(mean=params["root"] * weighted * kept, variance=params["root"] * kept)
    tree = posterior(tree, params=params)
    return density if len(root) > 1 else density[0], tree


def as_one_argument(example: Example, weights: Any) -> tuple[Any, Any, Any]:
    """A scalar of all that `condition` gives, as a function of one vector, for jax and for the dense oracle.

    Returns:
        `(function, dense twin, point)`; the vector holds the observations, the lengths, and the log of three params.
    """
    from tests.reference import gaussian

    count, size = len(example.leaves), example.topology.size

    def function(vector: Any) -> Any:
        rate, noise, root = jnp.exp(vector[count + size :])
        params = {"rate": rate, "noise": noise, "root": root}
        density, tree = condition(example.topology, vector[:count], vector[count : count + size], params)
        return density + tree.mean @ weights + tree.variance @ weights**2

    def twin(vector: Any) -> Any:
        rate, noise, root = np.exp(vector[count + size :])
        lengths = vector[count : count + size] * rate
        density, means, variances = gaussian(example.parents, example.leaves, lengths, vector[:count], root, noise)
        return density + means @ weights + variances @ weights**2

    point = np.concatenate([example.values[example.leaves], example.lengths, [0.3, -0.5, 0.7]])
    return function, twin, point
