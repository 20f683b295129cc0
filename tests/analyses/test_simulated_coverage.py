"""What intervals and p values promise, kept over simulated data: traits together, and regression."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import binom, kstest

from hxcli.analyses.regress.regress import regress
from hxcli.analyses.together.ancestral import ancestral_together
from hxcli.engine.topology import from_parents
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations

pytestmark = pytest.mark.slow

REPEATS = 200


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with jax.enable_x64(True):
        yield


def _phylogeny(tips: int = 40) -> Phylogeny:
    """A random tree: every tip in turn is a sister of a node that was there."""
    rng = np.random.default_rng(11)
    children: dict[int, list[int]] = {0: [1, 2], 1: [], 2: []}
    while sum(not each for each in children.values()) < tips:
        leaf = int(rng.choice([node for node, each in children.items() if not each]))
        children[leaf] = [len(children), len(children) + 1]
        children |= {len(children): [], len(children) + 1: []}
    order, parents = [0], [0]
    for place, node in enumerate(order):
        order += children[node]
        parents += [place] * len(children[node])
    topology = from_parents(np.array(parents))
    labels = [f"t{node}" if leaf else "" for node, leaf in enumerate(topology.is_leaf)]
    lengths = rng.exponential(1.0, topology.size)
    return Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(labels)))


def _simulated(phylogeny: Phylogeny, rng: np.random.Generator, factor: Any) -> Any:
    """(N, D) Brownian states from a root of 0."""
    states = rng.normal(size=(phylogeny.topology.size, len(factor))) @ factor.T * np.sqrt(phylogeny.lengths)[:, None]
    for node in range(1, len(states)):
        states[node] += states[phylogeny.topology.parents[node]]
    return states


def _between(count: int, of: int, probability: float) -> bool:
    """Whether a count is one that chance makes, but for one time in 10,000."""
    low, high = binom.ppf([5e-5, 1 - 5e-5], of, probability)
    return bool(low <= count <= high)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_p_of_no_correlation_is_uniform_and_intervals_hold_it(missing: float) -> None:
    phylogeny, rng = _phylogeny(), np.random.default_rng(1)
    repeats = REPEATS if not missing else REPEATS // 4
    ps, covered, held, cells = [], 0, 0, 0
    for _ in range(repeats):
        values = _simulated(phylogeny, rng, np.diag([1.0, 0.5]))[phylogeny.tips]
        values[rng.random(values.shape) < missing] = np.nan
        found = ancestral_together(phylogeny, Observations(phylogeny.tips, values, np.zeros(values.shape), ("u", "v")))
        table = found.tables["covariance table"]
        ps.append(table["p"][1])
        covered += table["lower"][1] < 0 < table["upper"][1]
        told = found.about_all["leave_one_cell_out"]
        held, cells = held + told["covered"], cells + told["cells"]
    # Of the likelihood ratio p is uniform for many tips; 40 make it a little too small.
    assert kstest(ps, "uniform").pvalue > 1e-3
    assert _between(covered, repeats, 0.95 if not missing else 0.94)
    # Cells of one tree hang together: within two in a hundred, and they are printed.
    assert held / cells == pytest.approx(0.95, abs=0.02)


def test_intervals_of_ancestors_hold_them() -> None:
    phylogeny, rng = _phylogeny(), np.random.default_rng(2)
    factor = np.linalg.cholesky(np.array([[1.0, 0.6], [0.6, 0.8]]))
    inner = ~phylogeny.topology.is_leaf
    shares = []
    for _ in range(REPEATS):
        states = _simulated(phylogeny, rng, factor)
        values = states[phylogeny.tips]
        found = ancestral_together(phylogeny, Observations(phylogeny.tips, values, np.zeros(values.shape), ("u", "v")))
        shares.append(((found.lower < states) & (states < found.upper))[inner].mean())
    # The uncertainty of the covariance is not in them, which 40 tips show.
    assert np.mean(shares) == pytest.approx(0.945, abs=4 * np.std(shares) / np.sqrt(REPEATS) + 0.01)


def test_p_of_a_coefficient_of_nothing_is_uniform() -> None:
    phylogeny, rng = _phylogeny(), np.random.default_rng(3)
    ps, covered = [], 0
    for _ in range(REPEATS):
        values = _simulated(phylogeny, rng, np.eye(2))[phylogeny.tips]
        rows = Observations(phylogeny.tips, values, np.zeros(values.shape), ("y", "x"))
        table = regress(phylogeny, rows, formula="y ~ x").tables["coefficients table"]
        ps.append(table["p"][1])
        covered += table["lower"][1] < 0 < table["upper"][1]
    assert kstest(ps, "uniform").pvalue > 1e-3
    assert _between(covered, REPEATS, 0.95)
