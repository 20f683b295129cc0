"""Simulation-based calibration of the posterior (Talts et al. 2018, arXiv:1804.06788): `make calibrate`.

Parameters, states and observations are drawn from the prior, under Brownian motion, OU or early burst; then each true
value's rank among draws from the posterior given the observations is uniform, if the posterior is right. The counts go
to a table, and to a picture where matplotlib is installed.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.stats import chi2

DRAWS, BINS = 999, 20
LEVELS = (0.5, 0.9, 0.95)
# Mean and standard deviation of the logs, mean and variance of the root.
SIGMA2, TAU2, ROOT = (-1.0, 1.0), (-1.5, 1.0), (2.0, 3.0)
# Mean and standard deviation of the log of OU's pull; models with a shape parameter, and its name.
ALPHA = (-1.0, 0.8)
SHAPES = {"ou": "alpha", "eb": "rate_change"}
LEAST_P, MOST_ERRORS = 0.001, 3.0


@dataclass(frozen=True)
class Calibrated:
    """Ranks of one quantity's true values, S of them, each from 0 to `DRAWS`."""

    name: str
    ranks: np.ndarray

    def counts(self, bins: int = BINS) -> np.ndarray:
        """Ranks in each bin."""
        return np.bincount(self.ranks * bins // (DRAWS + 1), minlength=bins)

    def p_value(self, bins: int = BINS) -> float:
        """Of Pearson's test of uniformity."""
        expected = len(self.ranks) / bins
        return float(chi2.sf(((self.counts(bins) - expected) ** 2 / expected).sum(), bins - 1))

    def coverage(self, level: float) -> tuple[float, float]:
        """Share of true values in the equal-tailed interval, and how many standard errors it is off."""
        place = (self.ranks + 0.5) / (DRAWS + 1)
        inside = float((abs(place - 0.5) < level / 2).mean())
        return inside, (inside - level) / np.sqrt(level * (1 - level) / len(self.ranks))

    def sound(self, bins: int = BINS) -> bool:
        """Whether neither test rejects."""
        return self.p_value(bins) > LEAST_P and all(abs(self.coverage(level)[1]) <= MOST_ERRORS for level in LEVELS)


def calibrate(simulations: int, seed: int, model: str = "bm") -> list[Calibrated]:
    """Ranks of the parameters, the root and three inner nodes in so many simulations, each a trait of its own.

    Args:
        simulations: How many.
        seed: Of the random numbers.
        model: `bm`, `ou` or `eb`.
    """
    from hxcli.analyses.posterior.posterior import posterior
    from hxcli.engine.topology import from_parents
    from hxcli.phylogeny import Phylogeny
    from hxcli.text_columns import Texts
    from hxcli.traits import Observations
    from tests.examples import random_binary

    rng = np.random.default_rng(seed)
    topology = from_parents(random_binary(20, 11))
    size = topology.size
    lengths = np.where(topology.is_root, 0.0, rng.uniform(0.2, 1.5, size))
    names = Texts([f"n{i}" for i in range(size)])
    tree = Phylogeny(topology, lengths, names, Texts.blank(size))
    sigma2, tau2 = (np.exp(rng.normal(*prior, simulations)) for prior in (SIGMA2, TAU2))
    root = rng.normal(ROOT[0], np.sqrt(ROOT[1]), simulations)
    shape, options = _shape(model, tree, rng, simulations)
    states = np.empty((size, simulations))
    states[0] = root
    ends = tree.root_distances
    for node in range(1, size):
        above = topology.parents[node]
        scale, variance = _edge(model, shape, ends[above], ends[node])
        steps = np.sqrt(sigma2 * variance) * rng.normal(size=simulations)
        states[node] = root + scale * (states[above] - root) + steps
    tips = tree.tips
    values = states[tips] + np.sqrt(tau2) * rng.normal(size=(len(tips), simulations))
    values[0] = np.nan
    seen = Observations(tips, values, np.zeros_like(values), tuple(f"s{i}" for i in range(simulations)))
    found = posterior(
        tree,
        seen,
        prior_sigma2="lognormal({},{})".format(*SIGMA2),
        prior_tau2="lognormal({},{})".format(*TAU2),
        root_mean=ROOT[0],
        root_variance=ROOT[1],
        draws=DRAWS,
        seed=seed,
        **options,
    ).tables["draws"]
    inner = np.flatnonzero(~topology.is_leaf)
    nodes = {"root": 0, **{f"node {i}": int(i) for i in inner[[1, len(inner) // 2, -1]]}}
    truth = {"sigma2": sigma2, "tau2": tau2, **{name: states[node] for name, node in nodes.items()}}
    drawn = {"sigma2": found["sigma2"], "tau2": found["tau2"]}
    drawn |= {name: found["states"][:, node] for name, node in nodes.items()}
    if shape is not None:
        name = SHAPES[model]
        truth[name], drawn[name] = shape, found[name]
    return [Calibrated(name, (drawn[name].reshape(simulations, DRAWS) < truth[name][:, None]).sum(1)) for name in truth]


def _shape(model: str, tree: Any, rng: np.random.Generator, simulations: int) -> tuple[Any, dict[str, Any]]:
    """The shape parameters drawn from their prior, and what the posterior is told of it."""
    if model == "bm":
        return None, {}
    if model == "ou":
        values = np.exp(rng.normal(*ALPHA, simulations))
        return values, {"models": ("ou",), "priors": {"alpha": "lognormal({},{})".format(*ALPHA)}}
    # The prior of a rate of change is uniform over its support.
    low = np.log(1e-5) / tree.root_distances[tree.tips].max()
    return rng.uniform(low, 0, simulations), {"models": ("eb",)}


def _edge(model: str, shape: Any, start: float, end: float) -> tuple[Any, Any]:
    """Scale and variance at a rate of 1 of an edge between two distances from the root."""
    if model == "bm":
        return 1.0, end - start
    if model == "ou":
        return np.exp(-shape * (end - start)), -np.expm1(-2 * shape * (end - start)) / (2 * shape)
    return 1.0, (np.exp(shape * end) - np.exp(shape * start)) / shape


def write(results: list[Calibrated], folder: Path) -> None:
    """The counts as a table, and as a picture where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ranks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["quantity", "bin", "count"])
        table.writerows((one.name, i, int(n)) for one in results for i, n in enumerate(one.counts()))
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(9, 5), layout="constrained")
    for place, one in enumerate(results, 1):
        axes = figure.add_subplot(2, (len(results) + 1) // 2, place)
        axes.bar(np.arange(BINS), one.counts(), width=1, edgecolor="white")
        axes.axhline(len(one.ranks) / BINS, color="black", linewidth=1)
        axes.set_title(f"{one.name}, p = {one.p_value():.2g}")
    figure.savefig(folder / "ranks.svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--model", choices=("bm", *SHAPES), default="bm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("calibration"))
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    results = calibrate(options.simulations, options.seed, options.model)
    write(results, options.out)
    sys.stdout.write(
        f"{options.model}: {options.simulations} simulations, seed {options.seed}; coverage with its distance in "
        "standard errors\n"
    )
    for one in results:
        shares = "  ".join("{:.0%}: {:.3f} ({:+.1f})".format(level, *one.coverage(level)) for level in LEVELS)
        sys.stdout.write(f"{one.name:11s}  p = {one.p_value():.3f}  {shares}\n")
    sys.exit(not all(one.sound() for one in results))


if __name__ == "__main__":
    main()
