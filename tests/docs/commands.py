"""Runs the commands of a page: plain calls of `hx` in this process, so that JAX starts once; all else in a shell."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from hxdocs import console

from hxcli.cli.app import run as run_hx

# What a shell reads as more than words, and options that a process can choose only once.
_SHELL = re.compile(r"[|><;&$`*?\n]|--(threads|device|precision|install-completion|show-completion)\b|\bhx devices\b")


def run(steps: Sequence[console.Step], folder: Path) -> list[console.Outcome]:
    """What the steps of one block print, with their exit codes; the same as `console.run` gives for them.

    Variables of the shell are not kept across a call of `hx`.
    """
    outcomes: list[console.Outcome] = []
    waiting: list[console.Step] = []

    def run_waiting() -> None:
        if waiting:
            # `$?` is of the command before.
            before = f"(exit {outcomes[-1].exit_code if outcomes else 0})\n"
            first = console.Step(before + waiting[0].command, "")
            outcomes.extend(console.run([first, *waiting[1:]], folder))
            waiting.clear()

    for step in steps:
        words = plain_words(step.command)
        if words is None:
            waiting.append(step)
        else:
            run_waiting()
            outcomes.append(here(words, folder))
    run_waiting()
    return outcomes


def plain_words(command: str) -> list[str] | None:
    """The words behind `hx`; None where the command needs a shell or a process of its own."""
    command = command.strip()
    return shlex.split(command)[1:] if command.startswith("hx ") and not _SHELL.search(command) else None


def here(words: Sequence[str], folder: Path) -> console.Outcome:
    """Runs `hx` in this process, with `folder` as the current one and an empty standard input."""
    before = os.getcwd()
    with printed() as said, mock.patch.dict(os.environ, {"LC_ALL": "C.UTF-8"}), as_it_was():
        os.chdir(folder)
        try:
            with mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO())):
                code = run_hx(list(words))
        finally:
            os.chdir(before)
    return console.Outcome(said[0], code)


@contextlib.contextmanager
def printed() -> Iterator[list[str]]:
    """Gathers both streams, as they are interleaved, of Python and of the file descriptors 1 and 2."""
    said: list[str] = []
    with tempfile.TemporaryFile() as file:
        streams = io.TextIOWrapper(io.FileIO(os.dup(file.fileno()), "w"), encoding="utf-8", write_through=True)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        kept = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            with contextlib.redirect_stdout(streams), contextlib.redirect_stderr(streams):
                yield said
        finally:
            streams.close()
            for number, was in enumerate(kept, start=1):
                os.dup2(was, number)
                os.close(was)
            file.seek(0)
            said.append(file.read().decode())


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Puts the settings of JAX that a run of `hx` makes back afterwards."""
    import jax

    names = [name for name in jax.config.values if "cache" in name] + ["jax_enable_x64", "jax_default_device"]
    before = {name: getattr(jax.config, name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
