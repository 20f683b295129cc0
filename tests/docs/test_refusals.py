"""Every refusal that hx knows is on the pages about refusals, as it is printed."""

from __future__ import annotations

import ast
import io
import re
import shlex
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from hxdocs import console

from hxcli import errors
from hxcli.cli.app import run

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(errors.__file__).parent
PAGES = sorted((ROOT / "docs").glob("refusals*.md"))
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
# What makes a refusal, by the last part of the name that is called.
MAKERS = {"InputError", "OptionError", "ModelError", "HxError", "BadParameter", "error", "refusal", "refuse", "_error"}


@dataclass
class Ran:
    """What came of running the pages.

    Attributes:
        wrong: Commands that printed something else than is shown.
        raised: Lines, file and number, that were being executed when a refusal was made.
    """

    wrong: list[str] = field(default_factory=list)
    raised: set[tuple[str, int]] = field(default_factory=set)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All commands of all pages, run in this process."""
    found = Ran()
    with pytest.MonkeyPatch.context() as patch:
        for kind in (errors.HxError, typer.BadParameter):
            patch.setattr(kind, "__init__", _noting(kind.__init__, found))
        for path in PAGES:
            folder = tmp_path_factory.mktemp(path.stem)
            patch.chdir(folder)
            for step in (step for block in console.blocks(path.read_text(encoding="utf-8")) for step in block):
                printed, code = in_this_process(step.command.strip(), folder, patch)
                refuses = step.shown.startswith("hx: ")
                # One line, and the exit code of a refusal or of a failure.
                if printed != step.shown or (code in (1, 2)) != refuses or step.shown.count("\n") > 1:
                    found.wrong.append(f"{path.name}: $ {step.command}{printed}(exit code {code})")
    return found


def _noting(make: Any, found: Ran) -> Any:
    def noting(self: object, *arguments: object, **options: object) -> None:
        found.raised.update((frame.filename, frame.lineno or 0) for frame in traceback.extract_stack())
        make(self, *arguments, **options)

    return noting


def in_this_process(command: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Runs `hx ...` or `... | hx ...` without a new process for hx; anything else in a shell."""
    before, pipe, call = command.rpartition("| hx ")
    words = shlex.split(call if pipe else command)
    if not pipe and words[0] != "hx":
        (outcome,) = console.run([console.Step(command, "")], folder)
        return outcome.printed, outcome.exit_code
    given = subprocess.run(["bash", "-c", before], cwd=folder, capture_output=True).stdout if pipe else b""
    patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    said, streamed = io.StringIO(), io.StringIO()
    with redirect_stderr(said), redirect_stdout(streamed):
        code = run(words if pipe else words[1:])
    return said.getvalue() + streamed.getvalue(), code


def test_every_refusal_prints_what_is_shown(ran: Ran) -> None:
    assert not ran.wrong, "\n".join(ran.wrong)


def places(path: Path) -> Iterator[tuple[range, str]]:
    """The lines of every call in a file that makes a refusal, and its text."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in MAKERS:
                text = ast.get_source_segment(source, node) or ""
                yield range(node.lineno, (node.end_lineno or node.lineno) + 1), text


def test_every_refusal_of_the_code_is_on_a_page(ran: Ran) -> None:
    missing = []
    for path in sorted(SOURCES.rglob("*.py")):
        # The engine refuses what a program does wrong, not what a file holds.
        if "engine" in path.parts:
            continue
        for lines, text in places(path):
            if not any((str(path), line) in ran.raised for line in lines) and not told(text):
                missing.append(f"{path.relative_to(SOURCES)}:{lines.start}: {text}")
    assert not missing, "\n".join(missing)


def told(call: str) -> bool:
    """Whether a page quotes the call's message in a table row, for what no small example can show."""
    literal = ["".join(map(str, part)) for part in re.findall(r'"((?:[^"\\]|\\.)*)"', call)[:1]]
    pieces = [piece for text in literal for piece in re.split(r"\{[^}]*\}", text) if len(piece.strip(" :,;'()")) > 3]
    rows = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `"))
    return bool(pieces) and all(piece.strip() in rows for piece in pieces)


def test_a_message_that_no_page_quotes_is_missed() -> None:
    assert told('InputError("this is no path", "check the path", file=file)')
    assert told('OptionError(f"--threads {self.threads}: at least one thread is needed")')
    assert not told('OptionError(f"--threads {self.threads}: too many")')
    assert not told("InputError(found, advice)")
