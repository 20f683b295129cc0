"""Times of `hx fit`, its intervals and its bootstrap, and of posteriors, whole processes, beside `import jax`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from files import trait_file, tree_file
from timing import machine, seconds

ROUNDS = 3
MODELS = ("bm", "white", "ou", "eb", "lambda", "kappa", "delta")
# Tips -> most times `import jax` that seven models may take without intervals.
MOST = {1_000: 2.5, 10_000: 4.0, 100_000: 12.0}
# Most times the same without.
MOST_WITH_INTERVALS = 2.0
# Replicates of the bootstrap, tips, and most times `import jax` that the whole may take.
REPLICATES, BOOTSTRAPPED, MOST_BOOTSTRAP = 500, 100, 4.0
# Most times a posterior under Brownian motion.
MOST_POSTERIOR = 3.0


def main() -> None:
    """Measures, prints, and says what takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="everything tiny, without judging a time")
    parser.add_argument("--tips", type=int, nargs="*", default=list(MOST), help="sizes of the trees")
    arguments = parser.parse_args()
    sizes, rounds = ([40], 1) if arguments.smoke else (arguments.tips, ROUNDS)
    print(machine())
    imported = seconds([sys.executable, "-c", "import jax"], rounds)
    print(f"import jax: {imported:.2f} s")
    late = []

    def report(what: str, took: float, base: float, most: float) -> None:
        ratio = took / base
        print(f"{what}: {took:.2f} s, {ratio:.2f}x (at most {most:g}x)")
        if ratio > most and not arguments.smoke:
            late.append(what)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hx = [sys.executable, "-m", "hxcli"]
        chosen = [word for model in MODELS for word in ("--model", model)]
        tree, phylogeny = tree_file(folder, "yule", BOOTSTRAPPED)
        files = [str(tree), str(trait_file(folder, phylogeny)), "-q", "-o", str(folder / "out"), "--no-intervals"]
        count = 20 if arguments.smoke else REPLICATES
        took = seconds([*hx, "fit", *files, *chosen, "--bootstrap", str(count)], rounds)
        report(f"--bootstrap {count} of {len(MODELS)} models, {BOOTSTRAPPED} tips", took, imported, MOST_BOOTSTRAP)
        for tips in sizes:
            tree, phylogeny = tree_file(folder, "yule", tips)
            files = [str(tree), str(trait_file(folder, phylogeny)), "-q", "-o", str(folder / "out")]
            plain = seconds([*hx, "fit", *files, *chosen, "--no-intervals"], rounds)
            report(f"fit of {len(MODELS)} models, {tips} tips", plain, imported, MOST.get(tips, 12.0))
            both = seconds([*hx, "fit", *files, *chosen], rounds)
            report(f"the same with profile intervals, beside it without, {tips} tips", both, plain, MOST_WITH_INTERVALS)
            if tips <= 1_000:
                brownian = seconds([*hx, "posterior", *files], rounds)
                pulled = seconds([*hx, "posterior", *files, "--model", "ou"], rounds)
                report(f"posterior of ou beside that of bm, {tips} tips", pulled, brownian, MOST_POSTERIOR)
    if late:
        print(f"longer than wanted: {'; '.join(late)}")


if __name__ == "__main__":
    main()
