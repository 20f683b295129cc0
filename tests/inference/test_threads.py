"""Work in threads: order, errors, and what is told of it meanwhile."""

from __future__ import annotations

import pytest

from hxcli.inference.threads import in_threads
from hxcli.progress import listening, tell


def test_progress_is_told_to_whoever_listens_and_to_nobody_else() -> None:
    heard: list[str] = []
    with listening(heard.append):
        assert in_threads(abs, range(-70, 0), "numbers") == list(range(70, 0, -1))
        in_threads(abs, range(70))
        with listening(lambda what: heard.append(f"inside: {what}")):
            tell("nearly done")
    in_threads(abs, range(70), "numbers")
    assert heard == ["32 of 70 numbers", "64 of 70 numbers", "inside: nearly done"]


def test_an_error_is_that_of_the_item() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, [1, 0, 2])
