"""What a sweep function sees: one node, its parent or its children, and only the fields it declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from hxcli.errors import MissingField, SchemaMismatch


class View:
    """Fields by attribute (`node.value`) or by name (`node["value"]`)."""

    _kind, _argument = "record", "reads"
    __slots__ = ("_fields", "_sweep")

    def __init__(self, fields: Mapping[str, Any], sweep: str = "") -> None:
        object.__setattr__(self, "_fields", dict(fields))
        object.__setattr__(self, "_sweep", sweep)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if name in self._fields:
            return self._fields[name]
        of = f" of sweep {self._sweep!r}" if self._sweep else ""
        if name == "key":
            raise MissingField(f"{self._kind}.key{of} is there when the sweep is called with key=...")
        raise MissingField(
            f"{self._kind} field {name!r} is not available in the function{of}: add {name!r} to "
            f"{self._argument}=(...); available here: {sorted(self._fields)}"
        )

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise SchemaMismatch(
            f"{self._kind} fields cannot be assigned: return {{{name!r}: ...}} and declare it in writes="
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __repr__(self) -> str:
        return f"{type(self).__name__}(fields={sorted(self._fields)})"


class Node(View):
    """The node itself; every field has shape `(*trailing,)`."""

    _kind, _argument = "node", "reads"
    __slots__ = ()


class Parent(View):
    """The node's parent, already swept; every field has shape `(*trailing,)`."""

    _kind, _argument = "parent", "reads_parent"
    __slots__ = ()


class Children(View):
    """The node's children, already swept.

    On a tree whose nodes all have the same number k of children every field is an array `(k, *trailing)`; on
    any other tree it is a `ChildrenAxis`, which has the same reductions over axis 0.
    """

    _kind, _argument = "children", "reads_children"
    __slots__ = ()

    def map(self, function: Callable[[Node], Mapping[str, Any]]) -> Children:
        """Applies a function to every child.

        Args:
            function: Takes a `Node` view of one child and returns a dict of arrays.

        Returns:
            The results, to be read like the children's own fields.
        """
        plain, real, exact = {}, None, None
        for name, field in self._fields.items():
            if isinstance(field, ChildrenAxis):
                plain[name], real, exact = field.padded, field.real, field.exact
            else:
                plain[name] = field
        out = jax.vmap(lambda child: dict(function(Node(child, self._sweep))))(plain)
        if real is not None:
            out = {name: ChildrenAxis(value, real, bool(exact)) for name, value in out.items()}
        return Children(out, self._sweep)


NO_ARRAY = (
    "needs an array of all children, but the nodes of this tree have different numbers of them: reduce with .sum(0), "
    ".mean(0), .prod(0), .max(0) or .min(0), or use children.map(function) for each child"
)


class ChildrenAxis:
    """One field of the children of a node, on a tree whose nodes differ in their number of children.

    `sum`, `mean`, `prod`, `max` and `min` over axis 0 count the node's own children only, as does arithmetic
    with another field of the children or with a value of the node; dtypes are those of `jax.numpy`. There is no
    array of k rows to slice, because k differs from node to node; for anything else use `children.map(function)`.
    """

    __slots__ = ("exact", "padded", "real")
    # numpy then leaves arithmetic with its arrays to this class.
    __array_ufunc__ = None

    def __init__(self, padded: Any, real: Any, exact: bool) -> None:
        self.padded = padded
        self.real = real
        self.exact = exact

    def _filled(self, value: Any) -> Any:
        if self.exact:
            return self.padded
        mask = self.real.reshape(self.real.shape + (1,) * (self.padded.ndim - 1))
        return jnp.where(mask, self.padded, jnp.asarray(value, self.padded.dtype))

    def sum(self, axis: int = 0) -> Any:
        """Sum over the children, shape `(*trailing,)`."""
        _only_children(axis)
        return self._filled(0).sum(0)

    def prod(self, axis: int = 0) -> Any:
        """Product over the children, shape `(*trailing,)`."""
        _only_children(axis)
        return self._filled(1).prod(0)

    def mean(self, axis: int = 0) -> Any:
        """Mean over the children, shape `(*trailing,)`."""
        _only_children(axis)
        dtype = jax.eval_shape(lambda x: x.mean(0), self.padded).dtype
        return self._filled(0).sum(0, dtype=dtype) / self.real.sum().astype(dtype)

    def max(self, axis: int = 0) -> Any:
        """Largest value among the children, shape `(*trailing,)`."""
        _only_children(axis)
        return self._filled(_lowest(self.padded.dtype)).max(0)

    def min(self, axis: int = 0) -> Any:
        """Smallest value among the children, shape `(*trailing,)`."""
        _only_children(axis)
        return self._filled(_highest(self.padded.dtype)).min(0)

    def _with(self, operator: Callable[[Any, Any], Any], other: Any) -> ChildrenAxis:
        value = other.padded if isinstance(other, ChildrenAxis) else other
        return ChildrenAxis(operator(self.padded, value), self.real, self.exact)

    def __add__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: a + b, other)

    def __radd__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: b + a, other)

    def __sub__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: a - b, other)

    def __rsub__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: b - a, other)

    def __mul__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: a * b, other)

    def __rmul__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: b * a, other)

    def __truediv__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: a / b, other)

    def __rtruediv__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: b / a, other)

    def __pow__(self, other: Any) -> ChildrenAxis:
        return self._with(lambda a, b: a**b, other)

    def __neg__(self) -> ChildrenAxis:
        return ChildrenAxis(-self.padded, self.real, self.exact)

    def _refuse(self, what: str) -> NoReturn:
        raise SchemaMismatch(f"{what} {NO_ARRAY}")

    def __getitem__(self, index: Any) -> NoReturn:
        self._refuse("indexing children")

    def __iter__(self) -> NoReturn:
        self._refuse("a loop over children")

    def __len__(self) -> NoReturn:
        self._refuse("len() of children")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self._refuse("a numpy function of children")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse(f"children field attribute .{name}")


def _only_children(axis: int) -> None:
    if axis != 0:
        raise SchemaMismatch(f"children are reduced over axis 0, the axis of the children; got axis={axis}")


def _lowest(dtype: Any) -> Any:
    if dtype == jnp.bool_:
        return False
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    if dtype == jnp.bool_:
        return True
    return jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max
