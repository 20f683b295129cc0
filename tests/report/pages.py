"""Reports to look at: records as runs give them, and pages written by real runs."""

from __future__ import annotations

import html.parser
from pathlib import Path
from typing import Any

from hxcli.reconstruction import Reconstruction
from hxcli.report.page import report_page
from hxcli.run.inputs import InputOptions
from hxcli.run.perform import Job, perform


def written(folder: Path, tree: str, traits: str, **more: Any) -> tuple[str, str]:
    """Runs `hx ancestral` on two files; the paths of its report and its table."""
    page, table = str(folder / "report.html"), str(folder / "table.csv")
    perform(
        Job(
            analysis="ancestral",
            inputs=more.pop("inputs", InputOptions(tree, traits)),
            products={"table": table, "report": page},
            command_line=("hx", "ancestral", tree, traits, "--report", "a b.html"),
            **more,
        )
    )
    return page, table


def record(found: Reconstruction, **more: Any) -> dict[str, Any]:
    """A run record with what the page needs."""
    nothing = {"estimate": None, "se": None, "lower": None, "upper": None}
    used = {"tips_used": 1, "tips_missing": 0, "standard_errors_from": None}
    traits = [{"name": name, **used, "root": nothing, "parameters": {}} for name in found.traits]
    tree = {"file": "t.nwk", "sha256": "0", "format": "newick", "trees": 1, "tree_index": 1, "tips": 2, "nodes": 3}
    table = {"file": "t.csv", "sha256": "1", "rows": 2, "columns": list(found.traits), "text_columns": []}
    result = {"tips": {"with_data": 2, "rows_dropped": 0}, "traits": traits, "warnings": []}
    return {
        "version": "0", "libraries": {}, "command": "ancestral",
        "command_line": ["hx", "ancestral", "a b.nwk", "$(rm)"],
        "inputs": {"tree": tree, "traits": table}, "options": {}, "device": "cpu", "precision": 64, "threads": None,
        "seed": None, "results": [result], "notes": [], "timings": {},
    } | more  # fmt: skip


def page_of(found: Reconstruction, **more: Any) -> str:
    return report_page(found, record(found, **more))


class Elements(html.parser.HTMLParser):
    """Counts the elements of a page and keeps its attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
