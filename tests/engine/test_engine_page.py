"""The examples of docs/engine.md run, and print what the page shows."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import hxcli as hx

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engine.md"


def test_every_example_prints_what_is_shown() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    report: list[str] = []
    for number, block in enumerate(blocks):
        test = parser.get_doctest(block, names, f"block {number}", str(PAGE), 0)
        runner.run(test, out=report.append, clear_globs=False)
        names = test.globs
    assert not runner.failures, "".join(report)
    assert runner.tries > 40


def test_every_name_of_the_library_on_the_page_is_there() -> None:
    used = set(re.findall(r"\bhx\.(\w+)", PAGE.read_text(encoding="utf-8")))
    assert len(used) > 8
    assert used <= {*dir(hx)}
