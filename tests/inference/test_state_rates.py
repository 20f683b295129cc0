"""Rates of discrete states: known optima, certificates, and that no other place is better."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hxcli.engine.topology import from_parents
from hxcli.errors import ModelError, OptionError
from hxcli.inference import state_rates
from hxcli.inference.side_by_side import side_by_side
from hxcli.inference.state_objective import Objective, RootPrior
from hxcli.inference.state_rate_intervals import profile_intervals
from hxcli.inference.state_rates import fit_rates
from hxcli.models.rate_patterns import rate_pattern
from hxcli.prebuilt.discrete.likelihood import marginals, state_tree
from tests.conftest import reference_models

# (A:3,(B:2,(C:1,D:1):1):1) with lo, lo, hi, hi.
FOUR_TIPS = SimpleNamespace(
    topology=from_parents(np.array([0, 0, 0, 2, 2, 4, 4])), lengths=np.array([0, 3.0, 1.0, 2.0, 1.0, 1.0, 1.0])
)
STATES = ("hi", "lo")


def four_tips() -> Any:
    seen = np.ones((7, 2))
    seen[[1, 3]], seen[[5, 6]] = [0, 1], [1, 0]
    return state_tree(FOUR_TIPS, seen)


def known_values() -> dict[tuple[str, str, str], tuple[float, float]]:
    with open(reference_models("four_tips") / "values.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {(r["model"], r["root"], r["quantity"]): (float(r["value"]), float(r["tolerance"])) for r in rows}


@pytest.mark.shared
def test_four_tips_have_the_known_rates() -> None:
    tree, values = four_tips(), known_values()
    er = fit_rates(tree, rate_pattern("er", STATES), RootPrior("flat"))
    value, tolerance = values["er", "flat", "log_likelihood_at_least"]
    assert er.log_likelihood >= value - tolerance
    ard = fit_rates(tree, rate_pattern("ard", STATES), RootPrior("flat"))
    value, tolerance = values["ard", "flat", "log_likelihood"]
    assert ard.log_likelihood == pytest.approx(value, abs=tolerance)
    for label, rate in zip(ard.pattern.labels, ard.values, strict=True):
        value, tolerance = values["ard", "flat", label]
        assert rate == pytest.approx(value, abs=tolerance)
    assert ard.gradient < 1e-6
    assert ard.eigenvalues.min() > 0
    assert ard.agree == ard.starts
    assert ard.flags == ()


def test_no_place_nearby_or_far_is_better_and_the_gradient_is_exact() -> None:
    for kind in ("flat", "stationary", "fitzjohn"):
        root = RootPrior(kind)
        fit = fit_rates(four_tips(), rate_pattern("ard", STATES), root)
        objective = Objective(four_tips(), fit.pattern, root, np.full(2, np.nan))
        places = np.random.default_rng(3).normal(np.log(0.3), 2, (64, 2))
        heights, slopes = objective(places)
        assert -heights.min() <= fit.log_likelihood + 1e-9
        step = np.array([[1e-5, 0.0]])
        numeric = (objective(places + step)[0] - objective(places - step)[0]) / 2e-5
        np.testing.assert_allclose(slopes[:, 0], numeric, atol=1e-6)


def test_profile_intervals_end_where_the_likelihood_has_fallen() -> None:
    fit = fit_rates(four_tips(), rate_pattern("er", STATES), RootPrior("flat"))
    interval = profile_intervals(four_tips(), fit, 0.95)
    assert np.isnan(interval[0, 1])
    objective = Objective(four_tips(), fit.pattern, fit.root, np.full(1, np.nan))
    assert objective.heights(np.log([[interval[0, 0]]]))[0] == pytest.approx(
        fit.log_likelihood - 3.841458820694124 / 2, abs=1e-5
    )


def random_tree(tips: int, seed: int) -> Any:
    """Three states at the tips of a balanced tree, one of them rare."""
    random = np.random.default_rng(seed)
    size = 2 * tips - 1
    topology = from_parents(np.maximum(np.arange(size) - 1, 0) // 2)
    lengths = np.where(np.arange(size) > 0, random.uniform(0.2, 1, size), 0)
    states = np.zeros(size, int)
    for node in range(1, size):
        changes = random.uniform() < 0.25 * lengths[node]
        states[node] = random.choice(3, p=[0.5, 0.3, 0.2]) if changes else states[topology.parents[node]]
    seen = np.ones((size, 3))
    seen[topology.is_leaf] = np.eye(3)[states[topology.is_leaf]]
    return state_tree(SimpleNamespace(topology=topology, lengths=lengths), seen)


@pytest.mark.slow
def test_ends_of_intervals_of_several_rates_are_where_the_profile_has_fallen() -> None:
    tree = random_tree(256, 3)
    fit = fit_rates(tree, rate_pattern("ard", ("a", "b", "c")), RootPrior("flat"))
    intervals = profile_intervals(tree, fit, 0.95)
    assert np.isfinite(intervals).sum() >= 6
    for place, side in np.argwhere(np.isfinite(intervals)):
        held = {fit.pattern.labels[place]: float(intervals[place, side])}
        at_end = fit_rates(tree, fit.pattern, fit.root, held)
        assert at_end.log_likelihood == pytest.approx(fit.log_likelihood - 3.841458820694124 / 2, abs=1e-4)
    for place, side in np.argwhere(np.isnan(intervals)):
        held = {fit.pattern.labels[place]: (fit.low, fit.high)[side]}
        assert fit_rates(tree, fit.pattern, fit.root, held).log_likelihood > fit.log_likelihood - 3.8414588 / 2


@pytest.mark.slow
def test_the_likelihood_falls_by_no_more_than_it_must_where_rates_at_0_have_an_upper_end() -> None:
    tree = random_tree(64, 3)
    fit = fit_rates(tree, rate_pattern("ard", ("a", "b", "c")), RootPrior("flat"))
    intervals = profile_intervals(tree, fit, 0.95)
    at_zero = [place for place in range(fit.pattern.count) if fit.at_end(place) == "at_lower_bound"]
    assert at_zero
    for place in at_zero:
        assert np.isnan(intervals[place, 0])
        if np.isfinite(upper := intervals[place, 1]):
            held = {fit.pattern.labels[place]: float(upper)}
            height = fit_rates(tree, fit.pattern, fit.root, held).log_likelihood
            assert height == pytest.approx(fit.log_likelihood - 3.841458820694124 / 2, abs=1e-4)


def test_starting_on_fewer_tips_ends_at_the_same_top(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, pattern = random_tree(512, 4), rate_pattern("ard", ("a", "b", "c"))
    whole = fit_rates(tree, pattern, RootPrior("flat"))
    monkeypatch.setattr(state_rates, "_LARGE", 100)
    monkeypatch.setattr(state_rates, "_FEWER", 100)
    fewer = fit_rates(tree, pattern, RootPrior("flat"))
    assert fewer.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-7)
    np.testing.assert_allclose(fewer.values, whole.values, rtol=1e-4, atol=1e-8)
    assert fewer.starts == whole.starts


def test_a_given_prior_enters_once_and_a_held_rate_stays() -> None:
    topology = from_parents(np.array([0, 0, 1, 1]))
    seen = np.array([[1, 1], [1, 1], [1, 0], [0, 1.0]])
    tree = state_tree(SimpleNamespace(topology=topology, lengths=np.array([0, 1.0, 1.0, 1.0])), seen)
    root = RootPrior("given", np.array([0.7, 0.3]))
    fit = fit_rates(tree, rate_pattern("er", STATES), root, held={"q(hi,lo)": 0.5})
    assert fit.values.tolist() == [0.5]
    # Above two different tips at equal distances, both states are as likely as each other.
    assert marginals(tree, fit.rates, root.shares).probabilities[1].tolist() != [0.5, 0.5]
    cherry = state_tree(
        SimpleNamespace(topology=from_parents(np.array([0, 0, 0])), lengths=np.array([0, 1.0, 1.0])), seen[1:]
    )
    free = fit_rates(cherry, rate_pattern("er", STATES), root)
    assert marginals(cherry, free.rates, root.shares).probabilities[0, 0] == pytest.approx(0.7, abs=1e-15)


def test_impossible_data_and_unknown_rates_are_refused() -> None:
    topology = from_parents(np.array([0, 0, 0]))
    seen = np.array([[1, 1], [1, 0], [0, 1.0]])
    tree = state_tree(SimpleNamespace(topology=topology, lengths=np.zeros(3)), seen)
    with pytest.raises(ModelError, match="no edge has any length"):
        fit_rates(tree, rate_pattern("er", STATES), RootPrior("flat"))
    with pytest.raises(OptionError, match=r"no such rate"):
        fit_rates(four_tips(), rate_pattern("er", STATES), RootPrior("flat"), held={"q(hi,up)": 1.0})


def test_searches_side_by_side_share_their_evaluations_and_their_failures() -> None:
    widths = []

    def square(x: Any) -> Any:
        widths.append(len(x))
        return (x**2).sum(1), 2 * x

    def steps(count: int) -> Any:
        return lambda evaluate: [evaluate(np.array([float(i)]))[0] for i in range(count)]

    assert side_by_side(square, [steps(3), steps(1), steps(2)]) == [[0, 1, 4], [0], [0, 1]]
    assert widths == [3, 2, 1]

    def fails(evaluate: Any) -> None:
        evaluate(np.zeros(1))
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        side_by_side(square, [steps(3), fails])
