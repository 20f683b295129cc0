"""What a command is: a function from options to a request, which `hx` performs and Python takes as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hxcli.cli.groups import with_groups
from hxcli.cli.home_paths import with_homes


class Request(Protocol):
    """What the options of one call ask for."""

    def perform(self) -> None:
        """Does it, and says on standard error what came out."""


def command(ask: Callable[..., Request]) -> Callable[..., None]:
    """The command whose options `ask` turns into a request.

    Parameters of `ask` that are annotated with a group become the options of the group. `command.ask` gives the
    request and performs nothing: the functions of `import hxcli as hx` call it with the very same options.
    """
    asked = with_homes(with_groups(ask))

    def perform(**options: Any) -> None:
        asked(**options).perform()

    for name in ("__doc__", "__name__", "__module__", "__annotations__", "__signature__"):
        setattr(perform, name, getattr(asked, name))
    perform.ask = asked  # type: ignore[attr-defined]
    return perform
