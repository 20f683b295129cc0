"""The posterior of traits together under a file: against dense algebra, grids, one trait alone and the built-in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from hxcli.analyses.posterior.posterior import posterior
from hxcli.analyses.together.file_posterior import posterior_under_file
from hxcli.analyses.together.file_question import FileQuestion
from hxcli.analyses.together.joint_reconstruction import JointReconstruction
from hxcli.analyses.together.posterior import posterior_together
from hxcli.analyses.together.under_file import joint_model
from hxcli.errors import ModelError, OptionError
from hxcli.inference.matrix_programs import CompiledSweeps
from hxcli.inference.parameter_chains import tops_of
from hxcli.traits import Observations
from tests.analyses.test_under_file import BROWNIAN, CHASE, NOISE, ROOT, ROWS, TREE, read
from tests.dense_joint import Dense, dense_linear

# One unknown for each trait, which have nothing to do with each other.
APART = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal
def model(edge):
    rate = jnp.array([log_normal("first", median=1, sd=1), log_normal("second", median=2, sd=1)])
    return Gaussian(variance=edge.length * jnp.diag(rate))
"""
# The same two unknowns in both traits, with what is known of the root.
CORRELATED = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, normal, uniform
MEANS = ("middle",)
def model(edge):
    rate, r = log_normal("rate", median=1, sd=1), uniform("r", -1, 1)
    return Gaussian(variance=edge.length * rate * jnp.array([[1.0, r], [r, 1.0]]))
def root():
    return Gaussian(mean=normal("middle", mean=2, sd=1.5, shape=(2,)), variance=0.3)
"""
# A covariance that may be none.
SLACK = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, normal
def model(edge):
    rate, c = log_normal("rate", median=1, sd=1), normal("c", mean=0, sd=2)
    return Gaussian(variance=edge.length * jnp.array([[rate, c], [c, rate]]))
"""
# Nothing is known of a flat root.
FORGOTTEN = """
import jax.numpy as jnp
from hxcli.model import Gaussian
def model(edge):
    return Gaussian(scale=0.0, variance=jnp.eye(2))
"""
# The stronger the pull, the less is known of a flat root.
PULLED = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal
def model(edge):
    kept = jnp.exp(-log_normal("pull", median=1, sd=1) * edge.length)
    return Gaussian(scale=kept, variance=jnp.eye(2) * (1 - kept**2))
"""


@pytest.fixture(autouse=True)
def _precise() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def asked(folder: Path, text: str, **options: Any) -> FileQuestion:
    phylogeny, seen = read(folder)
    (folder / "own.py").write_text(text)
    settings = {"tau2": 0.0, "held": {}, "priors": {}, **options}
    return FileQuestion.of(joint_model(phylogeny, seen, str(folder / "own.py")), seen, **settings)


def solved(folder: Path, text: str, rows: str = ROWS, tree: str = TREE, **options: Any) -> JointReconstruction:
    phylogeny, seen = read(folder, rows, tree)
    (folder / "own.py").write_text(text)
    return posterior_under_file(phylogeny, seen, model=str(folder / "own.py"), **options)


def dense(question: FileQuestion, x: Any) -> Dense:
    """All cells as one large Gaussian, at one point of the search."""
    likelihood, bound = question.likelihood, question.bound
    edges, seen = likelihood.edges(x), likelihood.observations
    means = [name for name in bound.unknowns if not name.startswith("root(")]
    unknowns = [1.0 if name == means[-1] else question.held.get(name, np.nan) for name in means]
    free = len(likelihood.unknowns) - len(question.means)
    priors = [(each.mean, each.deviation**-2) for each in question.means.values()]
    return dense_linear(
        bound.fields.phylogeny.topology.parents,
        edges,
        seen.nodes,
        seen.values,
        np.sqrt(seen.standard_errors**2 + likelihood.tau2),
        free_root=free > 0,
        unknowns=np.array(unknowns),
        noise=edges.noise,
        priors=np.array([(0.0, 0.0)] * free + priors).reshape(-1, 2).T,
    )


CASES = [
    (CHASE + ROOT, {}, {}, 0.0),
    (CHASE + ROOT + NOISE, {}, {"theta(2)": "normal(1,0.5)"}, 0.1),
    (CHASE, {"theta(1)": 4.0}, {}, 0.0),
    (BROWNIAN, {}, {"sigma(2)": "halfnormal(2)"}, 0.2),
]
NAMES = ["stationary root", "noise", "free root", "motion"]


@pytest.mark.parametrize(
    ("text", "held", "priors", "tau2"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (name != "motion"), id=name)
        for case, name in zip(CASES, NAMES, strict=True)
    ],
)
def test_densities_and_states_are_those_of_dense_algebra(
    tmp_path: Path, text: str, held: Any, priors: Any, tau2: float
) -> None:
    question = asked(tmp_path, text, held=held, priors=priors, tau2=tau2)
    density, likelihood = question.density, question.likelihood
    w = 0.5 * np.random.default_rng(1).standard_normal((2, len(density.priors)))
    heights, loose = density.heights(w)
    assert not loose.any()
    x = density.search(w)
    truth = [dense(question, each) for each in x]
    expected = np.array([each.integrated for each in truth])
    np.testing.assert_allclose(heights - density.log_prior(w), expected, rtol=1e-9)
    means, variances = likelihood.states_at(x)
    for place, each in enumerate(truth):
        found, deviations = likelihood.units.states(means[place], np.sqrt(variances[place]))
        np.testing.assert_allclose(found.ravel(), each.means, atol=1e-8)
        np.testing.assert_allclose(deviations.ravel() ** 2, each.variances, atol=1e-8)
    depths, slopes = density.depths(w)
    np.testing.assert_allclose(depths, -heights, rtol=1e-12)
    for axis in range(w.shape[1]):
        step = 1e-5 * np.eye(w.shape[1])[axis]
        by_difference = (density(w + step) - density(w - step)) / 2e-5
        np.testing.assert_allclose(slopes[:, axis], -by_difference, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "held", "priors", "tau2"), CASES, ids=NAMES)
def test_a_density_that_is_traced_is_the_same(tmp_path: Path, text: str, held: Any, priors: Any, tau2: float) -> None:
    density = asked(tmp_path, text, held=held, priors=priors, tau2=tau2).density
    w = 0.5 * np.random.default_rng(1).standard_normal((2, len(density.priors)))
    depths, slopes = density.depths(w)
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(density.traced(w[0]))))(jnp.asarray(w))
    np.testing.assert_allclose(values, -depths, rtol=1e-9)
    np.testing.assert_allclose(gradients, -slopes, rtol=1e-6, atol=1e-7)
    # On trees of very many levels all is compiled.
    density.likelihood.sweeps = CompiledSweeps(density.likelihood.placed)
    np.testing.assert_allclose(density(w), -depths, rtol=1e-9)


def test_what_is_no_covariance_is_impossible(tmp_path: Path) -> None:
    density = asked(tmp_path, SLACK).density
    w = np.array([[0.0, 0.3], [0.0, 0.6], [0.0, -0.6]])
    assert np.isfinite(density(w)).tolist() == [True, False, False]
    depths, slopes = density.depths(w)
    assert (depths[1:] == 1e300).all()
    assert (slopes[1:] == 0).all()


def test_a_noise_of_nodes_that_nobody_observed_is_of_no_account(tmp_path: Path) -> None:
    noise = "def noise(tip):\n    return jnp.where(tip.is_tip, 0.1, VALUE) * jnp.eye(2)\n"
    w = np.array([[0.0, 0.3]])
    found = [asked(tmp_path, SLACK + noise.replace("VALUE", value)).density(w) for value in ("0.1", "jnp.nan")]
    assert np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.slow
def test_traits_that_are_apart_are_those_by_themselves(tmp_path: Path) -> None:
    found = solved(tmp_path, APART)
    assert found.about_all["posterior"]["method"] == "quadrature"
    phylogeny, seen = read(tmp_path)
    evidence = 0.0
    for trait, (name, median) in enumerate((("first", 1), ("second", 2))):
        (tmp_path / "one.py").write_text(
            "from hxcli.model import Gaussian, log_normal\ndef model(edge):\n"
            f"    return Gaussian(variance=edge.length * log_normal({name!r}, median={median}, sd=1) * 1.0)\n"
        )
        own = Observations(
            seen.nodes, seen.values[:, [trait]], seen.standard_errors[:, [trait]], seen.traits[trait : trait + 1]
        )
        alone = posterior(phylogeny, own, models=(str(tmp_path / "one.py"),), tau2=0.0)
        evidence += alone.parameters[own.traits[0]]["log_evidence"].value
        for which in ("estimates", "standard_errors", "lower", "upper"):
            both = getattr(found, which)[:, trait], getattr(alone, which)[:, 0]
            np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-4)
        told = row(found, name)
        rows = alone.tables["parameter table"]
        at = rows["parameter"].index(name)
        for figure in ("mean", "sd", "q0.025", "q0.975"):
            assert told[figure] == pytest.approx(rows[figure][at], rel=1e-4)
    assert found.about_all["posterior"]["log_evidence"] == pytest.approx(evidence, abs=1e-5)


def row(found: JointReconstruction, parameter: str) -> dict[str, Any]:
    table = found.tables["parameter table"]
    at = table["parameter"].index(parameter)
    return {name: column[at] for name, column in table.items()}


def grid_of(question: FileQuestion, ends: Any, points: int) -> tuple[Any, ...]:
    """Weights, values, evidence, means and deviations of states, over an even grid, by dense algebra."""
    density = question.density
    axes = [np.linspace(*each, points) for each in ends]
    w = np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], 1)
    truth = [dense(question, x) for x in density.search(w)]
    heights = np.array([each.integrated for each in truth]) + density.log_prior(w)
    weights = np.exp(heights - heights.max())
    area = np.prod([axis[1] - axis[0] for axis in axes])
    evidence = heights.max() + np.log(weights.sum() * area)
    weights /= weights.sum()
    means, variances = (np.stack([getattr(each, name) for each in truth]) for name in ("means", "variances"))
    middle = weights @ means
    spread = np.sqrt(np.maximum(weights @ (variances + (means - middle) ** 2), 0))
    return weights, density.values(w), evidence, middle, spread


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options", "widest"),
    [(CORRELATED, {"tau2": 0.05}, 3.5), (BROWNIAN, {"held": {"sigma(1)": 1.2}}, 1.5)],
    ids=["root of the file", "flat root"],
)
def test_it_is_the_posterior_that_a_grid_gives(
    tmp_path: Path, text: str, options: dict[str, Any], widest: float
) -> None:
    found = solved(tmp_path, text, **options)
    question = asked(tmp_path, text, **options)
    assert found.about_all["posterior"]["method"] == "quadrature"
    assert found.about_all["posterior"]["error_bound"] < 1e-4
    weights, values, evidence, middle, spread = grid_of(question, ((-widest, widest), (-5, 5)), 33)
    assert found.about_all["posterior"]["log_evidence"] == pytest.approx(evidence, abs=1e-4)
    np.testing.assert_allclose(found.estimates.ravel(), middle, atol=1e-4)
    np.testing.assert_allclose(found.standard_errors.ravel(), spread, atol=2e-4)
    for name, value in zip(question.density.names, values.T, strict=True):
        told = row(found, name)
        assert told["trait"] == "u+v"
        assert told["mean"] == pytest.approx(weights @ value, abs=1e-3)
        assert told["sd"] == pytest.approx(np.sqrt(weights @ (value - weights @ value) ** 2), rel=2e-3)


@pytest.mark.slow
def test_samplers_find_what_weighed_draws_are(tmp_path: Path) -> None:
    pytest.importorskip("numpyro")
    text, options = BROWNIAN + NOISE, {"priors": {"error": "lognormal(-1,0.5)"}}
    question = asked(tmp_path, text, **options)
    density = question.density
    # From around the top, as a normal distribution with twice the variance that the curvature says, and all over.
    top = tops_of(density, [1, 0], 3)[0]
    steps = 1e-4 * np.eye(len(top))
    curvature = (density.depths(top + steps)[1] - density.depths(top - steps)[1]) / 2e-4
    covariance = 2 * np.linalg.inv((curvature + curvature.T) / 2)
    proposals = [multivariate_normal(top, covariance), multivariate_normal(top, 1.5**2 * np.eye(len(top)))]
    w = np.concatenate([each.rvs(1500, random_state=number) for number, each in enumerate(proposals)])
    truth = [dense(question, x) for x in density.search(w)]
    logs = np.array([each.integrated for each in truth]) + density.log_prior(w)
    logs -= np.log(np.mean([each.pdf(w) for each in proposals], 0))
    weights = np.exp(logs - logs.max())
    evidence, share = logs.max() + np.log(weights.mean()), weights.sum() ** 2 / (weights**2).sum()
    assert share > 400
    weights /= weights.sum()
    values = density.values(w)
    means, variances = (np.stack([getattr(each, name) for each in truth]) for name in ("means", "variances"))
    middle = weights @ means
    spread = np.sqrt(np.maximum(weights @ (variances + (means - middle) ** 2), 0))
    for method, samples in (("quadrature", 1_000), ("nuts", 400)):
        found = solved(tmp_path, text, method=method, samples=samples, seed=3, **options)
        about = found.about_all["posterior"]
        if method == "quadrature":
            assert about["log_evidence"] == pytest.approx(evidence, abs=5 / np.sqrt(share))
        assert about["method"] == {"quadrature": "independence", "nuts": "nuts"}[method]
        for axis, name in enumerate(density.names):
            told, deviation = row(found, name), np.sqrt(weights @ (values[:, axis] - weights @ values[:, axis]) ** 2)
            assert told["rhat"] < 1.03
            error = np.sqrt(1 / share + 1 / told["ess_bulk"])
            assert abs(told["mean"] - weights @ values[:, axis]) < 5 * error * deviation
            assert told["sd"] == pytest.approx(deviation, rel=0.3)
        np.testing.assert_allclose((found.estimates.ravel() - middle) / spread, 0, atol=0.12)
        np.testing.assert_allclose(found.standard_errors.ravel(), spread, rtol=0.15)


@pytest.mark.slow
def test_brownian_motion_in_a_file_has_the_posterior_of_the_built_in_one(tmp_path: Path) -> None:
    pytest.importorskip("numpyro")
    own = solved(tmp_path, BROWNIAN, samples=1_200, seed=1)
    phylogeny, seen = read(tmp_path)
    built_in = posterior_together(phylogeny, seen, priors={"sigma": "lognormal(0,2)"}, samples=1_200, seed=1)
    table = built_in.tables["parameter table"]
    for name, which, trait in (("sigma(1)", "sigma2", "u"), ("sigma(2)", "sigma2", "v"), ("r", "correlation(v)", "u")):
        at = next(
            i for i, each in enumerate(zip(table["trait"], table["parameter"], strict=True)) if each == (trait, which)
        )
        told = row(own, name)
        for figure in ("q0.25", "q0.5", "q0.75"):
            value = told[figure] ** 2 if which == "sigma2" else told[figure]
            assert value == pytest.approx(table[figure][at], rel=0.08, abs=0.03)
    scale = built_in.standard_errors.max()
    np.testing.assert_allclose(own.estimates, built_in.estimates, atol=0.06 * scale)
    inside = built_in.standard_errors > 0
    np.testing.assert_allclose(own.standard_errors[inside], built_in.standard_errors[inside], rtol=0.1)
    np.testing.assert_array_equal(own.standard_errors[~inside], 0)


def test_given_parameters_leave_what_dense_algebra_says(tmp_path: Path) -> None:
    held = {"sigma(1)": 1.2, "sigma(2)": 0.7, "r": 0.3}
    found = solved(tmp_path, BROWNIAN, held=held, draws=20)
    assert found.about_all["posterior"]["method"] == "given parameters"
    truth = dense(asked(tmp_path, BROWNIAN, held=held), np.zeros(0))
    np.testing.assert_allclose(found.estimates.ravel(), truth.means, atol=1e-9)
    np.testing.assert_allclose(found.standard_errors.ravel() ** 2, truth.variances, atol=1e-9)
    assert found.about_all["posterior"]["log_evidence"] == pytest.approx(truth.integrated, rel=1e-9)
    assert found.about_all["posterior"]["log_evidence_of"].startswith("the observations' contrasts")
    assert found.tables["draws"]["states"].shape == (40, len(found.estimates))
    assert row(found, "r")["mean"] == 0.3


@pytest.mark.slow
def test_draws_are_of_all_nodes_and_parameters_together(tmp_path: Path) -> None:
    held = {"pull(1)": 0.8, "pull(2)": 1.2, "cross": -0.5, "sigma(1)": 1.0, "sigma(2)": 0.7, "r": 0.3}
    found = solved(tmp_path, CHASE + ROOT, held=held, draws=6_000, seed=2)
    assert found.about_all["posterior"]["method"] == "given parameters"
    question = asked(tmp_path, CHASE + ROOT, held=held)
    truth = dense(question, np.zeros(0))
    np.testing.assert_allclose(found.estimates.ravel(), truth.means, atol=1e-9)
    np.testing.assert_allclose(found.standard_errors.ravel() ** 2, truth.variances, atol=1e-9)
    assert found.about_all["posterior"]["log_evidence"] == pytest.approx(truth.integrated, rel=1e-9)
    drawn = found.tables["draws"]
    states = np.moveaxis(drawn["states"].reshape(2, 6_000, -1), 0, 2).reshape(6_000, -1)
    spread = np.sqrt(np.maximum(truth.variances, 0))
    sure = spread < 1e-6
    np.testing.assert_array_equal(states[:, sure], np.broadcast_to(found.estimates.ravel()[sure], (6_000, sure.sum())))
    unit = np.where(sure, 1, spread)
    np.testing.assert_allclose((states.mean(0) - truth.means) / unit, 0, atol=5 / np.sqrt(6_000))
    np.testing.assert_allclose(states.std(0) / unit, ~sure, atol=0.05)
    # The root is at the optimum but for its variance, so that both go together, as two nodes do.
    theta = np.stack([drawn[f"theta({i})"][:6_000] for i in (1, 2)], 1)
    for trait in range(2):
        told = row(found, f"theta({trait + 1})")
        assert theta[:, trait].mean() == pytest.approx(told["mean"], abs=5 * told["sd"] / np.sqrt(6_000))
        assert theta[:, trait].std() == pytest.approx(told["sd"], rel=0.05)
    correlation = np.corrcoef(np.concatenate([states[:, ~sure], theta], 1).T)
    np.testing.assert_allclose(correlation, joint_correlation(question, ~sure), atol=0.07)
    assert (np.asarray(drawn["pull(1)"]) == 0.8).all()


def joint_correlation(question: FileQuestion, which: Any) -> Any:
    """That of states and means given the cells, from how states move when cells do, by dense algebra."""
    likelihood, bound = question.likelihood, question.bound
    edges, seen = likelihood.edges(np.zeros(0)), likelihood.observations
    parents, size, traits = bound.fields.phylogeny.topology.parents, len(edges.transition), 2
    whole = np.zeros((size * traits + 2, size * traits + 2))
    prior = np.diag([each.deviation**2 for each in question.means.values()])
    # The means come first; all else is made of them and of what happens on edges.
    part = np.zeros((size * traits, 2 + size * traits))
    noise = np.zeros((2 + size * traits, 2 + size * traits))
    noise[:2, :2] = prior
    for node in range(size):
        own = slice(node * traits, (node + 1) * traits)
        above = slice(parents[node] * traits, (parents[node] + 1) * traits)
        at = slice(2 + node * traits, 2 + (node + 1) * traits)
        part[own, :2] = edges.root_mean[:, :2] if node == 0 else edges.shift[node][:, :2]
        if node:
            part[own] += edges.transition[node] @ part[above]
        part[own, at] += np.eye(traits)
        noise[at, at] = edges.root_variance if node == 0 else edges.variance[node]
    every = np.concatenate([part, np.eye(2, part.shape[1])])
    whole = every @ noise @ every.T
    rows, trait = np.nonzero(~np.isnan(seen.values))
    place = seen.nodes[rows] * traits + trait
    v = whole[np.ix_(place, place)] + np.diag(seen.standard_errors[rows, trait] ** 2)
    left = whole - whole[:, place] @ np.linalg.solve(v, whole[place])
    kept = np.concatenate([np.flatnonzero(which), [size * traits, size * traits + 1]])
    left = left[np.ix_(kept, kept)]
    unit = np.sqrt(np.diag(left))
    return left / unit / unit[:, None]


@pytest.mark.slow
def test_orders_and_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpyro")
    turned = (
        "(((J:0.3):0.5,(I:1.1,H:0.8):0.1):0.7,(G:0,((B:0.4,A:0.7):0.3,((F:0.5,E:0.9,D:0.2):0.6,C:1):0.4):0.5):0.2);"
    )
    lines = ROWS.strip().split("\n")
    rows = "\n".join([lines[0], *lines[:0:-1]]) + "\n"
    options = {"samples": 300, "chains": 2, "draws": 50, "seed": 4}
    found = [solved(tmp_path, BROWNIAN, **options)]
    monkeypatch.setenv("NPROC", "1")
    found.append(solved(tmp_path, BROWNIAN, **options))
    found.append(solved(tmp_path, BROWNIAN, rows, turned, **options))
    first, again, other = (each.tables["parameter table"] for each in found)
    assert first == again or str(first) == str(again)
    assert str(first) == str(other)
    labels = [each.phylogeny.labels.tolist() for each in found]
    tips = [name for name in labels[0] if name]
    for name in tips:
        places = [own.index(name) for own in labels]
        np.testing.assert_array_equal(found[0].estimates[places[0]], found[2].estimates[places[2]])
        np.testing.assert_array_equal(
            found[0].tables["draws"]["states"][:, places[0]], found[2].tables["draws"]["states"][:, places[2]]
        )
    np.testing.assert_array_equal(found[0].tables["draws"]["states"], found[1].tables["draws"]["states"])


@pytest.mark.slow
def test_the_order_of_traits_changes_nothing_but_their_order(tmp_path: Path) -> None:
    swapped = "\n".join(",".join(each.split(",")[i] for i in (0, 2, 1, 3)) for each in ROWS.strip().split("\n"))
    found = [solved(tmp_path, CORRELATED), solved(tmp_path, CORRELATED, swapped + "\n")]
    assert found[1].traits == ("v", "u")
    np.testing.assert_allclose(found[0].estimates, found[1].estimates[:, ::-1], atol=1e-8)
    np.testing.assert_allclose(found[0].standard_errors, found[1].standard_errors[:, ::-1], atol=1e-8)
    for name in ("rate", "r"):
        assert row(found[0], name)["mean"] == pytest.approx(row(found[1], name)["mean"], rel=1e-8)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        (APART, {"priors": {"third": "halfnormal(1)"}}, OptionError, "--prior third: model own has no such free"),
        (APART, {"priors": {"root(u)": "normal(0,1)"}}, OptionError, r"--prior root\(u\): without a root\(\) in the"),
        (APART, {"held": {"first": -1}}, OptionError, "--set first=-1: outside its support"),
        (APART, {"held": {"first": 1.0}, "priors": {"first": "halfnormal(1)"}}, OptionError, "no such free parameter"),
        (
            FORGOTTEN,
            {},
            ModelError,
            r"with flat 'root' and the other priors the posterior has no finite integral.*root\(\)",
        ),
        pytest.param(PULLED, {}, ModelError, "no finite integral", marks=pytest.mark.slow),
    ],
)
def test_refusals(tmp_path: Path, text: str, options: Mapping[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        solved(tmp_path, text, **options)
