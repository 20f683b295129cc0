"""One page of Markdown for every command, made of what the command line says about itself."""

from __future__ import annotations

import re
from html import escape

from hxdocs.reference import Command, Parameter


def page(command: Command) -> str:
    """The page of one command."""
    parts = [f"# {command.name}", command.summary, f"```text\n{command.synopsis}\n```", *command.paragraphs]
    if command.examples:
        parts += ["## Example", "```sh\n" + "\n".join(command.examples) + "\n```"]
    if command.arguments:
        rows = [f"| `{each.names[0]}` | {_told(each)} |" for each in command.arguments]
        parts += ["## Arguments", _table("argument", rows)]
    rows = [f"| {_spelt(each)} | {_told(each)} |" for each in command.options]
    parts += ["## Options", _table("option", rows)]
    return "\n\n".join(parts) + "\n"


def _table(first: str, rows: list[str]) -> str:
    return "\n".join([f"| {first} | what it does |", "|---|---|", *rows])


def _spelt(option: Parameter) -> str:
    value = f" {escape(option.metavar)}" if option.metavar else ""
    names = [f"`{name}`" for name in option.names[:-1]]
    # Not backticks: in a table they would show the backslash that keeps | from ending the cell.
    return ", ".join([*names, f"<code>{option.names[-1]}{value}</code>".replace("|", "&#124;")])


def _told(parameter: Parameter) -> str:
    """The help, with what is typed literally as code, and the default or that it must be given."""
    text = re.sub(r"(?<![\w`-])(--?[a-z][\w-]*|\.[a-z]{2,}(?= |,|;|:|\.|$)|<\w+>\w*)", r"`\1`", parameter.help)
    text = text.replace("|", "\\|")
    text = re.sub(r"\[default: (.*)\]$", r"Default: \1.", text)
    if parameter.default:
        text += f" Default: `{parameter.default}`."
    if parameter.repeatable and "repeat" not in parameter.help:
        text += " Repeatable."
    return f"{text} Required." if parameter.required and parameter.names[0].startswith("-") else text
