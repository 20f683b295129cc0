"""Two ways to run `hx`: in this process, for messages and files, and as a real process, for streams and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from hxcli.cli import app

TREE = "((A:1,B:1)ab:1,(C:1.5,D:0.5)cd:0.5);\n"
TABLE = "name,mass,size\nA,1.5,10\nB,2.5,20\nC,3.5,\nD,5.5,40\n"
HX = (sys.executable, "-m", "hxcli")


@dataclass(frozen=True)
class Result:
    """What one run of `hx` left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cache() -> Path:
    """The compile cache that all tests share."""
    return Path(os.environ["HX_CACHE_DIR"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """The current folder, with `tree.nwk` and `traits.csv` in it."""
    (tmp_path / "tree.nwk").write_text(TREE)
    (tmp_path / "traits.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HX_CACHE_DIR", str(cache))
    return tmp_path


@pytest.fixture
def hx(here: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """Runs `hx` in this process, and puts the process-wide settings back afterwards."""

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        code = app.run(list(arguments))
        return Result(code, *capfd.readouterr())

    import jax

    names = [name for name in jax.config.values if "cache" in name]
    names += ["jax_enable_x64", "jax_default_device"]
    before = {name: getattr(jax.config, name) for name in names}
    with mock.patch.dict(os.environ):
        yield run
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def hx_process(here: Path) -> Callable[..., Result]:
    """Runs `hx` as a process of its own."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Result:
        done = subprocess.run(
            [*HX, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=os.environ | environment,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run
