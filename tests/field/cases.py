"""Cases as data: what a folder of `tests/field` says must happen, and whether it does."""

from __future__ import annotations

import contextlib
import csv
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from tests.docs.commands import here

FOLDER = Path(__file__).parent
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Run:
    """One command and what must come of it; the README beside this file says what each field means."""

    command: str = ""
    shell: str = ""
    code: int = 0
    says: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    quiet: bool = False
    values: str | None = None
    trait: str = ""
    writes: list[str] | None = None
    holds: Mapping[str, list[str]] = field(default_factory=dict)
    lacks: Mapping[str, list[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_process(self) -> bool:
        """Whether it cannot run in this process."""
        return bool(self.shell or self.environment)


def names() -> list[str]:
    """All folders with a case."""
    return sorted(path.parent.name for path in FOLDER.glob("*/case.toml"))


def _case(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name / "case.toml").read_text(encoding="utf-8"))


def is_slow(name: str) -> bool:
    """Whether the quick suite leaves a case out."""
    return bool(_case(name).get("slow"))


def runs(name: str) -> list[Run]:
    """The runs of a case."""
    case = _case(name)
    assert case["about"]
    known = {each.name for each in fields(Run)}
    assert not (unknown := set().union(*case["run"]) - known), unknown
    return [Run(**run) for run in case["run"]]


def problems(run: Run, folder: Path) -> list[str]:
    """What of a run's expectations is not met in a folder with its inputs; what it writes is removed again."""
    before = _files(folder)
    try:
        code, said = _process(run, folder) if run.needs_process else _in_this_process(run, folder)
        new = _files(folder) - before
        return [f"{run.shell or run.command}: {problem}" for problem in _compared(run, folder, code, said, new)]
    finally:
        for path in sorted(_files(folder) - before, reverse=True):
            with contextlib.suppress(FileNotFoundError):
                (folder / path).unlink()


def _compared(run: Run, folder: Path, code: int, said: str, new: set[str]) -> Iterator[str]:
    if code != run.code:
        yield f"exit code {code}, not {run.code}: {said}"
        return
    if "Traceback" in said or "internal error" in said:
        yield f"a traceback: {said}"
    yield from (f"does not say {part!r}: {said}" for part in run.says if part not in said)
    yield from (f"says {part!r}: {said}" for part in run.silent if part in said)
    if run.quiet and said:
        yield f"says {said!r}"
    wanted = run.writes if run.writes is not None else [] if code else None
    if wanted is not None and new != set(wanted):
        yield f"wrote {sorted(new)}, not {wanted}"
    for path, parts in run.holds.items():
        text = (folder / path).read_text(encoding="utf-8")
        yield from (f"{path} lacks {part!r}: {text[:3000]}" for part in parts if part not in text)
    for path, parts in run.lacks.items():
        text = (folder / path).read_text(encoding="utf-8")
        yield from (f"{path} holds {part!r}: {text[:3000]}" for part in parts if part in text)
    if run.values is not None:
        yield from _wrong_figures(run, folder)


def _wrong_figures(run: Run, folder: Path) -> Iterator[str]:
    """Rows of values.tsv that the table does not have: the same tips may name several nodes, such as an only child."""
    words = shlex.split(run.command)
    with (folder / words[words.index("--out-table") + 1]).open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if not run.trait or row["trait"] == run.trait]
    with (folder / "values.tsv").open(newline="", encoding="utf-8") as stream:
        expected = [row for row in csv.DictReader(stream, delimiter="\t") if row["command"] == run.values]
    assert expected, f"values.tsv has no rows for command {run.values!r}"
    if len(rows) != len(expected):
        yield f"{len(rows)} rows, not {len(expected)}"
    for want in expected:
        figures = [float(want[key]) for key in ("estimate", "se", "lower", "upper")]
        found = [
            [float(row[key]) for key in ("estimate", "se", "lower", "upper")]
            for row in rows
            if (row["tip_a"], row["tip_b"]) == (want["tip_a"], want["tip_b"])
        ]
        if not any(figures == pytest.approx(each, rel=_ROUNDING, abs=_ROUNDING) for each in found):
            yield f"{want['tip_a']}, {want['tip_b']}: {found}, not {figures}"


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def _in_this_process(run: Run, folder: Path) -> tuple[int, str]:
    outcome = here(shlex.split(run.command), folder)
    return outcome.exit_code, outcome.printed


def _process(run: Run, folder: Path) -> tuple[int, str]:
    python = f"{shlex.quote(sys.executable)} -m hxcli"
    script = f'hx() {{ {python} "$@"; }}\n' + (run.shell or f"hx {run.command}")
    changes = {name: value.replace("{here}", str(folder)) for name, value in run.environment.items()}
    environment = {name: value for name, value in (os.environ | changes).items() if value or name not in changes}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=180,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
