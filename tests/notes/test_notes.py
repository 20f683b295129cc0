"""Every note that hx has is said by a command of notes.toml, and none is said there that is not made as a note."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hxcli import errors
from tests.docs.commands import here

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"
SOURCES = Path(errors.__file__).parent
CASES: dict[str, Any] = tomllib.loads((HERE / "notes.toml").read_text(encoding="utf-8"))
# Beginnings of the lines that hold a note: of an analysis, of hx check.
BEGINNINGS = ("hx: note: ", "note     ")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Command -> the notes that it prints."""
    folder = tmp_path_factory.mktemp("notes") / "work"
    shutil.copytree(DATA, folder, copy_function=shutil.copyfile)
    for name, text in CASES["files"].items():
        (folder / name).write_bytes(text.encode())
    pairs = ",".join(f"(a{i}:1,b{i}:1)90:1" for i in range(201))
    (folder / "many.nwk").write_text(f"({pairs});")
    (folder / "many.csv").write_text("species,mass\n" + "".join(f"a{i},{i % 7}\nb{i},{i % 5}\n" for i in range(201)))
    (folder / "colours.nwk").write_text(f"({','.join(f't{i}:1' for i in range(44))});")
    (folder / "colours.csv").write_text("species,kind\n" + "".join(f"t{i},k{i % 22}\n" for i in range(44)))
    found = {}
    for case in CASES["case"]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in case.get("environment", {}).items():
                patch.setenv(name, value)
            for name, value in case.get("bounds", {}).items():
                patch.setattr(name, value)
            outcome = here(shlex.split(case["command"]), folder)
        assert "internal error" not in outcome.printed, (case["command"], outcome.printed)
        found[case["command"]] = [
            line.removeprefix(beginning)
            for line in outcome.printed.splitlines()
            for beginning in BEGINNINGS
            if line.startswith(beginning)
        ]
    return found


@pytest.mark.parametrize("case", CASES["case"], ids=lambda case: case["command"])
def test_says(case: dict[str, Any], said: dict[str, list[str]]) -> None:
    notes = said[case["command"]]
    missing = [part for part in case["says"] if not any(part in note for note in notes)]
    assert not missing, (missing, notes)


def notes_of(path: Path) -> Iterator[tuple[int, re.Pattern[str]]]:
    """Line and text of every note that a file makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Note", "Doubt"):
            text = node.args[0]
            assert isinstance(text, (ast.Constant, ast.JoinedStr)), f"{path}:{node.lineno}: its text"
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            literal = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*" for part in parts]
            yield node.lineno, re.compile("".join(literal))


def every_note() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (f"{path.relative_to(SOURCES)}:{line}", pattern)
        for path in sorted(SOURCES.rglob("*.py"))
        for line, pattern in notes_of(path)
    ]


def test_every_note_is_provoked(said: dict[str, list[str]]) -> None:
    notes = [note for several in said.values() for note in several]
    missing = [f"{place}: {pattern.pattern}" for place, pattern in every_note() if not any(map(pattern.search, notes))]
    assert not missing, "\n".join(missing)


def test_every_sentence_is_made_as_a_note(said: dict[str, list[str]]) -> None:
    patterns = [pattern for _, pattern in every_note()]
    strangers = {note for several in said.values() for note in several if not any(p.search(note) for p in patterns)}
    assert not strangers, "\n".join(sorted(strangers))
