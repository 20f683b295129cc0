"""Counting what JAX compiles, by its own events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

EVENT = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Yields a list that grows by one entry with every program that is compiled."""
    seen: list[str] = []

    def listen(event: str, duration: float, **details: Any) -> None:
        if event == EVENT:
            seen.append(str(details.get("fun_name", "")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
