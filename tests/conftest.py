"""What all tests share: double precision, and the folder of independent results where it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from tests.quick_programs import compile_quickly

# Before jax is imported anywhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
compile_quickly(os.environ)
# Many tests compile the same program; the second time it is read from here, by whichever worker.
_PROGRAMS = Path(__file__).resolve().parent.parent / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# The same examples every time: a suite that is run often tells what a change broke; `make fuzz` looks for new ones.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")

_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("HX_SHARED", ROOT.parent / "shared"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest first: at the end, all other workers would wait for it."""
    items.sort(key=lambda item: item.path.name != "test_refusals.py")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what `hx` compiles in the tests out of the user's own cache; all workers share it."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HX_CACHE_DIR", str((base.parent if _WORKER else base) / "hx-cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _whole_programs() -> Iterator[None]:
    """Makes JAX put a program into its cache whole or not at all: its own way expects no reader beside the writer."""
    from jax._src.lru_cache import LRUCache

    def put(cache: LRUCache, key: str, value: bytes) -> None:
        program = cache.path / f"{key}-cache"
        if not program.exists():
            beside = program.with_name(f"{program.name}.{os.getpid()}")
            beside.write_bytes(value)
            beside.replace(program)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LRUCache, "put", put)
        yield


@pytest.fixture(scope="session", autouse=True)
def _memory_that_nobody_wrote() -> Iterator[None]:
    """Makes numpy's empty arrays hold no number: they are 0 in a young process and anything in an old one."""

    def filled(make: Callable[..., Any]) -> Callable[..., Any]:
        def empty(*arguments: Any, **options: Any) -> Any:
            array = make(*arguments, **options)
            if array.dtype.kind in "fc":
                array.fill(np.nan)
            return array

        return empty

    with pytest.MonkeyPatch.context() as patch:
        for name in ("empty", "empty_like"):
            patch.setattr(np, name, filled(getattr(np, name)))
        yield


@pytest.fixture(scope="module", autouse=True)
def _room_for_programs() -> Iterator[None]:
    """Forgets what was compiled before Linux has no room for more: a process may have 65,530 mapped pieces of memory.

    Every program takes some; XLA crashes when there are no more.
    """
    yield
    import jax

    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 25_000:
        from hxcli.engine.program import forget_programs

        forget_programs()
        jax.clear_caches()


def reference_models(name: str) -> Path:
    """The folder beside the checkout with a data set and independent values of models; a clone alone skips the test."""
    place = SHARED / "reference-models" / name
    if not place.is_dir():
        pytest.skip(f"the known answers for {name} are not here (no {SHARED.name} folder beside the checkout)")
    return place


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
