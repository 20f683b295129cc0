"""Traits together: against dense algebra over tips x traits, and against what simpler analyses say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import chi2

from hxcli.analyses.ancestral import ancestral
from hxcli.analyses.together.ancestral import ancestral_together
from hxcli.errors import ModelError
from hxcli.inference.correlation_intervals import profile_intervals
from hxcli.inference.joint_fit import fit_jointly
from hxcli.inference.joint_parameters import JointParameters
from hxcli.inference.joint_problem import JointProblem
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations
from tests.conftest import reference_models
from tests.dense_joint import Dense, dense
from tests.reference import shared_paths


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with jax.enable_x64(True):
        yield


def read(name: str, **options: Any) -> tuple[Phylogeny, Observations]:
    folder = reference_models(name)
    inputs = read_inputs(InputOptions(str(folder / "tree.nwk"), str(folder / "traits.csv"), **options))
    return inputs.phylogenies[0], inputs.observations[0]


def written(phylogeny: Phylogeny, seen: Observations, table: Any, **options: Any) -> Dense:
    """The dense answer at a covariance in own units."""
    return dense(
        phylogeny.topology.parents, phylogeny.lengths, seen.nodes, seen.values, seen.standard_errors, table, **options
    )


def matrix(table: Any, size: int) -> Any:
    """A table of pairs as a matrix."""
    found = np.zeros((size, size))
    found[np.triu_indices(size)] = table["covariance"]
    return np.triu(found) + np.triu(found, 1).T


CASES = {
    "together_gaps40": {},
    "together_errors28": {},
    "together_pair25": {},
    "together_rows20": {"phenotypic": True},
}
SLOW = pytest.mark.slow


@pytest.mark.shared
@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if CASES[name] else ()) for name in CASES])
def test_likelihood_states_and_cells_left_out_are_those_of_dense_algebra(name: str) -> None:
    options = CASES[name]
    phylogeny, seen = read(name, replicates=bool(options))
    found = ancestral_together(phylogeny, seen, **options)  # type: ignore[arg-type]
    size = len(seen.traits)
    rate = matrix(found.tables["covariance table"], size)
    within = matrix(found.tables["within table"], size) if options else None
    truth = written(phylogeny, seen, rate, within=within)
    np.testing.assert_allclose(found.about_all["log_likelihood"], truth.likelihood, rtol=1e-9)
    scale = seen.values[~np.isnan(seen.values)].std()
    np.testing.assert_allclose(found.estimates.ravel(), truth.means, atol=1e-9 * scale, rtol=1e-9)
    np.testing.assert_allclose(found.standard_errors.ravel() ** 2, truth.variances, atol=1e-9 * scale**2, rtol=1e-9)
    away = np.abs(seen.values[~np.isnan(seen.values)] - truth.left_out[:, 0])
    inside = away <= 1.959963984540054 * np.sqrt(truth.left_out[:, 1])
    told = found.about_all["leave_one_cell_out"]
    assert (told["covered"], told["cells"]) == (inside.sum(), len(inside))
    np.testing.assert_allclose(told["mean_square"], np.mean(away**2 / truth.left_out[:, 1]), rtol=1e-8)
    assert found.about_all["certificate"]["converged"]
    # No search of another kind finds a better covariance.
    assert _searched(phylogeny, seen, rate, within) < truth.likelihood + 1e-6


def _searched(phylogeny: Phylogeny, seen: Observations, rate: Any, within: Any) -> float:
    """The highest dense likelihood that a search without derivatives finds around a covariance and elsewhere."""
    from scipy.optimize import minimize

    paths = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)
    size = len(rate)
    lower = np.tril_indices(size)

    def unpacked(place: Any) -> Any:
        factor = np.zeros((size, size))
        factor[lower] = place
        return factor @ factor.T

    half = len(lower[0])

    def lowered(place: Any) -> float:
        noise = unpacked(place[half:]) if within is not None else None
        return -written(
            phylogeny, seen, unpacked(place[:half]), within=noise, paths=paths, likelihood_only=True
        ).likelihood

    start = [np.linalg.cholesky(rate)[lower]]
    if within is not None:
        start.append(np.linalg.cholesky(within)[lower])
    place = np.concatenate(start) * np.random.default_rng(1).uniform(0.9, 1.1, half * len(start))
    return -float(minimize(lowered, place, method="BFGS", options={"maxiter": 15}).fun)


@pytest.mark.shared
def test_complete_data_have_the_covariance_of_their_contrasts() -> None:
    phylogeny, seen = read("together_pair25")
    tips = seen.nodes
    c = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)[np.ix_(tips, tips)]
    inverse = np.linalg.inv(c)
    mean = inverse.sum(0) @ seen.values / inverse.sum()
    squares = (seen.values - mean).T @ inverse @ (seen.values - mean)
    for estimator, number in (("REML", len(tips) - 1), ("ML", len(tips))):
        found = ancestral_together(phylogeny, seen, estimator=estimator)  # type: ignore[arg-type]
        table = found.tables["covariance table"]
        np.testing.assert_allclose(matrix(table, 2), squares / number, rtol=1e-10)
        r = table["correlation"][1]
        np.testing.assert_allclose(np.arctanh(table["upper"][1]) - np.arctanh(r), 1.959963984540054 / np.sqrt(22))
    problem = JointProblem(phylogeny, seen)
    truth = fit_jointly(problem)
    figures = profile_intervals(problem, truth, 0.95)
    r = truth.parameters.rate[0, 1] / np.sqrt(np.prod(np.diag(truth.parameters.rate)))
    # The profile of a correlation of complete data: (1 - rho^2) / (1 - rho r)^2 to the power of half the contrasts.
    for end in (figures.lower[0, 1], figures.upper[0, 1]):
        lost = -24 * np.log((1 - end**2) * (1 - r**2) / (1 - end * r) ** 2)
        np.testing.assert_allclose(lost, chi2.ppf(0.95, 1), rtol=1e-6)
    np.testing.assert_allclose(figures.p[0, 1], chi2.sf(-24 * np.log(1 - r**2), 1), rtol=1e-6)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["together_gaps40", "together_errors28"])
def test_one_trait_alone_is_ancestral(name: str) -> None:
    phylogeny, seen = read(name)
    one = Observations(seen.nodes, seen.values[:, :1], seen.standard_errors[:, :1], seen.traits[:1])
    for estimator in ("REML", "ML"):
        alone = ancestral(phylogeny, one, estimator=estimator)  # type: ignore[arg-type]
        found = ancestral_together(phylogeny, one, estimator=estimator)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.estimates, alone.estimates, rtol=1e-7)
        np.testing.assert_allclose(found.standard_errors, alone.standard_errors, rtol=1e-6, atol=1e-12)
        likelihood = alone.parameters[one.traits[0]]["log_likelihood"].value
        np.testing.assert_allclose(found.about_all["log_likelihood"], likelihood, rtol=1e-9)


@pytest.mark.shared
def test_uncorrelated_traits_are_each_alone() -> None:
    phylogeny, seen = read("together_gaps40")
    alone = ancestral(phylogeny, seen)
    problem = JointProblem(phylogeny, seen)
    rates = np.array([alone.parameters[t]["sigma2"].value for t in seen.traits])
    scale = problem.units.scale
    rate = np.diag(rates / scale**2 * problem.units.length)
    states = problem.states(rate)
    means, deviations = problem.units.states(
        states.means[problem.nodes], np.sqrt(np.diagonal(states.covariances[problem.nodes], axis1=1, axis2=2))
    )
    np.testing.assert_allclose(means, alone.estimates, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(deviations, alone.standard_errors, rtol=1e-9, atol=1e-9)
    value = problem.evaluate(rate)
    likelihood = value.log_likelihood - value.densities @ np.log(scale)
    np.testing.assert_allclose(
        likelihood, sum(alone.parameters[t]["log_likelihood"].value for t in seen.traits), rtol=1e-9
    )


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["lambda", "ou"])
@pytest.mark.parametrize("restricted", [True, False])
def test_models_with_a_shape_are_dense_too(model: Any, restricted: bool) -> None:
    phylogeny, seen = read("together_gaps40")
    problem = JointProblem(phylogeny, seen, model=model, restricted=restricted)
    depth = phylogeny.root_distances / problem.units.length
    paths = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths / problem.units.length)
    shape = 0.6 if model == "lambda" else 1.3 / depth.max()
    if model == "lambda":
        tip = np.zeros(len(depth), bool)
        tip[phylogeny.tips] = True
        paths = np.where(np.eye(len(depth), dtype=bool) & tip, paths, shape * paths)
    else:
        distance = depth[:, None] + depth - 2 * paths
        paths = np.exp(-shape * distance) * -np.expm1(-2 * shape * paths) / (2 * shape)
    rate = np.array([[0.5, 0.2, -0.1], [0.2, 0.4, 0.1], [-0.1, 0.1, 0.3]])
    own = problem.units.observations(seen)
    truth = written(phylogeny, own, rate, restricted=restricted, paths=paths)
    found = problem.evaluate(rate, None, shape)
    np.testing.assert_allclose(found.log_likelihood, truth.likelihood, rtol=1e-9)
    states = problem.states(rate, None, shape)
    np.testing.assert_allclose(states.means.ravel(), truth.means, atol=1e-9)
    variances = np.diagonal(states.covariances, axis1=1, axis2=2).ravel()
    np.testing.assert_allclose(variances, truth.variances, atol=1e-9)
    step = 1e-5
    above, below = (problem.evaluate(rate, None, shape + s).log_likelihood for s in (step, -step))
    np.testing.assert_allclose(found.shape, (above - below) / (2 * step), rtol=1e-6)


@pytest.mark.shared
def test_derivatives_are_those_of_differences() -> None:
    phylogeny, seen = read("together_rows20", replicates=True)
    for restricted in (True, False):
        problem = JointProblem(phylogeny, seen, phenotypic=True, restricted=restricted)
        at = JointParameters(np.array([[0.3, -0.1], [-0.1, 0.2]]), np.array([[0.02, 0.005], [0.005, 0.03]]))
        found = problem.evaluate(*at)
        for change in (np.array([[1.0, 0], [0, 0]]), np.array([[0, 1.0], [1, 0]])):
            for which, derivative in (("rate", found.rate), ("within", found.within)):
                ends = [
                    problem.evaluate(*at._replace(**{which: getattr(at, which) + s * change})).log_likelihood
                    for s in (1e-6, -1e-6)
                ]
                np.testing.assert_allclose((derivative * change).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_exact_values_stay_exact_and_zero_edges_tell(tmp_path: Path) -> None:
    (tmp_path / "t.nwk").write_text("((A:0,B:1)x:1,((C:1,D:2)y:0,E:0)z:1,(F:1,G:0.5):1.5);")
    rows = ["name,u,v", "A,1,", "B,2,3", "C,,1.5", "D,0.5,2", "E,,2.5", "F,3,1", "G,1.2,0.3"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    inputs = read_inputs(InputOptions(str(tmp_path / "t.nwk"), str(tmp_path / "t.csv")))
    phylogeny, seen = inputs.phylogenies[0], inputs.observations[0]
    problem = JointProblem(phylogeny, seen)
    rate = np.array([[0.5, 0.3], [0.3, 0.6]])
    found = problem.evaluate(rate)
    lengths = phylogeny.lengths / problem.units.length
    truth = dense(
        phylogeny.topology.parents,
        lengths,
        seen.nodes,
        problem.units.observations(seen).values,
        seen.standard_errors,
        rate,
    )
    np.testing.assert_allclose(found.log_likelihood, truth.likelihood, rtol=1e-9)
    states = problem.states(rate)
    np.testing.assert_allclose(states.means.ravel(), truth.means, atol=1e-10)
    np.testing.assert_allclose(np.diagonal(states.covariances, axis1=1, axis2=2).ravel(), truth.variances, atol=1e-10)
    x, z = (list(phylogeny.labels).index(name) for name in "xz")
    assert states.covariances[x, 0, 0] == 0
    assert states.covariances[z, 1, 1] == 0
    assert states.covariances[x, 1, 1] > 0


# Three of six tips have both traits.
GAPS = np.array([[0, 0], [0, 1], [0, 0], [1, 0], [0, 0], [0, 1]])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda v: np.c_[v[:, :2], 2 * v[:, 0] + 1], "correlation 1"),
        (
            lambda v: np.where([[0, 0], [0, 1], [0, 0], [1, 0], [0, 0], [0, 1]], np.nan, v[:, :1] * [1, 2]),
            "correlation 1",
        ),
        (lambda v: np.c_[v[:, :2], np.ones(len(v))], "no two different values"),
        (lambda v: np.tile(v[:, :1], 7) + np.arange(7), "more tips than traits"),
        (lambda v: np.c_[v[:, :2], np.full(len(v), np.nan)], "no value"),
    ],
)
def test_what_has_no_likelihood_is_refused(change: Any, match: str, tmp_path: Path) -> None:
    (tmp_path / "t.nwk").write_text("((A:1,B:1):1,((C:1,D:2):1,E:1):1,F:1);")
    rows = ["name,u,v", "A,1,4", "B,2,3", "C,7,1.5", "D,0.5,2", "E,4,2.5", "F,3,1"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    inputs = read_inputs(InputOptions(str(tmp_path / "t.nwk"), str(tmp_path / "t.csv")))
    phylogeny, seen = inputs.phylogenies[0], inputs.observations[0]
    values = change(seen.values)
    names = tuple(f"t{i}" for i in range(values.shape[1]))
    with pytest.raises(ModelError, match=match):
        ancestral_together(phylogeny, Observations(seen.nodes, values, np.zeros_like(values), names))
