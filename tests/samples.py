"""Samples of trees for tests, and the slow way to pool an analysis over them: tree by tree, clade by clade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from hxcli.formats.source import checked_source
from hxcli.formats.trees.read import read_trees
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction


def random_tree(rng: np.random.Generator, names: Sequence[str], polytomies: bool = False) -> str:
    """A random tree as Newick, with some edges of length 0 and some nodes with three children."""
    nodes = [f"{name}:{rng.exponential():.6g}" for name in names]
    while len(nodes) > 1:
        degree = min(len(nodes), 3 if polytomies and rng.random() < 0.2 else 2)
        chosen = sorted(rng.choice(len(nodes), degree, replace=False).tolist())
        length = 0.0 if polytomies and rng.random() < 0.1 else rng.exponential()
        joined = f"({','.join(nodes[i] for i in chosen)}):{length:.6g}"
        nodes = [node for i, node in enumerate(nodes) if i not in chosen] + [joined]
    return nodes[0].rsplit(":", 1)[0] + ";"


def sample_text(seed: int, trees: int, tips: int, distinct: int = 5, polytomies: bool = True) -> str:
    """Trees of the same tips: few shapes, so that clades recur, each time with other lengths."""
    rng = np.random.default_rng(seed)
    names = [f"s{i:03d}" for i in range(tips)]
    shapes = [random_tree(rng, names, polytomies) for _ in range(distinct)]
    lines = []
    for tree in range(trees):
        parts = shapes[tree % distinct].split(":")
        scaled = [parts[0]]
        for part in parts[1:]:
            end = next(i for i, c in enumerate(part) if c in ",);")
            scaled.append(f"{float(part[:end]) * rng.uniform(0.5, 2):.8g}{part[end:]}")
        lines.append(":".join(scaled))
    return "\n".join(lines) + "\n"


def trait_text(seed: int, tips: int, *, missing: int = 2, errors: bool = False) -> str:
    """A table of two traits."""
    rng = np.random.default_rng(seed)
    rows = ["tip,mass,height" + ",mass_se" * errors]
    for i in range(tips):
        mass = "" if i < missing else f"{rng.normal():.5f}"
        rows.append(f"s{i:03d},{mass},{rng.normal():.5f}" + f",{rng.uniform(0.1, 0.5):.3f}" * errors)
    return "\n".join(rows) + "\n"


def clade_of(phylogeny: Phylogeny) -> list[frozenset[str]]:
    """The tips at or below every node."""
    below: list[set[str]] = [set() for _ in range(phylogeny.topology.size)]
    for node in range(phylogeny.topology.size - 1, -1, -1):
        if phylogeny.topology.is_leaf[node]:
            below[node].add(phylogeny.labels[node])
        if node:
            below[int(phylogeny.topology.parents[node])] |= below[node]
    return [frozenset(tips) for tips in below]


def phylogenies_of(text: str) -> list[Phylogeny]:
    """All trees of a text."""
    return list(read_trees(checked_source("trees", text.encode())).phylogenies)


def pooled_by_hand(
    phylogenies: Sequence[Phylogeny],
    run: Callable[[Phylogeny], Reconstruction],
    summary: Phylogeny,
    level: float = 0.95,
) -> dict[str, Any]:
    """(N, D) what `--all-trees` should find at the nodes of a summary tree, and the parameters of every tree."""
    runs = [run(phylogeny) for phylogeny in phylogenies]
    places = []
    for phylogeny in phylogenies:
        found: dict[frozenset[str], int] = {}
        for node, clade in enumerate(clade_of(phylogeny)):
            found[clade] = node
        places.append(found)
    clades = clade_of(summary)
    traits = len(runs[0].traits)
    names = ("estimate", "se", "se_within", "se_between", "lower", "upper", "frequency")
    pooled = {name: np.full((len(clades), traits), np.nan) for name in names}
    for node, clade in enumerate(clades):
        having = [(run, places[tree][clade]) for tree, run in enumerate(runs) if clade in places[tree]]
        pooled["frequency"][node] = len(having) / len(runs)
        for d in range(traits):
            if not having:
                continue
            means = np.array([run.estimates[at, d] for run, at in having])
            errors = np.array([run.standard_errors[at, d] for run, at in having])
            pooled["estimate"][node, d] = means.mean()
            pooled["se_within"][node, d] = np.sqrt((errors**2).mean())
            pooled["se_between"][node, d] = means.std()
            pooled["se"][node, d] = np.sqrt((errors**2).mean() + means.var())
            for name, tail in (("lower", (1 - level) / 2), ("upper", (1 + level) / 2)):
                pooled[name][node, d] = mixture_quantile(means, errors, tail)
    return {**pooled, "runs": runs}


def mixture_quantile(means: np.ndarray, errors: np.ndarray, probability: float) -> float:
    """By bisection."""
    if np.isnan(means).any() or np.isnan(errors).any():
        return np.nan
    if not errors.any() and np.ptp(means) < 1e-12:
        return float(means[0])
    reach = 10 * errors.max() + np.ptp(means) + 1e-9
    low, high = means.min() - reach, means.max() + reach
    spread = np.maximum(errors, 1e-300)
    return float(brentq(lambda x: norm.cdf((x - means) / spread).mean() - probability, low, high, xtol=1e-13))


def write_sample(folder: Path, seed: int = 1, trees: int = 30, tips: int = 12, **options: Any) -> tuple[str, str]:
    """A file of trees and a table."""
    (folder / "trees.nwk").write_text(sample_text(seed, trees, tips))
    (folder / "traits.csv").write_text(trait_text(seed, tips, **options))
    return str(folder / "trees.nwk"), str(folder / "traits.csv")
