"""The two ways in which programs are compiled for the tests of the models."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest

from tests.quick_programs import quick_programs


@pytest.fixture(
    scope="module",
    params=[pytest.param(True, id="quick"), pytest.param(False, id="as users have them", marks=pytest.mark.slow)],
)
def programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test once with programs that compile quickly and, among the slow tests, once with those that users run."""
    if request.param:
        with quick_programs():
            yield
    else:
        jax.clear_caches()
        yield
