"""Times of `hx signal` with many traits and of `hx regress` with many tips, whole processes, beside `import jax`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from files import tree_file
from timing import machine, seconds

ROUNDS = 3
# Times `import jax`.
MOST = {"signal": 10.0, "regress": 3.0}


def brownian(phylogeny: Any, traits: int, seed: int) -> np.ndarray:
    """(L, traits) values of the tips under Brownian motion."""
    random = np.random.default_rng(seed)
    states = random.standard_normal((phylogeny.topology.size, traits)) * np.sqrt(phylogeny.lengths)[:, None]
    for node in range(1, phylogeny.topology.size):
        states[node] += states[phylogeny.topology.parents[node]]
    return states[phylogeny.tips]


def table_file(folder: Path, phylogeny: Any, columns: dict[str, np.ndarray]) -> Path:
    """A table of the tips."""
    path = folder / f"table_{len(phylogeny.tips)}_{len(columns)}.csv"
    names = [phylogeny.labels[node] for node in phylogeny.tips]
    values = np.stack(list(columns.values()), 1)
    lines = [f"{name}," + ",".join(f"{value:.6g}" for value in row) for name, row in zip(names, values, strict=True)]
    path.write_text("\n".join([",".join(["species", *columns]), *lines]) + "\n")
    return path


def main() -> None:
    """Measures, prints, and says what takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="everything tiny, without judging a time")
    smoke = parser.parse_args().smoke
    tips, traits, permutations, many = (20, 3, 19, 40) if smoke else (1_000, 1_000, 999, 10_000)
    rounds = 1 if smoke else ROUNDS
    late = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = {}
        for what, size in (("signal", tips), ("regress", many)):
            tree, phylogeny = tree_file(folder, "yule", size)
            if what == "signal":
                values = brownian(phylogeny, traits, 1)
                columns = {f"x{d}": values[:, d] for d in range(traits)}
                more = ["--permutations", str(permutations)]
            else:
                x1, x2, rest = brownian(phylogeny, 3, 2).T
                columns = {"y": x1 - 0.5 * x2 + rest, "x1": x1, "x2": x2}
                more = ["y ~ x1 + x2", "--model", "lambda"]
            table = table_file(folder, phylogeny, columns)
            commands[what] = [
                sys.executable, "-m", "hxcli", what, str(tree), str(table), *more, "-q", "-o", str(folder / what)
            ]  # fmt: skip
        imported = seconds([sys.executable, "-c", "import jax"], rounds)
        print(machine())
        print(f"import jax: {imported:.2f} s")
        for what, command in commands.items():
            took = seconds(command, rounds)
            print(f"hx {what}: {took:.2f} s, {took / imported:.1f} x import jax (at most {MOST[what]:g})")
            if took > MOST[what] * imported:
                late.append(what)
    if late and not smoke:
        sys.exit(f"longer than it may be: {', '.join(late)}")


if __name__ == "__main__":
    main()
