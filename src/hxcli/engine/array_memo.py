"""A memo of what was made of an array, kept for as long as the array itself."""

from __future__ import annotations

import weakref
from typing import Any

import jax


class ArrayMemo:
    """JAX array -> anything; arrays do not change, and are told apart as objects."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, array: Any) -> Any:
        """What was kept for this very array; None for nothing."""
        known = self._known.get(id(array))
        return known[1] if known is not None and known[0]() is array else None

    def keep(self, array: jax.Array, made: Any) -> None:
        """Keeps something until the array goes."""
        place, known = id(array), self._known
        known[place] = (weakref.ref(array, lambda _: known.pop(place, None)), made)
