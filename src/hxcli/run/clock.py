"""The clock of a run: its stages, one after the other, with their time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hxcli.run.record import Stage, stage_record

Progress = Callable[[str], None]


class Clock:
    """Measures the stages of one run, one after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages: list[Stage] = []
        self._name, self._start = "", time.perf_counter()

    def begin(self, name: str) -> None:
        self.end()
        self._name, self._start = name, time.perf_counter()
        self._progress(name)

    def count(self, done: int, total: int | None, what: str = "traits") -> None:
        """Says how many traits, or what else there is, of the running stage are done, of how many if that is known."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        of = "" if total is None else f" of {total}"
        self._progress(f"{self._name}: {done}{of} {what}, {done / seconds:.3g} a second")

    def detail(self, what: str) -> None:
        """Says what of the running stage is done."""
        self._progress(f"{self._name}: {what}")

    def end(self) -> None:
        self._stages = list(self.so_far())
        self._name = ""

    def as_json(self) -> dict[str, Any]:
        """What the run record says of the stages so far."""
        return stage_record(self.so_far())

    def so_far(self) -> tuple[Stage, ...]:
        """The stages that have ended, and the one under way."""
        if not self._name:
            return tuple(self._stages)
        return (*self._stages, Stage(self._name, time.perf_counter() - self._start, peak_memory()))


def peak_memory() -> int:
    """Largest memory that this process has held so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
