"""The page about Python and its notebook: every example gives what is shown."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import jax
import pytest
from hxdocs import console, notebook

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def with_data(tmp_path, monkeypatch):
    """A folder with the shipped data, in which examples run; JAX has its settings back afterwards."""
    console.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = jax.config.read("jax_enable_x64")
    yield tmp_path
    jax.config.update("jax_enable_x64", before)


def test_every_example_of_the_page_gives_what_is_shown(with_data):
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(examples, {}, "python.md", "python.md", 0)
    assert len(test.examples) > 15
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append)
    assert not said, "".join(said)


def test_the_example_of_the_readme_runs(with_data):
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "hx.ancestral(" in block)
    exec(example, {})
    assert (with_data / "primates.nex").read_text().startswith("#NEXUS")


# Slow: it compiles the posterior of its own tree.
@pytest.mark.slow
def test_the_notebook_shows_what_its_cells_give(with_data):
    kept = notebook.read(DOCS / "primates.ipynb")
    # `make docs-outputs` rewrites what is shown; look at the difference before you commit it.
    assert notebook.agree(notebook.executed(kept), kept)
