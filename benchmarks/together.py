"""Times of traits together beside `import jax`: whole commands with warm programs, files to files."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from files import tree_file
from timing import machine
from whole import costs

TRAITS, MISSING = 5, 0.2
# Tips -> at most so many times what `import jax` takes.
TARGETS = {100: 2.5, 1_000: 4.0, 10_000: 15.0}


def correlated_traits(folder: Path, phylogeny: object, tips: int) -> Path:
    """A table of correlated Brownian traits, a fifth of whose cells are missing."""
    rng = np.random.default_rng(tips)
    topology, lengths = phylogeny.topology, phylogeny.lengths  # type: ignore[attr-defined]
    square = rng.normal(size=(TRAITS, TRAITS + 2))
    factor = np.linalg.cholesky(square @ square.T / TRAITS)
    states = rng.normal(size=(topology.size, TRAITS)) @ factor.T * np.sqrt(np.abs(lengths))[:, None]
    for node in range(1, topology.size):
        states[node] += states[topology.parents[node]]
    path = folder / f"together{tips}.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("species," + ",".join(f"t{i}" for i in range(TRAITS)) + "\n")
        for name, row in zip(phylogeny.tip_names, states[phylogeny.tips], strict=True):  # type: ignore[attr-defined]
            cells = ["" if rng.random() < MISSING else f"{value:.6f}" for value in row]
            file.write(f"{name},{','.join(cells)}\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small tree, no times judged")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every command")
    options = parser.parse_args()
    sizes = {30: 2.5} if options.smoke else TARGETS
    rows = ["| measurement | time | `import jax` | ratio | target |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for tips, target in sizes.items():
            tree, phylogeny = tree_file(folder, "yule", tips)
            table = correlated_traits(folder, phylogeny, tips)
            together = [
                sys.executable,
                "-m",
                "hxcli",
                "ancestral",
                str(tree),
                str(table),
                "--together",
                "-q",
                "-o",
                "out",
            ]
            commands = {"jax": [sys.executable, "-c", "import jax"], "together": together}
            found = costs(commands, folder, rounds=1 if options.smoke else options.rounds)
            jax, own = found["jax"], found["together"]
            if jax is None or own is None:
                raise SystemExit(f"a command failed at {tips} tips")
            said = f"≤ {target:g}"
            if not options.smoke and own.seconds > target * jax.seconds:
                said += " **missed**"
            name = f"`hx ancestral --together`, {TRAITS} traits, {MISSING:.0%} missing, {tips:,} tips"
            rows.append(
                f"| {name} | {own.seconds:.2f} s | {jax.seconds:.2f} s | {own.seconds / jax.seconds:.1f} | {said} |"
            )
    print(f"{machine()}\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
