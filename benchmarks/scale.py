"""Whole runs of hx, files to files, beside other tools and beside `import jax`: wall time and peak memory.

python benchmarks/scale.py [--smoke] [--only NAME] [--write FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from files import trait_file, translated_file, tree_file
from peers import parsers, tools
from table import seconds_text
from timing import machine
from whole import Cost, costs

HX = [sys.executable, "-m", "hxcli"]
JAX = [sys.executable, "-c", "import jax; jax.devices()"]


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: What ran.
        cost: What it cost; None where it failed.
        base: Name and cost of what it is compared with.
        target: Largest ratio wanted.
        seconds: Longest time wanted.
        peak: Largest memory wanted, in bytes.
    """

    name: str
    cost: Cost | None
    base: tuple[str, Cost | None] | None = None
    target: float | None = None
    seconds: float | None = None
    peak: float | None = None

    @property
    def ratio(self) -> float | None:
        """Its time over that of what it is compared with."""
        return self.cost.seconds / self.base[1].seconds if self.cost and self.base and self.base[1] else None

    def wanted(self, judged: bool) -> str:
        """The targets in words, and whether they are missed."""
        words, missed = [], self.cost is None
        if self.target is not None:
            words.append(f"≤ {self.target:g}x")
            missed |= self.ratio is not None and self.ratio > self.target
        if self.seconds is not None:
            words.append(f"≤ {self.seconds:g} s")
            missed |= self.cost is not None and self.cost.seconds > self.seconds
        if self.peak is not None:
            words.append(f"≤ {self.peak / 1e9:g} GB")
            missed |= self.cost is not None and self.cost.peak > self.peak
        return ", ".join(words) + " **missed**" * bool(judged and words and missed)

    def cells(self, judged: bool) -> list[str]:
        """The six cells."""
        return [
            self.name,
            "-" if self.cost is None else seconds_text(self.cost.seconds),
            "-" if self.cost is None else f"{self.cost.peak / 1e6:.0f} MB",
            "" if self.ratio is None else f"{self.ratio:.2f}x",
            self.base[0] if self.base else "",
            self.wanted(judged),
        ]


@dataclass(frozen=True)
class Bench:
    """Where files lie, and how much is done.

    Attributes:
        folder: Takes all files, the compile cache too.
        smoke: Everything tiny and once, to see that it works.
    """

    folder: Path
    smoke: bool

    def size(self, full: int) -> int:
        """A number of tips or traits."""
        return min(full, 50) if self.smoke else full

    def costs(self, commands: Mapping[str, list[str]], rounds: int) -> dict[str, Cost | None]:
        """See `whole.costs`."""
        cache = {"HX_CACHE_DIR": str(self.folder / "cache")}
        return costs(commands, self.folder, rounds=1 if self.smoke else rounds, environment=cache)

    def ancestral(self, tree: Path, table: Path, *options: str) -> list[str]:
        """The command that writes CSV, NEXUS and JSON, unless options name other products."""
        return [*HX, "ancestral", str(tree), str(table), "-q", *(options or ("-o", "run"))]


def start(bench: Bench) -> Iterator[Line]:
    """From typing a command to its end, on small and middling trees, with a warm cache."""
    targets = {1_000: 1.8, 10_000: 2.2, 100_000: 3.5}
    commands = {"import jax": JAX, "hx --help": [*HX, "--help"]}
    for tips in targets:
        tree, phylogeny = tree_file(bench.folder, "yule", bench.size(tips))
        commands[f"hx ancestral, {tips:,} tips, CSV and NEXUS written"] = bench.ancestral(
            tree, trait_file(bench.folder, phylogeny)
        )
    found = bench.costs(commands, 7)
    base = ("import jax", found["import jax"])
    yield Line("`import jax; jax.devices()`", base[1])
    for name, target in zip(list(commands)[1:], (0.35, *targets.values()), strict=True):
        yield Line(name, found[name], base, target)


def million(bench: Bench) -> Iterator[Line]:
    """A million tips."""
    tips = bench.size(1_000_000)
    tree, phylogeny = tree_file(bench.folder, "yule", tips)
    table = trait_file(bench.folder, phylogeny)
    nexus = translated_file(bench.folder, phylogeny)
    del phylogeny
    ours, theirs = f"hx ancestral, {tips:,} tips, CSV and NEXUS written", parsers(tree)
    translated = f"hx ancestral, {tips:,} tips from NEXUS with TRANSLATE"
    found = bench.costs({ours: bench.ancestral(tree, table), translated: bench.ancestral(nexus, table)}, 3)
    found |= bench.costs({**theirs, **tools(tree, table, slow=False)}, 1)
    parser = next(iter(theirs))
    yield Line(ours, found[ours], (parser, found[parser]), 0.25, peak=1.2e9)
    yield Line(translated, found[translated], ("the same tree as Newick", found[ours]), 1.6)
    yield from _others(found, (ours, translated), (ours, found[ours]))


def shapes(bench: Bench) -> Iterator[Line]:
    """A hundred thousand tips in trees of several shapes."""
    tips, commands = bench.size(100_000), {}
    for shape in ("yule", "ladder", "caterpillar", "star"):
        # A caterpillar of n levels has n + 1 tips.
        tree, phylogeny = tree_file(bench.folder, shape, tips)
        commands[shape] = bench.ancestral(tree, trait_file(bench.folder, phylogeny))
    found = bench.costs(commands, 3)
    base = ("the random tree", found["yule"])
    yield Line(f"hx ancestral, {tips:,} tips, random tree", found["yule"])
    yield Line(f"hx ancestral, {tips:,} tips, ladder-like tree", found["ladder"], base)
    yield Line(f"hx ancestral, {tips:,} tips, caterpillar", found["caterpillar"], base, 1.5)
    yield Line(f"hx ancestral, {tips:,} tips, star", found["star"], base)


def traits(bench: Bench) -> Iterator[Line]:
    """As many traits as expression data have."""
    tips, count = bench.size(1_000), bench.size(20_000)
    tree, phylogeny = tree_file(bench.folder, "yule", tips)
    table = trait_file(bench.folder, phylogeny, count)
    about = f"hx ancestral, {tips:,} tips x {count:,} traits"
    commands = {
        f"{about}, Parquet": bench.ancestral(tree, table, "--out-table", "run.parquet"),
        f"{about}, wide Parquet": bench.ancestral(tree, table, "--wide", "--out-table", "wide.parquet"),
    }
    found = bench.costs(commands, 2)
    long, wide = commands
    yield Line(long, found[long], seconds=20, peak=4e9)
    yield Line(wide, found[wide])


def others(bench: Bench) -> Iterator[Line]:
    """Other tools at sizes that they can take."""
    for full, slow in ((1_000, True), (10_000, False), (100_000, False)):
        tips = bench.size(full)
        tree, phylogeny = tree_file(bench.folder, "yule", tips)
        table = trait_file(bench.folder, phylogeny)
        ours = f"hx ancestral, {tips:,} tips"
        found = bench.costs({ours: bench.ancestral(tree, table), **parsers(tree), **tools(tree, table, slow=slow)}, 3)
        yield Line(ours, found[ours])
        yield from _others(found, (ours,), (ours, found[ours]), f", {tips:,} tips")


def _others(
    found: Mapping[str, Cost | None], ours: tuple[str, ...], base: tuple[str, Cost | None], size: str = ""
) -> Iterator[Line]:
    return (Line(name + size, cost, base) for name, cost in found.items() if name not in ours)


MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "start": start,
    "million": million,
    "shapes": shapes,
    "traits": traits,
    "others": others,
}


def markdown(lines: list[Line], *, judged: bool) -> str:
    """The table, its columns aligned for a reader of the source."""
    header = ["command", "wall time", "peak memory", "ratio", "to", "target"]
    rows = [header, *(line.cells(judged) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def main() -> None:
    """Measures, prints the table and, if asked, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny files, once, no times judged")
    parser.add_argument("--only", choices=MEASUREMENTS, help="one measurement")
    parser.add_argument("--write", type=Path, help="write the table, the machine and the command to this file too")
    options = parser.parse_args()
    about, lines = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        for name in [options.only] if options.only else MEASUREMENTS:
            measured = list(MEASUREMENTS[name](Bench(Path(folder), options.smoke)))
            print(markdown(measured, judged=not options.smoke), file=sys.stderr, flush=True)
            lines += measured
    page = markdown(lines, judged=not options.smoke)
    if options.write:
        chosen = f" --only {options.only}" if options.only else ""
        options.write.write_text(
            "# Whole runs, measured\n\n"
            f"`python benchmarks/scale.py{chosen} --write docs/performance.md` on {about}.\n\n"
            "Whole processes, files to files, that take turns: median wall time, largest memory of one process. The "
            "compile cache is warm. `-` stands for a tool that failed.\n\n"
            f"{page}\n",
            encoding="utf-8",
        )
    else:
        print(page)


if __name__ == "__main__":
    main()
