"""Files that the tests of the front door share."""

from __future__ import annotations

from pathlib import Path

import pytest

TREE = "((A_a:1,'B b':1)ab:1,(C:1.5,'D''s':0.5)cd:0.5);\n"
TABLE = "name,mass,size\nA_a,1.5,10\nB b,2.5,20\nC,3.5,\nD's,5.5,40\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `tree.nwk` and `traits.csv` in it."""
    (tmp_path / "tree.nwk").write_text(TREE)
    (tmp_path / "traits.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path
