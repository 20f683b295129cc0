"""The engine's tests compile many small programs: they compile them quickly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.quick_programs import quick_programs


@pytest.fixture(autouse=True, scope="package")
def compile_quickly() -> Iterator[None]:
    with quick_programs():
        yield
