"""Times of `hx fit`, its intervals and its bootstrap, and of posteriors, whole processes, beside `import jax`."""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from files import tree_file
from timing import machine, seconds

if TYPE_CHECKING:
    from hxcli.phylogeny import Phylogeny

ROUNDS = 3
HX = [sys.executable, "-m", "hxcli"]
MODELS = ("bm", "white", "ou", "eb", "lambda", "kappa", "delta")
# Tips -> most times `import jax` that seven models may take without intervals.
MOST = {1_000: 2.5, 10_000: 4.0, 100_000: 12.0}
# Most times the same without.
MOST_WITH_INTERVALS = 2.0
# Replicates of the bootstrap, tips, and most times `import jax` that the whole may take.
REPLICATES, BOOTSTRAPPED, MOST_BOOTSTRAP = 500, 100, 4.0
# Most times a posterior under Brownian motion.
MOST_POSTERIOR = 3.0
# Fit and intervals of oum with three regimes, 1,000 tips, in times `import jax`; a gradient by all parameters and
# edges, in times the value.
REGIMES, MOST_REGIMES, MOST_GRADIENT = 3, 4.0, 6.0


def pulled_traits(tree: Path, phylogeny: Phylogeny) -> Path:
    """A trait drawn under an Ornstein-Uhlenbeck process whose half-life is a quarter of the tree's height."""
    table = tree.with_suffix(".ou.csv")
    alpha = 4 * math.log(2) / height(phylogeny)
    held = [f"sigma2={2 * alpha}", f"alpha={alpha}", "theta=3"]
    command = ["simulate", str(tree), "--model", "ou", *(word for each in held for word in ("--set", each))]
    subprocess.run([*HX, *command, "--out-simulation", str(table), "-q"], check=True)
    return table


def height(phylogeny: Phylogeny) -> float:
    """Largest distance between the root and a tip."""
    return float(np.nanmax(phylogeny.root_distances))


def regime_file(folder: Path, phylogeny: Phylogeny) -> Path:
    """Three regimes: the largest clades with at most a third and a sixth of the tips, and the rest."""
    topology, names = phylogeny.topology, phylogeny.labels
    tips = np.where(topology.is_leaf, 1, 0)
    last = np.arange(topology.size)
    for node in range(topology.size - 1, 0, -1):
        tips[topology.parents[node]] += tips[node]
    # Children come after their parents: the first and the last tip of a clade lie on both sides of its node.
    first = last.copy()
    for node in range(topology.size - 1, 0, -1):
        parent = topology.parents[node]
        first[parent] = first[node]
        if last[parent] == parent:
            last[parent] = last[node]
    rows = ["tip_a,tip_b,regime", ",,a"]
    for regime, share in (("b", 1 / 3), ("c", 1 / 6)):
        node = max(np.flatnonzero(tips <= share * tips[0]).tolist(), key=lambda node: (tips[node], -node))
        rows.append(f"{names[first[node]]},{names[last[node]]},{regime}")
    path = folder / f"regimes{tips[0]}.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def gradient_ratio(phylogeny: Phylogeny, table: Path, rounds: int) -> float:
    """Time of the gradient of an ou log likelihood by alpha, theta and all edge lengths, in times the value."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import hxcli as hx
    from hxcli.analyses.fit.fit import fit_models, painted_tree
    from hxcli.analyses.fit.options import FitOptions
    from hxcli.inference.likelihood_programs import columns_at
    from hxcli.run.matching import match

    observations, _, _ = match(phylogeny, hx.read_traits(str(table)))
    ((fitted,),) = fit_models(painted_tree(phylogeny, None), observations, ("ou",), FitOptions())
    likelihood = fitted.likelihood
    begun, columns = likelihood.values_at(fitted.optimum.x), dict(likelihood.on.columns)
    (tau2, given), layout, model = likelihood.noise(np.zeros(1)), fitted.bound.layout, fitted.bound.model

    def value(values: Any, lengths: Any) -> Any:
        edges = model.edges(layout, {**columns, "length": lengths}, values)
        return columns_at(likelihood.tree, edges, tau2, given, likelihood.shape).log_likelihood[0]

    took = []
    for function in (jax.jit(value), jax.jit(jax.grad(value, (0, 1)))):
        jax.block_until_ready(function(begun, columns["length"]))
        times = []
        for _ in range(3 * rounds):
            start = time.perf_counter()
            jax.block_until_ready(function(begun, columns["length"]))
            times.append(time.perf_counter() - start)
        took.append(statistics.median(times))
    return took[1] / took[0]


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
        chosen = [word for model in MODELS for word in ("--model", model)]
        tree, phylogeny = tree_file(folder, "yule", BOOTSTRAPPED)
        files = [str(tree), str(pulled_traits(tree, phylogeny)), "-q", "-o", str(folder / "out"), "--no-intervals"]
        count = 20 if arguments.smoke else REPLICATES
        took = seconds([*HX, "fit", *files, *chosen, "--bootstrap", str(count)], rounds)
        report(f"--bootstrap {count} of {len(MODELS)} models, {BOOTSTRAPPED} tips", took, imported, MOST_BOOTSTRAP)
        for tips in sizes:
            tree, phylogeny = tree_file(folder, "yule", tips)
            table = pulled_traits(tree, phylogeny)
            files = [str(tree), str(table), "-q", "-o", str(folder / "out")]
            plain = seconds([*HX, "fit", *files, *chosen, "--no-intervals"], rounds)
            report(f"fit of {len(MODELS)} models, {tips} tips", plain, imported, MOST.get(tips, 12.0))
            both = seconds([*HX, "fit", *files, *chosen], rounds)
            report(f"the same with profile intervals, beside it without, {tips} tips", both, plain, MOST_WITH_INTERVALS)
            if tips <= 1_000:
                brownian = seconds([*HX, "posterior", *files], rounds)
                pulled = seconds([*HX, "posterior", *files, "--model", "ou"], rounds)
                report(f"posterior of ou beside that of bm, {tips} tips", pulled, brownian, MOST_POSTERIOR)
                painted = [*files, "--regimes", str(regime_file(folder, phylogeny))]
                took = seconds([*HX, "fit", *painted, "--model", "oum"], rounds)
                report(f"oum with {REGIMES} regimes, fit and intervals, {tips} tips", took, imported, MOST_REGIMES)
                report(
                    f"gradient beside its value, {tips} tips",
                    gradient_ratio(phylogeny, table, rounds),
                    1.0,
                    MOST_GRADIENT,
                )
    if late:
        print(f"longer than wanted: {'; '.join(late)}")


if __name__ == "__main__":
    main()
