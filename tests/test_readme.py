"""What the README shows is what happens: its console example, its library example, its table of commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from hxcli.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_console_example_prints_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    script = tmp_path / "hx"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m hxcli \"$@\"\n")
    script.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HX_CACHE_DIR": str(tmp_path / "cache")}
    (example,) = blocks("console")
    steps = re.split(r"^\$ ", example, flags=re.MULTILINE)[1:]
    assert len(steps) == 2
    for step in steps:
        command, _, shown = step.partition("\n")
        ran = subprocess.run(
            command, shell=True, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert ran.returncode == 0
        # The last digits of a float depend on the processor's instructions.
        assert rounded(ran.stdout) == rounded(shown)


def rounded(text: str) -> str:
    return re.sub(r"\d+\.\d{9,}", lambda number: f"{float(number[0]):.9f}", text)


def test_library_example_runs() -> None:
    example = next(block for block in blocks("python") if "import hxcli" in block)
    *statements, last = example.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    assert np.allclose(eval(last, names), 0.125)  # type: ignore[arg-type]


def test_every_command_is_in_the_table() -> None:
    for command in COMMANDS:
        assert f"| `hx {command}" in README
