"""Declaration of a sweep: its direction, its function of one node, and the fields that this reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hxcli.engine.schema import Schema
from hxcli.errors import MissingField, SchemaMismatch

Function: TypeAlias = Callable[[Any, Any, Any], Mapping[str, Any]]
Names: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Declaration:
    """What `@up` or `@down` was told.

    Attributes:
        direction: `up` (leaves to root) or `down` (root to leaves).
        function: The function of one node.
        reads, reads_other: Fields that it reads at the node, and at the children (up) or the parent (down); None
            for all fields of the tree.
        writes, writes_children: Fields that it writes at the node, and (up) at the children.
    """

    direction: Literal["up", "down"]
    function: Function
    reads: Names | None
    reads_other: Names | None
    writes: Names
    writes_children: Names

    @property
    def name(self) -> str:
        """The function's name, for messages."""
        return str(getattr(self.function, "__name__", repr(self.function)))

    @property
    def written(self) -> Names:
        """All fields that the sweep writes."""
        return self.writes + self.writes_children

    def fields_of(self, schema: Schema) -> set[str]:
        """Names of the fields that the sweep touches on a tree with this schema.

        Raises:
            MissingField: A field was declared that the tree does not have.
        """
        declared = {"reads": self.reads, "writes": self.writes, "writes_children": self.writes_children}
        declared["reads_children" if self.direction == "up" else "reads_parent"] = self.reads_other
        for argument, names in declared.items():
            for name in names or ():
                if name not in schema:
                    raise MissingField(
                        f"sweep {self.name!r}: {argument} names {name!r}, which the tree does not have; its fields are "
                        f"{list(schema.names)}; add it with tree.update({name}=...) or in Tree.empty(topology, schema)"
                    )
        if self.reads is None or self.reads_other is None:
            return set(schema.names)
        return {*self.reads, *self.reads_other, *self.written}


def declare(
    direction: Literal["up", "down"],
    function: Function,
    reads: Sequence[str] | None,
    reads_other: Sequence[str] | None,
    writes: Sequence[str],
    writes_children: Sequence[str] = (),
) -> Declaration:
    """The declaration of a sweep; see `Declaration` for the arguments.

    Raises:
        SchemaMismatch: A string in the place of a tuple of names, nothing is written, or a field is written both at
            the node and at its children.
    """
    declaration = Declaration(
        direction,
        function,
        _names("reads", reads),
        _names("reads_children" if direction == "up" else "reads_parent", reads_other),
        _names("writes", writes) or (),
        _names("writes_children", writes_children) or (),
    )
    if not declaration.written:
        raise SchemaMismatch(f"sweep {declaration.name!r} writes nothing: name at least one field in writes=(...)")
    both = sorted(set(declaration.writes) & set(declaration.writes_children))
    if both:
        raise SchemaMismatch(f"sweep {declaration.name!r}: {both} stands in writes and in writes_children; keep one")
    return declaration


def _names(argument: str, names: Iterable[str] | None) -> Names | None:
    if isinstance(names, str):
        raise SchemaMismatch(f"{argument} takes a tuple of field names, got the string {names!r}: write ({names!r},)")
    return None if names is None else tuple(names)
