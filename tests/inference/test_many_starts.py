"""No search from many random places finds rates that are better than the reported ones, by a slow independent twin.

The twin reads the files with Biopython and exponentiates every edge's matrix with SciPy; it climbs from places of its
own by L-BFGS-B, all places side by side. Slopes on the way may be any that lead upwards: what is found is the height
that the twin itself computes where a climb ends, by differences of its own once more from the best of them.
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Bio import Phylo
from scipy.linalg import expm
from scipy.optimize import approx_fprime, minimize

import hxcli as hx
from hxcli.engine.topology import from_parents
from hxcli.inference.side_by_side import side_by_side
from hxcli.prebuilt.discrete.likelihood import StateTree, log_likelihood_slopes
from tests.conftest import reference_models

STARTS, GAIN = 20, 1e-6
# What is said about few tips or rates at an end is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::hxcli.errors.HxWarning")


class Twin:
    """Minus the log likelihood of one trait of states under a model, with a flat root."""

    def __init__(self, tree: Path, table: Path, column: str, model: str) -> None:
        nodes = list(Phylo.read(tree, "newick").find_clades(order="level"))
        number = {id(node): place for place, node in enumerate(nodes)}
        self.children = [[number[id(child)] for child in node.clades] for node in nodes]
        self.lengths = np.array([node.branch_length or 0.0 for node in nodes])
        self.lengths[0] = 0
        with open(table, encoding="utf-8") as file:
            rows = list(csv.reader(file))
        place = rows[0].index(column)
        texts: dict[str, list[str]] = {}
        for row in rows[1:]:
            texts.setdefault(row[0], []).append("" if row[place] in ("", "NA", "?", "-") else row[place])
        self.states = sorted({part for cells in texts.values() for cell in cells for part in cell.split("|")} - {""})
        self.seen = np.ones((len(nodes), len(self.states)))
        for node, clade in enumerate(nodes):
            for cell in texts.get(clade.name or "", []) if not clade.clades else []:
                if cell:
                    self.seen[node] *= [state in cell.split("|") for state in self.states]
        a, b = np.indices((len(self.states),) * 2)
        cells = {
            "er": 0 * a,
            "sym": np.minimum(a, b) * len(a) + np.maximum(a, b),
            "ard": a * len(a) + b,
            "f81": b,
            "ordered": np.minimum(a, b),
        }[model]
        self.off = abs(a - b) == 1 if model == "ordered" else a != b
        _, which = np.unique(cells[self.off], return_inverse=True)
        self.which, self.count = which, int(which.max()) + 1
        parents = np.zeros(len(nodes), int)
        for node, children in enumerate(self.children):
            parents[children] = node
        self.tree = StateTree(from_parents(parents), self.lengths, self.seen)

    def __call__(self, x: Any) -> float:
        rates = np.zeros(self.off.shape)
        rates[self.off] = np.exp(x)[self.which]
        np.fill_diagonal(rates, -rates.sum(1))
        steps = expm(rates * self.lengths[:, None, None])
        below, logs = self.seen.copy(), 0.0
        # Children stand behind their parents.
        for node in range(len(self.children) - 1, -1, -1):
            for child in self.children[node]:
                below[node] *= np.maximum(steps[child] @ below[child], 0)
            if not below[node].max() > 0:
                return 1e10
            logs += np.log(below[node].max())
            below[node] /= below[node].max()
        return -float(logs + np.log(below[0].mean()))

    def best(self, starts: int, support: list[float]) -> float:
        """The highest log likelihood that searches from so many random places find with rates in the support."""
        usual = -np.log(self.lengths.sum())
        random = np.random.default_rng(7)
        bounds = [tuple(np.log(support))] * self.count
        places = usual + np.log(5) + random.normal(0, 2, (starts, self.count))

        def climb(evaluate: Any, start: Any) -> tuple[float, Any]:
            options = {"maxiter": 300, "maxfun": 20_000, "ftol": 1e-12, "gtol": 1e-6}
            found = minimize(evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            return self(found.x), found.x

        ends = side_by_side(self.slopes, [partial(climb, start=np.clip(place, *np.log(support))) for place in places])
        _, best = min(ends, key=lambda end: end[0])
        options = {"maxiter": 20, "ftol": 1e-12, "gtol": 1e-6}
        last = minimize(self, best, method="L-BFGS-B", bounds=bounds, options=options).fun
        return -min(last, *(height for height, _ in ends))

    def slopes(self, x: Any) -> tuple[Any, Any]:
        """Minus the log likelihoods (K,) and their slopes (K, P) at places (K, P), by the sweeps on the host."""
        rates = np.zeros((len(x), *self.off.shape))
        rates[:, self.off] = np.exp(x)[:, self.which]
        rates -= np.eye(len(self.off)) * rates.sum(2)[:, :, None]
        flat = np.full(rates.shape[:2], 1 / len(self.off))
        found = log_likelihood_slopes(self.tree, rates, flat)
        moved = found.by_rates - np.diagonal(found.by_rates, axis1=1, axis2=2)[:, :, None]
        by_rate = moved[:, self.off] @ (self.which[:, None] == np.arange(self.count))
        return -found.log_likelihood, -by_rate * np.exp(x)


def no_better(tree: Path, table: Path, column: str, model: str) -> None:
    """Raises where the twin finds more than is reported, or where the reported height is not its own."""
    twin = Twin(tree, table, column, model)
    found = hx.ancestral(tree, table, column=column, discrete=column, model=model)
    trait = found.record()["results"][0]["traits"][0]
    assert trait["states"] == twin.states
    assert twin.best(STARTS, trait["certificate"]["support"]) <= trait["log_likelihood"] + GAIN
    values = {
        (label[2:-1].split(",")[0], label[2:-1].split(",")[1]): figure["value"]
        for label, figure in trait["parameters"].items()
        if label.startswith("q(")
    }
    pairs = [(twin.states[a], twin.states[b]) for a, b in np.argwhere(twin.off)]
    x = np.zeros(twin.count)
    for pair, place in zip(pairs, twin.which, strict=True):
        x[place] = np.log(values[pair])
    assert -twin(x) == pytest.approx(trait["log_likelihood"], abs=1e-7)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["er", "sym", "ard", "f81", "ordered"])
@pytest.mark.parametrize(
    ("name", "column"),
    [("discrete_small8", "habitat"), ("discrete_two45", "habitat"), ("sunfish", "feeding_mode")],
)
def test_no_start_finds_more_on_reference_data(name: str, column: str, model: str) -> None:
    folder = reference_models(name)
    no_better(folder / "tree.nwk", folder / "traits.csv", column, model)


@pytest.mark.slow
def test_the_slopes_on_the_way_are_those_of_the_twin(tmp_path: Path) -> None:
    (tmp_path / "t.nwk").write_text("((A:1,B:0.5):0.3,(C:0.2,D:2):1);")
    (tmp_path / "t.csv").write_text("name,s\nA,a\nB,b\nC,a|c\nD,c\n")
    for model in ("er", "sym", "ard", "f81", "ordered"):
        twin = Twin(tmp_path / "t.nwk", tmp_path / "t.csv", "s", model)
        x = np.random.default_rng(1).normal(-1, 1, twin.count)
        height, slope = (each[0] for each in twin.slopes(x[None]))
        assert height == pytest.approx(twin(x), abs=1e-10)
        np.testing.assert_allclose(slope, approx_fprime(x, twin, 1e-7), atol=1e-5)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["er", "sym", "ard", "f81", "ordered"])
def test_no_start_finds_more_on_four_states(model: str) -> None:
    folder = reference_models("discrete_four70")
    no_better(folder / "tree.nwk", folder / "traits.csv", "habitat", model)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["er", "sym", "ard", "f81", "ordered"])
def test_no_start_finds_more_on_simulated_data(tmp_path: Path, model: str) -> None:
    random = np.random.default_rng(11)
    lineages = [(f"t{i}", random.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1])) for i in range(24)]
    (tmp_path / "t.csv").write_text("name,s\n" + "".join(f"{name},{state}\n" for name, state in lineages))
    texts = [f"{name}:{random.uniform(0.1, 1):.6f}" for name, _ in lineages]
    while len(texts) > 1:
        place = int(random.integers(len(texts) - 1))
        texts[place : place + 2] = [f"({texts[place]},{texts[place + 1]}):{random.uniform(0.1, 1):.6f}"]
    (tmp_path / "t.nwk").write_text(texts[0].rpartition(":")[0] + ";\n")
    no_better(tmp_path / "t.nwk", tmp_path / "t.csv", "s", model)
