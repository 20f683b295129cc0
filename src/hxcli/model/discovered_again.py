"""Discovers what a function declares again, on another tree, without tracing it.

The declarations of a built-in model are the same on every tree but for numbers that are computed from the tree's own,
such as the ends of a support. The function is run up to its last declaration, which mostly comes before anything is
done with what an edge has of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hxcli.model.declarations import Declaration
from hxcli.model.edges import OF_THE_TREE, Edge
from hxcli.model.effects import Message
from hxcli.model.evaluation import Collect, Discovered, discover, with_starts

# Function, fields of an edge with their shapes, and width of a number -> what was discovered.
_KNOWN: dict[tuple[Any, ...], Discovered] = {}


def discover_again(function: Callable[..., Any], *edges: Edge) -> Discovered:
    """As `discover`, for a function of hxcli's own; without tracing it, where it was discovered on another tree.

    Args:
        function: Its declarations are the same on every tree but for numbers that follow from the tree's own.
        edges: Its argument, if it has one, as `abstract_edge` makes it.
    """
    import jax.numpy as jnp

    key = (function, jnp.result_type(float), *(_shapes(edge) for edge in edges))
    known = _KNOWN.get(key)
    declarations = None if known is None else _up_to_the_last(function, edges, frozenset(known.declarations))
    if known is None or declarations is None:
        known = _KNOWN[key] = discover(function, *edges)
        return known
    return replace(known, declarations=with_starts(declarations))


def _shapes(edge: Edge) -> tuple[Any, ...]:
    fields = ((name, getattr(edge, name)) for name in edge)
    return tuple((name, None if name in OF_THE_TREE else (value.shape, value.dtype)) for name, value in fields)


@dataclass
class _UpToTheLast(Collect):
    """Stops the function as soon as it has declared all that it is known to declare."""

    names: frozenset[str] = frozenset()

    def process(self, message: Message) -> bool:
        super().process(message)
        if self.declarations.keys() >= self.names:
            raise _LastMet
        return True

    def value(self, message: Message) -> Any:
        return np.ones(message.content.shape, message.content.dtype)


def _up_to_the_last(
    function: Callable[..., Any], edges: tuple[Edge, ...], names: frozenset[str]
) -> dict[str, Declaration] | None:
    """The declarations of these names; None where something is done before them for which an edge has to be traced."""
    handler = _UpToTheLast(names=names)
    try:
        with handler:
            function(*edges)
    except _LastMet:
        plain = (int, float, str, np.ndarray, np.generic, type(None))
        settled = all(
            isinstance(each, plain) for one in handler.declarations.values() for each in one.traced().values()
        )
        return handler.declarations if settled else None
    except (TypeError, ValueError, AttributeError):
        # An abstract value takes part in no arithmetic.
        return None
    return None


class _LastMet(Exception):
    """All that is known to be declared has been."""
