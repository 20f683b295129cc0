"""What must hold for every tree: dense algebra, invariances, and the cases in which other tools return nan."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hxcli.analyses.ancestral import ancestral
from hxcli.analyses.mean import mean
from hxcli.analyses.posterior.posterior import posterior
from hxcli.engine.topology import Topology, from_parents
from hxcli.errors import ModelError, OptionError
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.analyses.dense import condition, root_paths

pytestmark = pytest.mark.usefixtures("programs")

few = settings(max_examples=12, deadline=None, derandomize=True)


def phylogeny(parents: list[int], lengths: list[float]) -> Phylogeny:
    topology = from_parents(parents)
    names = Texts([f"t{i}" if leaf else "" for i, leaf in enumerate(topology.is_leaf)])
    return Phylogeny(topology, np.asarray(lengths, float), names, Texts.blank(len(parents)))


def observations(tree: Phylogeny, values: np.ndarray, errors: float = 0.0) -> Observations:
    table = np.asarray(values, float).reshape(len(tree.tips), -1)
    traits = tuple(f"x{d}" for d in range(table.shape[1]))
    return Observations(tree.tips, table, np.full_like(table, errors), traits)


@st.composite
def trees(draw: st.DrawFn, zero_edges: bool = True) -> tuple[list[int], list[float]]:
    """Breadth-first parents of up to 24 nodes with any mixture of degrees, and edge lengths.

    Tips keep a positive length, so that no two of them are the same random variable.
    """
    parents = [0]
    while len(parents) < draw(st.integers(2, 24)):
        node = draw(st.integers(parents[-1], len(parents) - 1))
        parents += [node] * draw(st.integers(1, 4))
    topology = from_parents(parents)
    inner = st.sampled_from([0.0, 0.5, 1.0, 2.5]) if zero_edges else st.sampled_from([0.5, 1.0, 2.5])
    lengths = [draw(st.sampled_from([0.25, 1.0, 3.0]) if leaf else inner) for leaf in topology.is_leaf]
    lengths[0] = 0.0
    return parents, lengths


def random_values(tree: Phylogeny, seed: int, traits: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(tree.tips), traits)).cumsum(0)


@few
@given(trees(), st.integers(0, 100), st.booleans())
def test_ancestral_is_dense_conditioning(tree: tuple[list[int], list[float]], seed: int, with_missing: bool) -> None:
    parents, lengths = tree
    one = phylogeny(parents, lengths)
    values = random_values(one, seed, 2)
    if with_missing and len(values) > 2:
        values[seed % len(values), 0] = np.nan
    found = ancestral(one, observations(one, values))
    shared = root_paths(parents, lengths)
    for d in range(2):
        there = ~np.isnan(values[:, d])
        n = int(there.sum())
        expected = condition(shared, list(one.tips[there]), values[there, d], np.zeros(n))
        np.testing.assert_allclose(found.estimates[:, d], expected["mean"], atol=1e-9)
        if n > 1:
            rate = expected["quadratic"] / (n - 1)
            figures = found.parameters[f"x{d}"]
            assert figures["sigma2"].value == pytest.approx(rate, rel=1e-9)
            variance = np.maximum(expected["variance"], 0) * rate
            np.testing.assert_allclose(found.standard_errors[:, d] ** 2, variance, atol=1e-9 * max(1, variance.max()))
            density = -(
                (n - 1) * np.log(2 * np.pi * rate) + expected["log_det"] + np.log(expected["information"]) + n - 1
            )
            assert figures["log_likelihood"].value == pytest.approx(density / 2, rel=1e-9, abs=1e-9)


@few
@given(trees(), st.integers(0, 100))
def test_posterior_is_dense_conditioning_with_noise(tree: tuple[list[int], list[float]], seed: int) -> None:
    parents, lengths = tree
    one = phylogeny(parents, lengths)
    values = random_values(one, seed)
    found = posterior(one, observations(one, values, errors=0.3), sigma2=0.7, tau2=0.2)
    noise = np.full(len(values), (0.2 + 0.3**2) / 0.7)
    expected = condition(root_paths(parents, lengths), list(one.tips), values[:, 0], noise)
    np.testing.assert_allclose(found.estimates[:, 0], expected["mean"], atol=1e-9)
    np.testing.assert_allclose(found.standard_errors[:, 0] ** 2, expected["variance"] * 0.7, atol=1e-9)


def relabelled(tree: Phylogeny, rng: np.random.Generator) -> tuple[Phylogeny, np.ndarray]:
    """The same tree with siblings in another order, and for every node its old number."""
    old, parents = [0], [0]
    for new, node in enumerate(old):
        children = np.flatnonzero((tree.topology.parents == node) & ~tree.topology.is_root)
        for child in rng.permutation(children):
            old.append(int(child))
            parents.append(new)
    order = np.array(old)
    mixed = Phylogeny(from_parents(parents), tree.edge_lengths[order], tree.labels[order], tree.support[order])
    return mixed, order


@few
@given(trees(), st.integers(0, 100))
def test_child_order_shift_and_scale(tree: tuple[list[int], list[float]], seed: int) -> None:
    one = phylogeny(*tree)
    values = random_values(one, seed)
    found = ancestral(one, observations(one, values))

    mixed, old = relabelled(one, np.random.default_rng(seed))
    at = {name: i for i, name in enumerate(one.tip_names)}
    same = values[[at[name] for name in mixed.tip_names]]
    reordered = ancestral(mixed, observations(mixed, same))
    np.testing.assert_allclose(reordered.estimates, found.estimates[old], atol=1e-9)
    np.testing.assert_allclose(reordered.standard_errors, found.standard_errors[old], atol=1e-7)

    shifted = ancestral(one, observations(one, values + 100))
    np.testing.assert_allclose(shifted.estimates, found.estimates + 100, atol=1e-8)
    scaled = ancestral(phylogeny(tree[0], [4 * x for x in tree[1]]), observations(one, values))
    np.testing.assert_allclose(scaled.estimates, found.estimates, atol=1e-9)
    np.testing.assert_allclose(scaled.standard_errors, found.standard_errors, atol=1e-7)
    if len(values) > 1:
        rates = [run.parameters["x0"]["sigma2"].value for run in (scaled, found)]
        assert rates[0] == pytest.approx(rates[1] / 4, rel=1e-9)


@few
@given(trees(), st.integers(0, 100))
def test_a_node_with_one_child_changes_nothing(tree: tuple[list[int], list[float]], seed: int) -> None:
    parents, lengths = tree
    one = phylogeny(parents, lengths)
    values = random_values(one, seed)
    # Every edge is cut in two by a new node.
    order = [(0, -1)]
    new_parents: list[int] = [0]
    new_lengths = [0.0]
    for place, (node, _) in enumerate(order):
        if node < 0:
            order.append((-node - 1, place))
            new_parents.append(place)
            new_lengths.append(lengths[-node - 1] / 2)
            continue
        for child in range(1, len(parents)):
            if parents[child] == node:
                order.append((-child - 1, place))
                new_parents.append(place)
                new_lengths.append(lengths[child] / 2)
    cut = phylogeny(new_parents, new_lengths)
    where = {node: place for place, (node, _) in enumerate(order) if node >= 0}
    at = {where[int(tip)]: i for i, tip in enumerate(one.tips)}
    found = ancestral(one, observations(one, values))
    again = ancestral(cut, observations(cut, values[[at[int(tip)] for tip in cut.tips]]))
    places = [where[node] for node in range(len(parents))]
    np.testing.assert_allclose(again.estimates[places], found.estimates, atol=1e-9)
    np.testing.assert_allclose(again.standard_errors[places], found.standard_errors, atol=1e-7)


@few
@given(trees(), st.integers(0, 100))
def test_a_wide_prior_is_a_flat_one(tree: tuple[list[int], list[float]], seed: int) -> None:
    one = phylogeny(*tree)
    seen = observations(one, random_values(one, seed))
    flat = posterior(one, seen, sigma2=1.0, tau2=0.1)
    wide = posterior(one, seen, sigma2=1.0, tau2=0.1, root_mean=0.0, root_variance=1e9)
    np.testing.assert_allclose(wide.estimates, flat.estimates, atol=1e-6)
    np.testing.assert_allclose(wide.standard_errors, flat.standard_errors, atol=1e-6)


def test_zero_edges_that_agree_are_one_observation() -> None:
    # Two tips without any length between them, and one further away.
    tree = phylogeny([0, 0, 0, 1, 1], [0, 1, 2, 0, 0])
    found = ancestral(tree, observations(tree, np.array([5.0, 3.0, 3.0])))
    single = phylogeny([0, 0, 0], [0, 1, 2])
    alone = ancestral(single, observations(single, np.array([3.0, 5.0])))
    assert found.estimates[1, 0] == 3
    assert found.standard_errors[1, 0] == 0
    assert found.estimates[0, 0] == pytest.approx(alone.estimates[0, 0], rel=1e-12)
    assert found.parameters["x0"]["sigma2"].value == pytest.approx(alone.parameters["x0"]["sigma2"].value, rel=1e-12)


@pytest.mark.parametrize("model", [ancestral, mean])
def test_zero_edges_that_disagree_are_refused_by_name(model: object) -> None:
    tree = phylogeny([0, 0, 0, 1, 1], [0, 1, 2, 0, 0])
    with pytest.raises(ModelError, match=r"trait 'x0': tips 't3' and 't4', joined by edges of length 0, .* 3 and 4"):
        model(tree, observations(tree, np.array([5.0, 3.0, 4.0])))  # type: ignore[operator]
    measured = ancestral(tree, observations(tree, np.array([5.0, 3.0, 4.0]), errors=0.5))
    assert np.isfinite(measured.estimates).all()


def test_one_tip_has_its_own_value_and_no_rate() -> None:
    tree = phylogeny([0], [0])
    found = ancestral(tree, observations(tree, np.array([2.5])))
    assert found.estimates.tolist() == [[2.5]]
    assert found.standard_errors.tolist() == [[0.0]]
    assert np.isnan(found.parameters["x0"]["sigma2"].value)
    assert "sigma2 cannot be estimated (fewer than two values" in found.warnings[0]


def test_a_trait_without_values_is_empty_and_said() -> None:
    tree = phylogeny([0, 0, 0], [0, 1, 1])
    found = ancestral(tree, observations(tree, np.array([[1.0, np.nan], [2.0, np.nan]])))
    assert np.isnan(found.estimates[:, 1]).all()
    assert found.estimates[0, 0] == 1.5
    assert found.warnings == ("trait 'x1': no tip has a value, so that estimates are empty",)


def test_equal_values_have_rate_zero() -> None:
    tree = phylogeny([0, 0, 0, 0], [0, 1, 2, 3])
    found = ancestral(tree, observations(tree, np.array([4.0, 4.0, 4.0])))
    assert found.parameters["x0"]["sigma2"].value == 0
    assert found.estimates[:, 0].tolist() == [4, 4, 4, 4]
    assert "sigma2 is 0" in found.warnings[0]


def test_replicates_are_observations_of_one_state() -> None:
    tree = phylogeny([0, 0, 0], [0, 1, 1])
    twice = Observations(np.array([1, 1, 2]), np.array([[1.0], [3.0], [5.0]]), np.zeros((3, 1)), ("x0",))
    found = posterior(tree, twice, sigma2=1.0, tau2=0.5)
    expected = condition(root_paths([0, 0, 0], [0, 1, 1]), [1, 1, 2], np.array([1.0, 3.0, 5.0]), np.full(3, 0.5))
    np.testing.assert_allclose(found.estimates[:, 0], expected["mean"], atol=1e-12)
    np.testing.assert_allclose(found.standard_errors[:, 0] ** 2, expected["variance"], atol=1e-12)
    with pytest.raises(ModelError, match="tip 't1' has different values 1 and 3"):
        ancestral(tree, twice)


CHERRY_BESIDE_A_TIP = ([0, 0, 0, 1, 1], [0, 2, 3, 1, 1])


@pytest.mark.parametrize("model", [ancestral, mean, lambda *given: posterior(*given, sigma2=1.0, tau2=0.0)])
def test_an_exact_replicate_is_the_state_whatever_a_rough_one_says(model: object) -> None:
    one = phylogeny(*CHERRY_BESIDE_A_TIP)
    nodes, values, errors = np.array([2, 3, 3, 3, 4]), np.array([5, 0.1, 2, 0.1, 2.5]), np.array([0.1, 0, 0.5, 0, 0.2])
    found = model(one, Observations(nodes, values[:, None], errors[:, None], ("x",)))  # type: ignore[operator]
    for column in (found.estimates, found.lower, found.upper):
        assert column[3, 0] == 0.1
    assert found.standard_errors[3, 0] == 0
    np.testing.assert_allclose(found.observed[3, 0], 2.2 / 3)


@pytest.mark.parametrize("model", [ancestral, lambda *given: posterior(*given, sigma2=1.0, tau2=0.0)])
def test_a_rough_value_at_no_distance_from_an_exact_one_does_not_come_back(model: object) -> None:
    one = phylogeny([0, 0, 0, 1, 1], [0, 2, 3, 0, 0])
    errors = np.array([[0.1], [0], [0.5]])
    found = model(one, Observations(one.tips, np.array([[5.0], [1.5], [2]]), errors, ("x",)))  # type: ignore[operator]
    assert found.observed[[3, 4], 0].tolist() == [1.5, 2]
    np.testing.assert_allclose(found.estimates[[1, 3, 4], 0], 1.5, rtol=1e-14)
    np.testing.assert_allclose(found.lower[[1, 3, 4], 0], 1.5, rtol=1e-14)
    assert found.standard_errors[[1, 3, 4], 0].tolist() == [0] * 3


def test_a_tip_at_a_root_that_is_given_has_the_roots_state() -> None:
    one = phylogeny([0, 0, 0], [0, 0, 1])
    found = posterior(one, observations(one, np.array([3.5, 4])), sigma2=1.0, tau2=1.0, root_state=3.0)
    assert found.estimates[:, 0].tolist() == [3, 3, 3.5]
    assert found.lower[1, 0] == found.upper[1, 0] == 3


def test_effective_number_of_tips() -> None:
    star = phylogeny([0, 0, 0, 0, 0], [0, 2, 2, 2, 2])
    found = mean(star, observations(star, np.array([1.0, 2.0, 4.0, 5.0])))
    assert found.columns["n_effective"][:, 0].tolist() == [4, 1, 1, 1, 1]
    assert found.estimates[0, 0] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma2": 0.0}, "sigma2 must be a positive number, got 0"),
        ({"sigma2": 1.0, "tau2": -1.0}, "tau2 must be 0 or a positive number, got -1"),
        ({"sigma2": 1.0, "root_mean": 1.0}, "a normal root needs a mean and a variance"),
        ({"sigma2": 1.0, "root_mean": 1.0, "root_variance": 0.0}, "positive variance, got 1, 0"),
        ({"root_mean": 1.0, "root_variance": 1.0, "root_state": 1.0}, "either a state, a finite number, or a prior"),
        ({"sigma2": 1.0, "prior_sigma2": "halfnormal(1)"}, "sigma2 is given, so it has no prior"),
        ({"prior_tau2": "normal(0,1)"}, r"'normal\(0,1\)' is not a prior"),
        ({"level": 0.9999999999}, "too close to 1"),
    ],
)
def test_variances_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    tree = phylogeny([0, 0, 0], [0, 1, 1])
    with pytest.raises(OptionError, match=message):
        posterior(tree, observations(tree, np.array([1.0, 2.0])), **options)


def test_topologies_are_shared_between_runs() -> None:
    tree = phylogeny([0, 0, 0], [0, 1, 1])
    assert isinstance(tree.topology, Topology)
    first = ancestral(tree, observations(tree, np.array([1.0, 2.0])))
    second = ancestral(tree, observations(tree, np.array([1.0, 2.0])))
    assert first.estimates.tobytes() == second.estimates.tobytes()


@pytest.mark.parametrize("factor", [1e-150, 1e150])
@pytest.mark.parametrize("stretch", [1e-200, 1.0, 1e300])
def test_values_and_edges_of_any_size(factor: float, stretch: float) -> None:
    values = np.array([1.0, 2.0, 4.0])
    usual = phylogeny([0, 0, 0, 0], [0, 1, 1, 2])
    strange = phylogeny([0, 0, 0, 0], [0, stretch, stretch, 2 * stretch])
    if not 1e-305 < factor**2 / stretch < 1e305:
        with pytest.raises(ModelError, match="'x0': the results are beyond the range of double precision"):
            ancestral(strange, observations(strange, values * factor))
        return
    expected = ancestral(usual, observations(usual, values))
    found = ancestral(strange, observations(strange, values * factor))
    np.testing.assert_allclose(found.estimates, expected.estimates * factor, rtol=1e-12)
    np.testing.assert_allclose(found.standard_errors, expected.standard_errors * factor, rtol=1e-12)
    figures, before = found.parameters["x0"], expected.parameters["x0"]
    assert figures["sigma2"].value == pytest.approx(before["sigma2"].value * factor**2 / stretch, rel=1e-12)
    # n - 1 densities of the values, and half a logarithm of every edge length with the root's.
    assert figures["log_likelihood"].value == pytest.approx(
        before["log_likelihood"].value - 2 * np.log(factor), rel=1e-9
    )


def test_single_precision_keeps_small_differences_of_large_values() -> None:
    tree = phylogeny([0, 0, 0, 0], [0, 1, 1, 2])
    values = np.array([19990101.0, 19990102.0, 19990104.0])
    double = ancestral(tree, observations(tree, values))
    with jax.enable_x64(False):
        single = ancestral(tree, observations(tree, values))
    np.testing.assert_allclose(single.estimates - 19990000, double.estimates - 19990000, rtol=1e-6)
    np.testing.assert_allclose(single.standard_errors, double.standard_errors, rtol=1e-5)
    assert single.parameters["x0"]["sigma2"].value == pytest.approx(double.parameters["x0"]["sigma2"].value, rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"sigma2": 1e-320, "tau2": 0.0}, {"sigma2": 1e308, "tau2": 0.0}, {"sigma2": 1.0, "tau2": 1e300}]
)
def test_variances_out_of_proportion_are_refused(options: dict[str, float]) -> None:
    tree = phylogeny([0, 0, 0], [0, 1, 1])
    with pytest.raises(ModelError, match="is out of all proportion to trait 'x0'"):
        posterior(tree, observations(tree, np.array([1.0, 2.0])), **options)


def test_the_widest_interval_that_a_double_can_ask_for() -> None:
    tree = phylogeny([0, 0, 0], [0, 1, 1])
    found = ancestral(tree, observations(tree, np.array([1.0, 2.0])), level=0.9999999999999999)
    assert found.upper[0, 0] - found.estimates[0, 0] == pytest.approx(8.29 * found.standard_errors[0, 0], rel=1e-2)
