"""The posterior of traits together: against a fine grid over dense algebra, and its parts by themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hxcli.analyses.canonical import in_canonical_order
from hxcli.analyses.together.posterior import posterior_together
from hxcli.errors import HxError, OptionError
from hxcli.inference.joint_parameters import CholeskyCoordinates
from hxcli.inference.joint_prior import CovariancePrior, joint_priors
from hxcli.inference.joint_problem import JointProblem
from hxcli.inference.priors import Prior, parse_prior
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations
from tests.reference import shared_paths


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with jax.enable_x64(True):
        yield


TREE = "(((A:1,B:1)x:0.5,C:1.5)y:0.5,(D:0.7,(E:0,F:1)z:0.4)w:1)r;"
ROWS = ["name,u,v,v_se", "A,1,4,0", "B,2,,0", "C,3.1,1.5,0.5", "D,0.5,2,0", "E,,2.5,0", "F,2.6,1.9,0"]


def read(folder: Path, tree: str = TREE, rows: list[str] = ROWS) -> tuple[Phylogeny, Observations]:
    (folder / "t.nwk").write_text(tree)
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    inputs = read_inputs(InputOptions(str(folder / "t.nwk"), str(folder / "t.csv")))
    return inputs.phylogenies[0], inputs.observations[0]


class Cells:
    """Observed cells by dense algebra: their contrasts' density, and all states given them, at many covariances."""

    def __init__(self, phylogeny: Phylogeny, seen: Observations) -> None:
        paths = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)
        rows, traits = np.nonzero(~np.isnan(seen.values))
        nodes = seen.nodes[rows]
        self.y, self.trait, self.size = seen.values[rows, traits], traits, len(paths)
        self.noise = np.diag(seen.standard_errors[rows, traits] ** 2)
        self.between = paths[np.ix_(nodes, nodes)]
        self.across, self.depth = paths[:, nodes], np.diag(paths)
        self.design = np.eye(2)[traits]

    def at(self, rates: Any) -> tuple[Any, Any, Any]:
        """Restricted log densities (K,), means and variances (K, N, 2), of (K, 2, 2) covariances."""
        v = self.between * rates[:, self.trait[:, None], self.trait] + self.noise
        inverse = np.linalg.inv(v)
        weighed = inverse @ self.design
        information = self.design.T @ weighed
        means = np.linalg.solve(information, (weighed.transpose(0, 2, 1) @ self.y)[..., None])[..., 0]
        rest = self.y - means @ self.design.T
        quadratic = np.einsum("ki,kij,kj->k", rest, inverse, rest)
        density = -(np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1] + quadratic) / 2
        found, variances = [], []
        for trait in range(2):
            c = self.across * rates[:, None, trait, self.trait]
            found.append(means[:, None, trait] + np.einsum("kni,kij,kj->kn", c, inverse, rest))
            left = np.eye(2)[trait] - c @ weighed
            own = self.depth * rates[:, None, trait, trait] - np.einsum("kni,kij,knj->kn", c, inverse, c)
            variances.append(own + np.einsum("knd,kde,kne->kn", left, np.linalg.inv(information), left))
        return density, np.stack(found, 2), np.stack(variances, 2)


@pytest.mark.slow
def test_it_is_the_posterior_that_a_grid_gives(tmp_path: Path) -> None:
    pytest.importorskip("numpyro")
    phylogeny, seen = read(tmp_path)
    given = {"sigma": "halfnormal(2)", "sigma(v)": "halfcauchy(1)", "correlation": "lkj(2)"}
    found = posterior_together(phylogeny, seen, priors=given, samples=2_500, draws=2_000, seed=1)
    # Five tips leave a heavy tail, in which a few of 10,000 transitions may diverge.
    assert found.about_all["posterior"]["divergences"] < 10
    assert "R-hat" not in " ".join(found.warnings)
    # Deviations by their logs, the correlation by its Fisher transform.
    first, second, z = (np.linspace(*ends, 42) for ends in ((-2.5, 2.5), (-2.5, 4), (-3.5, 3.5)))
    a, b, c = (each.ravel() for each in np.meshgrid(first, second, z, indexing="ij"))
    s, t, r = np.exp(a), np.exp(b), np.tanh(c)
    rates = np.stack([s * s, r * s * t, r * s * t, t * t], 1).reshape(-1, 2, 2)
    density, means, variances = Cells(phylogeny, seen).at(rates)
    # Half-normal, half-Cauchy, (1 - r^2) to the power 2 - 1; and the measure of the grid.
    density += -(s**2) / 8 - np.log1p(t**2) + np.log1p(-(r**2)) + a + b + np.log1p(-(r**2))
    weight = np.exp(density - density.max())
    assert weight.reshape(42, 42, 42)[[0, -1]].max() < 1e-4
    weight /= weight.sum()
    table = found.tables["covariance table"]
    health = found.about_all["posterior"]["diagnostics"]
    for name, values, told in (
        ("correlation(u,v)", r, table["correlation"][1]),
        ("sigma2(u)", s, None),
        ("sigma2(v)", t, None),
    ):
        order = np.argsort(values)
        below = np.cumsum(weight[order])
        spread = np.sqrt(weight @ (values - weight @ values) ** 2)
        error = spread / np.sqrt(health[name]["ess_bulk"])
        if told is not None:
            assert abs(told - weight @ values) < 5 * error
            low, high = np.interp([0.025, 0.975], below, values[order])
            np.testing.assert_allclose([table["lower"][1], table["upper"][1]], [low, high], atol=0.05)
            assert abs(table["positive"][1] - weight @ (r > 0)) < 5 / np.sqrt(health[name]["ess_bulk"])
            continue
        params = found.tables["parameter table"]
        row = params["trait"].index(name[7])
        median = np.interp(0.5, below, values[order] ** 2)
        assert params["parameter"][row] == "sigma2"
        assert params["q0.5"][row] == pytest.approx(median, rel=0.12)
    truth = np.einsum("k,knd->nd", weight, means)
    square = np.einsum("k,knd->nd", weight, variances + means**2)
    deviation = np.sqrt(np.maximum(square - truth**2, 0))
    np.testing.assert_allclose(found.estimates, truth, atol=0.12 * deviation.max())
    inside = deviation > 1e-3
    np.testing.assert_allclose(found.standard_errors[inside], deviation[inside], rtol=0.15)
    assert (found.standard_errors[~inside] == 0).all()
    drawn = found.tables["draws"]
    states = np.moveaxis(drawn["states"].reshape(2, 2_000, -1), 0, 2)
    np.testing.assert_allclose(states.mean(0), truth, atol=0.2 * deviation.max())
    sure = ~inside
    assert (states[:, sure] == found.estimates[sure]).all()
    exact = (drawn["covariance(v)"][:2_000] / np.sqrt(drawn["sigma2"][:2_000] * drawn["sigma2"][2_000:])).mean()
    assert abs(exact - table["correlation"][1]) < 0.1


def test_the_prior_is_the_density_of_deviations_and_correlations() -> None:
    reference = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.5], [-0.2, 0.5, 0.7]])
    at = CholeskyCoordinates(reference, 12.0)
    priors = tuple(map(parse_prior, ("halfnormal(0.7)", "halfcauchy(2)", "lognormal(-0.3,0.8)")))
    prior = CovariancePrior(2.5, priors)
    pairs = np.tril_indices(3, -1)

    def parts(place: Any) -> Any:
        matrix = at.matrix(place)
        deviations = np.sqrt(np.diag(matrix))
        return np.concatenate([np.log(deviations), (matrix / deviations / deviations[:, None])[pairs]])

    def density(place: Any) -> float:
        slopes = [(parts(place + step) - parts(place - step)) / 2e-6 for step in 1e-6 * np.eye(6)]
        found = parts(place)
        correlation = np.eye(3)
        correlation[pairs] = found[3:]
        correlation = correlation + np.tril(correlation, -1).T
        own = sum(float(each.log_density(x)) for each, x in zip(priors, found[:3], strict=True))
        return float(np.linalg.slogdet(slopes)[1] + own + 1.5 * np.linalg.slogdet(correlation)[1])

    def told(place: Any) -> float:
        return float(prior.log_density(at.factor(place)) + at.log_volume(place))

    places = np.random.default_rng(0).normal(size=(5, 6))
    np.testing.assert_allclose(at.factor(places[0]) @ at.factor(places[0]).T, at.matrix(places[0]))
    away = [density(place) - told(place) for place in places]
    np.testing.assert_allclose(away, away[0], atol=1e-6)


def test_draws_have_the_moments_of_dense_algebra(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    problem = JointProblem(phylogeny, seen)
    rate = np.array([[0.5, 0.3], [0.3, 0.6]])
    generator, count = np.random.default_rng(3), 400
    drawn = np.stack(
        [problem.draw(rate, None, 0.0, generator.standard_normal((problem.size, 3, 2))) for _ in range(count)]
    )
    states = problem.states(rate)
    deviations = np.sqrt(np.maximum(np.diagonal(states.covariances, axis1=1, axis2=2), 0))
    apart = (drawn.mean(0) - states.means) * np.sqrt(count)
    assert (np.abs(apart) < 4.5 * deviations + 1e-9).all()
    np.testing.assert_allclose(drawn.std(0), deviations, rtol=0.2, atol=1e-9)
    # Traits at one node, and a node and its child.
    x, y = (list(phylogeny.labels).index(name) for name in "xy")
    away = drawn - states.means
    np.testing.assert_allclose((away[:, x, 0] * away[:, x, 1]).mean(), states.covariances[x, 0, 1], atol=0.05)
    own = problem.units.observations(seen)
    cells = Cells(phylogeny, own)
    cells.between, cells.across = cells.between / problem.units.length, cells.across / problem.units.length
    v = cells.between * rate[cells.trait[:, None], cells.trait] + cells.noise
    left, right = (cells.across[node] * rate[0, cells.trait] for node in (x, y))
    inverse = np.linalg.inv(v)
    information = np.linalg.inv(cells.design.T @ inverse @ cells.design)
    free = [np.eye(2)[0] - each @ inverse @ cells.design for each in (left, right)]
    shared = phylogeny.root_distances[y] / problem.units.length * rate[0, 0]
    truth = shared - left @ inverse @ right + free[0] @ information @ free[1]
    np.testing.assert_allclose((away[:, x, 0] * away[:, y, 0]).mean(), truth, atol=0.06)


def test_the_order_of_children_and_rows_is_forgotten(tmp_path: Path) -> None:
    turned = "(((F:1,E:0)z:0.4,D:0.7)w:1,(C:1.5,(B:1,A:1)x:0.5)y:0.5)r;"
    one = in_canonical_order(*read(tmp_path))
    other = in_canonical_order(*read(tmp_path, turned, [ROWS[0], *ROWS[:0:-1]]))
    assert one[0] == other[0]
    for name in ("nodes", "values", "standard_errors"):
        np.testing.assert_array_equal(getattr(one[1], name), getattr(other[1], name))
    phylogeny, _ = read(tmp_path)
    assert list(phylogeny.labels[one[2]]) == list(one[0].labels)


def test_default_priors_are_wide_and_given_ones_are_kept() -> None:
    found = joint_priors({"sigma(a)": "halfcauchy(2)"}, ("a", "b"), np.array([3.0, 0.5]), 4.0, True)
    assert found.rate == CovariancePrior(1.0, (parse_prior("halfcauchy(2)"), Prior("halfnormal", (1.25,))))
    assert found.scaled_to_data == ("sigma(b)", "tau(a)", "tau(b)")
    assert found.in_words(("a", "b")).startswith("priors: correlation lkj(1), sigma(a) halfcauchy(2), sigma(b) half")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"tau": "halfnormal(1)"}, "no such prior"),
        ({"sigma": "uniform(0,1)"}, "no bounds"),
        ({"correlation": "halfnormal(1)"}, r"write lkj\(1\)"),
        ({"correlation": "lkj(0)"}, r"write lkj\(1\)"),
    ],
)
def test_priors_that_are_none_are_refused(given: dict[str, str], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        joint_priors(given, ("a", "b"), np.ones(2), 1.0, False)


def test_numpyro_is_missed_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(
        HxError, match=r"--together needs NumPyro, which is not installed \(pip install 'hxcli\[mcmc\]'\)"
    ):
        posterior_together(*read(tmp_path))
