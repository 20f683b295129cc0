"""Joint draws against the dense posterior, and leave-one-out predictions against fits without the tip."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.analyses.posterior.posterior import posterior
from hxcli.errors import OptionError
from hxcli.formats.tables.draws import draws_frame
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.analyses.dense import root_paths
from tests.analyses.test_quadrature import WIDE, binary, seen

GIVEN = {"sigma2": 0.8, "tau2": 0.3, "root_mean": 1.0, "root_variance": 2.0}


def dense_posterior(tree: Phylogeny, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all nodes given y, with the parameters of `GIVEN`."""
    prior = 0.8 * root_paths(tree.topology.parents.tolist(), tree.lengths.tolist()) + 2.0
    tips = tree.tips
    gain = np.linalg.solve(prior[np.ix_(tips, tips)] + 0.3 * np.eye(len(tips)), prior[tips]).T
    return 1 + gain @ (y - 1), prior - gain @ prior[tips]


def test_draws_have_the_joint_covariance_of_the_posterior() -> None:
    tree, observations = binary()
    count = 20_000
    found = posterior(tree, observations, **GIVEN, draws=count, seed=1)
    mean, covariance = dense_posterior(tree, observations.values[:, 0])
    states = found.tables["draws"]["states"]
    sd = np.sqrt(np.diag(covariance))
    assert (abs(states.mean(0) - mean) < 5 * sd / np.sqrt(count)).all()
    # The standard error of a covariance of normal draws is at most sqrt(2 / count) standard deviations' products.
    off = abs(np.cov(states.T) - covariance) / np.outer(sd, sd)
    assert off.max() < 5 * np.sqrt(2 / count)
    assert covariance[1, 3] > 0.2


def test_drawn_parameters_have_the_posterior_of_the_quadrature() -> None:
    tree, observations = binary()
    count = 4_000
    found = posterior(tree, observations, **WIDE, draws=count, seed=2)
    figures, draws = found.tables["parameter table"], found.tables["draws"]
    for i, name in enumerate(("sigma2", "tau2")):
        for probability in (0.025, 0.25, 0.5, 0.75, 0.975):
            below = (draws[name] < figures[f"q{probability:g}"][i]).mean()
            assert abs(below - probability) < 4 * np.sqrt(probability * (1 - probability) / count), (name, probability)
    for node in (0, 1, 7, tree.tips[0]):
        for end, probability in ((found.lower, 0.025), (found.upper, 0.975)):
            below = (draws["states"][:, node] < end[node, 0]).mean()
            assert abs(below - probability) < 4 * np.sqrt(0.025 * 0.975 / count)
    # Independent: no autocorrelation beyond chance.
    logs = np.log(draws["sigma2"])
    assert abs(np.corrcoef(logs[:-1], logs[1:])[0, 1]) < 4 / np.sqrt(count)


@pytest.mark.parametrize(
    "options",
    [
        {"tau2": 0.0},
        # Slow: each kind of plane compiles programs of its own.
        pytest.param({"sigma2": 1.0}, marks=pytest.mark.slow),
        pytest.param({"prior_tau2": "uniform(0,2)"}, marks=pytest.mark.slow),
    ],
)
def test_draws_on_every_kind_of_plane(options: dict[str, object]) -> None:
    tree, observations = binary()
    found = posterior(tree, observations, **options, root_state=0.5, draws=2_000)
    draws, figures = found.tables["draws"], found.tables["parameter table"]
    for i, name in enumerate(("sigma2", "tau2")):
        assert abs((draws[name] <= figures["q0.5"][i] * (1 + 1e-12)).mean() - 0.5) < 0.05 or name in options
    assert draws["states"][:, 0] == pytest.approx(0.5, abs=1e-12)
    error = found.standard_errors[:, 0] / np.sqrt(2_000)
    assert (abs(draws["states"].mean(0) - found.estimates[:, 0]) <= 5 * error + 1e-9).all()


def test_a_seed_gives_the_same_draws_whatever_else_is_in_the_table() -> None:
    tree, observations = binary()
    other = np.random.default_rng(0).normal(size=16)
    alone = posterior(tree, seen(tree, other), draws=50, seed=4).tables["draws"]
    renamed = Observations(tree.tips, np.stack([observations.values[:, 0], other], 1), np.zeros((16, 2)), ("y", "x0"))
    both = posterior(tree, renamed, draws=50, seed=4).tables["draws"]
    assert both["trait"] == ["y"] * 50 + ["x0"] * 50
    np.testing.assert_allclose(both["states"][50:], alone["states"], rtol=1e-12)
    changed = posterior(tree, seen(tree, other), draws=50, seed=5).tables["draws"]
    assert not np.isclose(changed["sigma2"], alone["sigma2"]).any()


def test_nodes_that_are_called_like_a_column_have_another_name() -> None:
    tree, observations = binary()
    names = tree.labels.array.copy()
    names[tree.tips[:2]] = ["sigma2", "sigma2_node"]
    named = Phylogeny(tree.topology, tree.lengths, Texts(names), tree.support)
    found = posterior(named, observations, **GIVEN, draws=3)
    frame = draws_frame(named, found.tables["draws"])
    assert frame.columns[:4] == ["draw", "trait", "sigma2", "tau2"]
    assert "sigma2_node" in frame.columns
    assert "sigma2_node_node" in frame.columns
    assert frame.shape == (3, 4 + 31)


def test_more_draws_than_memory_are_refused() -> None:
    tree, observations = binary()
    with pytest.raises(OptionError, match="too many to keep"):
        posterior(tree, observations, draws=10**9)


def without(observations: Observations, node: int) -> Observations:
    values = observations.values.copy()
    values[observations.nodes == node] = np.nan
    return Observations(observations.nodes, values, observations.standard_errors, observations.traits)


def cases() -> dict[str, tuple[Phylogeny, Observations, dict[str, float]]]:
    tree, plain = binary()
    rng = np.random.default_rng(5)
    errors = Observations(plain.nodes, plain.values, rng.uniform(0.1, 0.9, (16, 1)), plain.traits)
    nodes = np.repeat(tree.tips, 2)
    twice = Observations(
        nodes, np.repeat(plain.values, 2, 0) + rng.normal(size=(32, 1)), np.zeros((32, 1)), plain.traits
    )
    ragged = tree.lengths.copy()
    ragged[tree.tips[:4]] = [0.0, 1e-9, 5.0, 0.0]
    uneven = Phylogeny(tree.topology, ragged, tree.labels, tree.support)
    return {
        "noise": (tree, plain, {"sigma2": 0.8, "tau2": 0.3}),
        "no noise": (tree, plain, {"sigma2": 0.8, "tau2": 0.0}),
        "normal root": (tree, plain, GIVEN),
        "known errors": (tree, errors, {"sigma2": 0.8, "tau2": 0.1}),
        "replicates": (tree, twice, {"sigma2": 0.8, "tau2": 0.3}),
        "zero edges": (uneven, plain, {"sigma2": 0.8, "tau2": 0.3}),
        "missing": (tree, without(plain, int(tree.tips[3])), {"sigma2": 0.8, "tau2": 0.3}),
    }


@pytest.mark.parametrize("name", cases())
def test_leaving_out_equals_a_fit_without_the_tip(name: str) -> None:
    tree, observations, options = cases()[name]
    found = posterior(tree, observations, **options, loo=True)
    table = found.tables["leave-one-out table"]
    total = 0.0
    node_of = {label: node for node, label in enumerate(tree.labels)}
    assert len(table["node"]) == 15 + (name != "missing")
    for i, label in enumerate(table["node"]):
        node = node_of[label]
        refit = posterior(tree, without(observations, node), **options)
        mine = observations.nodes == node
        noise = observations.standard_errors[mine, 0] ** 2 + options["tau2"]
        sd = np.sqrt(refit.standard_errors[node, 0] ** 2 + noise.sum() / mine.sum() ** 2)
        y = observations.values[mine, 0].mean()
        assert table["mean"][i] == pytest.approx(refit.estimates[node, 0], rel=1e-7, abs=1e-7)
        assert table["sd"][i] == pytest.approx(sd, rel=1e-7)
        assert table["z"][i] == pytest.approx((y - refit.estimates[node, 0]) / sd, rel=1e-6, abs=1e-6)
        log_density = -np.log(2 * np.pi * sd**2) / 2 - ((y - refit.estimates[node, 0]) / sd) ** 2 / 2
        assert table["log_density"][i] == pytest.approx(log_density, rel=1e-6, abs=1e-6)
        total += log_density
    record = found.details["x0"]["posterior"]["leave_one_out"]
    assert record["log_predictive_density"] == pytest.approx(total, rel=1e-6)
    assert record["parameters"] == "given"


def test_a_mistyped_value_is_a_suspect() -> None:
    tree, observations = binary()
    values = observations.values.copy()
    values[5] += 60
    found = posterior(tree, seen(tree, values), sigma2=1.0, tau2=0.25, loo=True)
    record = found.details["x0"]["posterior"]["leave_one_out"]
    assert record["suspects"][0]["tip"] == tree.labels[tree.tips[5]]
    assert any(str(tree.labels[tree.tips[5]]) in said and "beyond 3 sd" in said for said in found.warnings)
    unknown = posterior(tree, observations, loo=True).details["x0"]["posterior"]["leave_one_out"]
    assert unknown["parameters"] == "held at their posterior given all tips"
    assert unknown["tips"] == 16


def test_what_nothing_predicts_is_empty_and_said() -> None:
    tree, _ = binary()
    values = np.full((16, 1), np.nan)
    values[2] = 1.0
    found = posterior(tree, seen(tree, values), **WIDE, loo=True)
    assert np.isnan(found.tables["leave-one-out table"]["mean"]).all()
    assert "nothing is predicted by the others" in found.warnings[-1]
