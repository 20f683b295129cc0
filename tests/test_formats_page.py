"""docs/formats.md shows every format. That its commands print what it shows: tests/docs."""

from __future__ import annotations

import re
from pathlib import Path

from hxcli.run.product_kinds import KINDS

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")


def test_every_format_is_on_the_page() -> None:
    shown = " ".join(re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE))
    for kind in KINDS.values():
        assert kind.option in PAGE, kind.option
    for extension in (".csv", ".nex", ".nwk", ".nhx", ".xml"):
        assert f"cat small{extension}" in shown
    for extension in (*KINDS["table"].writers, *KINDS["tree"].writers):
        if extension not in (".nexus", ".newick", ".tree"):
            assert f"`{extension}`" in PAGE
