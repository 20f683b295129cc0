"""Whole processes: wall time and peak memory of commands that take turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A new process counts the memory of the one that starts it as its own, so that one without any library does. What
# the system says is in kilobytes on Linux.
_LAUNCHER = """
import os, sys, time
start = time.perf_counter()
quiet = os.open(os.devnull, os.O_RDWR)
streams = [(os.POSIX_SPAWN_DUP2, quiet, number) for number in (0, 1, 2)]
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=streams), 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - start, usage.ru_maxrss)
"""


@dataclass(frozen=True)
class Cost:
    """What one command costs.

    Attributes:
        seconds: Median wall time.
        peak: Largest memory of any of its runs, in bytes; threads count, further processes do not.
    """

    seconds: float
    peak: int


def costs(
    commands: Mapping[str, Sequence[str]], folder: Path, *, rounds: int, environment: Mapping[str, str] | None = None
) -> dict[str, Cost | None]:
    """Median wall time and peak memory of every command; None for one that fails.

    The commands take turns, so that noise meets all of them. A first turn is not counted where there are several:
    it fills caches.
    """
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    failed: set[str] = set()
    for turn in range(rounds + (rounds > 1)):
        for name, command in commands.items():
            if name in failed:
                continue
            cost = _once(command, folder, {**os.environ, **(environment or {})})
            if cost is None:
                failed.add(name)
            elif turn or rounds == 1:
                found[name].append(cost)
    return {
        name: None
        if name in failed
        else Cost(statistics.median(each.seconds for each in runs), max(each.peak for each in runs))
        for name, runs in found.items()
    }


def _once(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost | None:
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(launcher, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    code, seconds, kilobytes = done.stdout.split()
    return Cost(float(seconds), int(kilobytes) * 1024) if code == "0" else None
