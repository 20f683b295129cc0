"""Posteriors under files with values of every edge, beside draws from the prior that dense algebra weighs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import ndtr

from hxcli.analyses.posterior.gaussian_question import GaussianQuestion
from hxcli.analyses.posterior.posterior import posterior
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.whole_files import models_returning
from hxcli.analyses.simulate import simulate
from hxcli.engine.topology import from_parents
from hxcli.errors import DeclarationError, OptionError
from hxcli.inference.column_density import ColumnDensity
from hxcli.model import Gaussian
from hxcli.models.edge_fields import edge_fields
from hxcli.painting import unpainted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.text_columns import Texts
from hxcli.traits import Observations

HEAD = "import jax.numpy as jnp\nfrom hxcli.model import Gaussian, log_normal, normal, param, record, uniform\n"
# Six tips; nodes in breadth-first order.
PARENTS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 6, 6])
LENGTHS = np.array([0, 0.5, 0.8, 0.4, 0.9, 1.1, 0.3, 0.6, 0.2, 0.7, 0.4])
TIPS = np.array([4, 5, 7, 8, 9, 10])
VALUES = np.array([0.9, -1.6, 1.4, 1.1, 0.1, -0.4])
STARTS = np.array([0.0] * 11)
for node in range(1, 11):
    STARTS[node] = STARTS[PARENTS[node]] + LENGTHS[PARENTS[node]]
# Whether an edge leads to a tip, for every tip.
PATHS = np.zeros((6, 11))
for number, tip in enumerate(TIPS):
    while tip:
        PATHS[number, tip] = 1
        tip = PARENTS[tip]
ROOT = {"root_mean": 0.2, "root_variance": 0.5}
CLOCK = (
    "def model(edge):\n"
    "    sigma2, spread = log_normal('sigma2', median=0.5, sd=0.7), uniform('spread', 0.2, 0.8)\n"
    "    rate = log_normal('rate', median=1 + edge.start, sd=spread, per='edge')\n"
    "    return Gaussian(variance=record('pace', sigma2 * rate) * edge.length)\n"
)
# The same, its prior written out.
WRITTEN = CLOCK.replace(
    "log_normal('rate', median=1 + edge.start, sd=spread, per='edge')",
    "(1 + edge.start) * jnp.exp(spread * normal('rate', per='edge'))",
)
# With an optimum that moves from edge to edge, two numbers of every edge, and one that is in noise too.
MOVING = (
    "MEANS = ('level',)\n"
    "def model(edge):\n"
    "    level, sd = normal('level', mean=0, sd=1), log_normal('sd', median=0.5, sd=0.5)\n"
    "    theta = normal('theta', mean=level, sd=sd, per='edge', shape=2)\n"
    "    kept = jnp.exp(-edge.length)\n"
    "    return Gaussian(kept, theta[1] * (1 - kept), 0.3 * (1 - kept**2))\n"
    "def noise(tip):\n    return uniform('error', 0.01, 0.2, per='edge')\n"
)


def tree_of() -> Phylogeny:
    topology = from_parents(PARENTS)
    labels = tuple(f"t{i:02}" if topology.is_leaf[i] else "" for i in range(topology.size))
    return Phylogeny(topology, LENGTHS, Texts(labels), Texts(("",) * topology.size))


def seen_on(tree: Phylogeny) -> Observations:
    return Observations(tree.tips, VALUES[:, None], np.zeros((6, 1)), ("x",))


def file_of(path: Path, text: str) -> str:
    path.write_text(HEAD + text)
    return str(path)


def density_of(path: Path, text: str, **options: Any) -> ColumnDensity:
    tree, name = tree_of(), file_of(path, text)
    painted, wanted = unpainted(tree), Options(models=(name,), **options)
    (model,) = models_returning(Gaussian, painted, wanted).values()
    return GaussianQuestion(name, model, edge_fields(painted), seen_on(tree), 0, wanted).density()


def dense(sigma2: Any, rate: FloatArray, tau2: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log densities of the values, and means and variances of the root given them, at K sets, (K,) and (K, 11)."""
    variance = np.asarray(sigma2)[:, None] * rate * LENGTHS
    v = np.einsum("ie,ke,je->kij", PATHS, variance, PATHS) + ROOT["root_variance"]
    v += np.asarray(tau2)[:, None, None] * np.eye(6)
    rest = np.broadcast_to(VALUES - ROOT["root_mean"], (len(v), 6))
    both = np.linalg.solve(v, np.stack([rest, np.ones_like(rest)], -1))
    heights = -((rest * both[..., 0]).sum(1) + np.linalg.slogdet(v)[1] + 6 * math.log(2 * math.pi)) / 2
    mean = ROOT["root_mean"] + ROOT["root_variance"] * both[..., 0].sum(1)
    return heights, mean, ROOT["root_variance"] - ROOT["root_variance"] ** 2 * both[..., 1].sum(1)


@pytest.mark.slow
def test_the_density_is_dense_algebra_and_its_gradient_that_of_differences(tmp_path: Path) -> None:
    density = density_of(tmp_path / "clock.py", CLOCK, tau2=0.1, **ROOT)
    assert density.names == ("sigma2", "spread")
    w = np.random.default_rng(1).normal(size=(5, 12))
    sigma2, spread = 0.5 * np.exp(0.7 * w[:, 0]), 0.2 + 0.6 * ndtr(w[:, 1])
    rate = np.concatenate([np.ones((5, 1)), (1 + STARTS[1:]) * np.exp(spread[:, None] * w[:, 2:])], 1)
    heights, _, _ = dense(sigma2, rate, np.full(5, 0.1))
    of_priors = -(w**2).sum(1) / 2 - 6 * math.log(2 * math.pi)
    np.testing.assert_allclose(density(w), heights + of_priors, rtol=1e-9)
    np.testing.assert_allclose(density.edge_values(density.values(w))["rate"][:, 1:], rate[:, 1:], rtol=1e-12)
    _, slopes = density.depths(w[:1])
    moved = w[:1] + 1e-4 * np.concatenate([np.eye(12), -np.eye(12)])
    ahead, behind = np.split(-density(moved), 2)
    np.testing.assert_allclose(slopes[0], (ahead - behind) / 2e-4, atol=1e-6)
    assert float(jax.jit(density.traced(w[0]))(w[0])) == pytest.approx(float(density(w[:1])[0]), rel=1e-9)
    other = density_of(tmp_path / "written.py", WRITTEN, tau2=0.1, **ROOT)
    np.testing.assert_allclose(other(w), density(w), rtol=1e-12)


def test_what_a_prior_of_edges_follows_is_not_solved_for(tmp_path: Path) -> None:
    density = density_of(tmp_path / "moving.py", MOVING, **ROOT)
    assert density.names == ("level", "sd")
    assert density.of_edges.shapes == (("theta", (2,)), ("error", ()))
    assert density.of_edges.numbers == 30
    w = np.random.default_rng(2).normal(size=(1, 32))
    found = density.edge_values(density.values(w))
    theta = w[0, 0] + 0.5 * np.exp(0.5 * w[0, 1]) * w[0, 2:22].reshape(10, 2)
    np.testing.assert_allclose(found["theta"][0, 1:], theta, rtol=1e-10)
    assert np.isnan(found["theta"][0, 0]).all()
    assert ((found["error"][:, 1:] > 0.01) & (found["error"][:, 1:] < 0.2)).all()


def row_of(found: Reconstruction, name: str) -> dict[str, float]:
    table = found.tables["parameter table"]
    place = table["parameter"].index(name)
    return {column: values[place] for column, values in table.items()}


@pytest.mark.slow
@pytest.mark.parametrize("text", [CLOCK, WRITTEN], ids=["declared", "written"])
def test_the_posterior_is_that_of_weighed_draws_from_the_prior(tmp_path: Path, text: str) -> None:
    tree, name = tree_of(), file_of(tmp_path / "clock.py", text)
    options = {"prior_tau2": "lognormal(-3,0.7)", "seed": 3, **ROOT}
    found = posterior(tree, seen_on(tree), models=(name,), draws=2000, samples=2000, **options)
    again = posterior(tree, seen_on(tree), models=(name,), draws=2000, samples=2000, **options)
    np.testing.assert_array_equal(found.estimates, again.estimates)
    np.testing.assert_array_equal(found.columns["rate_lower"], again.columns["rate_lower"])
    count, random = 400_000, np.random.default_rng(4)
    z = random.normal(size=(count, 13))
    sigma2, spread = 0.5 * np.exp(0.7 * z[:, 0]), 0.2 + 0.6 * ndtr(z[:, 1])
    tau2 = np.exp(-3 + 0.7 * z[:, 2])
    rate = np.concatenate([np.ones((count, 1)), (1 + STARTS[1:]) * np.exp(spread[:, None] * z[:, 3:])], 1)
    heights, mean, variance = dense(sigma2, rate, tau2)
    weights = np.exp(heights - heights.max())
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert effective > 5000
    weights /= weights.sum()

    def figures(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        middle = weights @ values
        return middle, np.sqrt(weights @ (values - middle) ** 2)

    error = 5 * (1 / math.sqrt(effective) + 1 / math.sqrt(2000))
    for parameter, values in (("sigma2", sigma2), ("spread", spread), ("tau2", tau2)):
        row, (middle, spread_of) = row_of(found, parameter), figures(values)
        assert abs(row["mean"] - middle) < error * spread_of, parameter
        assert row["sd"] == pytest.approx(spread_of, rel=0.12), parameter
        assert row["rhat"] < 1.01
    own = rate if text == CLOCK else np.concatenate([np.ones((count, 1)), z[:, 3:]], 1)
    middle, spread_of = figures(own)
    assert np.isnan(found.columns["rate"][0, 0])
    assert (abs(found.columns["rate"][1:, 0] - middle[1:]) < error * spread_of[1:]).all()
    np.testing.assert_allclose(found.columns["rate_se"][1:, 0], spread_of[1:], rtol=0.15)
    order = np.argsort(own[:, 5])
    ends = own[order, 5][np.searchsorted(np.cumsum(weights[order]), [0.025, 0.5, 0.975])]
    for end, name_of in zip(ends, ("rate_lower", "rate_median", "rate_upper"), strict=True):
        assert found.columns[name_of][5, 0] == pytest.approx(end, abs=0.25 * spread_of[5])
    root = weights @ mean
    deviation = math.sqrt(weights @ (variance + (mean - root) ** 2))
    assert found.estimates[0, 0] == pytest.approx(root, abs=error * deviation)
    assert found.standard_errors[0, 0] == pytest.approx(deviation, rel=0.05)
    drawn = found.tables["draws"]
    assert drawn["rate"].shape == (2000, 11)
    np.testing.assert_allclose(drawn["rate"][:, 1:].mean(0), middle[1:], atol=0.15 * spread_of.max())
    about = found.details["x"]["posterior"]
    assert about["method"] == "nuts"
    assert about["diagnostics"]["rate (the worst edge)"]["rhat"] < 1.01
    if text == CLOCK:
        pace = found.columns["pace"][1:, 0]
        np.testing.assert_allclose(pace, row_of(found, "sigma2")["mean"] * found.columns["rate"][1:, 0], rtol=1e-9)


@pytest.mark.slow
def test_means_that_are_solved_for_and_arrays_of_every_edge(tmp_path: Path) -> None:
    """A mean that nothing of the edges follows is still solved for; one that something does is drawn."""
    tree = tree_of()
    apart = MOVING.replace("mean=level", "mean=0").replace("theta[1]", "(level + theta[1])")
    options = {"seed": 1, **ROOT}
    one, other = (
        posterior(tree, seen_on(tree), models=(file_of(tmp_path / f"{name}.py", text),), **options)
        for name, text in (("moving", MOVING), ("apart", apart))
    )
    assert "ess_bulk" in one.details["x"]["posterior"]["diagnostics"]["level"]
    assert "level" not in other.details["x"]["posterior"]["diagnostics"]
    for name in ("level", "sd"):
        assert row_of(one, name)["mean"] == pytest.approx(
            row_of(other, name)["mean"], abs=0.15 * row_of(one, name)["sd"]
        )
    np.testing.assert_allclose(one.estimates, other.estimates, atol=0.03)
    # The first number of an edge is in no likelihood: its posterior is its prior's.
    assert abs(other.columns["theta(1)"][1:]).max() < 0.15
    assert set(one.columns) >= {"theta(2)", "theta(2)_se", "theta(1)_upper", "error", "error_lower"}


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (CLOCK, {"held": {"rate": 1.0}}, "--set rate: every edge has a value of its own, whose prior is the file's"),
        (CLOCK, {"priors": {"rate": "lognormal(0,1)"}}, "--prior rate: every edge has a value of its own"),
        (CLOCK.replace("sd=spread", "sd=edge.start - 1"), {}, "line 5: the prior of 'rate' is none on "),
        (
            CLOCK.replace("log_normal('rate', median=1 + edge.start, sd=spread,", "param('rate',"),
            {},
            "and has no prior",
        ),
        ("RATES = ('rate',)\n" + CLOCK, {}, "RATES names what all edges share"),
        (CLOCK + "def noise(tip):\n    return log_normal('rate', median=tip.start, per='edge')\n", {}, "declared diff"),
        (
            CLOCK + "def root():\n    return Gaussian(mean=normal('rate', per='edge'), variance=1)\n",
            {},
            "and root() is of none",
        ),
        (CLOCK.replace("'rate'", "'se'"), {}, "'se' is a column of the table already"),
        (CLOCK.replace("'pace'", "'rate_se'"), {}, "'rate_se' is a column of the table already"),
        (CLOCK, {"models": ("bm",)}, "is sampled (rate of every edge), which gives no evidence to weigh models by"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, options: dict[str, Any], said: str) -> None:
    tree, name = tree_of(), file_of(tmp_path / "mine.py", text)
    models = (name, *options.pop("models", ()))
    with pytest.raises((OptionError, DeclarationError)) as caught:
        posterior(tree, seen_on(tree), models=models, tau2=0.1, **options)
    assert said in str(caught.value)


@pytest.mark.slow
def test_draws_of_traits_draw_every_edge_anew(tmp_path: Path) -> None:
    tree, name = tree_of(), file_of(tmp_path / "clock.py", CLOCK)
    held = {"sigma2": 0.7, "spread": 0.6, "root": 1.0}

    def drawn(number: int, **more: float) -> FloatArray:
        found = simulate(tree, seen_on(tree), models=(name,), held={**held, **more}, number=number, seed=5)
        return np.asarray(found.tables["simulation"]["values"])

    few = drawn(3)
    np.testing.assert_array_equal(few, drawn(3))
    assert (few != drawn(3, rate=1.0)).all()
    with pytest.raises(OptionError, match="--set rate=-1: outside its support, 0 to inf"):
        drawn(1, rate=-1.0)


@pytest.mark.slow
def test_many_draws_of_traits_have_the_moments_of_their_priors(tmp_path: Path) -> None:
    tree, name = tree_of(), file_of(tmp_path / "clock.py", CLOCK)
    held = {"sigma2": 0.7, "spread": 0.6, "root": 1.0}
    number = 4000
    for more, mean, square in (
        ({}, math.exp(0.6**2 / 2), math.exp(2 * 0.6**2)),
        ({"rate": 2.0}, 2 / (1 + STARTS), 4 / (1 + STARTS) ** 2),
    ):
        found = simulate(tree, seen_on(tree), models=(name,), held={**held, **more}, number=number, seed=5)
        values = np.asarray(found.tables["simulation"]["values"]) - 1.0
        own = 0.7 * LENGTHS * (1 + STARTS)
        variance = (PATHS * (own * mean)).sum(1)
        np.testing.assert_allclose(values.mean(1), 0, atol=5 * np.sqrt(variance / number).max())
        # Of a sum of normals whose variances vary, the fourth moment.
        of_square = 3 * ((PATHS * own**2 * (square - np.square(mean))).sum(1) + variance**2) - variance**2
        np.testing.assert_array_less(abs((values**2).mean(1) - variance), 5 * np.sqrt(of_square / number))


def test_the_prior_of_a_parameter_that_edges_share_follows_no_other(tmp_path: Path) -> None:
    text = CLOCK.replace(", per='edge'", "")
    with pytest.raises(DeclarationError, match="the prior of 'rate' depends on the edge"):
        density_of(tmp_path / "shared.py", text, tau2=0.1)
