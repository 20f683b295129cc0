"""Measures hxcli's engine against Hyperiax 3.0.0 and prints one Markdown table.

    python benchmarks/engine.py [--smoke] [--only NAME] [--write FILE]

Both libraries run the same sweeps (sweeps.py) on the same trees (trees.py) in float64. Without Hyperiax its
columns are `-`; `make bench` installs it. README.md says what every row means.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

# Before jax is imported, here and in every fresh process.
os.environ["JAX_ENABLE_X64"] = "1"

import jax
import numpy as np
from sweeps import OURS, THEIRS, brownian, has_hyperiax, quickstart
from table import Row, markdown, rate
from timing import compile_events, copy_bandwidth, interleaved, isolated, machine
from trees import SHAPES, caterpillar, edge_lengths, tip_values, yule

# Seconds for one process, for one that measures both libraries side by side, and before a third is not waited for.
SHORT, LONG, PATIENT = 300.0, 900.0, 30.0
# Rounds of equal compilations: all of so many go one way by chance in less than a hundredth of the cases.
TURNS = 7


class Run:
    """What to measure and how.

    Attributes:
        smoke: Everything tiny and once, to see that it works.
        libraries: The libraries to measure, ours first.
    """

    def __init__(self, smoke: bool) -> None:
        self.smoke = smoke
        self.libraries = [OURS, THEIRS] if has_hyperiax() else [OURS]

    def size(self, full: int) -> int:
        """A number of tips, levels or trees."""
        return min(full, 6) if self.smoke else full

    @property
    def repeats(self) -> int:
        """Fresh processes for a measurement of what happens once."""
        return 1 if self.smoke else 3

    def apart(self, name: str, *arguments: Any, timeout: float = SHORT) -> Any:
        """Runs a function of `ISOLATED` in a process of its own; None when that takes too long."""
        if self.smoke:
            return ISOLATED[name](*arguments)
        return isolated([name, *arguments], timeout)

    def together(self, name: str, *arguments: Any, libraries: list[str] | None = None) -> dict[str, dict[str, Any]]:
        """Runs a function that measures the libraries side by side; ours alone when theirs takes too long."""
        for chosen in (libraries or self.libraries, [OURS]):
            answer = self.apart(name, self.smoke, chosen, *arguments, timeout=LONG)
            if answer is not None:
                return answer
        raise RuntimeError(f"{name}{arguments} took hxcli more than {LONG:.0f} s")

    def tried(self, name: str, library: str, *arguments: Any) -> Any:
        """As `apart`, for one library; that it takes too long, or that Hyperiax breaks, is a result."""
        try:
            answer = self.apart(name, library, *arguments)
        except RuntimeError as error:
            if library == OURS:
                raise
            print(error, file=sys.stderr)
            return None
        if answer is None:
            print(f"{name}{arguments} took {library} more than {SHORT:.0f} s", file=sys.stderr)
        return answer

    def once(self, name: str, *arguments: Any, libraries: list[str] | None = None) -> dict[str, list[dict[str, Any]]]:
        """Answers of fresh processes, the libraries in turn: three, or one of a library that takes its time."""
        answers: dict[str, list[dict[str, Any]]] = {library: [] for library in libraries or self.libraries}
        waiting = list(answers)
        for _ in range(self.repeats):
            for library in list(waiting):
                start = perf_counter()
                answer = self.tried(name, library, *arguments)
                if answer is not None:
                    answers[library].append(answer)
                if answer is None or perf_counter() - start > PATIENT:
                    waiting.remove(library)
        return answers


def median(answers: list[dict[str, Any]] | None, what: str) -> Any:
    """Median of one figure over fresh processes; None where there is none."""
    return statistics.median(answer[what] for answer in answers) if answers else None


def named(shape: str, size: int) -> str:
    """A tree in words."""
    words = {
        "yule": "random tree",
        "ragged": "ragged random tree",
        "star": "star",
        "ladder": "ladder-like tree",
        "caterpillar": "caterpillar",
    }
    return f"{words[shape]} of {size:,} {'levels' if shape == 'caterpillar' else 'tips'}"


# Measurements: each returns rows of the table.


def measure_quickstart(run: Run) -> list[Row]:
    times = run.together("quickstart_times")
    names = {
        "eager": "quickstart, 15 nodes: eager call",
        "jitted": "quickstart, 15 nodes: jitted call",
        "scan": "quickstart, 2,047 nodes: 1,000 sweeps in a scan",
    }
    return [Row.of_times(text, times, name, 1.0) for name, text in names.items()]


def measure_first_call(run: Run) -> list[Row]:
    cases = [("yule", 1_000, 0.35), ("yule", 10_000, 0.35), ("yule", 100_000, 0.35), ("caterpillar", 1_000, 0.02)]
    rows = []
    for shape, full, target in cases[: 1 if run.smoke else None]:
        size = run.size(full)
        answers = run.once("first_call", shape, size)
        text = f"first call, {named(shape, size)}"
        rows.append(Row(text, median(answers[OURS], "seconds"), median(answers.get(THEIRS), "seconds"), target))
    return rows


def measure_second_tree(run: Run) -> list[Row]:
    size = run.size(10_000)
    text = "second tree of a size class"
    same = {library: run.apart("second_tree", library, size) for library in run.libraries}
    new = {}
    for library in run.libraries:
        with tempfile.TemporaryDirectory() as folder:
            for seed in (1, 2):
                new[library] = isolated(["tree_with_cache", library, size, seed, folder], SHORT)
    return [
        Row.of_counts(f"{text}, same process: programs compiled", same, 0),
        Row.of_counts(f"{text}, new process with the on-disk cache: programs compiled", new, 0),
    ]


def measure_deep(run: Run) -> list[Row]:
    sizes = [run.size(levels) for levels in (1_000, 10_000, 100_000, 1_000_000)[: 2 if run.smoke else None]]
    # Hyperiax is not tried: its compile time grows faster than the depth, and 1,000 levels take it most of a minute.
    # The sizes take turns, so that noise meets all of them.
    rounds = [[run.tried("deep", OURS, levels) for levels in sizes] for _ in range(1 if run.smoke else TURNS)]
    rows: list[Row] = []
    for levels, *tries in zip(sizes, *rounds, strict=True):
        answers = [answer for answer in tries if answer]
        text = named("caterpillar", levels)
        bounded = {"bound": 2.5e-6, "bound_text": "≤ 2.5 µs"} if rows else {}
        rows.append(Row(f"{text}: warm up sweep, a level", median(answers, "a level"), **bounded))
        rows.append(Row(f"{text}: trace and compile", median(answers, "compiling")))
        if levels != sizes[0]:
            # The programs differ in nothing but sizes, so that either is the longer half of the time by chance.
            longer = sum(
                bool(own and first) and own["compiling"] > first["compiling"]
                for own, first in zip(tries, (each[0] for each in rounds), strict=True)
            )
            words = f"{text}: compiling took longer than at {sizes[0]:,} levels, rounds of {len(rounds)}"
            rows.append(Row(words, longer, bound=len(rounds) - 1, bound_text="not every round", text="{:.0f}".format))
    return rows


def measure_warm(run: Run) -> list[Row]:
    bandwidth = copy_bandwidth(8 if run.smoke else 256)
    rows = [Row("copy bandwidth of the machine, all cores", bandwidth, text=rate)]
    cases: list[tuple[str, int, float | None]] = [
        ("ragged", 1_000, 1.0),
        ("ragged", 10_000, 1.0),
        ("yule", 1_000, 1.0),
        ("yule", 10_000, 1.0),
        ("yule", 100_000, 1.2),
        ("yule", 1_000_000, 1.2),
        ("star", 1_000_000, None),
        ("ladder", 100_000, None),
    ]
    for shape, full, target in cases[: 1 if run.smoke else None]:
        size = run.size(full)
        # Tens of thousands of levels are too many for Hyperiax.
        times = run.together("warm_times", shape, size, libraries=[OURS] if shape == "ladder" else None)
        text = f"warm, {named(shape, size)}"
        for what in ("up", "up and down"):
            for way in ("eager", "jitted"):
                # Of a small tree, what is asked for is the eager sweep up.
                bound = target if size > 10_000 or (what, way) == ("up", "eager") else None
                rows.append(Row.of_times(f"{text}: {what}, {way}", times, f"{what} {way}", bound))
        shares = [
            times[library]["bytes"] / times[library]["up jitted"] / bandwidth if library in times else None
            for library in (OURS, THEIRS)
        ]
        rows.append(Row(f"{text}: up, jitted, of the copy bandwidth", *shares, text="{:.1%}".format, compared=False))
    return rows


def measure_gradient(run: Run) -> list[Row]:
    rows = []
    for shape, full in (("yule", 100_000), ("caterpillar", 10_000)):
        size = run.size(full)
        libraries = run.libraries if shape == "yule" else [OURS]
        answers = run.together("gradients", shape, size, libraries=libraries)
        quarter = run.together("gradients", shape, size // 4, libraries=libraries)
        text = f"gradient, {named(shape, size)}"
        rows.append(Row.of_times(f"{text}: forward", answers, "forward", None))
        rows.append(Row.of_times(f"{text}: gradient", answers, "gradient", None))
        rows.append(Row.of_factors(f"{text}: gradient / forward", answers, "gradient", "forward", 6.0))
        space = {library: {"a node": each["memory"] / each["nodes"]} for library, each in answers.items()}
        rows.append(
            Row.of_times(f"{text}: bytes a node beside the arguments", space, "a node", None, text="{:.0f}".format)
        )
        grown = {
            library: {"whole": each["memory"], "quarter": quarter[library]["memory"]}
            for library, each in answers.items()
            if library in quarter
        }
        rows.append(Row.of_factors(f"{text}: memory / that of a quarter of it", grown, "whole", "quarter", 4.4))
    return rows


def measure_forest(run: Run) -> list[Row]:
    count, tips = run.size(1_000), run.size(200)
    times = run.together("forest_times", count, tips)
    text = f"{count:,} trees of {tips} tips, up and down"
    first = run.once("forest_first", count, tips)
    return [
        Row.of_times(f"{text}: one forest, eager / a loop of warm jitted sweeps on one tree", times, "eager", 1 / 20),
        Row.of_times(f"{text}: one forest, jitted / the same loop", times, "jitted", 1 / 20),
        Row.of_times(f"{text}: one forest with join and split / the same loop", times, "whole", 1 / 3),
        Row(
            f"{text}: first time, all from arrays / a loop over the trees (from 20)",
            median(first[OURS], "seconds"),
            median(first.get(THEIRS), "seconds"),
            1 / 100,
        ),
    ]


# What the measurements run, most of it in processes of its own.


def quickstart_times(smoke: bool, libraries: list[str]) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, float]] = {library: {} for library in libraries}
    small = {library: quickstart(library, 3) for library in libraries}
    large = {library: quickstart(library, 10) for library in libraries}

    def thousand(sweep: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return jax.jit(lambda tree: jax.lax.scan(lambda t, _: (sweep(t), None), tree, length=1000)[0])

    ways = {
        "eager": {library: small[library] for library in libraries},
        "jitted": {library: (jax.jit(sweep), tree) for library, (sweep, tree) in small.items()},
        "scan": {library: (thousand(sweep), tree) for library, (sweep, tree) in large.items()},
    }
    for name, pairs in ways.items():
        # The value is waited for, in both libraries by the same short way.
        calls = {
            library: (lambda sweep=sweep, tree=tree: sweep(tree).data["value"].block_until_ready())
            for library, (sweep, tree) in pairs.items()
        }
        for library, seconds in interleaved(calls, seconds=_patience(smoke, 3)).items():
            times[library][name] = seconds
    return times


def first_call(library: str, shape: str, size: int) -> dict[str, float]:
    _start_jax()
    model = brownian(library)
    tree = model.tree(SHAPES[shape](size, 1), 1)
    start = perf_counter()
    jax.block_until_ready(model.up(tree).data)
    return {"seconds": perf_counter() - start}


def second_tree(library: str, tips: int) -> dict[str, int]:
    model = brownian(library)
    jax.block_until_ready(model.up(model.tree(yule(tips, 1), 1)).data)
    other = model.tree(yule(tips - 1, 2), 2)
    with compile_events() as events:
        jax.block_until_ready(model.up(other).data)
    return {"compiled": events.compiled}


def tree_with_cache(library: str, tips: int, seed: int, folder: str) -> dict[str, int]:
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    model = brownian(library)
    tree = model.tree(yule(tips, seed), seed)
    with compile_events() as events:
        jax.block_until_ready(model.up(tree).data)
    return {"compiled": events.compiled}


def deep(library: str, levels: int) -> dict[str, float]:
    _start_jax()
    model = brownian(library)
    tree = model.tree(caterpillar(levels), 1)
    with compile_events() as events:
        jax.block_until_ready(model.up(tree).data)
    calls = {library: lambda: jax.block_until_ready(model.up(tree).data)}
    return {"compiling": events.seconds, "a level": interleaved(calls, seconds=1)[library] / levels}


def warm_times(smoke: bool, libraries: list[str], shape: str, size: int) -> dict[str, dict[str, float]]:
    parents = SHAPES[shape](size, 1)
    # The fields that a sweep reads, and those that it writes.
    times: dict[str, dict[str, float]] = {library: {"bytes": 8.0 * 5 * len(parents)} for library in libraries}
    models = {library: brownian(library) for library in libraries}
    trees = {library: model.tree(parents, 1) for library, model in models.items()}
    for what in ("up", "up and down"):
        sweeps = {library: model.up if what == "up" else model.both for library, model in models.items()}
        results = [np.asarray(sweep(trees[library]).data["mean"]) for library, sweep in sweeps.items()]
        np.testing.assert_allclose(results[0], results[-1], rtol=1e-9, atol=1e-12)
        for way in ("eager", "jitted"):
            chosen = {library: jax.jit(sweep) if way == "jitted" else sweep for library, sweep in sweeps.items()}
            calls = {
                library: (lambda sweep=sweep, library=library: jax.block_until_ready(sweep(trees[library]).data))
                for library, sweep in chosen.items()
            }
            for library, seconds in interleaved(calls, seconds=_patience(smoke, 4)).items():
                times[library][f"{what} {way}"] = seconds
    return times


def gradients(smoke: bool, libraries: list[str], shape: str, size: int) -> dict[str, dict[str, float]]:
    parents = SHAPES[shape](size, 1)
    leaves = np.setdiff1d(np.arange(len(parents)), parents)
    values, edges = tip_values(parents, 1)[leaves], edge_lengths(parents, 1)
    calls: dict[str, Callable[[], Any]] = {}
    answers: dict[str, dict[str, float]] = {}
    slopes = []
    for library in libraries:
        model = brownian(library)
        tree = model.tree(parents, 1)

        def root_mean(values: Any, edges: Any, model: Any = model, tree: Any = tree) -> Any:
            return model.up(tree.at[leaves].set(mean=values).set(edge=edges)).data["mean"][0]

        forward = jax.jit(root_mean).lower(values, edges).compile()
        gradient = jax.jit(jax.grad(root_mean, argnums=(0, 1))).lower(values, edges).compile()
        space = gradient.memory_analysis()
        used = space.temp_size_in_bytes + space.output_size_in_bytes
        answers[library] = {"memory": float(used), "nodes": float(len(parents))}
        slopes.append(gradient(values, edges))
        calls[f"{library} forward"] = lambda forward=forward: forward(values, edges).block_until_ready()
        calls[f"{library} gradient"] = lambda gradient=gradient: jax.block_until_ready(gradient(values, edges))
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-9), slopes[0], slopes[-1])
    for name, seconds in interleaved(calls, seconds=_patience(smoke, 8)).items():
        library, what = name.split()
        answers[library][what] = seconds
    return answers


def forest_times(smoke: bool, libraries: list[str], count: int, tips: int) -> dict[str, dict[str, float]]:
    parents = [yule(tips, seed) for seed in range(count)]
    ours = brownian(OURS)
    trees = [ours.tree(table, seed) for seed, table in enumerate(parents)]
    forest = ours.library.Forest([tree.topology for tree in trees])
    joined = forest.join(trees)

    def whole() -> None:
        split = forest.split(ours.both(forest.join(trees)))
        jax.block_until_ready([tree.data for tree in split])

    jitted = jax.jit(ours.both)
    calls: dict[str, Callable[[], Any]] = {
        f"{OURS} eager": lambda: jax.block_until_ready(ours.both(joined).data),
        f"{OURS} jitted": lambda: jax.block_until_ready(jitted(joined).data),
        f"{OURS} whole": whole,
    }
    if THEIRS in libraries:
        theirs = brownian(THEIRS)
        both, tree = jax.jit(theirs.both), theirs.tree(parents[0], 0)

        def loop() -> None:
            for _ in range(count):
                swept = both(tree)
            jax.block_until_ready(swept.data)

        calls[f"{THEIRS} loop"] = loop
    measured = interleaved(calls, seconds=_patience(smoke, 6))
    answers: dict[str, dict[str, float]] = {library: {} for library in libraries}
    for name, seconds in measured.items():
        library, what = name.split()
        answers[library][what] = seconds
    if THEIRS in libraries:
        # One loop is what all three are compared with.
        answers[THEIRS] = dict.fromkeys(("eager", "jitted", "whole"), answers[THEIRS]["loop"])
    return answers


def forest_first(library: str, count: int, tips: int) -> dict[str, float]:
    _start_jax()
    model = brownian(library)
    tried = count if library == OURS else min(count, 20)
    trees = [model.tree(yule(tips, seed), seed) for seed in range(tried)]
    start = perf_counter()
    if library == OURS:
        forest = model.library.Forest([tree.topology for tree in trees])
        swept = forest.split(model.both(forest.join(trees)))
    else:
        both = jax.jit(model.both)
        swept = [both(tree) for tree in trees]
    jax.block_until_ready([tree.data for tree in swept])
    return {"seconds": (perf_counter() - start) * count / tried}


def _start_jax() -> None:
    """What a process pays once for JAX itself, before the clock starts."""
    jax.jit(lambda x: x + 1)(np.zeros(3)).block_until_ready()


def _patience(smoke: bool, seconds: float) -> float:
    return 0.0 if smoke else seconds


ISOLATED: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function
    for function in (
        quickstart_times,
        first_call,
        second_tree,
        tree_with_cache,
        deep,
        warm_times,
        gradients,
        forest_times,
        forest_first,
    )
}

MEASUREMENTS: dict[str, Callable[[Run], list[Row]]] = {
    "quickstart": measure_quickstart,
    "first-call": measure_first_call,
    "second-tree": measure_second_tree,
    "deep": measure_deep,
    "warm": measure_warm,
    "gradient": measure_gradient,
    "forest": measure_forest,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny trees, in one process, no times judged")
    parser.add_argument("--only", choices=MEASUREMENTS, help="one measurement")
    parser.add_argument("--write", type=Path, help="write the table, the machine and the command to this file too")
    parser.add_argument("--isolated", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.isolated:
        name, *arguments = json.loads(options.isolated)
        print(json.dumps(ISOLATED[name](*arguments)))
        return
    run = Run(options.smoke)
    about = machine()
    print(about)
    if THEIRS not in run.libraries:
        print("Hyperiax cannot be imported: its columns are `-` (make bench installs benchmarks/requirements.txt)")
    rows = []
    for name in [options.only] if options.only else MEASUREMENTS:
        measured = MEASUREMENTS[name](run)
        # A first look at what takes minutes; the whole table comes last.
        print(f"{name}:\n{markdown(measured, judged=not run.smoke)}", file=sys.stderr, flush=True)
        rows += measured
    text = markdown(rows, judged=not run.smoke)
    print(text)
    if options.write:
        command = " ".join(["python benchmarks/engine.py", *sys.argv[1:]])
        options.write.write_text(f"# The engine, measured\n\n`{command}` on {about}.\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
