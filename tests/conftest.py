"""What all tests share: double precision, and the folder of independent results where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before jax is imported anywhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("HX_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of results of independent R tools, one folder for every data set."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name} beside the checkout: independent results were not compared")
    return folder
