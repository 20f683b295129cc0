"""Runs over many trees, as whole processes: 1,000 trees x 200 tips, 10,000 x 1,000, reading alone, and shards.

python benchmarks/trees_many.py [--smoke]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

HX = (sys.executable, "-m", "hxcli")
READ = """
import sys
from hxcli.formats.trees.tree_stream import TreeStream
print(sum(batch.count for batch in TreeStream([sys.argv[1]]).batches()))
"""


def tree(random: np.random.Generator, names: list[str]) -> str:
    """A coalescent tree as Newick."""
    nodes = [(names[i], 0.0) for i in random.permutation(len(names))]
    now = 0.0
    while len(nodes) > 1:
        count = len(nodes)
        now += random.exponential(2 / (count * (count - 1)))
        i, j = sorted(random.choice(count, 2, replace=False).tolist())
        (left, below), (right, beside) = nodes[i], nodes[j]
        nodes[i] = (f"({left}:{now - below:.10g},{right}:{now - beside:.10g})", now)
        nodes[j] = nodes[-1]
        nodes.pop()
    return nodes[0][0] + ";"


def write(folder: Path, trees: int, tips: int) -> tuple[Path, Path]:
    """A file of trees, of which twenty differ, and a table of one trait."""
    random = np.random.default_rng(1)
    names = [f"sp_{i:05d}" for i in range(tips)]
    some = [tree(random, names) for _ in range(min(20, trees))]
    path, table = folder / f"{trees}x{tips}.nwk", folder / f"{tips}.csv"
    with path.open("w") as stream:
        for number in range(trees):
            stream.write(some[number % len(some)] + "\n")
    table.write_text("tip,mass\n" + "".join(f"{name},{random.normal():.6f}\n" for name in names))
    return path, table


class Used(NamedTuple):
    """What a process took: seconds, MiB, and seconds of the processors, which other work beside it hardly changes."""

    seconds: float
    memory: float
    processors: float


def finished(process: subprocess.Popen[bytes], start: float) -> Used:
    """Waits for a process that was started at some time."""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{process.args} failed")
    return Used(time.perf_counter() - start, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def timed(*command: str) -> Used:
    """One process."""
    start = time.perf_counter()
    return finished(subprocess.Popen(command, stdout=subprocess.DEVNULL), start)


def best(*command: str, times: int = 3) -> Used:
    """The fastest of some runs."""
    return min(timed(*command) for _ in range(times))


def say(what: str, used: Used, beside: str = "") -> None:
    print(f"| {what} | {used.seconds:.2f} s | {used.processors:.2f} s | {used.memory:.0f} MiB | {beside} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="small samples, once")
    smoke = parser.parse_args().smoke
    times = 1 if smoke else 3
    print(f"load average {os.getloadavg()[0]:.1f}")
    print("| run | time | of processors | memory | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        importing = best(sys.executable, "-c", "import jax", times=times)
        say("import jax", importing)
        trees, table = write(folder, 50 if smoke else 1_000, 20 if smoke else 200)
        run = (*HX, "ancestral", str(trees), str(table), "--all-trees", "-q", "-o", str(folder / "out"))
        timed(*run)
        found = best(*run, times=times)
        say(f"hx ancestral --all-trees, {trees.stem}", found, f"{found.seconds / importing.seconds:.2f} x import jax")
        trees, table = write(folder, 100 if smoke else 10_000, 30 if smoke else 1_000)
        reading = best(sys.executable, "-c", READ, str(trees), times=times)
        say(f"reading alone, {trees.stem}, {trees.stat().st_size / 1e6:.0f} MB", reading)
        run = (*HX, "ancestral", str(trees), str(table), "--all-trees", "-q")
        timed(*run, "-o", str(folder / "out"))
        found = best(*run, "-o", str(folder / "out"), times=times)
        say(f"hx ancestral --all-trees, {trees.stem}", found, f"{found.seconds / reading.seconds:.2f} x reading alone")
        run = (*run, "--threads", "1")
        one = best(*run, "-o", str(folder / "out"), times=times)
        say("the same on one thread", one)
        start = time.perf_counter()
        parts = [subprocess.Popen([*run, "--shard", f"{part}/2", "-o", str(folder / f"part{part}")]) for part in (1, 2)]
        first, second = (finished(part, start) for part in parts)
        both = Used(*map(max, first, second))
        shares = (
            f"{one.seconds / both.seconds:.2f} x faster, {one.processors / both.processors:.2f} x less of a processor"
        )
        say("the longer of two parts side by side", both, shares)
        merged = timed(*HX, "merge", str(folder / "part1"), str(folder / "part2"), "-q", "-o", str(folder / "whole"))
        say("hx merge", merged)


if __name__ == "__main__":
    main()
