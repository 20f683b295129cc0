"""ChildrenAxis: one field of the children of a node, on a tree whose nodes differ in their number of children."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from hxcli.errors import SchemaMismatch

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
        if value is other and jnp.ndim(other) >= self.padded.ndim and jnp.shape(other)[0] != 1:
            self._refuse(f"arithmetic of children with an array of shape {jnp.shape(other)}")
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
