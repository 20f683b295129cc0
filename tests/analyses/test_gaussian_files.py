"""Posteriors under users' files that return a Gaussian, beside sums over grids of parameters with dense algebra."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from hxcli.analyses.posterior import weighed_parameters
from hxcli.analyses.posterior.posterior import posterior
from hxcli.engine.topology import from_parents
from hxcli.errors import ModelError
from hxcli.formats.source import checked_source
from hxcli.formats.tables.pairs import read_pairs
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.text_columns import Texts
from hxcli.traits import Observations

# Nine tips; nodes in breadth-first order.
PARENTS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7])
LENGTHS = np.array([0, 0.5, 0.3, 0.4, 0.7, 0.6, 0.3, 0.2, 0.9, 0.5, 0.4, 0.3, 0.2, 0.6, 0.8, 0.5, 0.4])
VALUES = np.array([0.8, -0.2, 0.5, 0.9, 1.4, 0.1, 0.6, 0.3, 1.1])
TIPS = np.array([8, 9, 10, 11, 12, 13, 14, 15, 16])
ENDS = np.array([0.0] * 17)
for node in range(1, 17):
    ENDS[node] = ENDS[PARENTS[node]] + LENGTHS[node]
HEAD = "import jax.numpy as jnp\nfrom hxcli.model import Gaussian, fixed, log_normal, normal, param, record, uniform\n"


def tree_of() -> Phylogeny:
    topology = from_parents(PARENTS)
    labels = tuple(f"t{i:02}" if topology.is_leaf[i] else "" for i in range(topology.size))
    return Phylogeny(topology, LENGTHS, Texts(labels), Texts(("",) * topology.size))


def seen_on(tree: Phylogeny, values: Any = VALUES, names: tuple[str, ...] = ("x",)) -> Observations:
    table = np.asarray(values, float).reshape(len(TIPS), -1)
    return Observations(tree.tips, table, np.zeros_like(table), names)


class Linked:
    """Edges of a Gaussian model with their numbers, and the joint normal distribution of all nodes; no JAX."""

    def __init__(self, scale: Any, shift: Any, variance: Any, root: tuple[float, float]) -> None:
        scale, shift, variance = (np.broadcast_to(each, 17) for each in (scale, shift, variance))
        self.mean, self.covariance = np.zeros(17), np.zeros((17, 17))
        self.mean[0], self.covariance[0, 0] = root
        for node in range(1, 17):
            above = PARENTS[node]
            self.mean[node] = scale[node] * self.mean[above] + shift[node]
            row = scale[node] * self.covariance[above, :node]
            self.covariance[node, :node] = self.covariance[:node, node] = row
            self.covariance[node, node] = scale[node] ** 2 * self.covariance[above, above] + variance[node]

    def given(self, y: FloatArray, noise: Any) -> tuple[float, FloatArray, FloatArray]:
        """Log density of the tips' values, and mean and variance of all nodes given them."""
        v = self.covariance[np.ix_(TIPS, TIPS)] + np.diag(np.broadcast_to(noise, len(TIPS)))
        rest = y - self.mean[TIPS]
        gain = np.linalg.solve(v, self.covariance[TIPS]).T
        height = -(rest @ np.linalg.solve(v, rest) + np.linalg.slogdet(v)[1] + len(y) * np.log(2 * np.pi)) / 2
        variance = np.diag(self.covariance) - np.einsum("nt,nt->n", gain, self.covariance[:, TIPS])
        return float(height), self.mean + gain @ rest, variance


def summed(
    axes: Mapping[str, tuple[FloatArray, FloatArray]], at: Callable[..., tuple[float, FloatArray, FloatArray]]
) -> tuple[dict[str, float], FloatArray, FloatArray, float]:
    """Means of parameters, means and deviations of nodes and the log evidence, over a grid of values and weights."""
    rows, logs = [], []
    for places in product(*(range(len(values)) for values, _ in axes.values())):
        point = {name: float(values[i]) for (name, (values, _)), i in zip(axes.items(), places, strict=True)}
        log_prior = sum(float(prior[i]) for (_, prior), i in zip(axes.values(), places, strict=True))
        height, mean, variance = at(**point)
        logs.append(height + log_prior)
        rows.append(np.concatenate([list(point.values()), mean, variance + mean**2]))
    top = max(logs)
    weights = np.exp(np.array(logs) - top)
    found = weights @ np.array(rows) / weights.sum()
    count = len(axes)
    mean, second = found[count : count + 17], found[count + 17 :]
    deviation = np.sqrt(np.maximum(second - mean**2, 0))
    return dict(zip(axes, found[:count], strict=True)), mean, deviation, float(top + np.log(weights.sum()))


def over_normal(mean: float, sd: float, count: int = 41, log: bool = False) -> tuple[FloatArray, FloatArray]:
    """Points of a normal prior (of the logarithm) and the logarithms of their probabilities."""
    z = np.linspace(-6, 6, count)
    values = mean + sd * z
    return np.exp(values) if log else values, norm.logpdf(z) + math.log(z[1] - z[0])


def file_of(path: Path, text: str) -> str:
    path.write_text(HEAD + text)
    return str(path)


def agrees(found: Reconstruction, slow: Any, rel: float = 1e-4) -> None:
    parameters, mean, deviation, log_evidence = slow
    told = found.tables["parameter table"]
    about = found.details["x"]["posterior"]
    assert about["method"] == "quadrature"
    assert about["error_bound"] < 1e-4
    for name, value in parameters.items():
        assert told["mean"][told["parameter"].index(name)] == pytest.approx(value, rel=rel), name
    assert about["log_evidence"] == pytest.approx(log_evidence, abs=1e-4)
    np.testing.assert_allclose(found.estimates[:, 0], mean, atol=1e-4)
    np.testing.assert_allclose(found.standard_errors[:, 0], deviation, atol=1e-4)


@pytest.mark.slow
def test_a_file_without_rates_and_means_has_the_posterior_of_a_grid(tmp_path: Path) -> None:
    name = file_of(
        tmp_path / "pull.py",
        "def model(edge):\n"
        "    power = fixed('power', 1.0)\n"
        "    theta, sigma = normal('theta', mean=0.4, sd=1), uniform('sigma', 0.2, 2.0)\n"
        "    decay = record('decay', jnp.exp(-0.8 * edge.length**power))\n"
        "    return Gaussian(decay, theta * (1 - decay), sigma**2 * (1 - decay**2) / 1.6)\n"
        "def root():\n"
        "    return Gaussian(mean=0.3, variance=0.5)\n",
    )
    tree = tree_of()

    def at(theta: float, sigma: float) -> Any:
        decay = np.exp(-0.8 * LENGTHS**0.7)
        edges = Linked(decay, theta * (1 - decay), sigma**2 * (1 - decay**2) / 1.6, (0.3, 0.5))
        return edges.given(VALUES, 0.04)

    # The posterior is cut off by the ends of a uniform prior.
    points, weights = np.polynomial.legendre.leggauss(32)
    axes = {"theta": over_normal(0.4, 1.0, 31), "sigma": (1.1 + 0.9 * points, np.log(weights / 2))}
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.04, held={"power": 0.7})
    agrees(found, summed(axes, at))
    assert found.tables["parameter table"]["parameter"] == ["theta", "sigma", "power", "tau2", "root"]


@pytest.mark.slow
def test_rates_apart_noise_and_parts_that_nothing_multiplies(tmp_path: Path) -> None:
    name = file_of(
        tmp_path / "two.py",
        "RATES = ('rate',)\n"
        "MEANS = ('jump',)\n"
        "def model(edge):\n"
        "    rate = log_normal('rate', median=0.5, sd=0.6, shape=(2,))\n"
        "    jump = normal('jump', mean=1, sd=0.5)\n"
        "    late = jnp.where(edge.start > 0.3, 1, 0)\n"
        "    return Gaussian(shift=0.1 + jump * edge.is_tip, variance=rate[late] * edge.length)\n"
        "def noise(tip):\n"
        "    return 0.02 * tip.length\n"
        "def root():\n"
        "    return Gaussian(mean=0.2, variance=0)\n",
    )
    tree = tree_of()
    tip = np.isin(np.arange(17), TIPS)

    def at(**rate: float) -> Any:
        late = np.where(ENDS - LENGTHS > 0.3, rate["rate(2)"], rate["rate(1)"]) * LENGTHS
        # The jump is normal, and one to all tips: what it adds to their covariance is their design's square.
        edges = Linked(1.0, 0.1 + 1.0 * tip, late, (0.2, 0.0))
        edges.covariance += 0.25 * np.outer(tip, tip)
        return edges.given(VALUES, 0.02 * LENGTHS[TIPS])

    axes = {f"rate({i})": over_normal(math.log(0.5), 0.6, 31, log=True) for i in (1, 2)}
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.0)
    agrees(found, summed(axes, at))
    told = found.tables["parameter table"]
    assert told["parameter"] == ["rate(1)", "rate(2)", "jump", "root"]
    # Unknowns of the mean are held as all else is.
    held = posterior(tree, seen_on(tree), models=(name,), tau2=0.0, held={"rate(2)": 0.4, "jump": 0.9})
    assert held.tables["parameter table"]["parameter"] == ["rate(1)", "rate(2)", "jump", "root"]


BY_RATE = (
    "RATES, MEANS = ('sigma2',), ('theta',)\n"
    "def model(edge):\n"
    "    alpha, sigma2 = log_normal('alpha', median=0.7, sd=0.5), log_normal('sigma2', median=0.6, sd=0.7)\n"
    "    decay = jnp.exp(-alpha * edge.length)\n"
    "    theta = normal('theta', mean=0.4, sd=1)\n"
    "    return Gaussian(decay, theta * (1 - decay), sigma2 * (1 - decay**2) / (2 * alpha))\n"
    "def root():\n"
    "    return Gaussian(mean=normal('theta', mean=0.4, sd=1), variance=0)\n"
)


@pytest.mark.slow
def test_both_ways_give_one_answer(tmp_path: Path) -> None:
    apart = file_of(tmp_path / "apart.py", BY_RATE)
    alike = file_of(
        tmp_path / "alike.py", BY_RATE.replace("RATES, MEANS = ('sigma2',), ('theta',)", "MEANS = ('theta',)")
    )
    searched = file_of(tmp_path / "searched.py", BY_RATE.split("\n", 1)[1])
    tree = tree_of()
    pairs = read_pairs(checked_source("p.csv", b"a,b\nt08,t09\nt08,t16\n"))
    given = {"loo": True, "pairs": pairs}

    def asked(name: str, **options: Any) -> Reconstruction:
        return posterior(tree, seen_on(tree, 3 + 10 * VALUES), models=(name,), **{**given, **options})

    # Of values that are far from 0 and far apart, with priors that suit them in both.
    wide = {"theta": "normal(5,8)", "sigma2": "lognormal(4,0.7)"}
    one = asked(apart, tau2=2.0, held={"alpha": 0.8}, priors={"theta": wide["theta"]}, prior_sigma2=wide["sigma2"])
    other = asked(alike, tau2=2.0, held={"alpha": 0.8}, priors=wide)
    third = asked(searched, tau2=2.0, held={"alpha": 0.8}, priors=wide)
    for found in (other, third):
        told, other_told = (each.tables["parameter table"] for each in (one, found))
        for name in ("sigma2", "theta", "root"):
            rows = [each["parameter"].index(name) for each in (told, other_told)] if name in told["parameter"] else []
            for key in ("mean", "sd") if rows else ():
                assert told[key][rows[0]] == pytest.approx(other_told[key][rows[1]], rel=1e-4), (name, key)
        np.testing.assert_allclose(found.estimates, one.estimates, atol=1e-3)
        np.testing.assert_allclose(found.standard_errors, one.standard_errors, atol=1e-3)
        np.testing.assert_allclose(found.columns["hpd_lower"], one.columns["hpd_lower"], atol=1e-2)
        evidences = [each.details["x"]["posterior"]["log_evidence"] for each in (one, found)]
        assert evidences[0] == pytest.approx(evidences[1], abs=1e-4)
        for key, kind in (
            ("log_density", "leave-one-out table"),
            ("mean", "leave-one-out table"),
            ("correlation", "pairs table"),
        ):
            if found is third and kind == "leave-one-out table":
                # Its mean is a parameter, and those keep their posterior given all tips.
                continue
            np.testing.assert_allclose(found.tables[kind][key], one.tables[kind][key], atol=1e-3)


def dense_wings(alpha: float, sigma2: float, one: float, two: float, tau2: float, winged: Any) -> Any:
    decay = np.exp(-alpha * LENGTHS)
    theta = np.where(winged, two, one)
    variance = sigma2 * -np.expm1(-2 * alpha * LENGTHS) / (2 * alpha)
    return Linked(decay, theta * (1 - decay), variance, (0.4, 0.3)).given(VALUES, tau2)


WINGS = (
    "def model(edge):\n"
    "    alpha, sigma2 = log_normal('alpha', median=0.8, sd=0.6), log_normal('sigma2', median=0.5, sd=0.6)\n"
    "    theta = normal('theta', mean=0.5, sd=1, shape=(2,))\n"
    "    decay = record('decay', jnp.exp(-alpha * edge.length))\n"
    "    winged = jnp.where(edge.start > 0.4, 1, 0)\n"
    "    variance = sigma2 * -jnp.expm1(-2 * alpha * edge.length) / (2 * alpha)\n"
    "    return Gaussian(decay, theta[winged] * (1 - decay), variance)\n"
)


@pytest.mark.slow
def test_three_unknown_parameters_are_integrated_and_agree_with_a_grid_and_a_sampler(tmp_path: Path) -> None:
    text = (
        "def model(edge):\n"
        "    theta, sigma2 = normal('theta', mean=0.4, sd=0.4), log_normal('sigma2', median=0.6, sd=0.35)\n"
        "    alpha = log_normal('alpha', median=0.8, sd=0.2)\n"
        "    decay = jnp.exp(-alpha * edge.length)\n"
        "    return Gaussian(decay, theta * (1 - decay), sigma2 * (1 - decay**2) / (2 * alpha))\n"
        "def root():\n"
        "    return Gaussian(mean=0.3, variance=0.5)\n"
    )
    name, tree = file_of(tmp_path / "pull.py", text), tree_of()

    def at(alpha: float, theta: float, sigma2: float) -> Any:
        decay = np.exp(-alpha * LENGTHS)
        edges = Linked(decay, theta * (1 - decay), sigma2 * (1 - decay**2) / (2 * alpha), (0.3, 0.5))
        return edges.given(VALUES, 0.04)

    axes = {"alpha": over_normal(math.log(0.8), 0.2, 19, True), "theta": over_normal(0.4, 0.4, 25)}
    axes["sigma2"] = over_normal(math.log(0.6), 0.35, 25, True)
    found = posterior(tree, seen_on(tree), models=(name,), tau2=0.04, draws=1000)
    parameters, mean, deviation, log_evidence = summed(axes, at)
    about, told = found.details["x"]["posterior"], found.tables["parameter table"]
    assert about["method"] == "quadrature"
    assert len(about["grid"]) == 3
    assert about["error_bound"] < 3e-3
    assert about["log_evidence"] == pytest.approx(log_evidence, abs=1e-4)
    for parameter, value in parameters.items():
        row = told["parameter"].index(parameter)
        assert told["mean"][row] == pytest.approx(value, abs=1e-4 * told["sd"][row] + 1e-5), parameter
        drawn = found.tables["draws"][parameter]
        assert drawn.mean() == pytest.approx(value, abs=5 * told["sd"][row] / math.sqrt(1000)), parameter
        assert drawn.std() == pytest.approx(told["sd"][row], rel=0.2), parameter
    np.testing.assert_allclose(found.estimates[:, 0], mean, atol=1e-4)
    np.testing.assert_allclose(found.standard_errors[:, 0], deviation, atol=1e-4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighed_parameters, "MOST_ERROR", 0.0)
        sampled = posterior(tree, seen_on(tree), models=(name,), tau2=0.04)
    about = sampled.details["x"]["posterior"]
    assert about["method"] == "independence"
    assert about["log_evidence"] == pytest.approx(log_evidence, abs=5 * about["log_evidence_error"])


@pytest.mark.slow
def test_five_unknown_parameters_agree_with_weighed_draws_from_the_prior(tmp_path: Path) -> None:
    tree, winged = tree_of(), ENDS - LENGTHS > 0.4
    options = {"root_mean": 0.4, "root_variance": 0.3, "prior_tau2": "lognormal(-3,0.8)"}
    found = posterior(tree, seen_on(tree), models=(file_of(tmp_path / "wings.py", WINGS),), draws=2000, **options)
    means = "MEANS = ('theta',)\n" + WINGS
    fewer = posterior(tree, seen_on(tree), models=(file_of(tmp_path / "means.py", means),), draws=2000, **options)
    random, count = np.random.default_rng(1), 20_000
    z = random.normal(size=(count, 5))
    draws = np.stack(
        [
            0.8 * np.exp(0.6 * z[:, 0]),
            0.5 * np.exp(0.6 * z[:, 1]),
            0.5 + z[:, 2],
            0.5 + z[:, 3],
            np.exp(0.8 * z[:, 4] - 3),
        ],
        1,
    )
    rows = [dense_wings(*each, winged) for each in draws]
    logs = np.array([height for height, _, _ in rows])
    weights = np.exp(logs - logs.max())
    effective = weights.sum() ** 2 / (weights**2).sum()
    log_evidence = float(logs.max() + np.log(weights.mean()))
    weights /= weights.sum()
    state = weights @ np.array([mean for _, mean, _ in rows])
    for each in (found, fewer):
        told, about = each.tables["parameter table"], each.details["x"]["posterior"]
        # Three of them are integrated where the means are apart.
        assert about["method"] == ("independence" if each is found else "quadrature")
        if each is found:
            assert max(one["rhat"] for one in about["diagnostics"].values()) < 1.01
        error = about.get("log_evidence_error", about.get("error_bound"))
        assert about["log_evidence"] == pytest.approx(log_evidence, abs=5 * (error + 1 / math.sqrt(effective)))
        for place, name in enumerate(("alpha", "sigma2", "theta(1)", "theta(2)", "tau2")):
            row = told["parameter"].index(name)
            mean = float(weights @ draws[:, place])
            assert abs(told["mean"][row] - mean) < 5 * told["sd"][row] * (1 / math.sqrt(effective) + 1 / 30), name
            drawn = each.tables["draws"][name]
            assert drawn.mean() == pytest.approx(told["mean"][row], abs=5 * told["sd"][row] / math.sqrt(1000)), name
        np.testing.assert_allclose(each.estimates[:, 0], state, atol=0.05)
        np.testing.assert_allclose(each.tables["draws"]["states"].mean(0), each.estimates[:, 0], atol=0.05)
        assert each.columns["decay"].shape == (17, 1)


@pytest.mark.slow
def test_a_flat_root_under_pulls_has_no_posterior_and_a_prior_gives_it_one(tmp_path: Path) -> None:
    tree, name = tree_of(), file_of(tmp_path / "wings.py", WINGS)
    held = {"theta(1)": 0.5, "theta(2)": 0.5}
    wide = {"alpha": "lognormal(0,3)", "sigma2": "lognormal(0,3)"}
    with pytest.raises(ModelError, match=r"flat 'root' and the other priors .* \(give --root normal:MEAN,VARIANCE\)"):
        posterior(tree, seen_on(tree), models=(name,), held=held, priors=wide, tau2=0.0)
    found = posterior(
        tree, seen_on(tree), models=(name,), held=held, priors=wide, tau2=0.0, root_mean=0.4, root_variance=0.3
    )
    assert "root N(0.4, 0.3)" in found.method


@pytest.mark.slow
def test_models_are_averaged_by_their_evidence(tmp_path: Path) -> None:
    tree = tree_of()
    walk = "def model(edge):\n    return Gaussian(variance=log_normal('s', median=0.6, sd=0.7) * edge.length)\n"
    names = (file_of(tmp_path / "walk.py", walk), "bm")
    pairs = read_pairs(checked_source("p.csv", b"a,b\nt08,t09\n"))
    given = {"tau2": 0.02, "prior_sigma2": "lognormal(-0.51082562376599,0.7)", "loo": True, "pairs": pairs}
    found = posterior(tree, seen_on(tree), models=names, draws=3000, **given)
    alone = posterior(tree, seen_on(tree), models=("bm",), **given)
    models = found.details["x"]["models"]
    assert [each["probability"] for each in models] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert found.parameters["x"]["log_evidence"].value == pytest.approx(
        alone.parameters["x"]["log_evidence"].value, abs=1e-4
    )
    np.testing.assert_allclose(found.estimates, alone.estimates, atol=1e-4)
    np.testing.assert_allclose(found.standard_errors, alone.standard_errors, atol=1e-4)
    for kind, key in (("leave-one-out table", "log_density"), ("pairs table", "correlation")):
        np.testing.assert_allclose(found.tables[kind][key], alone.tables[kind][key], atol=1e-3)
    drawn = found.tables["draws"]
    share = np.array([model == "walk" for model in drawn["model"]])
    assert 0.45 < share.mean() < 0.55
    assert (np.isnan(drawn["walk:s"]) == ~share).all()
    assert np.nanmean(drawn["walk:s"]) == pytest.approx(np.nanmean(drawn["bm:sigma2"]), rel=0.05)
