"""Threads: several calls of a compiled program at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax

from hxcli.progress import tell

Item = TypeVar("Item")
Found = TypeVar("Found")
# Items after which their number is told again.
_TOLD = 32
# What many of them are.
SETS = "sets of parameters"


def in_threads(function: Callable[[Item], Found], items: Iterable[Item], what: str = "") -> list[Found]:
    """The function of every item, in order.

    Args:
        function: Takes one item; precision and device are those of the calling thread.
        items: What it is called with.
        what: What they are, where their number is to be told while it grows.
    """
    every = list(items)
    if len(every) == 1:
        return [function(every[0])]
    # JAX keeps both for every thread of its own.
    settings: Any = jax.config
    precise, device = settings.jax_enable_x64, settings.jax_default_device

    def run(item: Item) -> Found:
        with jax.enable_x64(precise), jax.default_device(device):
            return function(item)

    threads = ThreadPoolExecutor(max(1, min(len(every), usable_threads())))
    try:
        found = []
        for each in threads.map(run, every):
            found.append(each)
            if what and len(found) % _TOLD == 0:
                tell(f"{len(found)} of {len(every)} {what}")
        return found
    finally:
        # Whoever interrupts does not wait for what is under way.
        threads.shutdown(wait=False, cancel_futures=True)


def usable_threads() -> int:
    """How many threads compute at a time: as many as the process has processors, or as `--threads` says."""
    named = os.environ.get("NPROC", "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    there = getattr(os, "sched_getaffinity", None)
    return len(there(0)) if there is not None else os.cpu_count() or 1
