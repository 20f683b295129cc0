"""Reports from the field: every case of this folder, and the inputs of the same name beside the checkout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.field import cases

SHARED = Path(os.environ.get("HX_SHARED", Path(__file__).parents[3] / "shared")) / "field"


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    target.chmod(0o755)
    return target


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * cases.is_slow(name)) for name in cases.names()]
)
def test_case(name: str, tmp_path: Path) -> None:
    folder = copied(cases.FOLDER / name, tmp_path / name)
    found = [problem for run in cases.runs(name) for problem in cases.problems(run, folder)]
    assert not found, "\n".join(found)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no field folder beside the checkout: its inputs were not tried")
def test_every_shared_case(tmp_path: Path) -> None:
    found, missing = [], []
    for source in sorted(path for path in SHARED.iterdir() if path.is_dir()):
        if source.name not in cases.names():
            missing.append(source.name)
            continue
        folder = copied(source, tmp_path / source.name)
        inputs = {path.name for path in folder.iterdir()}
        # A run that names a file of ours only is about our own neighbours of the case.
        own = {path.name for path in (cases.FOLDER / source.name).iterdir()} - inputs
        runs = [run for run in cases.runs(source.name) if not any(name in run.command.split() for name in own)]
        found += [problem for run in runs for problem in cases.problems(run, folder)]
    assert not missing
    assert not found, "\n".join(found)
