"""Forest: many trees of different shapes, swept together."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.engine.array_memo import ArrayMemo
from hxcli.engine.padding import aligned, beside, on_host, unpad
from hxcli.engine.schedule import size_class
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
        # The trees' own arrays of a field, as long as somebody else holds them.
        self._given = ArrayMemo()

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
        owners[self._end_to_end] = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self._bounds))
        return owners

    @cached_property
    def _end_to_end(self) -> NDArray[np.intp]:
        """(N,) the merged numbers of all nodes when the trees are laid end to end."""
        return np.concatenate(self.places).astype(np.intp)

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """(N,) for every merged node its place when the trees are laid end to end."""
        order = np.empty(self.topology.size, np.intp)
        order[self._end_to_end] = np.arange(self.topology.size)
        return order

    @cached_property
    def _bounds(self) -> list[int]:
        """(B + 1,) where every tree begins when they are laid end to end, and where the last ends."""
        return [0, *accumulate(len(place) for place in self.places)]

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
            if tree.topology is not topology and tree.topology != topology:
                raise SchemaMismatch(f"tree {b} does not have the topology that the forest was made with")
            if tree.schema is not trees[0].schema and tree.schema != trees[0].schema:
                raise SchemaMismatch(f"tree {b} has fields {tree.schema.names}, tree 0 {trees[0].schema.names}")
        data = {name: self._joined([tree.data[name] for tree in trees]) for name in trees[0].data}
        return Tree(self.topology, trees[0].schema, data)

    def split(self, tree: Tree) -> list[Tree]:
        """The trees of the forest, with their own topologies, from a tree on the merged topology."""
        columns = [self._parts(value) for value in tree.data.values()]
        rows = zip(*columns, strict=True) if columns else [()] * len(self)
        return [
            Tree(topology, tree.schema, dict(zip(tree.data, row, strict=True)))
            for topology, row in zip(self.topologies, rows, strict=True)
        ]

    def broadcast(self, values: Any) -> Any:
        """(N, *shape) one value for every node, from (B, *shape) one for every tree."""
        return jnp.asarray(values)[self.tree_of]

    def _joined(self, parts: Sequence[Any]) -> Any:
        """(N, ...) the values of all trees in the merged order."""
        if any(isinstance(part, jax.core.Tracer) or not on_host(part) for part in parts):
            return jnp.concatenate(parts)[self._order]
        # Through numpy, where joining thousands of small arrays costs one copy and compiles nothing; with the room that
        # a sweep wants.
        ends = np.concatenate(parts)
        size = self.topology.size
        wide = aligned((size_class(size), *ends.shape[1:]), ends.dtype)
        np.take(ends, self._order, 0, out=wide[:size], mode="clip")
        wide[size:] = 0
        with jax.ensure_compile_time_eval():
            merged = unpad(jax.device_put(wide), size)
        if all(isinstance(part, jax.Array) for part in parts):
            self._given.keep(merged, [weakref.ref(part) for part in parts])
        return merged

    def _parts(self, value: Any) -> Sequence[Any]:
        """(B,) every tree's rows of a field of the merged tree."""
        if isinstance(value, jax.core.Tracer) or not on_host(value):
            return [value[place] for place in self.places]
        # What no sweep wrote is there already.
        given = [part() for part in self._given.get(value) or ()]
        if given and all(part is not None and not part.is_deleted() for part in given):
            return given
        ends = np.take(np.asarray(value), self._end_to_end, 0)
        like = value if isinstance(value, jax.Array) else jnp.zeros(())
        return [beside(like, ends[start:end]) for start, end in pairwise(self._bounds)]
