"""Threads: several calls of a compiled program at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax

Item = TypeVar("Item")
Found = TypeVar("Found")


def in_threads(function: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """The function of every item, in order.

    Args:
        function: Takes one item; precision and device are those of the calling thread.
        items: What it is called with.
    """
    # JAX keeps both for every thread of its own.
    settings: Any = jax.config
    precise, device = settings.jax_enable_x64, settings.jax_default_device

    def run(item: Item) -> Found:
        with jax.enable_x64(precise), jax.default_device(device):
            return function(item)

    with ThreadPoolExecutor() as threads:
        return list(threads.map(run, items))
