"""The four groups of operands that a family sweep takes and gives, and small things done to them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import jax.numpy as jnp

Sizes: TypeAlias = tuple[int, int, int, int]
Groups: TypeAlias = tuple[list[Any], list[Any], list[Any], list[Any]]


def split(values: Sequence[Any], sizes: Sequence[int]) -> Groups:
    """Cuts a flat list into lists of the given sizes."""
    return tuple(list(values[end - size : end]) for end, size in zip(accumulate(sizes), sizes, strict=True))  # type: ignore[return-value]


def flat(groups: Sequence[Sequence[Any]]) -> list[Any]:
    """All values of all groups, in order."""
    return [value for group in groups for value in group]


def masked(mask: Any, values: Any) -> Any:
    """The values, 0 where the mask over their leading axes is false."""
    return jnp.where(mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values, 0)
