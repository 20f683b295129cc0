"""The man pages: they are sound roff, and they say what the command line says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hxdocs.man import man_pages
from hxdocs.reference import commands, program

ROOT = Path(__file__).resolve().parents[2]
PAGES = man_pages()
FORMATTERS = [["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-T", "utf8", "-ww", "-z"]]


def test_every_command_has_a_page() -> None:
    assert set(PAGES) == {"hx.1", *(f"hx-{command.name.removeprefix('hx ')}.1" for command in commands())}


@pytest.mark.parametrize("command", [program(), *commands()], ids=lambda command: command.name)
def test_a_page_has_every_option_with_its_help(command: object) -> None:
    page = PAGES[command.name.replace(" ", "-") + ".1"].replace("\\-", "-")  # type: ignore[attr-defined]
    plain = re.sub(r"\\f[BIR]", "", page)
    for option in command.options:  # type: ignore[attr-defined]
        assert f"\n.TP\n{', '.join(option.names)}" in plain
        assert option.help in plain


def test_no_text_becomes_a_request_of_roff() -> None:
    requests = {line.split()[0] for page in PAGES.values() for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".TP", ".PP", ".BR", ".nf", ".fi"}


@pytest.mark.parametrize("formatter", FORMATTERS, ids=lambda words: words[0])
@pytest.mark.parametrize("name", PAGES)
def test_a_formatter_finds_nothing_to_complain_about(formatter: list[str], name: str, tmp_path: Path) -> None:
    if shutil.which(formatter[0]) is None:
        pytest.skip(f"{formatter[0]} is not installed")
    (tmp_path / name).write_text(PAGES[name], encoding="utf-8")
    done = subprocess.run([*formatter, str(tmp_path / name)], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if 'missing date, using ""' not in line]
    assert said == []


def test_making_the_pages_needs_nothing_but_typer() -> None:
    # A wheel is built where hatchling and typer are installed, and nothing else that hx needs.
    code = "import sys, hxdocs.man as man; man.man_pages(); print(*{name.split('.')[0] for name in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "docs")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "typer" in done.stdout.split()
    assert {"numpy", "jax", "polars", "Bio", "matplotlib"}.isdisjoint(done.stdout.split())


@pytest.mark.slow
def test_a_wheel_has_the_pages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("hxcli-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        pages = {
            name.rsplit("/", 1)[1]: archive.read(name) for name in archive.namelist() if "/share/man/man1/" in name
        }
    assert {name: text.decode() for name, text in pages.items()} == PAGES
