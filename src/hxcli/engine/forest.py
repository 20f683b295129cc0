"""Forest: many trees of different shapes, swept together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.padding import on_host
from hxcli.engine.topology import IntArray, Topology, merge_topologies
from hxcli.engine.tree import Tree
from hxcli.errors import SchemaMismatch


class Forest:
    """B trees as one topology with B roots, whose levels are merged: nothing is padded.

    `join` puts trees of one schema together, any sweep runs over the result as over any tree, and `split` takes
    it apart again. Each tree's result is what a sweep of that tree alone gives. A parameter that differs between
    trees becomes a field: `broadcast`.

    Args:
        topologies: The trees' topologies, at least one.

    Attributes:
        topologies: (B,) as given.
        topology: The merged topology.
        places: For every tree the (N_b,) numbers of its nodes in the merged topology.

    Raises:
        TopologyError: No topology was given.
    """

    def __init__(self, topologies: Sequence[Topology]) -> None:
        self.topologies = tuple(topologies)
        self.topology, self.places = merge_topologies(self.topologies)

    def __len__(self) -> int:
        return len(self.topologies)

    def __repr__(self) -> str:
        return f"Forest(trees={len(self)}, size={self.topology.size}, depth={self.topology.depth})"

    @cached_property
    def roots(self) -> IntArray:
        """(B,) the merged numbers of the roots: `tree.value[forest.roots]` is every tree's root value."""
        return np.array([place[0] for place in self.places], np.int32)

    @cached_property
    def tree_of(self) -> IntArray:
        """(N,) which tree every merged node belongs to."""
        owners = np.empty(self.topology.size, np.int32)
        sizes = [len(place) for place in self.places]
        owners[np.concatenate(self.places)] = np.repeat(np.arange(len(self), dtype=np.int32), sizes)
        return owners

    @cached_property
    def _order(self) -> IntArray:
        """(N,) for every merged node its place when the trees are laid end to end."""
        order = np.empty(self.topology.size, np.int32)
        order[np.concatenate(self.places)] = np.arange(self.topology.size, dtype=np.int32)
        return order

    def join(self, trees: Sequence[Tree]) -> Tree:
        """One tree on the merged topology with the fields of all trees.

        Args:
            trees: (B,) trees with the forest's topologies, in order, and one schema.

        Raises:
            SchemaMismatch: Another number of trees, another topology, or schemas that differ.
        """
        if len(trees) != len(self):
            raise SchemaMismatch(f"the forest has {len(self)} trees, got {len(trees)}")
        for b, (tree, topology) in enumerate(zip(trees, self.topologies, strict=True)):
            if tree.topology != topology:
                raise SchemaMismatch(f"tree {b} does not have the topology that the forest was made with")
            if tree.schema != trees[0].schema:
                raise SchemaMismatch(f"tree {b} has fields {tree.schema.names}, tree 0 {trees[0].schema.names}")
        data = {name: _laid_out([tree.data[name] for tree in trees], self._order) for name in trees[0].data}
        return Tree(self.topology, trees[0].schema, data)

    def split(self, tree: Tree) -> list[Tree]:
        """The trees of the forest, with their own topologies, from a tree on the merged topology."""
        columns = [[value[place] for place in self.places] for value in map(_readable, tree.data.values())]
        # In one call, because a call costs more than a small array.
        rows = zip(*jax.device_put(columns), strict=True) if columns else [()] * len(self)
        return [
            Tree(topology, tree.schema, dict(zip(tree.data, row, strict=True)))
            for topology, row in zip(self.topologies, rows, strict=True)
        ]

    def broadcast(self, values: Any) -> Any:
        """(N, *shape) one value for every node, from (B, *shape) one for every tree."""
        return jnp.asarray(values)[self.tree_of]


def _laid_out(parts: Sequence[Any], order: IntArray) -> Any:
    if all(not isinstance(part, jax.core.Tracer) and on_host(part) for part in parts):
        # Through numpy, where joining thousands of small arrays costs one copy and compiles nothing.
        return jax.device_put(np.concatenate([np.asarray(part) for part in parts])[order])
    return jnp.concatenate(parts)[order]


def _readable(value: Any) -> Any:
    return value if isinstance(value, jax.core.Tracer) or not on_host(value) else np.asarray(value)
