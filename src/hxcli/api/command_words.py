"""From keyword arguments to the words of a command line, and to the request that the command makes of them."""

from __future__ import annotations

import importlib
import inspect
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
    """The command's parameters that a Python program can give, by name, arguments first; as click knows them."""
    products = {kind.option for kind in KINDS.values()}
    signature = inspect.signature(command_of(name).callback)
    known = {parameter.name: parameter for parameter in command_of(name).params}
    return {
        each: known[each]
        for each in signature.parameters
        if each not in _COMMAND_LINE_ONLY and not products & set(known[each].opts)
    }


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
    parameters = command_of(command).params
    arguments = [each for each in parameters if is_argument(each)]
    options = [each for each in parameters if not is_argument(each)]
    places = [
        text for each in arguments if (value := values.get(each.name)) is not None for text in _texts(each.name, value)
    ]
    named = [word for each in options for word in _option_words(each, values.get(each.name))]
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


def _option_words(option: Any, value: Any) -> Iterator[str]:
    if value is None:
        return
    if option.is_flag:
        if not isinstance(value, bool):
            raise TypeError(f"{option.name} is True or False, not {value!r}")
        yield from (option.opts[-1],) if value else option.secondary_opts[:1]
        return
    name = max(option.opts, key=len)
    for text in _texts(option.name, value) if option.multiple else [_text(option.name, value)]:
        yield from (name, text)


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
