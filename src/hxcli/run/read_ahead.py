"""Reading ahead: what an iterator gives next is made in a thread while the last is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from queue import Queue
from threading import Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterator[Item], most: int = 2) -> Iterator[Item]:
    """The items, of which at most so many wait.

    Raises:
        Exception: Whatever the iterator raises, in its place.
    """
    waiting: Queue[Any] = Queue(most)
    gone: list[bool] = []

    def work() -> None:
        try:
            for item in items:
                waiting.put((item, None))
                if gone:
                    return
            waiting.put((_END, None))
        except BaseException as error:
            waiting.put((_END, error))

    context = copy_context()
    thread = Thread(target=lambda: context.run(work), daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        gone.append(True)
        while thread.is_alive():
            # Lets a thread go on that waits for room.
            while not waiting.empty():
                waiting.get_nowait()
            thread.join(0.01)
