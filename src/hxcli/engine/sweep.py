"""Sweeps: `@up` and `@down` turn a function of one node into a `Tree -> Tree` transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from hxcli.engine.declaration import Declaration, Function, declare
from hxcli.engine.device_topology import DeviceTopology, device_topology
from hxcli.engine.lowering import check_shapes, run
from hxcli.engine.padding import pad, unpad
from hxcli.engine.tree import Tree


class Sweep:
    """A pure `Tree -> Tree` transform; make one with `@up` or `@down`.

    `sweep(tree, params=..., key=...)` works alone and under any of JAX's transformations. Called alone, it runs
    a program that all trees of one size class share.

    Attributes:
        declaration: The function of one node, and what it reads and writes.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.__doc__ = getattr(declaration.function, "__doc__", None)
        self._jitted = jax.jit(self._run)
        self._jitted_writes = jax.jit(self._run_for_writes)

    @property
    def function(self) -> Function:
        """The function of one node, to be called by that of another sweep."""
        return self.declaration.function

    def __call__(self, tree: Tree, *, params: Any = None, key: Any = None) -> Tree:
        """Sweeps a tree.

        Args:
            tree: The tree; its fields keep their shape and dtype.
            params: Any pytree, handed to the function as it is.
            key: A PRNG key; the function then finds a key of its own at every node, `node.key`, which depends on
                this key and on the node's number only.

        Returns:
            The tree with the written fields replaced. Going up, leaves keep their values; going down, the root.

        Raises:
            MissingField: A field that the tree does not have, or that the function reads without declaring it.
            SchemaMismatch: The function returned other fields, shapes or dtypes than it declared.
        """
        if params is None:
            params = {}
        topology = tree.topology
        if isinstance(topology, DeviceTopology) or _is_static(tree, topology):
            return self._jitted(tree, params, key)
        names = self.declaration.fields_of(tree.schema)
        # Before padding, which would hide a field that is too short.
        check_shapes(self.declaration, tree, names)
        frame = device_topology(topology, (tree.data[name] for name in names), padded=True)
        data = {name: pad(value, frame.size) for name, value in tree.data.items() if name in names}
        written = self._jitted_writes(Tree(frame, tree.schema, data), params, key)
        new = {name: unpad(value, topology.size) for name, value in written.items()}
        return Tree(topology, tree.schema, {**tree.data, **new})

    def _run(self, tree: Tree, params: Any, key: Any) -> Tree:
        return run(self.declaration, tree, self.declaration.fields_of(tree.schema), params, key)

    def _run_for_writes(self, tree: Tree, params: Any, key: Any) -> dict[str, Any]:
        """The written fields alone: the others would be copied on their way through."""
        swept = self._run(tree, params, key)
        return {name: swept.data[name] for name in self.declaration.written}

    def __repr__(self) -> str:
        return f"Sweep({self.declaration.direction}, {self.declaration.name}, writes={self.declaration.written})"


def up(
    *,
    reads: Sequence[str] | None = None,
    reads_children: Sequence[str] | None = None,
    writes: Sequence[str] = (),
    writes_children: Sequence[str] = (),
) -> Callable[[Function], Sweep]:
    """Declares a sweep from the leaves to the root.

    The function `f(node, children, params)` is called for every node with children, when these are done, and
    returns a dict: `(*trailing,)` for a field in `writes`, `(k, *trailing)` for one in `writes_children`.

    Args:
        reads: Fields read as `node.x`; None for all.
        reads_children: Fields read as `children.x`; None for all.
        writes: Fields set at the node.
        writes_children: Fields set at the node's children.

    Example:
        >>> @up(reads_children=("value",), writes=("value",))
        ... def average(node, children, params):
        ...     return {"value": children.value.mean(0)}
    """
    return lambda function: Sweep(declare("up", function, reads, reads_children, writes, writes_children))


def down(
    *, reads: Sequence[str] | None = None, reads_parent: Sequence[str] | None = None, writes: Sequence[str]
) -> Callable[[Function], Sweep]:
    """Declares a sweep from the root to the leaves.

    The function `f(node, parent, params)` is called for every node with a parent, when that is done, and returns
    a dict with `(*trailing,)` for every field in `writes`. The root keeps its values: seed them.

    Args:
        reads: Fields read as `node.x`; None for all.
        reads_parent: Fields read as `parent.x`; None for all.
        writes: Fields set at the node.
    """
    return lambda function: Sweep(declare("down", function, reads, reads_parent, writes))


def _is_static(tree: Tree, topology: Any) -> bool:
    """Whether the topology is better a constant of the program: a symmetric tree, or a call under a transformation."""
    return topology.symmetric or any(isinstance(value, jax.core.Tracer) for value in tree.data.values())
