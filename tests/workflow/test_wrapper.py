"""The Snakemake wrapper, in the shape that the repository of wrappers asks for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ROOT

# Slow: Snakemake starts a process for every run of every test.
pytestmark = pytest.mark.slow

WRAPPER = ROOT / "workflow" / "wrapper"
Finished = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def wrapped(finished: Finished, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the wrapper's own test Snakefile, as that repository's tests do."""
    shutil.copytree(WRAPPER, tmp_path / "master" / "bio" / "hx")
    folder = tmp_path / "master" / "bio" / "hx" / "test"
    return lambda *words: finished(folder, "--cores", "1", "--wrapper-prefix", f"file://{tmp_path}/", *words)


def test_its_own_snakefile_runs(wrapped: Any, tmp_path: Path) -> None:
    done = wrapped("out.csv")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "master" / "bio" / "hx" / "test"
    rows = (folder / "out.csv").read_text().splitlines()
    assert rows[1].startswith("root,,A,C,3,mass,,3.3636363636")
    assert "0.9 CI in brackets" in (folder / "logs" / "out.log").read_text()
    assert (folder / "out.nex").read_text().startswith("#NEXUS")


def test_what_hx_refuses_fails_the_job_and_stands_in_the_log(wrapped: Any, tmp_path: Path) -> None:
    folder = tmp_path / "master" / "bio" / "hx" / "test"
    (folder / "tree.nwk").write_text("(A:1,B:x);")
    done = wrapped("out.csv")
    assert done.returncode == 1
    assert "exit status 2" in done.stderr
    assert "hx: tree.nwk: line 1, column " in (folder / "logs" / "out.log").read_text()
    assert not (folder / "out.csv").exists()


def test_an_output_that_hx_does_not_have_is_refused(wrapped: Any, tmp_path: Path) -> None:
    snakefile = tmp_path / "master" / "bio" / "hx" / "test" / "Snakefile"
    snakefile.write_text(snakefile.read_text().replace("table=", "tabel="))
    done = wrapped("out.csv")
    assert done.returncode == 1
    assert "hx: outputs: unknown: tabel (use table, tree, record, " in done.stderr


def test_its_description_has_what_its_code_has() -> None:
    meta = yaml.safe_load((WRAPPER / "meta.yaml").read_text())
    assert {"name", "description", "authors", "input", "output", "params"} <= set(meta)
    described = [key for entry in meta["output"] for key in entry]
    code = (WRAPPER / "wrapper.py").read_text()
    assert [key for key in described if f'"{key}": "--' in code] == described
    assert code.count('": "--') == len(described)
    environment = yaml.safe_load((WRAPPER / "environment.yaml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
