"""The page of a comparison of models: tables, weights and profiles, and nothing that a policy forbids."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from hxcli.cli.app import run
from tests.report.pages import Elements

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.mark.parametrize(
    ("table", "column", "models", "shown"),
    [
        ("primates.csv", "ln_body_mass", ("bm", "kappa"), ("Weights and profiles", "Models", "Parameters", "kappa")),
        ("primates_activity.csv", "activity", ("er",), ("Weights and profiles", "Models", "Parameters", "er")),
    ],
    ids=["numbers", "states"],
)
def test_page_has_the_tables_and_the_picture(
    table: str, column: str, models: tuple[str, ...], shown: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "r.html"
    chosen = [word for model in models for word in ("--model", model)]
    files = [str(DATA / "primates.nwk"), str(DATA / table), "--column", column, *chosen, "--no-intervals"]
    assert run(["fit", *files, "-q", "--report", str(path), "--out-fits", str(tmp_path / "f.csv")]) == 0
    page = path.read_text(encoding="utf-8")
    seen = Elements(page)
    assert set(shown) <= set(seen.texts)
    assert "script" not in seen.tags
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "style"]
    picture = base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^\"]+)", page)[1])
    assert picture.startswith(b"<?xml")
    again = tmp_path / "again.html"
    assert run(["fit", *files, "-q", "--report", str(again), "--out-fits", str(tmp_path / "f.csv")]) == 0
    assert again.read_text(encoding="utf-8") == page
