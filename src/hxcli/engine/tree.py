"""Tree: a topology and named arrays with one row a node; immutable, and a JAX pytree."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import hxcli.engine.static_topology  # noqa: F401  (makes a topology a node of the pytree)
from hxcli.engine.device_topology import DeviceTopology, device_topology
from hxcli.engine.indexed_update import At, refuse_fractions
from hxcli.engine.padding import pad, pad_together
from hxcli.engine.schema import FieldSpec, Schema, SpecLike, as_spec
from hxcli.engine.topology import Topology
from hxcli.errors import MissingField, SchemaMismatch

Shape: TypeAlias = Topology | DeviceTopology


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tree:
    """A topology with fields: every change returns a new tree.

    A field is read as `tree.value` or `tree["value"]`; a name that is an attribute of `Tree` (`size`, `set`,
    ...) is read as `tree["size"]` only. As a pytree, the fields are the leaves, in order of their names, and
    the topology and the schema are static.

    Attributes:
        topology: The shape of the tree, N nodes.
        schema: The fields.
        data: Field name -> array `(N, *shape)`.
    """

    topology: Shape
    schema: Schema
    data: Mapping[str, Any]

    @classmethod
    def empty(cls, topology: Shape, schema: Schema | Mapping[str, SpecLike]) -> Tree:
        """A tree of zeros.

        Args:
            topology: The shape of the tree.
            schema: A `Schema`, or field names with a `FieldSpec`, a trailing shape or None (a scalar).
        """
        if not isinstance(schema, Schema):
            schema = Schema.from_dict(schema)
        # From numpy and with device_put, because a fill and jnp.asarray compile once for every new size.
        data = {name: jax.device_put(np.zeros((topology.size, *spec.shape), spec.dtype)) for name, spec in schema}
        return cls(topology, schema, data)

    @classmethod
    def from_data(cls, topology: Shape, data: Mapping[str, Any]) -> Tree:
        """A tree with the given fields; the schema is read off the arrays.

        Raises:
            SchemaMismatch: An array's leading axis is not the number of nodes.
        """
        arrays = {name: as_array(value) for name, value in sorted(data.items())}
        specs = {name: _spec_of(name, array, topology.size) for name, array in arrays.items()}
        return cls(topology, Schema.from_dict(specs), arrays)

    @classmethod
    def on_frame(cls, topology: Topology, data: Mapping[str, NDArray[Any]], columns: int = 1) -> Tree:
        """`from_data(topology, data).framed()`, for arrays of numpy, each of which is copied once only.

        Args:
            topology: N nodes.
            data: Field name -> array `(N, *shape)`.
            columns: Numbers at a node of the largest field that will be added: what the frame is made for.

        Raises:
            SchemaMismatch: An array's leading axis is not the number of nodes.
        """
        for name, array in data.items():
            _spec_of(name, array, topology.size)
        frame = device_topology(topology, data.values(), padded=True, columns=columns)
        return cls.from_data(frame, pad_together(data, frame.size))

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self.topology.size

    def __len__(self) -> int:
        return self.topology.size

    def __getitem__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise MissingField(f"the tree has no field {name!r}; its fields are {list(self.data)}") from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {spec.shape}" for name, spec in self.schema)
        return f"Tree(size={self.size}, fields={{{fields}}})"

    def set(self, **fields: Any) -> Tree:
        """Replaces whole fields.

        Args:
            **fields: Arrays `(N, *shape)`, cast to the field's dtype.

        Raises:
            MissingField: The schema has no such field; `update` adds one.
            SchemaMismatch: The shape is not the field's, or a field of integers or truths would lose fractions.
        """
        data = dict(self.data)
        for name, value in fields.items():
            spec = self.schema.require(name, f"use .update({name}=...) to add a field")
            refuse_fractions(name, value, spec)
            array = as_array(value, spec.dtype)
            if array.shape != (self.size, *spec.shape):
                raise SchemaMismatch(f"field {name!r}: expected shape {(self.size, *spec.shape)}, got {array.shape}")
            data[name] = array
        return Tree(self.topology, self.schema, data)

    def update(self, **fields: Any) -> Tree:
        """Adds fields: each a `FieldSpec`, a trailing shape, None (zeros of that kind) or an array `(N, *shape)`.

        Raises:
            SchemaMismatch: The field exists, or an array's leading axis is not N.
        """
        specs, data = dict(self.schema.fields), dict(self.data)
        for name, value in fields.items():
            if name in specs:
                raise SchemaMismatch(f"field {name!r} is there already; use .set({name}=...) to replace its values")
            if value is None or isinstance(value, FieldSpec | tuple):
                specs[name] = as_spec(value)
                data[name] = jax.device_put(np.zeros((self.size, *specs[name].shape), specs[name].dtype))
            else:
                data[name] = as_array(value)
                specs[name] = _spec_of(name, data[name], self.size)
        return Tree(self.topology, Schema.from_dict(specs), dict(sorted(data.items())))

    def drop(self, *names: str) -> Tree:
        """Removes fields.

        Raises:
            MissingField: The tree has no such field.
        """
        schema = self.schema.without(*names)
        return Tree(self.topology, schema, {name: self.data[name] for name in self.data if name in schema})

    @property
    def at(self) -> At[Tree]:
        """`tree.at[index].set(field=values)`, and `add`, `multiply`, `min`, `max`, `get`; as in `jnp.ndarray.at`."""
        return At(self)

    def framed(self) -> Tree:
        """The same tree with its topology as data: padded to a size class, and an argument under `jax.jit`.

        Trees of one size class then share one compiled program. `hxcli.engine.sweep` does this by itself for a
        sweep that is called outside of any transformation.
        """
        if isinstance(self.topology, DeviceTopology):
            return self
        frame = device_topology(self.topology, self.data.values(), padded=True)
        padded = {name: as_array(pad(value, frame.size)) for name, value in self.data.items()}
        return Tree(frame, self.schema, padded)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Tree)
            and self.topology == other.topology
            and self.schema == other.schema
            and all(bool(jnp.array_equal(self.data[name], other.data[name])) for name in self.data)
        )

    __hash__ = None  # type: ignore[assignment]


def _spec_of(name: str, array: Any, size: int) -> FieldSpec:
    if array.ndim == 0 or array.shape[0] != size:
        raise SchemaMismatch(f"field {name!r}: the leading axis must have {size} nodes, got shape {array.shape}")
    return FieldSpec(array.shape[1:], array.dtype)


def as_array(value: Any, dtype: Any = None) -> Any:
    """A JAX array of a copy of the values; of numpy's without compiling, as jnp.asarray would for every new shape."""
    if isinstance(value, np.ndarray):
        return jax.device_put(np.array(value, dtype))
    return jnp.asarray(value, dtype)


class _FieldKey(jax.tree_util.GetAttrKey):
    """`.value` in a key path; JAX asks every key for `key` when two trees have different fields."""

    @property
    def key(self) -> str:
        return str(self.name)


def _flatten(tree: Tree) -> tuple[tuple[Any, ...], Any]:
    return (*tree.data.values(), tree.topology), (tree.schema, tuple(tree.data))


def _flatten_with_keys(tree: Tree) -> tuple[list[tuple[Any, Any]], Any]:
    children, static = _flatten(tree)
    return [(_FieldKey(name), child) for name, child in zip((*tree.data, "topology"), children, strict=True)], static


def _unflatten(static: Any, children: Any) -> Tree:
    schema, names = static
    *values, topology = children
    tree = object.__new__(Tree)
    fields = tree.__dict__
    fields["topology"], fields["schema"], fields["data"] = topology, schema, dict(zip(names, values, strict=True))
    return tree


jax.tree_util.register_pytree_with_keys(Tree, _flatten_with_keys, _unflatten, _flatten)
