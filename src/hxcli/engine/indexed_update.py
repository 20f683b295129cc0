"""Updates of some rows of a tree's fields: `tree.at[index].set(...)` and its like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp

from hxcli.engine.schema import FieldSpec
from hxcli.errors import SchemaMismatch

# A dataclass with a schema and data: a tree, which imports this file.
AnyTree = TypeVar("AnyTree", bound=Any)


class At(Generic[AnyTree]):
    """`tree.at`."""

    def __init__(self, tree: AnyTree) -> None:
        self._tree = tree

    def __getitem__(self, index: Any) -> Indexed[AnyTree]:
        return Indexed(self._tree, index)


class Indexed(Generic[AnyTree]):
    """`tree.at[index]`: each method but `get` takes fields by name and returns a new tree."""

    def __init__(self, tree: AnyTree, index: Any) -> None:
        self._tree, self._index = tree, index

    def _apply(self, method: str, fields: Mapping[str, Any]) -> AnyTree:
        tree, data = self._tree, dict(self._tree.data)
        for name, value in fields.items():
            spec = tree.schema.require(name, f"use .update({name}=...) to add a field")
            refuse_fractions(name, value, spec)
            data[name] = getattr(data[name].at[self._index], method)(jnp.asarray(value, spec.dtype))
        return dataclasses.replace(tree, data=data)

    def set(self, **fields: Any) -> AnyTree:
        """Replaces the values at the index."""
        return self._apply("set", fields)

    def add(self, **fields: Any) -> AnyTree:
        """Adds to the values at the index."""
        return self._apply("add", fields)

    def multiply(self, **fields: Any) -> AnyTree:
        """Multiplies the values at the index."""
        return self._apply("multiply", fields)

    def min(self, **fields: Any) -> AnyTree:
        """Takes the smaller of the values at the index and the given ones."""
        return self._apply("min", fields)

    def max(self, **fields: Any) -> AnyTree:
        """Takes the larger of the values at the index and the given ones."""
        return self._apply("max", fields)

    def get(self) -> dict[str, Any]:
        """All fields at the index."""
        return {name: value[self._index] for name, value in self._tree.data.items()}


def refuse_fractions(name: str, value: Any, spec: FieldSpec) -> None:
    """Raises where floating-point values are to be cast to integers or truths."""
    if jnp.issubdtype(spec.dtype, jnp.inexact):
        return
    given = jnp.result_type(bool, *jax.tree.leaves(value))
    if jnp.issubdtype(given, jnp.inexact):
        raise SchemaMismatch(
            f"field {name!r} is {spec.dtype}, and the values are {given}: cast with .astype({spec.dtype}), or make the "
            "field from floating-point values"
        )
