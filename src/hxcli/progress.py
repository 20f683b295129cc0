"""What a computation tells of its progress while it runs, to whoever listens: nobody, unless a run does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None]] = ContextVar("listener", default=lambda what: None)


def tell(what: str) -> None:
    """Says what is done, such as `64 of 1000 sets of parameters`; of the listening thread's own work only."""
    _listener.get()(what)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Calls the listener with whatever is told inside."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
