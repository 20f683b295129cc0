"""Effect handlers: what a declaration means is decided by the handlers that are active when the function is traced.

A stack and small messengers, as in NumPyro's `primitives`: a declaration sends a message down the stack, innermost
handler first, and one of them answers with a value. Needs no jax until a function is traced.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from hxcli.errors import DeclarationError

_HERE = str(Path(__file__).parent) + os.sep
# Of this thread: two threads may trace two models at a time.
_stack: ContextVar[tuple[Messenger, ...]] = ContextVar("handlers", default=())


class Site(NamedTuple):
    """Where a declaration stands in the user's code."""

    file: str
    line: int

    def error(self, found: str, advice: str = "") -> DeclarationError:
        """The refusal of what stands there."""
        return DeclarationError(found, advice, file=self.file, line=self.line)


NOWHERE = Site("", 0)


def caller() -> Site:
    """The innermost line that is being run outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno)


@dataclass
class Message:
    """A declaration on its way through the handlers.

    Attributes:
        kind: `parameter`, `fixed` or `record`.
        name: The name declared.
        content: The declaration, or the value to be recorded.
        site: Where it stands.
        value: The answer, once there is one.
    """

    kind: str
    name: str
    content: Any
    site: Site
    value: Any = None


class Messenger:
    """A handler: active inside `with`, asked innermost first."""

    def __enter__(self) -> Self:
        self._token: Token[tuple[Messenger, ...]] = _stack.set((*_stack.get(), self))
        return self

    def __exit__(self, *error: object) -> None:
        _stack.reset(self._token)

    def process(self, message: Message) -> bool:
        """Looks at a message and may set its value; True keeps it from the handlers further out."""
        raise NotImplementedError


def send(message: Message) -> Any:
    """The handlers' answer to a message.

    Raises:
        DeclarationError: No handler is active: the declaration stands outside a model.
    """
    handlers = _stack.get()
    if not handlers:
        raise message.site.error(
            f"{message.name!r} is declared outside a model",
            "call the function that declares it through @hx.model, or give its file to --model",
        )
    for handler in reversed(handlers):
        if handler.process(message):
            break
    return message.value


class FreshTrace(Messenger):
    """A handler whose function is traced anew, helpers under `jax.jit` too.

    JAX remembers the trace of a jitted helper, and with it the values that its declarations had then: another
    context for every evaluation keeps one evaluation's values out of the next one's.
    """

    def __enter__(self) -> Self:
        self._context = _jit_context()(object())
        self._context.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._context.__exit__(*error)


@cache
def _jit_context() -> Any:
    import jax

    return jax.make_user_context(default_value=None)
