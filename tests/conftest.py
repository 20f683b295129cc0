"""What all tests share: double precision, and the folder of independent results where it is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# Before jax is imported anywhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("HX_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """Name of a data set -> the folder with results of independent R tools for it.

    All data sets are in the folder beside the checkout; some are in tests/data, for a clone that stands alone.
    """

    def folder(name: str) -> Path:
        for place in (SHARED / "reference" / name, ROOT / "tests" / "data" / "reference" / name):
            if place.is_dir():
                return place
        pytest.skip(f"the independent results for {name} are not here (no {SHARED.name} folder beside the checkout)")

    return folder
