"""Sweeps: `@up` and `@down` turn a function of one node into a `Tree -> Tree` transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jax

from hxcli.engine.device_topology import DeviceTopology, device_topology
from hxcli.engine.lowering import check_shapes, run
from hxcli.engine.padding import pad, unpad
from hxcli.engine.tree import Tree
from hxcli.errors import MissingField, SchemaMismatch

Function: TypeAlias = Callable[[Any, Any, Any], Mapping[str, Any]]
Names: TypeAlias = tuple[str, ...]


class Sweep:
    """A pure `Tree -> Tree` transform; make one with `@up` or `@down`.

    `sweep(tree, params=..., key=...)` works alone and under any of JAX's transformations. Called alone, it runs
    a program that all trees of one size class share.

    Attributes:
        direction: `up` (leaves to root) or `down` (root to leaves).
        function: The function of one node.
        reads, reads_other: Fields that it reads at the node, and at the children (up) or the parent (down); None
            for all fields of the tree.
        writes, writes_children: Fields that it writes at the node, and (up) at the children.
    """

    def __init__(
        self,
        direction: Literal["up", "down"],
        function: Function,
        reads: Sequence[str] | None,
        reads_other: Sequence[str] | None,
        writes: Sequence[str],
        writes_children: Sequence[str] = (),
    ) -> None:
        self.direction = direction
        self.function = function
        self.reads = _names("reads", reads)
        self.reads_other = _names("reads_children" if direction == "up" else "reads_parent", reads_other)
        self.writes = _names("writes", writes) or ()
        self.writes_children = _names("writes_children", writes_children) or ()
        self.name = getattr(function, "__name__", repr(function))
        self.__doc__ = getattr(function, "__doc__", None)
        if not self.writes and not self.writes_children:
            raise SchemaMismatch(f"sweep {self.name!r} writes nothing: name at least one field in writes=(...)")
        both = sorted(set(self.writes) & set(self.writes_children))
        if both:
            raise SchemaMismatch(f"sweep {self.name!r}: {both} stands in writes and in writes_children; keep one")
        self._jitted = jax.jit(self._run)
        self._jitted_writes = jax.jit(self._run_for_writes)

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
        names = self._fields_of(tree)
        # Before padding, which would hide a field that is too short.
        check_shapes(self, tree, names)
        frame = device_topology(topology, (tree.data[name] for name in names), padded=True)
        data = {name: pad(value, frame.size) for name, value in tree.data.items() if name in names}
        written = self._jitted_writes(Tree(frame, tree.schema, data), params, key)
        new = {name: unpad(value, topology.size) for name, value in written.items()}
        return Tree(topology, tree.schema, {**tree.data, **new})

    def _run(self, tree: Tree, params: Any, key: Any) -> Tree:
        names = self._fields_of(tree)
        return run(self, tree, names, params, key)

    def _run_for_writes(self, tree: Tree, params: Any, key: Any) -> dict[str, Any]:
        """The written fields alone: the others would be copied on their way through."""
        swept = self._run(tree, params, key)
        return {name: swept.data[name] for name in (*self.writes, *self.writes_children)}

    def _fields_of(self, tree: Tree) -> set[str]:
        """Names of the fields that this sweep touches on this tree."""
        declared = {"reads": self.reads, "writes": self.writes, "writes_children": self.writes_children}
        declared["reads_children" if self.direction == "up" else "reads_parent"] = self.reads_other
        for argument, names in declared.items():
            for name in names or ():
                if name not in tree.schema:
                    raise MissingField(
                        f"sweep {self.name!r}: {argument} names {name!r}, which the tree does not have; its fields are "
                        f"{list(tree.data)}; add it with tree.update({name}=...) or in Tree.empty(topology, schema)"
                    )
        if self.reads is None or self.reads_other is None:
            return set(tree.schema.names)
        return {*self.reads, *self.reads_other, *self.writes, *self.writes_children}

    def __repr__(self) -> str:
        return f"Sweep({self.direction}, {self.name}, writes={self.writes + self.writes_children})"


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
    return lambda function: Sweep("up", function, reads, reads_children, writes, writes_children)


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
    return lambda function: Sweep("down", function, reads, reads_parent, writes)


def _names(argument: str, names: Sequence[str] | None) -> Names | None:
    if isinstance(names, str):
        raise SchemaMismatch(f"{argument} takes a tuple of field names, got the string {names!r}: write ({names!r},)")
    return None if names is None else tuple(names)


def _is_static(tree: Tree, topology: Any) -> bool:
    """Whether the topology is better a constant of the program: a symmetric tree, or a call under a transformation."""
    return topology.symmetric or any(isinstance(value, jax.core.Tracer) for value in tree.data.values())
