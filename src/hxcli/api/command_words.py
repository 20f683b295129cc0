"""From keyword arguments to the words of a command line, and to the request that the command makes of them."""

from __future__ import annotations

import importlib
import keyword
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from typing import Any

import typer
import typer.main

from hxcli.cli.app import COMMANDS, usage_message
from hxcli.cli.options import OutputChoices, TalkChoices
from hxcli.errors import OptionError
from hxcli.run.product_kinds import KINDS

# What only a command line can be told: where results go, what is said, the size of thread pools, which a program that
# runs already has, and what one of many processes does.
_COMMAND_LINE_ONLY = {field.name for group in (OutputChoices, TalkChoices) for field in fields(group)} | {
    *("json", "threads", "shard", "distributed"),
    # Several files of trees are a list.
    "more",
}


@cache
def command_of(name: str) -> Any:
    """The command as click knows it; called with words, it returns its request and performs nothing."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    function = getattr(importlib.import_module(COMMANDS[name]), name)
    app.command(name)(function.ask)
    return typer.main.get_command(app)


@cache
def parameters_of(name: str) -> dict[str, Any]:
    """The command's parameters that a Python program can give, by their names in Python; as click knows them."""
    products = {kind.option for kind in KINDS.values()}
    given = [each for each in command_of(name).params if not products & set(each.opts)]
    # Arguments first, as they are typed.
    given.sort(key=lambda each: not is_argument(each))
    return {python_name(each): each for each in given if each.name not in _COMMAND_LINE_ONLY}


def python_name(parameter: Any) -> str:
    """What a parameter is called in Python: as its option, `set` for `--set`; `from_` where Python keeps the word."""
    if is_argument(parameter):
        return str(parameter.name)
    name = max(parameter.opts, key=len).removeprefix("--").replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def is_argument(parameter: Any) -> bool:
    """Whether a parameter is known by its place on the command line, and not by a name."""
    return bool(parameter.param_type_name == "argument")


def words(command: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """What a person would type for these values; None, and False for a switch, is nothing to say.

    Args:
        command: Name of the command.
        values: Parameter -> value: text, a number, a path, True, several of them in a list, or NAME -> value.

    Raises:
        TypeError: A value of a kind that no option has.
    """
    parameters = {python_name(each): each for each in command_of(command).params}
    given = {name: value for name, value in values.items() if value is not None}
    places = [
        text
        for name, each in parameters.items()
        if is_argument(each) and name in given
        for text in _texts(name, given[name])
    ]
    named = [
        word
        for name, each in parameters.items()
        if not is_argument(each)
        for word in _option_words(name, each, given.get(name))
    ]
    # Behind it, nothing is taken for an option.
    guard = ["--"] if any(place.startswith("-") and place != "-" for place in places) else []
    return ("hx", command, *named, *guard, *places) if guard else ("hx", command, *places, *named)


def request_of(words: Iterable[str]) -> Any:
    """What a command line asks for.

    Raises:
        OptionError: The options were refused, in the words of the command line.
        HxError: Likewise, by what they are about.
    """
    _, name, *rest = words
    try:
        return command_of(name)(rest, prog_name=f"hx {name}", standalone_mode=False)
    except Exception as error:
        message = usage_message(error)
        if message is None:
            raise
        raise OptionError(message.replace(f"(see hx {name} --help)", f"(see help(hx.{name}))")) from None


def _option_words(name: str, option: Any, value: Any) -> Iterator[str]:
    if value is None:
        return
    if option.is_flag:
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {value!r}")
        yield from (option.opts[-1],) if value else option.secondary_opts[:1]
        return
    for text in _texts(name, value) if option.multiple else [_text(name, value)]:
        yield from (max(option.opts, key=len), text)


def _texts(name: str, value: Any) -> list[str]:
    """The values of an argument or option that may be given several times."""
    if isinstance(value, Mapping):
        return [f"{key}={_text(name, item)}" for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_text(name, item) for item in value]
    return [_text(name, value)]


def _text(name: str, value: Any) -> str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        return repr(float(value))
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    raise TypeError(f"{name} cannot be {value!r}: it is text, a number or a path")
