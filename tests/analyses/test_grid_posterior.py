"""Posteriors under diffusions on a grid, beside the same process as Gaussian edges and fine grids of parameters."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import lognorm, norm

from hxcli.analyses.posterior.grid_posterior import posterior_on_grid
from hxcli.analyses.posterior.grid_question import GridQuestion
from hxcli.analyses.posterior.posterior import posterior
from hxcli.analyses.posterior.question import Options
from hxcli.engine.topology import from_parents
from hxcli.errors import ModelError, OptionError
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations

# Nine tips; nodes in breadth-first order.
PARENTS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7])
LENGTHS = np.array([0, 0.5, 0.3, 0.4, 0.7, 0.6, 0.3, 0.2, 0.9, 0.5, 0.4, 0.3, 0.2, 0.6, 0.8, 0.5, 0.4])
VALUES = np.array([0.8, -0.2, 0.5, 0.9, 1.4, 0.1, 0.6, 0.3, 1.1])

TWO_WAYS = """
import jax.numpy as jnp
from hxcli.model import Gaussian, Sde, fixed, log_normal, normal

RATES = ("sigma2",)
MEANS = ("theta",)

def model(edge):
    alpha = fixed("alpha", 0.8)
    decay = jnp.exp(-alpha * edge.length)
    sigma2 = log_normal("sigma2", median=0.6, sd=0.7)
    return Gaussian(decay, normal("theta", mean=0.4, sd=1) * (1 - decay), sigma2 * (1 - decay**2) / (2 * alpha))

def root():
    return Gaussian(mean=normal("theta", mean=0.4, sd=1), variance=0)
"""
AS_SDE = """
from hxcli.model import Gaussian, Sde, fixed, log_normal, normal

def model(edge):
    alpha, theta = fixed("alpha", 0.8), normal("theta", mean=0.4, sd=1)
    return Sde(lambda x: alpha * (theta - x), log_normal("sigma2", median=0.6, sd=0.7) ** 0.5)

def root():
    return Gaussian(mean=normal("theta", mean=0.4, sd=1), variance=0)
"""
WELLS = """
from hxcli.model import Gaussian, Sde, log_normal

def model(edge):
    pull, sigma = log_normal("pull", median=1.0, sd=0.5), log_normal("sigma", median=0.8, sd=0.4)
    return Sde(lambda x: pull * (x - x**3), sigma)

def root():
    return Gaussian(mean=0.3, variance=0.5)
"""


def tree_of() -> Phylogeny:
    topology = from_parents(PARENTS)
    size = topology.size
    labels = tuple(f"t{i:02}" if topology.is_leaf[i] else "" for i in range(size))
    return Phylogeny(topology, LENGTHS, Texts(labels), Texts(("",) * size))


def seen_on(tree: Phylogeny, values: Any = VALUES) -> Observations:
    column = np.asarray(values, float)[:, None]
    return Observations(tree.tips, column, np.zeros_like(column), ("x",))


def written(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)


def question(model: str, **options: Any) -> GridQuestion:
    tree = tree_of()
    return GridQuestion(
        model, named_model(model), edge_fields(tree), seen_on(tree), 0, Options(models=(model,), **options)
    )


def solved(asked: GridQuestion, **options: Any) -> Any:
    free = ~tree_of().topology.is_leaf
    return posterior_on_grid(asked, Options(**options), [3, 4], 0.95, "x", free)


def dense(asked: GridQuestion, points: int, cells: int) -> tuple[Any, float, Any]:
    """Means of two parameters, log evidence and estimates of nodes, over a fine grid of parameters and of states."""
    likelihood = asked.density(cells).likelihood
    axes = [np.linspace(-4.5, 4.5, points) * sd for sd in (0.5, 0.4)]
    middle = dict(zip(("pull", "sigma"), (0.0, math.log(0.8)), strict=True))
    heights, places = [], []
    for shift in product(*axes):
        logs = {name: middle[name] + by for name, by in zip(middle, shift, strict=True)}
        x = np.array([logs[each.name] for each in likelihood.coordinates])
        heights.append(likelihood.value(x) + norm(0, 0.5).logpdf(shift[0]) + norm(0, 0.4).logpdf(shift[1]))
        places.append(x)
    weights = np.exp(np.array(heights) - max(heights))
    area = np.prod([axis[1] - axis[0] for axis in axes])
    evidence = max(heights) + math.log(weights.sum() * area)
    weights /= weights.sum()
    nodes = np.zeros(len(PARENTS))
    for place in np.flatnonzero(weights > 1e-6):
        found = likelihood.densities(places[place])
        nodes += weights[place] * (found.chances @ found.states)
    return weights @ np.exp(places), evidence, nodes


@pytest.mark.slow
def test_a_double_well_is_that_of_a_fine_grid_of_parameters(tmp_path: Path) -> None:
    asked = question(written(tmp_path, "wells", WELLS), tau2=0.0)
    assert asked.names == ("pull", "sigma")
    found = solved(asked)
    mean, evidence, nodes = dense(asked, 25, 300)
    error = max(found.details["error_bound"], found.details["log_evidence_grid_error"])
    assert found.details["method"] == "quadrature"
    assert error < 3e-3
    assert found.log_evidence == pytest.approx(evidence, abs=error + 1e-3)
    for place, name in enumerate(asked.names):
        figures = found.figures[name]
        assert figures.mean == pytest.approx(mean[place], abs=3e-3 * figures.deviation)
    inner = ~tree_of().topology.is_leaf
    np.testing.assert_allclose(found.nodes.estimate[inner], nodes[inner], atol=1e-3)
    assert found.details["grid_error"] < 3e-3


@pytest.mark.slow
def test_a_process_written_in_two_ways_has_one_posterior_and_equal_probabilities(tmp_path: Path) -> None:
    tree = tree_of()
    names = written(tmp_path, "gaussian", TWO_WAYS), written(tmp_path, "sde", AS_SDE)
    alone = [posterior(tree, seen_on(tree), models=(name,), tau2=0.0) for name in names]
    both = posterior(tree, seen_on(tree), models=names, tau2=0.0)
    told = both.details["x"]["posterior"]["sde"]
    error = told["log_evidence_grid_error"] + told["error_bound"]
    assert error < 1e-3
    models = {each["model"]: each for each in both.details["x"]["models"]}
    assert models["sde"]["probability"] == pytest.approx(0.5, abs=error)
    assert models["sde"]["log_evidence"] == pytest.approx(models["gaussian"]["log_evidence"], abs=error)
    gaussian, sde = alone
    grid_error = sde.details["x"]["posterior"]["grid_error"]
    assert grid_error < 2e-3
    for name in ("estimates", "standard_errors"):
        np.testing.assert_allclose(getattr(sde, name), getattr(gaussian, name), atol=max(grid_error, 1e-3))
        np.testing.assert_allclose(getattr(both, name), getattr(gaussian, name), atol=max(grid_error, 1e-3))
    for name in ("hpd_lower", "hpd_upper"):
        # Ends of intervals are of cells.
        np.testing.assert_allclose(sde.columns[name], gaussian.columns[name], atol=2e-2)
    rows = [dict(zip(each.tables["parameter table"]["parameter"], range(9), strict=False)) for each in alone]
    for parameter in ("sigma2", "theta"):
        means = [
            each.tables["parameter table"]["mean"][place[parameter]] for each, place in zip(alone, rows, strict=True)
        ]
        assert means[1] == pytest.approx(means[0], rel=2e-3)


@pytest.mark.slow
def test_a_flat_root_weighs_as_that_of_a_gaussian_model(tmp_path: Path) -> None:
    # Brownian motion without a free parameter: the evidence is a likelihood, whose root is integrated over.
    body = "from hxcli.model import Sde, fixed\n\ndef model(edge):\n    return Sde(0.0, fixed('sigma', 0.7))\n"
    tree = tree_of()
    models = ("bm", written(tmp_path, "walk", body))
    found = posterior(tree, seen_on(tree), models=models, sigma2=0.49, tau2=0.0)
    told = found.details["x"]["models"]
    error = found.details["x"]["posterior"]["walk"]["log_evidence_grid_error"]
    assert error < 1e-3
    assert told[1]["log_evidence"] == pytest.approx(told[0]["log_evidence"], abs=2e-3)
    # On an axis that is not even a flat root is flat in the trait all the same.
    shifted = "from hxcli.model import Sde, fixed\n\ndef model(edge):\n"
    shifted += "    return Sde(0.0, fixed('sigma', 0.7), axis='log')\n"
    high = seen_on(tree, VALUES + 9)
    models = (models[1], written(tmp_path, "on_log", shifted))
    found = posterior(tree, high, models=models, tau2=0.0)
    told = found.details["x"]["models"]
    assert told[1]["log_evidence"] == pytest.approx(told[0]["log_evidence"], abs=5e-3)


@pytest.mark.slow
def test_a_root_that_only_the_range_of_the_grid_holds_is_told_and_never_weighed(tmp_path: Path) -> None:
    pulled = "from hxcli.model import Sde, fixed\n\ndef model(edge):\n"
    pulled += "    return Sde(lambda x: -4 * x, fixed('sigma', 1.5))\n"
    name = written(tmp_path, "pulled", pulled)
    tree = tree_of()
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.0)
    assert [warning for warning in found.warnings if "root_by_the_grid" in warning]
    with pytest.raises(ModelError, match="its evidence goes by that range"):
        posterior(tree, seen_on(tree), models=(name, "bm"), sigma2=0.5, tau2=0.0)
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.0, root_mean=0.0, root_variance=0.3)
    assert not found.warnings


@pytest.mark.slow
def test_noise_that_reaches_beyond_a_wall_is_of_no_state(tmp_path: Path) -> None:
    # One tip at the wall, its error far narrower than a cell: half of the error lies beyond.
    body = "from hxcli.model import Sde, fixed\n\ndef model(edge):\n"
    body += "    return Sde(0.0, fixed('sigma', 0.9), low=-0.2, high=1.4)\n"
    name = written(tmp_path, "walls", body)
    exact = solved(question(name, tau2=0.0)).log_evidence
    noisy = solved(question(name, tau2=1e-8)).log_evidence
    assert noisy == pytest.approx(exact + 2 * math.log(0.5), abs=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["independence", "nuts"])
def test_the_samplers_agree_with_the_quadrature_and_say_when_they_do_not_converge(method: str, tmp_path: Path) -> None:
    name = written(tmp_path, "sde", AS_SDE)
    by_rule, by_chance = solved(question(name, tau2=0.0)), solved(question(name, tau2=0.0), method=method, samples=300)
    details = by_chance.details
    assert details["method"] == method
    if method == "nuts":
        assert math.isnan(by_chance.log_evidence)
    else:
        assert details["log_evidence_error"] < 0.05
        error = 5 * details["log_evidence_error"] + by_rule.details["error_bound"]
        assert by_chance.log_evidence == pytest.approx(by_rule.log_evidence, abs=error)
    assert not by_chance.notes
    for parameter, figures in by_rule.figures.items():
        drawn = by_chance.figures[parameter]
        least = min(drawn.diagnostics["ess_bulk"], drawn.diagnostics["ess_tail"])
        assert drawn.mean == pytest.approx(figures.mean, abs=5 * figures.deviation / math.sqrt(least))
        assert drawn.deviation == pytest.approx(figures.deviation, rel=0.2)
    assert details["shift_by_the_cells_of_the_sampler"] < 0.1
    inner = ~tree_of().topology.is_leaf
    np.testing.assert_allclose(by_chance.nodes.estimate[inner], by_rule.nodes.estimate[inner], atol=0.05)
    doubted = solved(question(name, tau2=0.0), method=method, samples=100, chains=1)
    assert any("the sampler has not converged" in note for note in doubted.notes)


def shared_lengths() -> Any:
    """(N, N) how long the paths from the root to two nodes are one."""
    ancestry = np.eye(len(PARENTS))
    for node in range(1, len(PARENTS)):
        ancestry[node] += ancestry[PARENTS[node]]
    ancestry[:, 0] = 0.0
    return ancestry * LENGTHS @ ancestry.T


def pulled(alpha: float, sigma2: float) -> Any:
    """(N, N) covariances of all nodes of a process that begins at its mean."""
    together = shared_lengths()
    tall = np.diag(together)
    apart = tall[:, None] + tall[None] - 2 * together
    return sigma2 * np.exp(-alpha * apart) * (1 - np.exp(-2 * alpha * together)) / (2 * alpha)


def dense_pull(points: int) -> tuple[dict[str, float], float, Any]:
    """Means of alpha, theta and sigma2, log evidence and means of nodes, of a process that begins at theta.

    Over a grid of parameters, the covariances of all nodes written down (Hansen 1997, Evolution 51:1341).
    """
    units = np.linspace(-4.5, 4.5, points)
    area = (units[1] - units[0]) ** 3
    prior = norm.pdf(units)
    alphas, thetas, sigmas2 = 0.8 * np.exp(0.5 * units), 0.4 + units, 0.6 * np.exp(0.7 * units)
    tips = np.flatnonzero(tree_of().topology.is_leaf)
    count, total, nodes, sums = len(tips), 0.0, 0.0, dict.fromkeys(("alpha", "theta", "sigma2"), 0.0)
    for alpha, of_alpha in zip(alphas, prior, strict=True):
        cover = pulled(alpha, 1.0)
        among = cover[np.ix_(tips, tips)]
        left = VALUES[:, None] - thetas
        solved_for = np.linalg.solve(among, left)
        squares, log_det = (left * solved_for).sum(0), np.linalg.slogdet(among)[1]
        logs = -(squares[:, None] / sigmas2 + count * np.log(2 * np.pi * sigmas2) + log_det) / 2
        weights = np.exp(logs) * of_alpha * prior[:, None] * prior * area
        total += weights.sum()
        for name, values in (("alpha", alpha), ("theta", thetas[:, None]), ("sigma2", sigmas2)):
            sums[name] += float((weights * values).sum())
        nodes = nodes + (thetas + cover[:, tips] @ solved_for) @ weights.sum(1)
    return {name: each / total for name, each in sums.items()}, math.log(total), nodes / total


@pytest.mark.slow
def test_three_unknowns_are_those_of_a_dense_grid_and_are_weighed_against_a_gaussian_twin(tmp_path: Path) -> None:
    unknown = ('fixed("alpha", 0.8)', 'log_normal("alpha", median=0.8, sd=0.5)')
    names = [
        written(tmp_path, name, text.replace(*unknown)) for name, text in (("gaussian", TWO_WAYS), ("sde", AS_SDE))
    ]
    means, evidence, nodes = dense_pull(41)
    tree = tree_of()
    found = posterior(tree, seen_on(tree), models=tuple(names), tau2=0.0, seed=1)
    told = found.details["x"]["posterior"]["sde"]
    assert told["method"] == "independence"
    assert told["log_evidence_error"] < 0.05
    assert "quadrature and the independence sampler" in found.method
    assert not found.warnings
    error = 5 * told["log_evidence_error"] + told["log_evidence_grid_error"]
    gaussian, sde = found.details["x"]["models"]
    assert sde["log_evidence"] == pytest.approx(evidence, abs=error)
    assert sde["log_evidence"] == pytest.approx(gaussian["log_evidence"], abs=error + 1e-3)
    assert sde["probability"] == pytest.approx(0.5, abs=error)
    table = found.tables["parameter table"]
    rows = {name: row for row, name in enumerate(table["parameter"])}
    for name, mean in means.items():
        row = rows[f"sde:{name}"]
        least = min(table["ess_bulk"][row], table["ess_tail"][row])
        assert table["mean"][row] == pytest.approx(mean, abs=5 * table["sd"][row] / math.sqrt(least))
    inner = ~tree.topology.is_leaf
    np.testing.assert_allclose(found.estimates[inner, 0], nodes[inner], atol=0.03)


@pytest.mark.slow
def test_joint_draws_have_the_covariances_of_all_nodes(tmp_path: Path) -> None:
    tree, count = tree_of(), 2000
    name = written(tmp_path, "sde", AS_SDE)
    held = {"sigma2": 0.6, "theta": 0.4}
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.05, held=held, draws=count)
    assert list(found.tables["draws"]) == ["draw", "trait", "states"]
    states = found.tables["draws"]["states"]
    tips = np.flatnonzero(tree.topology.is_leaf)
    cover = pulled(0.8, 0.6)
    gain = np.linalg.solve(cover[np.ix_(tips, tips)] + 0.05 * np.eye(len(tips)), cover[tips]).T
    mean, left = 0.4 + gain @ (VALUES - 0.4), cover - gain @ cover[tips]
    sd = np.sqrt(np.maximum(np.diag(left), 0))
    np.testing.assert_allclose(states[:, 0], 0.4, atol=1e-7)
    # The root is known, all others are not.
    assert (abs(states.mean(0) - mean)[1:] < 5 * sd[1:] / math.sqrt(count) + 2e-3).all()
    np.testing.assert_allclose(states.std(0)[1:], sd[1:], rtol=0.1)
    exact = left[1:, 1:] / np.outer(sd[1:], sd[1:])
    assert abs(np.corrcoef(states[:, 1:].T) - exact).max() < 5 / math.sqrt(count)
    assert abs(exact - np.eye(len(exact))).max() > 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("method", "count"), [("", 400), ("independence", 100)])
def test_joint_draws_are_of_parameters_and_states_together(method: str, count: int, tmp_path: Path) -> None:
    tree = tree_of()
    options: Any = {"models": (written(tmp_path, "wells", WELLS),), "tau2": 0.0, "method": method, "samples": 150}
    found = posterior(tree, seen_on(tree), draws=count, **options)
    draws, table = found.tables["draws"], found.tables["parameter table"]
    assert list(draws) == ["draw", "trait", "pull", "sigma", "states"]
    for row, name in enumerate(("pull", "sigma")):
        assert draws[name].mean() == pytest.approx(table["mean"][row], abs=5 * table["sd"][row] / math.sqrt(count))
        assert draws[name].std() == pytest.approx(table["sd"][row], rel=0.25)
    tips = tree.topology.is_leaf
    np.testing.assert_allclose(draws["states"][:, tips], np.tile(VALUES, (count, 1)), atol=1e-7)
    apart = abs(draws["states"].mean(0) - found.estimates[:, 0]) / np.where(tips, 1, found.standard_errors[:, 0])
    assert apart.max() < 5 / math.sqrt(count)


def test_priors_of_every_form_are_those_of_their_distributions(tmp_path: Path) -> None:
    body = """
from hxcli.model import Sde, log_normal, normal, param, uniform

def model(edge):
    far = normal("far", mean=1, sd=2, low=0)
    drift = uniform("low", low=-1, high=3) + far + param("free") + log_normal("many", median=2, sd=0.5, shape=(2,))[1]
    return Sde(lambda x: -drift * x, log_normal("sigma", median=1, sd=1, high=4))
"""
    asked = question(
        written(tmp_path, "forms", body), tau2=0.0, priors={"many(1)": "exponential(3)", "free": "normal(1,2)"}
    )
    priors = dict(zip(asked.names, asked.priors, strict=True))
    w = np.linspace(-8, 8, 4001)

    def moments(name: str) -> tuple[float, float]:
        prior = priors[name]
        density, values = np.exp(prior.log_density(w)), np.asarray(prior.value(w))
        mass = np.trapezoid(density, w)
        return float(mass), float(np.trapezoid(density * values, w))

    cut = norm(1, 2).expect(lambda x: x, lb=0, conditional=True)
    top = lognorm(1).cdf(4)
    log_cut = lognorm(1).expect(lambda x: x, ub=4) / top
    for name, mean in {"far": cut, "low": 1.0, "many(2)": 2 * math.exp(0.125), "free": 1.0, "sigma": log_cut}.items():
        assert moments(name) == pytest.approx((1.0, mean), rel=1e-4)
    assert moments("many(1)") == pytest.approx((1.0, 3.0), rel=1e-2)
    words = asked.priors_in_words()
    assert words["far"] == "normal(mean=1, sd=2) from 0 on"
    assert words["sigma"] == "log_normal(median=1, sd=1) up to 4"
    assert words["many(1)"] == "exponential(3)"
    assert asked.flat_means == 1


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("doublewell", {"draws": 5000}, "--draws 5000 is more than the sampler makes"),
        ("cir", {"prior_sigma2": "lognormal(0,1)"}, "--prior sigma2=PRIOR"),
        ("bounded", {"priors": {"alpha": "lognormal(0,1)"}}, "no model here has it as a free parameter"),
        ("bounded", {"held": {"alpha": 1.0}}, "no model here has such"),
        ("doublewell", {"priors": {"middle": "lognormal(0,1)"}}, "may be negative"),
        ("bounded", {"priors": {"sigma2": "uniform(0,1e30)"}}, "outside its support"),
    ],
)
def test_what_does_not_apply_is_refused(model: str, options: dict[str, Any], message: str) -> None:
    tree = tree_of()
    with pytest.raises(OptionError, match=message):
        posterior(tree, seen_on(tree), models=(model,), tau2=0.0, **options)


def test_models_without_an_evidence_or_with_others_unknowns_are_not_weighed() -> None:
    tree = tree_of()
    with pytest.raises(OptionError, match=r"hx posterior --model doublewell is sampled \(--method nuts\)"):
        posterior(tree, seen_on(tree), models=("doublewell", "bm"), tau2=0.0, method="nuts")
    with pytest.raises(OptionError, match="--draws with several --model"):
        posterior(tree, seen_on(tree), models=("doublewell", "bm"), tau2=0.0, draws=3)
    held = {"alpha": 1.0, "half_distance": 1.0}
    with pytest.raises(OptionError, match="different numbers of unknowns"):
        posterior(tree, seen_on(tree), models=("doublewell", "trend"), tau2=0.0, held=held)
