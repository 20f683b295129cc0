"""Times of traits of states: fit and probabilities, stochastic maps, and the gradient beside the value."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from files import tree_file
from timing import machine, seconds

ROUNDS = 3
# Times `import jax`: tips -> (er, ard).
TARGETS = {1_000: 2.5, 10_000: 4.0, 100_000: 15.0}


def state_file(folder: Path, phylogeny: Any, tips: int, states: int = 3) -> Path:
    """A table of states that have changed along the tree a few times, by rates that are not reversible."""
    random = np.random.default_rng(5)
    rates = random.uniform(0.2, 1.0, (states, states))
    np.fill_diagonal(rates, 0)
    rates *= 3 / phylogeny.root_distances.max()
    leaving = rates.sum(1)
    topology, lengths = phylogeny.topology, phylogeny.lengths
    state = np.zeros(topology.size, np.intp)
    for node in range(1, topology.size):
        now, left = state[topology.parents[node]], lengths[node]
        while (left := left - random.exponential(1 / leaving[now])) > 0:
            now = random.choice(states, p=rates[now] / leaving[now])
        state[node] = now
    path = folder / f"states_{tips}.csv"
    lines = [f"{phylogeny.labels[node]},s{state[node]}" for node in phylogeny.tips.tolist()]
    path.write_text("name,state\n" + "\n".join(lines) + "\n")
    return path


def gradient(phylogeny: Any, table: Path) -> tuple[float, float]:
    """Seconds of one gradient, and of one value, of an ard model, warm."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from hxcli.prebuilt.discrete.likelihood import log_likelihood_slopes, log_likelihoods, state_tree

    states = dict(line.split(",") for line in table.read_text().splitlines()[1:])
    seen = np.ones((phylogeny.topology.size, 3))
    for node in phylogeny.tips.tolist():
        seen[node] = np.arange(3) == int(states[phylogeny.labels[node]][1:])
    tree = state_tree(phylogeny, seen)
    rates = np.array([[[-0.5, 0.3, 0.2], [0.1, -0.5, 0.4], [0.25, 0.05, -0.3]]])
    root = np.full((1, 3), 1 / 3)
    found = []
    for function in (log_likelihood_slopes, log_likelihoods):
        times = []
        for _ in range(6):
            start = time.perf_counter()
            function(tree, rates, root)
            times.append(time.perf_counter() - start)
        found.append(float(np.median(times[1:])))
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny trees, no times judged")
    parser.add_argument("--write", type=Path, help="write the table, the machine and the command to this file too")
    options = parser.parse_args()
    sizes = {20: 0.0} if options.smoke else TARGETS
    rounds = 1 if options.smoke else ROUNDS
    rows = ["| measurement | time | beside | ratio | target |", "|---|---|---|---|---|"]

    def row(name: str, time_of: float, beside: float, target: float) -> None:
        wanted = f"≤ {target:g}" if target else ""
        if target and time_of > target * beside:
            wanted += " **missed**"
        rows.append(f"| {name} | {time_of:.3f} s | {beside:.3f} s | {time_of / beside:.2f} | {wanted} |")

    bare = seconds([sys.executable, "-c", "import jax"], rounds)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for tips, target in sizes.items():
            tree, phylogeny = tree_file(folder, "yule", tips)
            table = state_file(folder, phylogeny, tips)
            asked = [str(tree), str(table), "--column", "state", "-q", "-o", str(folder / "out")]
            for model in ("er", "ard"):
                command = [sys.executable, "-m", "hxcli", "ancestral", *asked, "--model", model]
                row(f"`hx ancestral --model {model}`, {tips:,} tips, 3 states", seconds(command, rounds), bare, target)
            row(f"gradient beside value, ard, {tips:,} tips", *gradient(phylogeny, table), 6 if target else 0)
            if tips <= 1_000:
                count = "10" if options.smoke else "1000"
                command = [sys.executable, "-m", "hxcli", "maps", *asked, "-n", count]
                row(f"`hx maps -n {count}`, {tips:,} tips", seconds(command, rounds), bare, 6 if target else 0)
    about, text = machine(), "\n".join(rows)
    print(f"{about}\n{text}")
    if options.write:
        command = " ".join(["python benchmarks/discrete.py", *sys.argv[1:]])
        words = "Medians of warm whole processes beside `import jax`."
        options.write.write_text(
            f"# Traits of states, measured\n\n`{command}` on {about}. {words}\n\n{text}\n", "utf-8"
        )


if __name__ == "__main__":
    main()
