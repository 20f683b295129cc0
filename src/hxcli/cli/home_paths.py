"""Paths that begin with `~`: the shell leaves them to the program where they stand in quotes or behind `--option=`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from hxcli.errors import OptionError

# Of arguments and options that are paths.
_METAVARS = {"FILE", "PREFIX", "TREE", "TRAITS", "[TRAITS]", "PARTS...", "[...]"}
# Parameters that are paths or names.
_NAMES_OR_PATHS = {"model", "root_prior"}


def with_homes(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, given its paths with the home folder in the place of `~`.

    Raises:
        OptionError: From the command, for a path that begins with `~` where nobody has a home.
    """
    parameters = inspect.signature(command).parameters.items()
    paths = [name for name, each in parameters if name in _NAMES_OR_PATHS or _metavar(each) in _METAVARS]

    @wraps(command)
    def expanding(**values: Any) -> Any:
        return command(**values | {name: _each(values[name]) for name in paths if values.get(name)})

    return expanding


def _metavar(parameter: inspect.Parameter) -> str | None:
    about = getattr(parameter.annotation, "__metadata__", ())
    return next((each.metavar for each in about if getattr(each, "metavar", None)), None)


def _each(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_each, value))
    return expanded(value) if isinstance(value, str) else value


def expanded(path: str) -> str:
    """The path with the home folder in the place of `~` or `~user`.

    A file that is there is what its name says, also one called `~notes.csv`.

    Raises:
        OptionError: There is no such home folder.
    """
    if not path.startswith("~") or ("/" not in path and os.path.isfile(path)):
        return path
    found = os.path.expanduser(path)
    if found.startswith("~"):
        user = path.split("/", maxsplit=1)[0]
        raise OptionError(f"{path}: {user} is no home folder here (write ./{path} for a file of that name)")
    return found
