"""Man pages, made of what the command line says about itself: `hx(1)` and one for every command.

PYTHONPATH=docs python -m hxdocs.man FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from hxcli import __version__
from hxdocs.reference import Command, Parameter, commands, program

_EXITS = [
    ("0", "done; warnings are on standard error"),
    ("2", "the input or the options were refused"),
    ("130, 141, 143", "interrupted, the reader of standard output went away, terminated"),
    ("1", "anything else"),
]
_ENVIRONMENT = [
    ("HX_CACHE_DIR", "folder for compiled programs; by default hxcli in XDG_CACHE_HOME or in ~/.cache"),
    ("JAX_PLATFORMS", "devices that JAX may use, such as cpu"),
]


def man_pages() -> dict[str, str]:
    """File name -> text of all pages."""
    written = {"hx.1": program_page(program(), commands())}
    return written | {f"{each.name.replace(' ', '-')}.1": command_page(each) for each in commands()}


def program_page(hx: Command, all_commands: list[Command]) -> str:
    """`hx(1)`."""
    return "\n".join(
        [
            *_top("hx", hx),
            *_described(hx),
            ".SH COMMANDS",
            *(line for each in all_commands for line in _term(_bold(each.name), each.summary)),
            *_options(hx),
            ".SH EXIT STATUS",
            *(line for code, meaning in _EXITS for line in _term(_bold(code), meaning)),
            ".SH ENVIRONMENT",
            *(line for name, meaning in _ENVIRONMENT for line in _term(_bold(name), meaning)),
            *_examples(hx),
            ".SH SEE ALSO",
            " ,\n".join(f".BR {_text(each.name.replace(' ', '-'))} (1)" for each in all_commands),
            "",
        ]
    )


def command_page(command: Command) -> str:
    """The page of one command."""
    arguments = [line for each in command.arguments for line in _term(_italic(each.names[0]), each.help)]
    return "\n".join(
        [
            *_top(command.name.replace(" ", "-"), command),
            *_described(command),
            *([".SH ARGUMENTS", *arguments] if arguments else []),
            *_options(command),
            *_examples(command),
            ".SH SEE ALSO",
            ".BR hx (1)",
            "",
        ]
    )


def _top(name: str, command: Command) -> list[str]:
    return [
        f'.TH {_text(name.upper())} 1 "" "hx {__version__}" "hx manual"',
        ".SH NAME",
        rf"{_text(name)} \- {_text(command.summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        _text(command.synopsis),
    ]


def _described(command: Command) -> list[str]:
    paragraphs = (command.summary, *command.paragraphs)
    return [".SH DESCRIPTION", *"\n.PP\n".join(map(_text, paragraphs)).split("\n")]


def _options(command: Command) -> list[str]:
    return [".SH OPTIONS", *(line for each in command.options for line in _term(_spelt(each), _told(each)))]


def _examples(command: Command) -> list[str]:
    if not command.examples:
        return []
    return [".SH EXAMPLES", ".nf", *map(_text, command.examples), ".fi"]


def _term(term: str, meaning: str) -> list[str]:
    return [".TP", term, _text(meaning)]


def _spelt(option: Parameter) -> str:
    value = f" {_italic(option.metavar)}" if option.metavar else ""
    return ", ".join(map(_bold, option.names)) + value


def _told(option: Parameter) -> str:
    default = f" [default: {option.default}]" if option.default else ""
    return option.help + default + (" Required." if option.required else "")


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _italic(text: str) -> str:
    return rf"\fI{_text(text)}\fR"


def _text(text: str) -> str:
    """Plain text as roff prints it: no escapes, ASCII hyphens that can be copied, no line that is a request."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def write(folder: Path) -> list[Path]:
    """Writes all pages into a folder and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in man_pages().items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1]))
