"""Notebooks of the documentation: their cells are run, and what they give is kept beside them.

    PYTHONPATH=docs python -m hxdocs.notebook

runs the cells of every notebook in docs/ and writes what they gave into it. The tests run the same and compare. No
kernel is needed: cells are plain Python, and what a cell's last expression gives is shown in all the ways that it has.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from hxdocs import console

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """The notebook as it lies in its file."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def executed(notebook: Notebook) -> Notebook:
    """The notebook with what its cells give when they are run one after the other in the current folder."""
    names: dict[str, Any] = {}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            shown = _run("".join(cell["source"]), names)
            data = {} if shown is None else _displays(shown)
            result = {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data}
            cell = {**cell, "execution_count": count, "outputs": [result] if data else []}
        cells.append(cell)
    return {**notebook, "cells": cells}


def agree(one: Notebook, other: Notebook) -> bool:
    """Whether two notebooks have the same cells and show the same text; pictures depend on the fonts of the machine."""
    return len(one["cells"]) == len(other["cells"]) and all(map(_cells_agree, one["cells"], other["cells"]))


def _cells_agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = one["source"] == other["source"] and len(one.get("outputs", ())) == len(other.get("outputs", ()))
    return same and all(
        mine["data"].keys() == theirs["data"].keys()
        and all(
            kind.startswith("image/") or console.agree("".join(text), "".join(theirs["data"][kind]))
            for kind, text in mine["data"].items()
        )
        for mine, theirs in zip(one.get("outputs", ()), other.get("outputs", ()), strict=True)
    )


def _run(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell; returns what its last expression gives, None where it ends with a statement or a semicolon."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    return None if source.rstrip().endswith(";") else value


def _displays(value: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"text/plain": _lines(re.sub(r" at 0x[0-9a-f]+", "", repr(value)))}
    for kind, name in (("text/html", "_repr_html_"), ("image/png", "_repr_png_")):
        shown = getattr(value, name, lambda: None)()
        if shown is not None:
            data[kind] = base64.b64encode(shown).decode() if isinstance(shown, bytes) else _lines(shown)
    return data


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    for path in sorted((console.ROOT / "docs").glob("*.ipynb")):
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as name:
            console.prepare(Path(name))
            os.chdir(name)
            try:
                kept = read(path)
                found = executed(kept)
            finally:
                os.chdir(before)
        if not agree(found, kept):
            path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"rewrote {path.relative_to(console.ROOT)}")


if __name__ == "__main__":
    main()
