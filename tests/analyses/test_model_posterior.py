"""Posteriors under other models than Brownian motion: against dense grids."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.analyses.fit.fit import painted_tree
from hxcli.analyses.posterior.posterior import posterior
from hxcli.errors import ModelError, OptionError
from hxcli.formats.source import checked_source
from hxcli.formats.tables.pairs import read_pairs
from hxcli.painting import RegimeRow, RegimeTable
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations
from tests.analyses.dense_models import dense, dense_regimes
from tests.analyses.test_fit import FOSSILS, ULTRAMETRIC, observed, tree

SPREAD, CENTRE, WIDTH = 1.5, -0.5, 1.0


def grid(name: str, phylogeny: Phylogeny, seen: Observations, log_shape: np.ndarray) -> dict[str, float]:
    """Evidence and means by a dense grid over log sigma2 and the log of the shape parameter; no noise, flat root."""
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    log_rate = np.linspace(-7, 7, 401)
    ones, n = np.ones(len(y)), len(y)
    heights, roots = np.empty((len(log_shape), len(log_rate))), np.empty(len(log_shape))
    for row, shape in enumerate(log_shape):
        unit = dense(name, phylogeny, {"sigma2": 1.0, "alpha": float(np.exp(shape))})
        v = unit.covariance[np.ix_(tips, tips)]
        inverse = np.linalg.inv(v)
        information = ones @ inverse @ ones
        mean = ones @ inverse @ y / information
        rest = y - mean
        heights[row] = -(n - 1) / 2 * (np.log(2 * np.pi) + log_rate) - np.linalg.slogdet(v)[1] / 2
        heights[row] += -np.log(information) / 2 - rest @ inverse @ rest / 2 / np.exp(log_rate)
        heights[row] += -((log_rate / SPREAD) ** 2) / 2 - np.log(SPREAD * np.sqrt(2 * np.pi))
        roots[row] = mean + unit.covariance[0, tips] @ inverse @ rest
    steps = log_rate[1] - log_rate[0]
    if len(log_shape) > 1:
        heights += (-(((log_shape - CENTRE) / WIDTH) ** 2) / 2 - np.log(WIDTH * np.sqrt(2 * np.pi)))[:, None]
        steps *= log_shape[1] - log_shape[0]
    weights = np.exp(heights - heights.max())
    evidence = float(np.log(weights.sum() * steps) + heights.max())
    weights /= weights.sum()
    return {
        "evidence": evidence,
        "shape": float(weights.sum(1) @ np.exp(log_shape)),
        "sigma2": float(weights.sum(0) @ np.exp(log_rate)),
        "root": float(weights.sum(1) @ roots),
    }


def test_ou_and_bm_agree_with_dense_grids_and_are_weighed_by_their_evidence() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    priors = {"prior_sigma2": f"lognormal(0,{SPREAD})", "tau2": 0.0}
    found = posterior(phylogeny, seen, models=("bm", "ou"), priors={"alpha": f"lognormal({CENTRE},{WIDTH})"}, **priors)
    ou = grid("ou", phylogeny, seen, np.linspace(CENTRE - 7, CENTRE + 7, 281))
    bm = grid("bm", phylogeny, seen, np.zeros(1))
    by_name = {each["model"]: each for each in found.details["x"]["models"]}
    assert by_name["ou"]["log_evidence"] == pytest.approx(ou["evidence"], abs=1e-5)
    assert by_name["bm"]["log_evidence"] == pytest.approx(bm["evidence"], abs=1e-5)
    share = 1 / (1 + np.exp(bm["evidence"] - ou["evidence"]))
    assert by_name["ou"]["probability"] == pytest.approx(share, abs=1e-5)
    # Under bm the flat root is the root; under ou it is the optimum, at which the root lies.
    assert found.estimates[0, 0] == pytest.approx(share * ou["root"] + (1 - share) * bm["root"], abs=1e-4)
    table = found.tables["parameter table"]
    row = table["parameter"].index("ou:alpha")
    assert table["mean"][row] == pytest.approx(ou["shape"], rel=1e-4)
    assert found.details["x"]["posterior"]["error_bound"] < 1e-4


def test_a_plain_model_is_brownian_motion_on_other_edges() -> None:
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0)
    same = posterior(phylogeny, seen, models=("lambda",), held={"lambda": 1.0}, prior_sigma2="lognormal(0,1)", tau2=0.0)
    plain = posterior(phylogeny, seen, prior_sigma2="lognormal(0,1)", tau2=0.0)
    np.testing.assert_allclose(same.estimates, plain.estimates, atol=1e-6)
    np.testing.assert_allclose(same.standard_errors, plain.standard_errors, atol=1e-5)
    evidences = [each.parameters["x"]["log_evidence"].value for each in (same, plain)]
    assert evidences[0] == pytest.approx(evidences[1], abs=1e-6)


def test_white_has_the_mean_at_all_inner_nodes() -> None:
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0)
    found = posterior(phylogeny, seen, models=("white",), sigma2=1.0, tau2=0.0)
    inner = ~phylogeny.topology.is_leaf
    np.testing.assert_allclose(found.estimates[inner, 0], seen.values.mean(), atol=1e-9)
    np.testing.assert_allclose(found.standard_errors[inner, 0], np.sqrt(1 / len(seen.values)), atol=1e-9)


def test_what_a_posterior_does_not_take_is_refused() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    with pytest.raises(OptionError, match=r"different numbers of means .* bm \(1\), trend \(2\)"):
        posterior(phylogeny, seen, models=("bm", "trend"))
    with pytest.raises(OptionError, match="--root with --model trend: it has several means"):
        posterior(phylogeny, seen, models=("trend",), root_state=1.0)
    with pytest.raises(OptionError, match="--model-prior: ou has none"):
        posterior(phylogeny, seen, models=("bm", "ou"), model_priors={"bm": 1.0})
    with pytest.raises(OptionError, match="no model here has it as a free parameter"):
        posterior(phylogeny, seen, models=("ou",), priors={"lambda": "uniform(0,1)"})


def wide_grid(
    name: str, phylogeny: Phylogeny, seen: Observations, log_alpha: np.ndarray, root: str, prior: dict[str, tuple]
) -> dict[str, float]:
    """Evidence, means and states by a dense grid of log sigma2 and log alpha, with P means; no noise.

    Priors of the means are flat or, in `prior`, (mean, sd). The dense covariance of the observations has those added.
    """
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    log_rate = np.linspace(-7, 7, 141)
    points = []
    for shape in log_alpha:
        unit = dense(name, phylogeny, {"sigma2": 1.0, "alpha": float(np.exp(shape))}, root)
        x = unit.design[tips]
        proper = [unit.unknowns.index(each) for each in prior]
        flat = [p for p in range(x.shape[1]) if p not in proper]
        centre = np.array([prior[unit.unknowns[p]][0] for p in proper])
        spread = np.diag([prior[unit.unknowns[p]][1] ** 2 for p in proper]) if proper else np.zeros((0, 0))
        for rate in log_rate:
            v = np.exp(rate) * unit.covariance[np.ix_(tips, tips)] + x[:, proper] @ spread @ x[:, proper].T
            inverse = np.linalg.inv(v)
            free, rest = x[:, flat], y - x[:, proper] @ centre
            information = free.T @ inverse @ free
            beta = np.linalg.solve(information, free.T @ inverse @ rest)
            rest = rest - free @ beta
            height = -(len(y) - len(flat)) / 2 * np.log(2 * np.pi) - np.linalg.slogdet(v)[1] / 2
            height += -np.linalg.slogdet(information)[1] / 2 - rest @ inverse @ rest / 2
            height += -((rate / SPREAD) ** 2) / 2 - np.log(SPREAD * np.sqrt(2 * np.pi))
            if len(log_alpha) > 1:
                height += -(((shape - CENTRE) / WIDTH) ** 2) / 2 - np.log(WIDTH * np.sqrt(2 * np.pi))
            means = np.zeros(x.shape[1])
            means[flat] = beta
            means[proper] = centre + spread @ x[:, proper].T @ inverse @ rest
            gain = np.exp(rate) * unit.covariance[:, tips] + unit.design[:, proper] @ spread @ x[:, proper].T
            states = unit.design[:, flat] @ beta + unit.design[:, proper] @ centre + gain @ inverse @ rest
            points.append((height, *means, *states))
    table = np.array(points)
    weights = np.exp(table[:, 0] - table[:, 0].max())
    step = log_rate[1] - log_rate[0]
    step *= log_alpha[1] - log_alpha[0] if len(log_alpha) > 1 else 1
    found = {"evidence": float(np.log(weights.sum() * step) + table[:, 0].max())}
    middle = weights @ table[:, 1:] / weights.sum()
    return found | dict(zip(unit.unknowns, middle.tolist(), strict=False)) | {"state": middle[len(unit.unknowns) + 1]}


@pytest.mark.parametrize(
    ("name", "root", "normal"),
    [
        ("trend", "theta", {}),
        pytest.param("trend", "theta", {"root": (9.0, 2.0), "slope": (0.0, 0.5)}, marks=pytest.mark.slow),
        pytest.param("ou", "free", {"root": (9.0, 2.0)}, marks=pytest.mark.slow),
    ],
)
def test_several_means_are_integrated_as_a_dense_grid_does(name: str, root: str, normal: dict) -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    priors = {mean: "normal({},{})".format(*numbers) for mean, numbers in normal.items()}
    if name == "ou":
        priors["alpha"] = f"lognormal({CENTRE},{WIDTH})"
    found = posterior(
        phylogeny, seen, models=(name,), ou_root=root if name == "ou" else None, priors=priors,
        prior_sigma2=f"lognormal(0,{SPREAD})", tau2=0.0,
    )  # fmt: skip
    shapes = np.linspace(CENTRE - 6, CENTRE + 6, 61) if name == "ou" else np.zeros(1)
    slow = wide_grid(name, phylogeny, seen, shapes, root, normal)
    assert found.parameters["x"]["log_evidence"].value == pytest.approx(slow["evidence"], abs=1e-4)
    table = found.tables["parameter table"]
    for mean in {"trend": ("root", "slope"), "ou": ("theta", "root")}[name]:
        row = table["parameter"].index(mean)
        assert table["mean"][row] == pytest.approx(slow[mean], abs=2e-3), mean
        assert table["q0.025"][row] < slow[mean] < table["q0.975"][row]
    assert found.estimates[1, 0] == pytest.approx(slow["state"], abs=1e-3)
    assert found.details["x"]["posterior"]["error_bound"] < 1e-4


def test_models_have_priors_and_rates_of_regimes_are_told_in_their_unit() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    options = {"prior_sigma2": "lognormal(0,1)", "tau2": 0.0}
    equal, given = (
        posterior(phylogeny, seen, models=("bm", "white"), model_priors=weights, **options)
        for weights in ({}, {"bm": 0.2, "white": 0.6})
    )
    one, other = (found.details["x"]["models"] for found in (equal, given))
    assert [each["prior"] for each in other] == pytest.approx([0.25, 0.75], abs=1e-15)
    odds = [models[1]["probability"] / models[0]["probability"] for models in (one, other)]
    assert odds[1] == pytest.approx(3 * odds[0], rel=1e-9)
    assert "bm (prior 0.25), white (prior 0.75)" in given.method
    difference = given.parameters["x"]["log_evidence"].value - np.log(
        sum(each["prior"] * np.exp(each["log_evidence"]) for each in other)
    )
    assert difference == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_a_posterior_that_has_no_integral_is_refused() -> None:
    phylogeny = tree(FOSSILS)
    # The stronger the pull, the less is known of the root: a flat prior of it outweighs that of the pull.
    with pytest.raises(ModelError, match=r"does not fall off .* --prior 'root=normal\(MEAN,SD\)'"):
        posterior(
            phylogeny, observed(phylogeny), models=("ou",), ou_root="free", prior_sigma2="lognormal(0,1)", tau2=0.0
        )


@pytest.mark.slow
def test_the_second_rate_is_told_in_its_own_unit() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    painting = RegimeTable("r", (RegimeRow("", "", "", "a", 1, 2), RegimeRow("r", "", "", "b", 1, 3)))
    found = posterior(phylogeny, seen, models=("bms",), regimes=painting, sigma2=2.0, tau2=0.0,
                      held={"sigma2(b)": 3.0}).tables["parameter table"]  # fmt: skip
    assert found["parameter"] == ["sigma2(a)", "tau2", "root", "sigma2(b)"]
    assert found["mean"][3] == pytest.approx(6.0, abs=1e-9)


def dense_oumv(phylogeny: Phylogeny, seen: Observations, painting: RegimeTable) -> dict[str, float]:
    """Means over log sigma2(a), the log of its ratio and log alpha by a dense grid; normal priors of the optima."""
    painted = painted_tree(phylogeny, painting)
    there = ~np.isnan(seen.values[:, 0])
    tips, y = painted.nodes[seen.nodes[there]], seen.values[there, 0]
    rows = []
    for log_alpha in np.linspace(-3, 2, 16):
        for log_rate in np.linspace(-3.5, 3.5, 16):
            for log_ratio in np.linspace(-2.5, 2.5, 14):
                rates = {"sigma2(a)": np.exp(log_rate), "sigma2(b)": np.exp(log_rate + log_ratio)}
                model = dense_regimes("oumv", painted, {**rates, "alpha": float(np.exp(log_alpha))})
                x = model.design[tips]
                v = model.covariance[np.ix_(tips, tips)] + 9 * x @ x.T + 0.01 * np.eye(len(tips))
                inverse, rest = np.linalg.inv(v), y - 10 * x.sum(1)
                height = -np.linalg.slogdet(v)[1] / 2 - rest @ inverse @ rest / 2
                height -= (log_alpha + 0.5) ** 2 / 2 / 0.8**2 + log_rate**2 / 2 + log_ratio**2 / 2 / 0.7**2
                theta = 10 + 9 * x.T @ inverse @ rest
                gain = model.covariance[0, tips] + 9 * model.design[0] @ x.T
                root = 10 * model.design[0].sum() + gain @ inverse @ rest
                rows.append((height, np.exp(log_alpha), *rates.values(), *theta, root))
    table = np.array(rows)
    weights = np.exp(table[:, 0] - table[:, 0].max())
    names = ("alpha", "sigma2(a)", "sigma2(b)", "theta(a)", "theta(b)", "root")
    return dict(zip(names, (weights @ table[:, 1:] / weights.sum()).tolist(), strict=True))


@pytest.mark.slow
def test_sampled_models_agree_with_a_dense_grid() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    painting = RegimeTable("r", (RegimeRow("", "", "", "a", 1, 2), RegimeRow("r", "", "", "b", 1, 3)))
    priors = {
        "alpha": "lognormal(-0.5,0.8)", "sigma2(b)": "lognormal(0,0.7)",
        "theta(a)": "normal(10,3)", "theta(b)": "normal(10,3)",
    }  # fmt: skip
    found = posterior(
        phylogeny, seen, models=("oumv",), regimes=painting, priors=priors, prior_sigma2="lognormal(0,1)", tau2=0.01,
        samples=1500, chains=4, pairs=read_pairs(checked_source("p.csv", b"a,b\np,q\n")),
    )  # fmt: skip
    slow = dense_oumv(phylogeny, seen, painting)
    table = found.tables["parameter table"]
    about = found.details["x"]["posterior"]
    assert about["method"] == "nuts"
    assert about["divergences"] == 0
    assert max(each["rhat"] for each in about["diagnostics"].values()) < 1.01
    assert "not converged" not in " ".join(found.warnings)
    for name, value in slow.items():
        row = table["parameter"].index(name)
        assert abs(table["mean"][row] - value) < 0.06 * table["sd"][row] + 1e-3, (name, table["mean"][row], value)
    pair = found.tables["pairs table"]
    labels = found.phylogeny.labels.array.tolist()
    first, second = (found.estimates[labels.index(name), 0] for name in "pq")
    assert pair["difference"][0] == pytest.approx(first - second, abs=1e-9)


@pytest.mark.slow
def test_draws_of_models_have_the_posterior_of_the_quadrature() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, errors=True)
    count = 4_000
    found = posterior(phylogeny, seen, models=("bm", "ou"), draws=count, seed=3, prior_sigma2="lognormal(0,1)",
                      prior_tau2="lognormal(-2,1)", priors={"alpha": "lognormal(-0.5,0.8)"})  # fmt: skip
    draws, table = found.tables["draws"], found.tables["parameter table"]
    share = next(each["probability"] for each in found.details["x"]["models"] if each["model"] == "ou")
    assert abs((np.array(draws["model"]) == "ou").mean() - share) < 4 * np.sqrt(share * (1 - share) / count)
    for name in ("sigma2", "tau2", "ou:alpha", "ou:theta"):
        row, values = table["parameter"].index(name), draws[name][~np.isnan(draws[name])]
        for probability in (0.025, 0.25, 0.5, 0.75, 0.975):
            below = (values < table[f"q{probability:g}"][row]).mean()
            # The figures of the variances are made of the quadrature's points.
            room = 4 * np.sqrt(probability * (1 - probability) / len(values)) + (0.03 if "2" in name else 0.0)
            assert abs(below - probability) < room, (name, probability, below)
    states = draws["states"]
    for node in range(phylogeny.topology.size):
        mean, deviation = found.estimates[node, 0], found.standard_errors[node, 0]
        assert abs(states[:, node].mean() - mean) < 5 * deviation / np.sqrt(count) + 1e-9
        assert states[:, node].std() == pytest.approx(deviation, rel=0.1)
    pair = posterior(phylogeny, seen, models=("ou",), sigma2=0.7, tau2=0.1, held={"alpha": 0.4}, draws=count,
                     pairs=read_pairs(checked_source("p.csv", b"a,b\np,q\nA,t\n")))  # fmt: skip
    labels, drawn = phylogeny.labels.array.tolist(), pair.tables["draws"]["states"]
    for row, names in enumerate(("pq", "At")):
        first, second = (drawn[:, labels.index(name)] for name in names)
        wanted = pair.tables["pairs table"]["correlation"][row]
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(wanted, abs=5 / np.sqrt(count))
