"""Progress: the name of the running stage on standard error, for work that takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

PATIENCE_SECONDS = 2.0


class Progress:
    """Shows stages on a terminal once two seconds have passed; silent elsewhere.

    Args:
        wanted: False to stay silent in any case.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted and sys.stderr.isatty()
        self._stage = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __call__(self, stage: str) -> None:
        """Names the stage that begins."""
        self._stage = stage

    def __enter__(self) -> Progress:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._wanted:
            self._thread.join()

    def _show(self) -> None:
        if self._done.wait(PATIENCE_SECONDS):
            return
        from rich.console import Console

        start = time.monotonic() - PATIENCE_SECONDS
        with Console(stderr=True).status("") as status:
            while not self._done.wait(0.2):
                status.update(f"{self._stage} ({time.monotonic() - start:.0f} s)")
