"""The `console` blocks of the pages: what they show is what the commands print.

    PYTHONPATH=docs python -m hxdocs.console

runs every command of the README and of the pages and writes what it printed below it. The tests run the same and
compare.

A block has lines `$ command`, each followed by what it prints on both streams; lines `> ` continue a command. The
blocks of a page run in order in one folder, which has a copy of `data/`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
# Printed behind every command, with its exit code.
_MARK = "--- exit code "


@dataclass(frozen=True)
class Step:
    """One command of a block and the text shown below it."""

    command: str
    shown: str


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    printed: str
    exit_code: int


def pages() -> list[Path]:
    """The README and all pages that have a block."""
    written = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    return [path for path in written if blocks(path.read_text(encoding="utf-8"))]


def blocks(text: str) -> list[list[Step]]:
    """The steps of every block of a page.

    Raises:
        ValueError: A block does not begin with a command.
    """
    return [_steps(found[0]) for found in _BLOCK.finditer(text)]


def _steps(block: str) -> list[Step]:
    lines = block.splitlines(keepends=True)
    if not lines or not lines[0].startswith("$ "):
        raise ValueError(f"a console block begins with `$ ` and a command: {block[:60]!r}")
    steps: list[list[str]] = []
    for line in lines:
        if line.startswith("$ "):
            steps.append([line[2:], ""])
        elif line.startswith("> ") and not steps[-1][1]:
            steps[-1][0] += line[2:]
        else:
            steps[-1][1] += line
    return [Step(command, shown) for command, shown in steps]


def prepare(folder: Path) -> None:
    """Puts the shipped data into the folder in which a page's commands run."""
    shutil.copytree(ROOT / "data", folder / "data")


def run(steps: Iterable[Step], folder: Path) -> list[Outcome]:
    """Runs the steps of one block in one shell, with the `hx` that is installed beside this Python."""
    binaries = Path(sys.executable).parent
    if not (binaries / "hx").is_file():
        raise FileNotFoundError(f"no hx beside {sys.executable}: install the project there")
    lines = ["exec 2>&1"]
    for step in steps:
        lines += [step.command.rstrip("\n"), f'status=$?; echo "{_MARK}$status"; (exit $status)']
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(binaries), os.environ["PATH"]]),
        "HX_CACHE_DIR": os.environ.get("HX_CACHE_DIR", str(folder / ".cache")),
        # The documented machine has a CPU; numbers of other devices differ in their last digits.
        "JAX_PLATFORMS": "cpu",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    pieces = re.split(rf"{_MARK}(\d+)\n", done.stdout)
    return [Outcome(text, int(code)) for text, code in zip(pieces[:-1:2], pieces[1::2], strict=True)]


def agree(printed: str, shown: str) -> bool:
    """Whether two outputs are the same; the last digits of a double depend on the processor's instructions."""
    return _rounded(printed) == _rounded(shown)


def _rounded(text: str) -> str:
    return re.sub(r"-?\d+\.\d{9,}(?:e-?\d+)?", lambda number: f"{float(number[0]):.9g}", text)


def rewritten(text: str, folder: Path) -> str:
    """The page with what its commands print here."""

    def fill(found: re.Match[str]) -> str:
        steps = _steps(found[0])
        outcomes = run(steps, folder)
        return "".join(_filled(step, outcome) for step, outcome in zip(steps, outcomes, strict=True))

    return _BLOCK.sub(fill, text)


def _filled(step: Step, outcome: Outcome) -> str:
    printed = step.shown if agree(outcome.printed, step.shown) else outcome.printed
    return "$ " + step.command.replace("\n", "\n> ").removesuffix("> ") + printed


def main() -> None:
    for path in pages():
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name))
            before = path.read_text(encoding="utf-8")
            after = rewritten(before, Path(name))
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"rewrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
