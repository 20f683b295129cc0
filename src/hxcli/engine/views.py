"""What a sweep function sees: one node, its parent or its children, and only the fields it declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jax

from hxcli.engine.children_axis import ChildrenAxis
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
