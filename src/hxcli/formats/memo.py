"""Answers that stay with what they are about: several writers ask for them, and some are asked before it is time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TypeVar

Subject = TypeVar("Subject")
Answer = TypeVar("Answer")


def kept(find: Callable[[Subject], Answer]) -> Callable[[Subject], Answer]:
    """A function of one object that does not change; its answer lives as long as the object, and must not change.

    Who asks while another thread looks for the answer waits for it.
    """
    name = f"{find.__module__}.{find.__qualname__}"

    @wraps(find)
    def ask(subject: Subject) -> Answer:
        known = subject.__dict__
        with known.setdefault(f"{name}, in work", Lock()):
            if name not in known:
                known[name] = find(subject)
            answer: Answer = known[name]
            return answer

    return ask
