"""Tips predicted from all others, and nodes in pairs, under diffusions: Gaussian twins and dense walks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import norm

from hxcli.analyses.posterior.posterior import posterior
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.node_pairs import PairTable
from hxcli.painting import RegimeRow
from hxcli.traits import Observations
from tests.analyses.test_grid_posterior import AS_SDE, LENGTHS, PARENTS, TWO_WAYS, WELLS, seen_on, tree_of, written

AS_GAUSSIAN = TWO_WAYS.replace('RATES = ("sigma2",)\nMEANS = ("theta",)\n', "")
PAIRS = ((1, 2), (3, 1), (0, 5), (3, 9), (0, 2), (11, 12), (4, 6))


def pair_table(pairs: Any = PAIRS) -> PairTable:
    names = list(node_names(tree_of()))
    rows = tuple(
        (RegimeRow(names[one], "", "", "", 1.0, line), RegimeRow(names[other], "", "", "", 1.0, line))
        for line, (one, other) in enumerate(pairs)
    )
    return PairTable("pairs.csv", ("first", "second"), 1, rows, node_names)


def repeated() -> Observations:
    """Two tips in several rows, with errors of their own."""
    seen = seen_on(tree_of())
    nodes = np.concatenate([seen.nodes, seen.nodes[[2, 4, 4]]])
    values = np.concatenate([seen.values[:, 0], [0.7, 1.1, 1.6]])[:, None]
    errors = np.zeros_like(values)
    errors[[2, 4, 9], 0] = 0.3, 0.1, 0.2
    return Observations(nodes, values, errors, ("x",))


def agrees(one: Any, other: Any, table: str, **atol: float) -> None:
    assert list(one.tables[table]) == list(other.tables[table])
    for name, column in one.tables[table].items():
        if isinstance(column[0], str):
            assert list(column) == list(other.tables[table][name])
        else:
            np.testing.assert_allclose(column, other.tables[table][name], atol=atol.get(name, 1e-3), err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("tau2", "alpha"), [(0.0, ""), (0.05, ""), (0.0, " * 1.4 ** edge.is_tip")])
def test_a_pull_in_two_ways_predicts_alike_and_has_equal_pairs(tau2: float, alpha: str, tmp_path: Path) -> None:
    tree, held = tree_of(), {"theta": 0.4}
    seen = repeated() if tau2 else seen_on(tree)
    texts = (text.replace('("alpha", 0.8)', f'("alpha", 0.8){alpha}') for text in (AS_GAUSSIAN, AS_SDE))
    names = [written(tmp_path, name, text) for name, text in zip(("gaussian", "sde"), texts, strict=True)]
    options: Any = {"tau2": tau2, "held": held, "loo": True, "pairs": pair_table()}
    gaussian, sde = (posterior(tree, seen, models=(name,), **options) for name in names)
    both = posterior(tree, seen, models=tuple(names), **options)
    told = sde.details["x"]["posterior"]
    assert told["leave_one_out_grid_error"] < 1e-3
    assert told["pairs_grid_error"] < 1e-3
    assert told["leave_one_out"]["parameters"] == gaussian.details["x"]["posterior"]["leave_one_out"]["parameters"]
    assert len(told["pairs"]) == len(PAIRS)
    # Ends of the shortest intervals move far where little is gained.
    loose = {"hpd_lower": 2e-2, "hpd_upper": 2e-2}
    for other in (sde, both):
        agrees(gaussian, other, "leave-one-out table", z=3e-3)
        agrees(gaussian, other, "pairs table", **loose)


class Dense:
    """Weights of the cells of every node of a double well, by matrix exponentials of a walk that is written down."""

    def __init__(self, tau2: float, pull: float = 1.1, sigma: float = 0.8, cells: int = 240) -> None:
        walls = np.linspace(-3.2, 3.4, cells + 1)
        self.x, step, inner = (walls[1:] + walls[:-1]) / 2, walls[1] - walls[0], walls[1:-1]
        # Rates between neighbours that keep the density exp(2 * potential / sigma^2).
        well = pull * (inner**2 / 2 - inner**4 / 4) * 2 / sigma**2
        middle = pull * (self.x**2 / 2 - self.x**4 / 4) * 2 / sigma**2
        forth, back = (np.exp(well - middle[some]) * sigma**2 / 2 / step**2 for some in (slice(-1), slice(1, None)))
        walk = np.diag(forth, 1) + np.diag(back, -1)
        walk -= np.diag(walk.sum(1))
        self.edges = [expm(walk * length) for length in LENGTHS]
        self.root = norm(0.3, np.sqrt(0.5)).pdf(self.x) * step
        self.tau2, seen = tau2, seen_on(tree_of())
        self.own = {
            int(node): norm(value, np.sqrt(tau2)).pdf(self.x)
            for node, value in zip(seen.nodes, seen.values[:, 0], strict=True)
        }

    def total(self, weights: dict[int, Any], without: int = -1) -> float:
        """Likelihood with further weights of the cells of some nodes; without one tip's value."""
        below = np.ones((len(PARENTS), len(self.x)))
        for node, own in {**self.own, **({without: np.ones_like(self.x)} if without >= 0 else {})}.items():
            below[node] *= own
        for node, own in weights.items():
            below[node] *= own
        for node in range(len(PARENTS) - 1, 0, -1):
            below[PARENTS[node]] *= self.edges[node] @ below[node]
        return float(self.root @ below[0])


@pytest.mark.slow
def test_a_double_well_predicts_and_pairs_as_dense_walks_do_without_the_tip(tmp_path: Path) -> None:
    tree, dense = tree_of(), Dense(0.05)
    held = {"pull": 1.1, "sigma": 0.8}
    options: Any = {"models": (written(tmp_path, "wells", WELLS),), "tau2": 0.05, "held": held, "loo": True}
    found = posterior(tree, seen_on(tree), pairs=pair_table(), **options)
    table = found.tables["leave-one-out table"]
    assert found.details["x"]["posterior"]["leave_one_out"]["parameters"] == "given"
    everything, x = dense.total({}), dense.x
    for row, tip in enumerate(np.flatnonzero(tree.topology.is_leaf).tolist()):
        alone = dense.total({}, tip)
        mean, square = (dense.total({tip: x**power}, tip) / alone for power in (1, 2))
        assert table["log_density"][row] == pytest.approx(np.log(everything / alone), abs=2e-3)
        assert table["mean"][row] == pytest.approx(mean, abs=2e-3)
        assert table["sd"][row] == pytest.approx(np.sqrt(square - mean**2 + 0.05), abs=2e-3)
    pairs = found.tables["pairs table"]
    for row, (one, other) in enumerate(PAIRS):

        def moment(first: int, second: int, one: int = one, other: int = other) -> float:
            return dense.total({one: x**first, other: x**second}) / everything

        means = moment(1, 0), moment(0, 1)
        variances = moment(2, 0) - means[0] ** 2, moment(0, 2) - means[1] ** 2
        covariance = moment(1, 1) - means[0] * means[1]
        assert pairs["difference"][row] == pytest.approx(means[0] - means[1], abs=2e-3)
        assert pairs["se"][row] == pytest.approx(np.sqrt(sum(variances) - 2 * covariance), abs=2e-3)
        assert pairs["correlation"][row] == pytest.approx(covariance / np.sqrt(np.prod(variances)), abs=2e-3)
        greater = sum(dense.total({one: x == state, other: (x < state) + 0.5 * (x == state)}) for state in x)
        assert pairs["p_greater"][row] == pytest.approx(greater / everything, abs=2e-3)


@pytest.mark.slow
def test_pairs_are_those_of_joint_draws_where_walls_and_the_root_are_parameters(tmp_path: Path) -> None:
    body = """
from hxcli.model import Gaussian, Sde, uniform

def model(edge):
    return Sde(0.0, 0.9, low=uniform("low", low=-1.2, high=-0.4), high=1.8)

def root():
    return Gaussian(mean=uniform("low", low=-1.2, high=-0.4) + 1.4, variance=0)
"""
    tree, count = tree_of(), 800
    pairs = ((1, 2), (0, 5), (0, 9), (7, 3))
    name = written(tmp_path, "walls", body)
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.0, pairs=pair_table(pairs), draws=count, seed=2)
    states, table = found.tables["draws"]["states"], found.tables["pairs table"]
    for row, (one, other) in enumerate(pairs):
        apart = states[:, one] - states[:, other]
        error = 5 / np.sqrt(count)
        assert table["difference"][row] == pytest.approx(apart.mean(), abs=error * apart.std())
        assert table["se"][row] == pytest.approx(apart.std(), rel=5 / np.sqrt(count))
        assert table["p_greater"][row] == pytest.approx((apart > 0).mean(), abs=error / 2)
        share = ((apart > table["lower"][row]) & (apart < table["upper"][row])).mean()
        assert share == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / count))
        if np.ptp(states[:, other]):
            exact = np.corrcoef(states[:, one], states[:, other])[0, 1]
            assert table["correlation"][row] == pytest.approx(exact, abs=error)
        else:
            assert np.isnan(table["correlation"][row])


@pytest.mark.slow
def test_a_value_that_nothing_explains_is_found_far_off(tmp_path: Path) -> None:
    tree, values = tree_of(), np.array([0.8, -0.2, 0.5, 0.9, 9.0, 0.1, 0.6, 0.3, 1.1])
    held = {"sigma2": 0.02, "theta": 0.4}
    names = written(tmp_path, "gaussian", AS_GAUSSIAN), written(tmp_path, "sde", AS_SDE)
    gaussian, sde = (
        posterior(tree, seen_on(tree, values), models=(name,), tau2=0.0, held=held, loo=True) for name in names
    )
    row = 4
    one, other = (each.tables["leave-one-out table"] for each in (gaussian, sde))
    assert abs(one["z"][row]) > 40
    assert other["z"][row] == pytest.approx(one["z"][row], rel=0.2)
    assert [warning for warning in sde.warnings if "coarse_grid" in warning]
    assert other["log_density"][row] < -600
    assert [warning for warning in sde.warnings if "beyond 3 sd" in warning]
