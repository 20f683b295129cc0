"""docs/formats.md: every command on the page runs, and every file is what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hxcli.products import KINDS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def steps() -> list[tuple[str, str]]:
    """Every command of the page, and what the page shows behind it."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    pieces = [piece for block in blocks for piece in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, shown) for command, _, shown in (piece.partition("\n") for piece in pieces)]


def test_every_file_is_what_is_shown(tmp_path: Path) -> None:
    hx = tmp_path / "bin" / "hx"
    hx.parent.mkdir()
    hx.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m hxcli \"$@\"\n")
    hx.chmod(0o755)
    (hx.parent / "python3").symlink_to(sys.executable)
    env = {**os.environ, "PATH": f"{hx.parent}{os.pathsep}{os.environ['PATH']}"}
    commands = steps()
    for command, shown in commands[:2]:
        (tmp_path / command.removeprefix("cat ")).write_text(shown)
    for command, shown in commands[2:]:
        ran = subprocess.run(
            command, shell=True, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert ran.returncode == 0, ran.stdout
        assert rounded(ran.stdout) == rounded(shown), command


def rounded(text: str) -> str:
    # The last digits of a float depend on the processor's instructions.
    return re.sub(r"\d+\.\d{9,}", lambda number: f"{float(number[0]):.9f}", text)


def test_every_format_is_on_the_page() -> None:
    shown = " ".join(command for command, _ in steps())
    for kind in KINDS.values():
        assert kind.option in PAGE, kind.option
    for extension in (".csv", ".nex", ".nwk", ".nhx", ".xml"):
        assert f"cat small{extension}" in shown
    for extension in (*KINDS["table"].writers, *KINDS["tree"].writers):
        if extension not in (".nexus", ".newick", ".tree"):
            assert f"`{extension}`" in PAGE
