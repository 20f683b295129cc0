"""Schema: which fields a tree has, and the shape and dtype of each at one node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jax import dtypes

from hxcli.errors import MissingField, SchemaMismatch


@dataclass(frozen=True)
class FieldSpec:
    """Shape and dtype of one field at one node.

    Args:
        shape: The trailing shape; the array of a tree with N nodes is `(N, *shape)`.
        dtype: None for JAX's default floating-point dtype at the time of the call.
    """

    shape: tuple[int, ...] = ()
    dtype: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        dtype = float if self.dtype is None else self.dtype
        object.__setattr__(self, "dtype", np.dtype(dtypes.canonicalize_dtype(dtype)))


SpecLike: TypeAlias = "FieldSpec | tuple[int, ...] | None"


@dataclass(frozen=True)
class Schema:
    """Named fields, ordered by name, so that two schemas with the same fields are equal.

    Attributes:
        fields: (name, specification) pairs sorted by name.
    """

    fields: tuple[tuple[str, FieldSpec], ...]

    @classmethod
    def from_dict(cls, specs: Mapping[str, SpecLike]) -> Schema:
        """Builds a schema from field names and `FieldSpec`s, shape tuples or None (a scalar field)."""
        return cls(tuple(sorted((name, as_spec(spec)) for name, spec in specs.items())))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, sorted."""
        return tuple(name for name, _ in self.fields)

    def with_added(self, **specs: SpecLike) -> Schema:
        """The schema with further fields, each given as in `from_dict`.

        Raises:
            SchemaMismatch: A field is there already.
        """
        for name in specs:
            if name in self:
                raise SchemaMismatch(f"field {name!r} is there already; the fields are {list(self.names)}")
        return Schema.from_dict({**dict(self.fields), **specs})

    def without(self, *names: str) -> Schema:
        """The schema without these fields.

        Raises:
            MissingField: There is no such field.
        """
        for name in names:
            self.require(name, "nothing to drop")
        return Schema(tuple((name, spec) for name, spec in self.fields if name not in names))

    def require(self, name: str, advice: str) -> FieldSpec:
        """The specification of a field that must be there.

        Raises:
            MissingField: It is not; the message ends with the advice.
        """
        if name not in self:
            raise MissingField(f"the tree has no field {name!r}; its fields are {list(self.names)} ({advice})")
        return self[name]

    def __contains__(self, name: object) -> bool:
        return any(name == known for known, _ in self.fields)

    def __getitem__(self, name: str) -> FieldSpec:
        return dict(self.fields)[name]

    def __len__(self) -> int:
        return len(self.fields)

    def __iter__(self) -> Iterator[tuple[str, FieldSpec]]:
        return iter(self.fields)


def as_spec(spec: SpecLike) -> FieldSpec:
    """The `FieldSpec` that a shape tuple or None stands for.

    Raises:
        TypeError: Something else.
    """
    if isinstance(spec, FieldSpec):
        return spec
    if spec is None:
        return FieldSpec()
    if isinstance(spec, tuple):
        return FieldSpec(spec)
    raise TypeError(f"a field is specified by a FieldSpec, a shape tuple or None, got {spec!r}")
