"""What the command line says about itself, as data: for the command pages and the man pages."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer.main

from hxcli.cli.app import COMMANDS, make_app


@dataclass(frozen=True)
class Parameter:
    """An argument or an option.

    Attributes:
        names: Spellings of an option, the short one first; of an argument its name.
        metavar: What stands for the value; "" for a switch.
        help: A sentence.
        default: The default as it would be typed; "" for none, or where the help tells it.
        choices: The texts that are accepted; empty for any.
        required: Whether it must be given.
        repeatable: Whether it may be given several times.
    """

    names: tuple[str, ...]
    metavar: str
    help: str
    default: str
    choices: tuple[str, ...]
    required: bool
    repeatable: bool


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: `hx`, or `hx mean`.
        synopsis: How it is called.
        summary: Its first sentence.
        paragraphs: The rest of what it says about itself.
        examples: Command lines.
        arguments, options: In the order of the help.
    """

    name: str
    synopsis: str
    summary: str
    paragraphs: tuple[str, ...]
    examples: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]


def commands() -> list[Command]:
    """All commands, in the order of `hx --help`."""
    group: Any = typer.main.get_command(make_app())
    return [_command(f"hx {name}", group.commands[name]) for name in COMMANDS]


def program() -> Command:
    """`hx` itself."""
    return _command("hx", typer.main.get_command(make_app()))


def _command(name: str, command: Any) -> Command:
    paragraphs = [inspect.cleandoc(text) for text in re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))]
    prose = [" ".join(text.split()) for text in paragraphs if not text.startswith("\b")]
    literal = [line.strip() for text in paragraphs if text.startswith("\b") for line in text[1:].splitlines()]
    context = typer.Context(command, info_name=name)
    parameters = [parameter for parameter in command.get_params(context) if not getattr(parameter, "hidden", False)]
    arguments = tuple(_parameter(each, context) for each in parameters if each.param_type_name == "argument")
    options = tuple(_parameter(each, context) for each in parameters if each.param_type_name == "option")
    needed = [f"{option.names[-1]} {option.metavar}" for option in options if option.required]
    placed = [argument.metavar if argument.required else f"[{argument.names[0]}]" for argument in arguments]
    return Command(
        name=name,
        synopsis=" ".join((name, *needed, "[OPTIONS]", *placed)) if name != "hx" else "hx COMMAND [OPTIONS] ...",
        summary=prose[0],
        paragraphs=tuple(prose[1:]),
        # Two spaces or more set off what an example does.
        examples=tuple(re.split(r"\s{2,}", line)[0] for line in literal if line.startswith("hx ")),
        arguments=arguments,
        options=options,
    )


def _parameter(parameter: Any, context: Any) -> Parameter:
    is_option = parameter.param_type_name == "option"
    names = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda name: (name.startswith("--"), name))
    switch = bool(getattr(parameter, "is_flag", False))
    choices = tuple(getattr(parameter.type, "choices", ()))
    metavar = parameter.metavar or ("" if switch else "|".join(map(_typed, choices)) or parameter.type.name.upper())
    return Parameter(
        names=tuple(names) if is_option else (parameter.make_metavar(context).strip("[]"),),
        metavar="" if switch else metavar,
        help=(parameter.help or "").strip(),
        default="" if switch or "[default" in (parameter.help or "") else _default(parameter),
        choices=tuple(map(_typed, choices)),
        required=bool(parameter.required),
        repeatable=bool(parameter.multiple),
    )


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if value is None or value == "" or value == () or callable(value) else _typed(value)


def _typed(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)
