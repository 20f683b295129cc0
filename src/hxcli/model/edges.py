"""The edge that a model's function sees: its fields by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hxcli.model.effects import caller

# One number for the whole tree, or for all values of the trait; every other field has one value of every edge.
OF_THE_TREE = frozenset({"tree_height", "trait_low", "trait_high", "trait_mean", "trait_sd"})


class Edge:
    """One edge, while a function is being traced; a pytree.

    Attributes:
        length: Its length.
        start, end: Distances of its ends from the root.
        is_tip: Whether a tip is at its end.
        tree_height: The largest distance between the root and a tip.
        trait_low, trait_high, trait_mean, trait_sd: Of the observed values, for models of one trait on a grid.
        ...: Any column of `--edge-data`.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        _register()
        self._fields = dict(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._fields:
            raise caller().error(
                f"an edge has no {name!r}",
                f"it has {', '.join(sorted(self._fields))}; --edge-data gives it further columns",
            )
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __repr__(self) -> str:
        return f"Edge({', '.join(self._fields)})"


@cache
def _register() -> None:
    import jax

    def parts(edge: Edge) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        return tuple(edge._fields.values()), tuple(edge._fields)

    jax.tree_util.register_pytree_node(Edge, parts, lambda names, values: Edge(dict(zip(names, values, strict=True))))


def abstract_edge(fields: Mapping[str, Any]) -> Edge:
    """One edge of no value, for `discover`, from the fields of all edges; what is of the tree keeps its value.

    Args:
        fields: Name -> (N, ...) for the N edges, or the tree's own value for the names in `OF_THE_TREE`.
    """
    import jax
    import jax.numpy as jnp

    return Edge(
        {
            name: value if name in OF_THE_TREE else jax.ShapeDtypeStruct(jnp.shape(value)[1:], jnp.result_type(value))
            for name, value in fields.items()
        }
    )
