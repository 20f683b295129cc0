"""The page of pictures shows what `make pictures` makes: every kind and layout on every tree, each small."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHOWN = re.findall(r"!\[[^]]+\]\((pictures/[^)]+)\)", (DOCS / "pictures.md").read_text(encoding="utf-8"))


def test_every_picture_is_shown_once_and_small() -> None:
    there = sorted(f"pictures/{path.name}" for path in (DOCS / "pictures").iterdir())
    assert sorted(SHOWN) == there
    assert max((DOCS / path).stat().st_size for path in there) < 150_000


def test_every_way_to_draw_is_shown_on_every_tree() -> None:
    source = (DOCS / "hxdocs" / "pictures.py").read_text(encoding="utf-8")
    trees, ways = (
        re.findall(r'^    "([a-z-]+)": \(', source.split(f"\n{name} = {{")[1].split("\n}")[0], re.MULTILINE)
        for name in ("DATA", "WAYS")
    )
    assert (len(trees), len(ways)) == (3, 5)
    assert {f"pictures/{tree}-{way}.webp" for tree in trees for way in ways} <= set(SHOWN)
