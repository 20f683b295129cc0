"""The real snakemake, where it is installed, and folders to run the workflow in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAIT = "<img src=x onerror=alert(1)>"
SHEET = """name\ttree\ttraits\ttrait
primates\tdata/primates.nwk\tdata/primates.csv\t
brains\tdata/primates.nwk\tdata/primates.csv\tln_brain_volume
simulated\tdata/simulated.nwk\tdata/simulated.csv\t
named.by-strangers\tits tree's.nwk\ttable.csv\t
"""
RUNS = ("primates", "brains", "simulated", "named.by-strangers")


def snakemake_path() -> str | None:
    """Of the environment that `make workflow-tools` makes, else of the PATH."""
    own = ROOT / ".venv-workflow" / "bin" / "snakemake"
    return str(own) if own.is_file() else shutil.which("snakemake")


@pytest.fixture(scope="session")
def snakemake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen[str]]:
    """Starts snakemake in a folder, as the leader of a process group of its own."""
    program = snakemake_path()
    if program is None:
        # Where it must be there, its absence is a failure.
        assert "HX_NEED_WORKFLOW" not in os.environ, "snakemake is not installed"
        pytest.skip("snakemake is not installed (make workflow-tools installs it)")
    home = tmp_path_factory.mktemp("snakemake")
    hx = home / "bin" / "hx"
    hx.parent.mkdir()
    hx.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m hxcli \"$@\"\n")
    hx.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{hx.parent}{os.pathsep}{Path(program).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(home / "cache"),
        "HX_CACHE_DIR": str(home / "programs"),
    }

    def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    start.programs = home / "programs"  # type: ignore[attr-defined]
    return start


@pytest.fixture(scope="session")
def finished(snakemake: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs snakemake to its end."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = snakemake(folder, *arguments)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run


def lay_out(folder: Path) -> Path:
    """The folder with the workflow, the data, a sample sheet of four runs, and hostile names."""
    for name in ("workflow", "data"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "its tree's.nwk").write_text("(('<script>alert(1)</script>':1,'a b':1):1,C:2);\n")
    (folder / "table.csv").write_text(f"name,{TRAIT}\n<script>alert(1)</script>,1\na b,2\nC,4\n")
    (folder / "runs.tsv").write_text(SHEET)
    return folder


def products(results: Path) -> dict[str, Any]:
    """Path -> content of every product; records without how long things took. What is hidden counts too."""
    found: dict[str, Any] = {}
    for path in sorted(results.rglob("*")):
        if path.is_file() and path.suffix != ".log":
            data = path.read_bytes()
            name = path.relative_to(results).as_posix()
            found[name] = data if path.suffix != ".json" else {**json.loads(data), "timings": None}
    return found


@pytest.fixture(scope="module")
def whole(finished: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the workflow ran from beginning to end."""
    folder = lay_out(tmp_path_factory.mktemp("whole"))
    done = finished(folder, "--cores", "2", "--config", "samples=runs.tsv")
    assert done.returncode == 0, done.stderr
    return folder
