"""Fair timing: interleaved medians, fresh processes for what happens only once, and JAX's own compile events."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_COMPILED = "/jax/core/compile/backend_compile_duration"
_LOADED = "/jax/compilation_cache/cache_hits"
_STAGES = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")


def interleaved(
    functions: Mapping[str, Callable[[], Any]], *, seconds: float = 2.0, rounds: int = 5
) -> dict[str, float]:
    """Median seconds of one call of every function; they take turns, so that noise meets all of them.

    Args:
        functions: Each returns when its work is done; called once before the clock starts.
        seconds: About how long to go on.
        rounds: At least so many turns.
    """
    calls = {}
    for name, function in functions.items():
        function()
        calls[name] = max(1, int(0.002 / max(_seconds(function, 1), 1e-7)))
    samples: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    turn = 0
    while turn < rounds or time.perf_counter() < end:
        # Every other round backwards, so that nobody always runs behind the same neighbour.
        for name in list(functions)[:: 1 if turn % 2 else -1]:
            samples[name].append(_seconds(functions[name], calls[name]))
        turn += 1
    return {name: statistics.median(times) for name, times in samples.items()}


def _seconds(function: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def isolated(arguments: Sequence[Any], timeout: float) -> dict[str, Any] | None:
    """What `run_isolated` prints in a fresh Python process of this script; None when it takes too long.

    Raises:
        RuntimeError: The process failed.
    """
    command = [sys.executable, sys.argv[0], "--isolated", json.dumps(list(arguments))]
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def seconds(command: list[str], rounds: int) -> float:
    """Median wall time of a whole process; the first, which compiles, is not counted."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


class CompileEvents:
    """Counts what JAX says that it compiles; `compiled` leaves out what it loaded from disk.

    Attributes:
        compiled: Programs compiled.
        loaded: Programs loaded from the on-disk cache.
        seconds: Time spent on tracing, lowering and compiling (a nested trace counts twice).
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.seconds = 0.0

    @property
    def loaded(self) -> int:
        return self._counts[_LOADED]

    @property
    def compiled(self) -> int:
        return self._counts[_COMPILED] - self.loaded

    def _on_event(self, event: str, **_: Any) -> None:
        self._counts[event] += 1

    def _on_duration(self, event: str, seconds: float, **_: Any) -> None:
        self._counts[event] += 1
        if event.endswith(_STAGES):
            self.seconds += seconds


@contextmanager
def compile_events() -> Iterator[CompileEvents]:
    """The compile events of a block."""
    import jax.monitoring as monitoring

    events = CompileEvents()
    monitoring.register_event_listener(events._on_event)
    monitoring.register_event_duration_secs_listener(events._on_duration)
    try:
        yield events
    finally:
        monitoring.unregister_event_listener(events._on_event)
        monitoring.unregister_event_duration_listener(events._on_duration)


def copy_bandwidth(megabytes: int = 256) -> float:
    """Bytes a second that the machine reads and writes when all its processors copy memory, at its best."""
    threads = os.cpu_count() or 1
    source = np.ones(megabytes * 2**20 // 8)
    target = np.zeros_like(source)
    best = float("inf")
    for _ in range(7):
        parts = zip(np.array_split(target, threads), np.array_split(source, threads), strict=True)
        copies = [threading.Thread(target=np.copyto, args=part) for part in parts]
        start = time.perf_counter()
        for copy in copies:
            copy.start()
        for copy in copies:
            copy.join()
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def machine() -> str:
    """The machine and the versions, in a few words without its name."""
    import jax

    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    load = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} cores of {model}{load}; {platform.system()}, Python {platform.python_version()}, "
        f"JAX {jax.__version__} on {jax.default_backend()}"
    )
