"""The posterior by quadrature against dense grids: independent ones, and one of our own over dense algebra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hxcli.analyses.posterior.posterior import posterior
from hxcli.analyses.posterior.question import Options, ask
from hxcli.engine.topology import from_parents, symmetric_topology
from hxcli.errors import ModelError
from hxcli.inference.parameter_plane import SeparateScales, SharedScale
from hxcli.inference.priors import parse_prior
from hxcli.inference.quadrature import integrate
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.units import units_of
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.analyses.cases import PRIMARY, agree, column, load, rows
from tests.analyses.dense import root_paths

WIDE = {"prior_sigma2": "lognormal(0,2)", "prior_tau2": "lognormal(0,2)"}
# Steps of the independent grids in both logarithms.
STEP = 22 / 640


def seen(phylogeny: Phylogeny, values: np.ndarray, errors: float = 0.0) -> Observations:
    values = values.reshape(len(phylogeny.tips), -1)
    names = tuple(f"x{i}" for i in range(values.shape[1]))
    return Observations(phylogeny.tips, values, np.full_like(values, errors), names)


def binary() -> tuple[Phylogeny, Observations]:
    """The case of the notebook: depth 4, unit edges, 16 tips."""
    topology = symmetric_topology(depth=4, degree=2)
    names = Texts([f"n{i}" for i in range(topology.size)])
    lengths = np.where(topology.is_root, 0.0, 1.0)
    tree = Phylogeny(topology, lengths, names, Texts.blank(topology.size))
    rng = np.random.default_rng(3)
    shared = root_paths(topology.parents.tolist(), lengths.tolist())
    states = np.linalg.cholesky(shared[1:, 1:] + 1e-12 * np.eye(topology.size - 1)) @ rng.normal(size=topology.size - 1)
    return tree, seen(tree, np.concatenate([[0], states])[tree.tips] + 0.5 * rng.normal(size=16))


def dense_grid(tree: Phylogeny, y: np.ndarray, noise: np.ndarray, points: int = 161) -> dict[str, np.ndarray | float]:
    """Root fixed at 0, N(0, 2^2) on both logs: one eigendecomposition, then every point of a grid by itself.

    `noise` is (n,) known error variances; all equal to 0 here, so that the eigenvectors serve all points.
    """
    assert not noise.any()
    shared = root_paths(tree.topology.parents.tolist(), tree.lengths.tolist())
    tips = tree.tips
    values, vectors = np.linalg.eigh(shared[np.ix_(tips, tips)])
    turned, gain = vectors.T @ y, shared[:, tips] @ vectors
    log_s, log_t = np.meshgrid(np.linspace(-14, 14, points), np.linspace(-14, 14, points), indexing="ij")
    s, t = np.exp(log_s)[..., None], np.exp(log_t)[..., None]
    v = s * values + t
    log_density = -(np.log(2 * np.pi * v) + turned**2 / v).sum(-1) / 2 - (log_s**2 + log_t**2) / 8 - np.log(8 * np.pi)
    step = 28 / (points - 1)
    evidence = np.log(np.exp(log_density - log_density.max()).sum() * step**2) + log_density.max()
    weight = np.exp(log_density - evidence) * step**2
    mean = np.einsum("ab,abk->k", weight, (s * turned / v)) @ gain.T
    states = np.einsum("ik,abk->abi", gain, s * turned / v)
    variances = s * np.diag(shared) - np.einsum("ik,abk->abi", gain**2, s**2 / v)
    second = np.einsum("ab,abi->i", weight, states**2 + variances)
    return {
        "evidence": float(evidence),
        "sigma2": float((weight * s[..., 0]).sum()),
        "tau2": float((weight * t[..., 0]).sum()),
        "sigma2_sd": float(np.sqrt((weight * s[..., 0] ** 2).sum() - (weight * s[..., 0]).sum() ** 2)),
        "mean": mean,
        "sd": np.sqrt(np.maximum(second - mean**2, 0)),
    }


@pytest.mark.parametrize("name", ["vertebrate", "geospiza", "anole"])
@pytest.mark.parametrize("root", ["flat", "normal"])
def test_the_posterior_agrees_with_an_independent_dense_grid(
    reference: Callable[[str], Path], name: str, root: str
) -> None:
    if not (reference(name) / f"bayes_grid_{root}.csv").exists():
        pytest.skip("the independent grids are only in the folder beside the checkout")
    phylogeny, observations = load(reference(name))
    table = {row["param"]: row for row in rows(reference(name) / f"bayes_grid_{root}.csv")}
    first = table["sigma2"]
    prior = {} if root == "flat" else {"root_mean": float(first["mu0"]), "root_variance": float(first["v0"])}
    found = posterior(phylogeny, observations, **WIDE, **prior)
    figures = found.tables["parameter table"]
    evidence = found.parameters[PRIMARY[name]]["log_evidence"].value
    assert evidence == pytest.approx(float(first["log_evidence"]), abs=1e-4)
    for i, parameter in enumerate(figures["parameter"]):
        expected = table[parameter]
        assert figures["mean"][i] == pytest.approx(float(expected["mean"]), rel=1e-4)
        assert figures["sd"][i] == pytest.approx(float(expected["sd"]), rel=1e-4)
        # Between its points the grid's distribution function is a straight line: off by the curvature over a step.
        own = 1e-4 if parameter == "root" else 1e-4 + STEP**2 / 8 * 4 / float(expected["sd_log"])
        for quantile in ("q0.025", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "q0.975"):
            assert figures[quantile][i] == pytest.approx(float(expected[quantile]), rel=own), (parameter, quantile)
    nodes_table = rows(reference(name) / f"bayes_grid_{root}_nodes.csv")
    nodes, means = column(phylogeny, nodes_table, "post_mean")
    agree(found.estimates[nodes, 0], means, 1e-4)
    agree(found.standard_errors[nodes, 0], column(phylogeny, nodes_table, "post_sd")[1], 1e-4)
    assert found.details[PRIMARY[name]]["posterior"]["error_bound"] < 1e-4


def test_the_case_of_the_notebook_equals_a_dense_grid() -> None:
    tree, observations = binary()
    expected = dense_grid(tree, observations.values[:, 0], np.zeros(16))
    found = posterior(tree, observations, **WIDE, root_state=0.0)
    figures = found.parameters["x0"]
    assert figures["log_evidence"].value == pytest.approx(expected["evidence"], rel=1e-6)
    assert figures["sigma2"].value == pytest.approx(expected["sigma2"], rel=1e-6)
    assert figures["tau2"].value == pytest.approx(expected["tau2"], rel=1e-6)
    assert found.tables["parameter table"]["sd"][0] == pytest.approx(expected["sigma2_sd"], rel=1e-6)
    agree(found.estimates[:, 0], expected["mean"], 1e-6)
    agree(found.standard_errors[:, 0], expected["sd"], 1e-6)
    assert found.estimates[0, 0] == pytest.approx(0, abs=1e-15)
    assert found.standard_errors[0, 0] == 0


@pytest.mark.slow
def test_both_ways_to_lay_out_the_plane_agree() -> None:
    tree, observations = binary()
    units = units_of(tree, observations)
    question = ask(tree, units.observations(observations), units, 0, Options(**WIDE)).question
    one, other = (integrate(kind(question), None, 1e-5, "x0") for kind in (SharedScale, SeparateScales))
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-8)
    for name in ("log_sigma2", "log_tau2"):
        means = [(found.weights * np.exp(getattr(found.cells, name))).sum() for found in (one, other)]
        assert means[0] == pytest.approx(means[1], rel=1e-6)


def test_known_errors_equal_to_a_known_noise_change_nothing() -> None:
    tree, observations = binary()
    known = Observations(observations.nodes, observations.values, np.full((16, 1), 0.5), observations.traits)
    options = {"prior_sigma2": "lognormal(0,2)", "root_mean": 0.0, "root_variance": 2.0}
    given = posterior(tree, observations, tau2=0.25, **options)
    errors = posterior(tree, known, tau2=0.0, **options)
    np.testing.assert_allclose(given.estimates, errors.estimates, atol=1e-7)
    np.testing.assert_allclose(given.columns["hpd_lower"], errors.columns["hpd_lower"], atol=1e-6)


def test_without_noise_the_rate_is_conjugate_to_an_inverse_gamma() -> None:
    tree, observations = binary()
    a, b = 2.0, 1.5
    found = posterior(tree, observations, prior_sigma2=f"invgamma({a},{b})", tau2=0.0, root_state=0.0)
    shared = root_paths(tree.topology.parents.tolist(), tree.lengths.tolist())[np.ix_(tree.tips, tree.tips)]
    y = observations.values[:, 0]
    shape, scale = a + 8, b + y @ np.linalg.solve(shared, y) / 2
    figures = found.tables["parameter table"]
    assert figures["mean"][0] == pytest.approx(scale / (shape - 1), rel=1e-6)
    assert figures["sd"][0] == pytest.approx(scale / (shape - 1) / np.sqrt(shape - 2), rel=1e-6)
    tips = tree.tips
    assert found.standard_errors[tips, 0].tolist() == [0] * 16
    np.testing.assert_array_equal(found.estimates[tips, 0], y)
    np.testing.assert_array_equal(found.columns["hpd_upper"][tips, 0], y)


@pytest.mark.parametrize(
    "prior",
    [
        "halfnormal(1)",
        pytest.param("halfcauchy(1)", marks=pytest.mark.slow),
        pytest.param("uniform(0,3)", marks=pytest.mark.slow),
        pytest.param("uniform(0.1,3)", marks=pytest.mark.slow),
        "invgamma(1,1)",
        pytest.param("invgamma(0.001,0.001)", marks=pytest.mark.slow),
    ],
)
def test_every_form_of_prior_agrees_with_a_sum_over_a_fine_grid(prior: str) -> None:
    tree, observations = binary()
    found = posterior(tree, observations, prior_sigma2=prior, prior_tau2=prior, root_state=0.0)
    density = parse_prior(prior)
    shared = root_paths(tree.topology.parents.tolist(), tree.lengths.tolist())[np.ix_(tree.tips, tree.tips)]
    values, vectors = np.linalg.eigh(shared)
    turned = vectors.T @ observations.values[:, 0]
    w = np.linspace(-16, 8, 1201) if not density.bounded else np.linspace(-30, 30, 1201)
    at = density.coordinate(w)
    v = np.exp(at.log_value)[:, None, None] * values + np.exp(at.log_value)[None, :, None]
    log_prior = density.log_density(at.log_value) + at.log_slope
    joint = -(np.log(2 * np.pi * v) + turned**2 / v).sum(-1) / 2 + log_prior[:, None] + log_prior[None]
    mass = np.exp(joint - joint.max())
    figures = found.parameters["x0"]
    assert figures["log_evidence"].value == pytest.approx(
        np.log(mass.sum() * (w[1] - w[0]) ** 2) + joint.max(), abs=1e-5
    )
    expected = (mass.sum(1) * np.exp(at.log_value)).sum() / mass.sum()
    assert figures["sigma2"].value == pytest.approx(expected, rel=1e-5)


def test_a_likelihood_that_peaks_at_no_rate_has_a_finite_posterior(reference: Callable[[str], Path]) -> None:
    phylogeny, observations = load(reference("geospiza"))
    found = posterior(phylogeny, observations)
    assert np.isfinite(found.standard_errors).all()
    assert (found.standard_errors[:, 0] > 0).all()
    assert found.warnings == ()
    figures = found.tables["parameter table"]
    assert 0 < figures["q0.025"][0] < figures["q0.975"][0] < np.inf


def test_intervals_hold_what_they_say_and_the_shortest_is_the_shortest() -> None:
    tree, observations = binary()
    found = posterior(tree, observations, level=0.8, root_mean=3.0, root_variance=0.5)
    lower, upper = found.columns["hpd_lower"], found.columns["hpd_upper"]
    width, equal = upper - lower, found.upper - found.lower
    assert (width <= equal * (1 + 1e-9)).all()
    assert (width < equal * (1 - 1e-5)).any()
    assert found.ends[0] is lower


def test_traits_do_not_depend_on_each_other() -> None:
    tree, observations = binary()
    rng = np.random.default_rng(0)
    other = 1000 * rng.normal(size=16) + 5
    other[3] = np.nan
    both = posterior(tree, seen(tree, np.stack([other, observations.values[:, 0]], 1)))
    alone = posterior(tree, observations)
    np.testing.assert_array_equal(both.estimates[:, 1], alone.estimates[:, 0])
    np.testing.assert_array_equal(both.columns["hpd_lower"][:, 1], alone.columns["hpd_lower"][:, 0])


def test_another_unit_of_the_trait_changes_nothing_else() -> None:
    tree, observations = binary()
    factor = 1e6
    scaled = Observations(
        observations.nodes, observations.values * factor + 3, observations.standard_errors, observations.traits
    )
    usual, moved = posterior(tree, observations), posterior(tree, scaled)
    np.testing.assert_allclose(moved.estimates, usual.estimates * factor + 3, rtol=1e-3, atol=1e-3 * factor)
    np.testing.assert_allclose(moved.standard_errors, usual.standard_errors * factor, rtol=1e-3)


def test_priors_that_leave_the_posterior_infinite_are_refused() -> None:
    tree, observations = binary()
    equal = Observations(
        observations.nodes, np.ones_like(observations.values), observations.standard_errors, observations.traits
    )
    with pytest.raises(ModelError, match="no finite integral"):
        posterior(tree, equal, prior_sigma2="halfnormal(1)", prior_tau2="halfnormal(1)")
    with pytest.raises(ModelError, match="no scale for a default prior of sigma2"):
        posterior(tree, equal)
    found = posterior(tree, equal, **WIDE)
    np.testing.assert_allclose(found.estimates, 1.0, rtol=1e-9)


@pytest.mark.slow
def test_a_noise_that_the_data_hardly_know_beside_a_rate_that_they_know_well() -> None:
    depth = 9
    topology = symmetric_topology(depth=depth, degree=2)
    names = Texts([f"n{i}" for i in range(topology.size)])
    tree = Phylogeny(topology, np.where(topology.is_root, 0.0, 1.0), names, Texts.blank(topology.size))
    states = np.random.default_rng(1).normal(size=topology.size)
    states[0] = 0.0
    for node in range(1, topology.size):
        states[node] += states[topology.parents[node]]
    found = posterior(tree, seen(tree, states[tree.tips]), **WIDE, root_state=0.0)
    # In the order of the tips, two share the levels in which the leading digits of their numbers agree.
    number = np.arange(2**depth)
    shared = depth - np.ceil(np.log2((number[:, None] ^ number) + 1))
    values, vectors = np.linalg.eigh(shared)
    values, groups = np.unique(values.round(6), return_inverse=True)
    power, times = np.bincount(groups, (vectors.T @ states[tree.tips]) ** 2), np.bincount(groups)
    log_s, log_t = np.linspace(-0.8, 0.8, 401), np.linspace(-16, 2, 1501)
    v = np.exp(log_s)[:, None, None] * values + np.exp(log_t)[:, None]
    height = -(times * np.log(v) + power / v).sum(-1) / 2 - log_s[:, None] ** 2 / 8 - log_t**2 / 8
    below = np.cumsum(np.exp(height - height.max()).sum(0))
    figures = found.tables["parameter table"]
    for probability in (0.025, 0.25, 0.5, 0.75, 0.975):
        # A sum stands for the middle of its last step.
        expected = np.interp(probability, (below - np.diff(below, prepend=0) / 2) / below[-1], log_t)
        assert np.log(figures[f"q{probability:g}"][1]) == pytest.approx(expected, abs=2e-3), probability


@pytest.mark.parametrize("name", ["sigma2", "tau2"])
@pytest.mark.parametrize("width", ["1e-6", pytest.param("1e-3", marks=pytest.mark.slow)])
def test_a_prior_as_narrow_as_a_needle_is_a_given_value(name: str, width: str) -> None:
    tree, observations = binary()
    needle = posterior(tree, observations, **{f"prior_{name}": f"lognormal(0,{width})"})
    given = posterior(tree, observations, **{name: 1.0})
    room = 10 * float(width) ** 2 + 1e-6
    np.testing.assert_allclose(needle.estimates, given.estimates, atol=room)
    np.testing.assert_allclose(needle.standard_errors, given.standard_errors, rtol=room)
    np.testing.assert_allclose(needle.columns["hpd_lower"], given.columns["hpd_lower"], atol=1e-5)
    assert needle.parameters["x0"]["log_evidence"].value == pytest.approx(
        given.parameters["x0"]["log_evidence"].value, abs=room
    )


@pytest.mark.parametrize("width", ["0.1", "0.5"])
def test_a_prior_far_from_what_the_data_say_is_no_infinite_one(width: str) -> None:
    tree, observations = binary()
    found = posterior(tree, observations, prior_sigma2=f"lognormal(40,{width})", prior_tau2="lognormal(-1,2)")
    # With as good as no information from relatives, the values say nothing about the noise either.
    figures = found.tables["parameter table"]
    assert figures["q0.5"][1] == pytest.approx(np.exp(-1), rel=1e-4)
    # A normal prior times a straight line: sixteen values less the root cost 15 / 2 for every step.
    moved = 40 - 7.5 * float(width) ** 2
    assert np.log(figures["q0.5"][0]) == pytest.approx(moved, abs=1e-4)


def test_priors_too_wide_for_a_variance_leave_standard_errors_empty_and_say_why() -> None:
    tree, observations = binary()
    three = np.where(np.arange(16) % 6 == 0, observations.values[:, 0], np.nan)
    found = posterior(tree, seen(tree, three), prior_sigma2="lognormal(0,20)", prior_tau2="lognormal(-1,2)")
    assert np.isnan(found.standard_errors).all()
    assert np.isfinite(found.lower).all()
    assert any("no finite variance themselves: standard errors are empty" in said for said in found.warnings)
    assert not any("cannot be estimated" in said for said in found.warnings)


def test_one_tip_leaves_the_priors_as_they_were() -> None:
    one = Phylogeny(from_parents([0, 0]), np.array([0.0, 2.0]), Texts(["", "A"]), Texts.blank(2))
    found = posterior(one, Observations(np.array([1]), np.array([[5.0]]), np.zeros((1, 1)), ("x0",)), **WIDE)
    figures = found.tables["parameter table"]
    assert figures["q0.5"][0] == pytest.approx(1, rel=1e-5)
    assert figures["q0.975"][1] == pytest.approx(np.exp(2 * 1.959963984540054), rel=1e-4)
    assert found.estimates[0, 0] == pytest.approx(5)


def test_a_given_root_that_an_observation_contradicts_is_refused() -> None:
    point = Phylogeny(from_parents([0]), np.zeros(1), Texts(["A"]), Texts.blank(1))
    one = Observations(np.array([0]), np.array([[5.0]]), np.zeros((1, 1)), ("x0",))
    with pytest.raises(ModelError, match="the root's state is not 4"):
        posterior(point, one, **WIDE | {"prior_tau2": None}, tau2=0.0, root_state=4.0)


def test_a_trait_without_values_is_empty_and_said() -> None:
    tree, observations = binary()
    nothing = np.stack([observations.values[:, 0], np.full(16, np.nan)], 1)
    found = posterior(tree, seen(tree, nothing))
    assert np.isnan(found.estimates[:, 1]).all()
    assert found.warnings == ("trait 'x1': no tip has a value, so that estimates are empty",)


def test_a_given_root_far_from_the_values_is_answered_or_refused() -> None:
    tree, observations = binary()
    found = posterior(tree, observations, root_state=1e10)
    assert found.estimates[0, 0] == 1e10
    # Whatever the processor makes of it in the unit of computation.
    odd = posterior(tree, observations, root_state=0.1 + 2**-40)
    ends = [odd.estimates, odd.lower, odd.upper, odd.columns["hpd_lower"], odd.columns["hpd_upper"]]
    assert [each[0, 0] for each in ends] == [0.1 + 2**-40] * 5
    assert found.parameters["x0"]["sigma2"].value > 1e12
    with pytest.raises(ModelError, match="root's state 1e\\+200 is out of all proportion"):
        posterior(tree, observations, root_state=1e200)
