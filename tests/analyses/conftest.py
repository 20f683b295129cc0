"""The two ways in which programs are compiled for the tests of the models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from tests.quick_programs import usual_programs


@pytest.fixture(
    scope="module",
    params=[pytest.param(True, id="quick"), pytest.param(False, id="as users have them", marks=pytest.mark.slow)],
)
def programs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test once as the suite compiles and, among the slow tests, once with the programs that users run."""
    with nullcontext() if request.param else usual_programs():
        yield
