"""Traits together under models with a shape parameter: pairs, cells left out, draws, posteriors; by dense algebra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hxcli.analyses.together.leave_one_cell_out import left_out, observed_cells
from hxcli.analyses.together.posterior import posterior_together
from hxcli.analyses.together.shape_prior import shape_prior
from hxcli.errors import OptionError
from hxcli.inference.joint_problem import JointProblem
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.joint_smoothing import restricted_likelihood
from hxcli.prebuilt.path_gains import paths_between
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations
from tests.reference import shared_paths

TREE = "(((A:1,B:1)x:0.5,C:1.5)y:0.5,(D:0.7,(E:0,F:1)z:0.4)w:1)r;"
ROWS = ["name,u,v,v_se", "A,1,4,0", "B,2,,0", "C,3.1,1.5,0.5", "D,0.5,2,0", "E,,2.5,0", "F,2.6,1.9,0"]
RATE = np.array([[0.5, 0.3], [0.3, 0.6]])
WITHIN = np.array([[0.1, 0.03], [0.03, 0.2]])
SHAPES = {"bm": 0.0, "lambda": 0.6, "ou": 0.8}


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with jax.enable_x64(True):
        yield


def read(folder: Path, rows: list[str] = ROWS, tree: str = TREE, **options: Any) -> tuple[Phylogeny, Observations]:
    (folder / "t.nwk").write_text(tree)
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    inputs = read_inputs(InputOptions(str(folder / "t.nwk"), str(folder / "t.csv"), **options))
    return inputs.phylogenies[0], inputs.observations[0]


class Dense:
    """All states of two traits, node by node, given the cells: means, covariances, and every cell given the others."""

    def __init__(self, problem: JointProblem, rate: Any, within: Any, shape: float) -> None:
        phylogeny, units = problem.phylogeny, problem.units
        seen = units.observations(problem.observations)
        lengths = phylogeny.lengths / units.length
        self.paths = covariances(phylogeny, lengths, problem.model, shape)
        row, trait = np.nonzero(~np.isnan(seen.values))
        order = np.lexsort((row, seen.nodes[row], trait))
        row, trait = row[order], trait[order]
        node, y = seen.nodes[row], seen.values[row, trait]
        v = self.paths[np.ix_(node, node)] * rate[np.ix_(trait, trait)]
        v = v + np.diag(seen.standard_errors[row, trait] ** 2)
        if within is not None:
            v = v + (row[:, None] == row) * within[np.ix_(trait, trait)]
        inverse, x = np.linalg.inv(v), np.eye(2)[trait]
        information = np.linalg.inv(x.T @ inverse @ x)
        means = information @ x.T @ inverse @ y
        size = len(self.paths)
        every, traits = (each.ravel() for each in np.indices((size, 2)))
        cross = self.paths[np.ix_(every, node)] * rate[np.ix_(traits, trait)]
        left = np.eye(2)[traits] - cross @ inverse @ x
        own = self.paths[np.ix_(every, every)] * rate[np.ix_(traits, traits)]
        self.covariance = (own - cross @ inverse @ cross.T + left @ information @ left.T).reshape(size, 2, size, 2)
        self.means = (np.eye(2)[traits] @ means + cross @ inverse @ (y - x @ means)).reshape(size, 2)
        projected = inverse - inverse @ x @ information @ x.T @ inverse
        self.left_out = y - projected @ y / np.diag(projected), 1 / np.diag(projected)


def covariances(phylogeny: Phylogeny, lengths: Any, model: str, shape: float) -> Any:
    """(N, N) of all nodes at a rate of 1."""
    paths = shared_paths(list(phylogeny.topology.parents), lengths)
    depth = np.diag(paths)
    if model == "lambda":
        tip = np.zeros(len(depth), bool)
        tip[phylogeny.tips] = True
        return np.where(np.eye(len(depth), dtype=bool) & tip, paths, shape * paths)
    if model == "ou":
        return np.exp(-shape * (depth[:, None] + depth - 2 * paths)) * -np.expm1(-2 * shape * paths) / (2 * shape)
    return paths


@pytest.mark.parametrize("model", SHAPES)
def test_pairs_and_cells_left_out_are_those_of_dense_algebra(model: Any, tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    problem = JointProblem(phylogeny, seen, model=model)
    shape = SHAPES[model]
    truth = Dense(problem, RATE, None, shape)
    labels = list(phylogeny.labels)
    ends = tuple(np.array([labels.index(name) for name in names]) for names in ("xrBCE", "wyEFx"))
    found = problem.pairs(paths_between(phylogeny.topology, *ends), ends, RATE, None, shape)
    for trait in range(2):
        covariance = truth.covariance[:, trait, :, trait]
        first, second = ends
        np.testing.assert_allclose(found.covariance[:, trait], covariance[first, second], atol=1e-12)
        apart = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
        np.testing.assert_allclose(found.spread[:, trait], apart, atol=1e-12)
    states = problem.states(RATE, None, shape)
    np.testing.assert_allclose(states.means, truth.means, atol=1e-10)
    cells = observed_cells(problem)
    mean, variance = left_out(problem, cells, states)
    # At the end of an edge of length 0 a cell is its parent's state, and nothing is told of it.
    alone = (problem.parents[cells.nodes] == labels.index("z")) & (cells.nodes == labels.index("E"))
    assert (np.isnan(mean) == (alone & (model != "lambda"))).all()
    there = ~np.isnan(mean)
    np.testing.assert_allclose(mean[there], truth.left_out[0][there], rtol=1e-9)
    np.testing.assert_allclose(variance[there], truth.left_out[1][there], rtol=1e-9)


@pytest.mark.slow
def test_rows_within_species_are_left_out_one_by_one(tmp_path: Path) -> None:
    rows = ["name,u,v", "A,1,4", "A,1.3,4.4", "B,2,", "B,2.2,3", "C,3.1,1.5", "D,0.5,2", "F,2.6,1.9", "F,2.2,"]
    phylogeny, seen = read(tmp_path, rows, replicates=True)
    problem = JointProblem(phylogeny, seen, model="ou", phenotypic=True)
    truth = Dense(problem, RATE, WITHIN, 0.8)
    cells = observed_cells(problem)
    row = {place: number for number, place in enumerate(problem.rows.tolist())}
    order = np.lexsort(([row[node] for node in cells.nodes.tolist()], cells.traits))
    for mine, other in zip(left_out(problem, cells, problem.states(RATE, WITHIN, 0.8)), truth.left_out, strict=True):
        np.testing.assert_allclose(mine[order], other, rtol=1e-9)


@pytest.mark.parametrize("model", ["lambda", "ou"])
def test_what_is_sampled_is_the_likelihood_with_its_derivatives(model: Any, tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    problem = JointProblem(phylogeny, seen, model=model)

    def likelihood(shape: Any, rate: Any) -> Any:
        edges = problem.edges(shape, jnp)
        return restricted_likelihood(problem.tree, rate, jnp.zeros((2, 2)), edges["time"], edges["scale"])

    shape = SHAPES[model]
    value, (by_shape, by_rate) = jax.value_and_grad(likelihood, (0, 1))(shape, jnp.asarray(RATE))
    truth = problem.evaluate(RATE, None, shape)
    np.testing.assert_allclose(value, truth.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(by_shape, truth.shape, rtol=1e-9)
    np.testing.assert_allclose(by_rate, truth.rate, rtol=1e-9)
    step = 1e-5
    above, below = (problem.evaluate(RATE, None, shape + s).log_likelihood for s in (step, -step))
    np.testing.assert_allclose(by_shape, (above - below) / (2 * step), rtol=1e-6)


def test_draws_under_ou_have_the_moments_of_dense_algebra(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    problem = JointProblem(phylogeny, seen, model="ou")
    truth = Dense(problem, RATE, None, 0.8)
    generator, count = np.random.default_rng(5), 400
    numbers = generator.standard_normal((count, problem.size, 3, 2))
    drawn = np.stack([problem.draw(RATE, None, 0.8, each) for each in numbers])
    deviations = np.sqrt(np.maximum(np.einsum("nana->na", truth.covariance), 0))
    assert (np.abs(drawn.mean(0) - truth.means) * np.sqrt(count) < 4.5 * deviations + 1e-9).all()
    away = (drawn - truth.means).reshape(count, -1)
    sampled, wanted = away.T @ away / count, truth.covariance.reshape(away.shape[1], -1)
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)).clip(0) + wanted**2)
    assert (np.abs(sampled - wanted) * np.sqrt(count) < 4.5 * scale + 1e-9).all()


def test_the_prior_is_that_of_one_trait(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    units = JointProblem(phylogeny, seen).units
    alpha = shape_prior("ou", phylogeny, units, {})
    assert alpha is not None
    # The half-life is around the height of the tree.
    assert (alpha[0], alpha[1].form, alpha[1].numbers[1]) == ("alpha", "lognormal", 2)
    assert alpha[1].numbers[0] == pytest.approx(np.log(np.log(2) / 2.4), rel=1e-5)
    shared = shape_prior("lambda", phylogeny, units, {})
    assert shared is not None
    assert str(shared[1]) == "uniform(0,1)"
    given = shape_prior("ou", phylogeny, units, {"alpha": "halfnormal(2)", "sigma": "halfnormal(1)"})
    assert given is not None
    assert str(given[1]) == "halfnormal(2)"
    assert shape_prior("bm", phylogeny, units, {}) is None
    with pytest.raises(OptionError, match=r"no such prior \(they have sigma, sigma\(TRAIT\), correlation, alpha\)"):
        posterior_together(phylogeny, seen, model="ou", priors={"lambda": "uniform(0,1)"})


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lambda", "ou"])
def test_it_is_the_posterior_that_a_grid_gives(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("numpyro")
    phylogeny, seen = read(tmp_path)
    # Narrow, so that a coarse grid holds it.
    given = {"sigma": "lognormal(0,0.7)", "correlation": "lkj(4)"}
    given |= {"alpha": "lognormal(-0.5,0.8)"} if model == "ou" else {}
    found = posterior_together(phylogeny, seen, model=model, priors=given, samples=2_500, loo=True, draws=2_000, seed=1)
    assert found.about_all["posterior"]["divergences"] < 10
    first, second, z = (np.linspace(*ends, 22) for ends in ((-2.5, 2.8), (-2.5, 2.8), (-2.2, 2.2)))
    shapes = np.linspace(-3.5, 2.5, 22) if model == "ou" else (np.arange(20) + 0.5) / 20
    a, b, c = (each.ravel() for each in np.meshgrid(first, second, z, indexing="ij"))
    s, t, r = np.exp(a), np.exp(b), np.tanh(c)
    rates = np.stack([s * s, r * s * t, r * s * t, t * t], 1).reshape(-1, 2, 2)
    # Densities over logs and over the Fisher transform: (1 - r^2) to the power 4 - 1, and once more.
    prior = -(a**2 + b**2) / 2 / 0.7**2 + 4 * np.log1p(-(r**2))
    logs, all_means, all_variances = [], [], []
    for place in shapes:
        shape = np.exp(place) if model == "ou" else place
        density, means, variances = at_rates(
            phylogeny, seen, covariances(phylogeny, phylogeny.lengths, model, shape), rates
        )
        logs.append(density + prior - ((place + 0.5) ** 2 / 2 / 0.8**2 if model == "ou" else 0))
        all_means.append(means)
        all_variances.append(variances)
    log = np.stack(logs)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    values = np.exp(shapes) if model == "ou" else shapes
    params, name = found.tables["parameter table"], "alpha" if model == "ou" else "lambda"
    row = params["parameter"].index(name)
    share = weight.sum(1)
    mean, health = share @ values, found.about_all["posterior"]["diagnostics"]
    error = np.sqrt(share @ (values - mean) ** 2) / np.sqrt(health[name]["ess_bulk"])
    assert abs(params["mean"][row] - mean) < 5 * error
    told = found.tables["covariance table"]["correlation"][1]
    mean = weight.sum(0) @ r
    error = np.sqrt(weight.sum(0) @ (r - mean) ** 2) / np.sqrt(health["correlation(u,v)"]["ess_bulk"])
    assert abs(told - mean) < 5 * error
    truth = sum(np.einsum("k,knd->nd", w, means) for w, means in zip(weight, all_means, strict=True))
    square = sum(
        np.einsum("k,knd->nd", w, variances + means**2)
        for w, means, variances in zip(weight, all_means, all_variances, strict=True)
    )
    deviation = np.sqrt(np.maximum(square - truth**2, 0))
    np.testing.assert_allclose(found.estimates, truth, atol=0.12 * deviation.max())
    inside = deviation > 1e-3
    np.testing.assert_allclose(found.standard_errors[inside], deviation[inside], rtol=0.15)
    states = np.moveaxis(found.tables["draws"]["states"].reshape(2, 2_000, -1), 0, 2)
    np.testing.assert_allclose(states.mean(0), truth, atol=0.2 * deviation.max())
    np.testing.assert_allclose(found.tables["draws"][name].mean(), share @ values, rtol=0.1)
    # Of E, at the end of an edge of length 0, nothing is told under ou.
    z = np.array(found.tables["leave-one-out table"]["z"])
    assert np.isnan(z).sum() == (model == "ou")


def at_rates(phylogeny: Phylogeny, seen: Observations, paths: Any, rates: Any) -> tuple[Any, Any, Any]:
    """Restricted log densities (K,), means and variances (K, N, 2), of (K, 2, 2) covariances."""
    rows, traits = np.nonzero(~np.isnan(seen.values))
    nodes, y, x = seen.nodes[rows], seen.values[rows, traits], np.eye(2)[traits]
    noise = np.diag(seen.standard_errors[rows, traits] ** 2)
    v = paths[np.ix_(nodes, nodes)] * rates[:, traits[:, None], traits] + noise
    inverse = np.linalg.inv(v)
    weighed = inverse @ x
    information = x.T @ weighed
    means = np.linalg.solve(information, (weighed.transpose(0, 2, 1) @ y)[..., None])[..., 0]
    rest = y - means @ x.T
    density = -(np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]) / 2
    density -= np.einsum("ki,kij,kj->k", rest, inverse, rest) / 2
    found, variances = [], []
    for trait in range(2):
        c = paths[:, nodes] * rates[:, None, trait, traits]
        found.append(means[:, None, trait] + np.einsum("kni,kij,kj->kn", c, inverse, rest))
        left = np.eye(2)[trait] - c @ weighed
        own = np.diag(paths) * rates[:, None, trait, trait] - np.einsum("kni,kij,knj->kn", c, inverse, c)
        variances.append(own + np.einsum("knd,kde,kne->kn", left, np.linalg.inv(information), left))
    return density, np.stack(found, 2), np.stack(variances, 2)
