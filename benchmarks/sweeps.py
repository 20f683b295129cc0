"""The sweeps that the benchmark writes once and runs in both libraries."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from trees import Parents, edge_lengths, tip_values

OURS, THEIRS = "hxcli", "hyperiax"


def has_hyperiax() -> bool:
    """Whether Hyperiax can be imported."""
    return importlib.util.find_spec(THEIRS) is not None


@dataclass(frozen=True)
class Brownian:
    """Felsenstein's pruning and the pass back, written with one of the two libraries.

    Attributes:
        library: The module.
        up: From the leaves to the root: mean and variance of every node given the leaves below it.
        down: From the root to the leaves: mean and variance given all leaves.
    """

    library: Any
    up: Callable[[Any], Any]
    down: Callable[[Any], Any]

    def both(self, tree: Any) -> Any:
        """The up and the down sweep."""
        return self.down(self.up(tree))

    def tree(self, parents: Parents, seed: int) -> Any:
        """A tree with random edge lengths and tip values."""
        return self.filled(self.library.from_parents(parents), parents, seed)

    def filled(self, topology: Any, parents: Parents, seed: int) -> Any:
        """Random edge lengths and tip values on a topology."""
        fields = {
            "mean": jnp.asarray(tip_values(parents, seed)),
            "variance": jnp.asarray(np.zeros(len(parents))),
            "edge": jnp.asarray(edge_lengths(parents, seed)),
        }
        return jax.block_until_ready(self.library.Tree.from_data(topology, fields))


def brownian(library: str) -> Brownian:
    """The sweeps in one of the libraries."""
    lib = importlib.import_module(library)

    @lib.up(reads_children=("mean", "variance", "edge"), writes=("mean", "variance"))
    def prune(node: Any, children: Any, params: Any) -> dict[str, Any]:
        def message(child: Any) -> dict[str, Any]:
            weight = 1 / (child.variance + child.edge)
            return {"weight": weight, "weighted": weight * child.mean}

        messages = children.map(message)
        total = messages.weight.sum(0)
        return {"mean": messages.weighted.sum(0) / total, "variance": 1 / total}

    @lib.down(reads=("mean", "variance", "edge"), reads_parent=("mean", "variance"), writes=("mean", "variance"))
    def condition(node: Any, parent: Any, params: Any) -> dict[str, Any]:
        gain = node.variance / (node.variance + node.edge)
        return {
            "mean": node.mean + gain * (parent.mean - node.mean),
            "variance": gain * node.edge + gain**2 * parent.variance,
        }

    return Brownian(lib, prune, condition)


def quickstart(library: str, depth: int) -> tuple[Callable[[Any], Any], Any]:
    """The quickstart's sweep and its binary tree of 2 ** (depth + 1) - 1 nodes."""
    lib = importlib.import_module(library)

    @lib.up(reads_children=("value",), writes=("value",))
    def average_children(node: Any, children: Any, params: Any) -> dict[str, Any]:
        return {"value": children.value.mean(0)}

    topology = lib.symmetric_topology(depth=depth, degree=2)
    tree = lib.Tree.empty(topology, {"value": ()})
    return average_children, tree.at[topology.is_leaf].set(value=jnp.arange(2.0**depth))
