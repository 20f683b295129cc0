"""Tips predicted from all others: what a run without the tip says of it at the same parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import norm

from hxcli.analyses.ancestral import ancestral
from hxcli.analyses.left_out_table import Predicted, predicted
from hxcli.analyses.left_out_tips import mixed
from hxcli.analyses.posterior.posterior import posterior
from hxcli.errors import OptionError
from hxcli.formats.source import read_source
from hxcli.formats.tables.regimes import read_regimes
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations

TREE = "((((A:1,B:1):0.5,C:1.4)x:0.6,(D:0.7,(E:0.2,F:1)z:0.4)w:1)y:0.3,((G:1.1,H:0.9):0.5,I:1.7):0.6)r;"
ROWS = ["name,u,u_se", "A,1,0", "B,2,0.3", "C,3.1,0.5", "D,0.5,0", "E,1.9,0", "F,2.6,0.2", "G,4,0", "H,3.2,0", "I,,0"]
EXACT = [ROWS[0], *(",".join([*row.split(",")[:2], "0"]) for row in ROWS[1:])]


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with jax.enable_x64(True):
        yield


def read(folder: Path, rows: list[str], **options: Any) -> tuple[Phylogeny, Observations]:
    (folder / "t.nwk").write_text(TREE)
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    (folder / "regimes.csv").write_text("node,regime,stem\n,sea,\nx,land,0.5\n")
    inputs = read_inputs(InputOptions(str(folder / "t.nwk"), str(folder / "t.csv"), **options))
    return inputs.phylogenies[0], inputs.observations[0]


def without(seen: Observations, node: int) -> Observations:
    """The same without the rows of a node."""
    rest = seen.nodes != node
    return replace(
        seen, nodes=seen.nodes[rest], values=seen.values[rest], standard_errors=seen.standard_errors[rest], texts={}
    )


def agrees(table: Any, phylogeny: Phylogeny, seen: Observations, tau2: float, again: Any) -> None:
    """Every row against the state of the tip in a run without it, with the variance of its mean observation."""
    labels = list(phylogeny.labels)
    assert sorted(table["node"]) == sorted(labels[node] for node in set(seen.nodes[~np.isnan(seen.values[:, 0])]))
    for name, observed, mean, sd, z, density in zip(
        *(table[key] for key in ("node", "observed", "mean", "sd", "z", "log_density")), strict=True
    ):
        node = labels.index(name)
        rows = seen.nodes == node
        noise = (seen.standard_errors[rows, 0] ** 2 + tau2).sum() / rows.sum() ** 2
        state, error = again(without(seen, node), node)
        wanted = np.sqrt(error**2 + noise)
        assert observed == pytest.approx(seen.values[rows, 0].mean())
        np.testing.assert_allclose([mean, sd], [state, wanted], rtol=1e-8)
        assert z == pytest.approx((observed - mean) / sd)
        np.testing.assert_allclose(density, norm.logpdf(observed, state, wanted), rtol=1e-7, atol=1e-7)


def estimated(phylogeny: Phylogeny, seen: Observations, model: str, **options: Any) -> None:
    """Leaves every tip out under a fitted model."""
    tau2 = options.get("tau2", 0.0)
    models = {} if model == "bm" else {"models": (model,)}
    found = ancestral(phylogeny, seen, loo=True, **models, **options)
    known = ("sigma2", "alpha", "lambda", "rate_change", "kappa", "delta")
    figures = found.parameters["u"]
    held = {name: figures[name].value for name in figures if name.split("(")[0] in known}
    given = {**options, "held": {**held, **options.get("held", {})}}

    def again(rest: Observations, node: int) -> tuple[float, float]:
        other = ancestral(phylogeny, rest, models=(model,), **given)
        return float(other.estimates[node, 0]), float(other.standard_errors[node, 0])

    agrees(found.tables["leave-one-out table"], phylogeny, seen, tau2, again)
    assert found.details["u"]["leave_one_out"]["parameters"] == "estimated from all tips"


@pytest.mark.parametrize("model", ["bm", "ou"])
def test_a_fitted_model_predicts_what_it_says_without_the_tip(model: str, tmp_path: Path) -> None:
    estimated(*read(tmp_path, ROWS), model)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["white", "eb", "lambda", "kappa", "delta", "trend", "bms", "oum", "oumva"])
def test_every_model_does(model: str, tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path, ROWS if model in ("eb", "oum") else EXACT)
    options: dict[str, Any] = {}
    if model in ("bms", "oum", "oumva"):
        options["regimes"] = read_regimes(read_source(tmp_path / "regimes.csv"))
    if model == "oumva":
        # Nine tips do not tell two pulls.
        options["held"] = {"alpha(land)": 0.5, "alpha(sea)": 0.9}
    estimated(phylogeny, seen, model, **options)


@pytest.mark.slow
def test_given_means_and_replicates_count(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path, [*ROWS, "A,1.6,0.1", "B,2.5,0.3"], replicates=True)
    estimated(phylogeny, seen, "ou", held={"theta": 2.0}, tau2=0.05)


@pytest.mark.slow
def test_an_average_is_the_mixture_of_its_models(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path, EXACT)
    found = ancestral(phylogeny, seen, models=("average", "bm", "ou"), loo=True)
    told = found.details["u"]["models"]
    weights = np.array([each["probability"] for each in told])
    tables = [
        ancestral(phylogeny, seen, models=(each["model"],), loo=True, regimes=None, lambda_max=True).tables
        for each in told
    ]
    own = [each["leave-one-out table"] for each in tables]
    means = np.array([each["mean"] for each in own])
    variances = np.array([each["sd"] for each in own]) ** 2
    mean = weights @ means
    table = found.tables["leave-one-out table"]
    np.testing.assert_allclose(table["mean"], mean, rtol=1e-9)
    np.testing.assert_allclose(table["sd"], np.sqrt(weights @ (variances + (means - mean) ** 2)), rtol=1e-9)


def test_mixtures_of_mixtures_are_mixtures() -> None:
    generator = np.random.default_rng(2)
    observed, centre, spread = generator.normal(size=5), generator.normal(size=(5, 7)), generator.uniform(1, 2, (5, 7))
    weights = generator.dirichlet(np.ones(7))
    whole = predicted(observed, centre, spread, weights)
    parts, shares = [], []
    for some in (slice(0, 3), slice(3, 7)):
        shares.append(weights[some].sum())
        parts.append(predicted(observed, centre[:, some], spread[:, some], weights[some] / shares[-1]))
    for mine, other in zip(mixed(parts, np.array(shares)), whole, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    density = np.log(norm.pdf(observed[:, None], centre, np.sqrt(spread)) @ weights)
    np.testing.assert_allclose(Predicted(*whole).log_density, density, rtol=1e-12)


CASES = {
    "ou": {"held": {"alpha": 0.7}},
    "lambda": {"held": {"lambda": 0.6}},
    "oum": {"held": {"alpha": 0.7}},
}


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=() if name == "oum" else pytest.mark.slow) for name in CASES]
)
def test_a_posterior_at_given_parameters_predicts_so_too(model: str, tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path, ROWS)
    options: dict[str, Any] = {"models": (model,), "sigma2": 0.8, "tau2": 0.1, **CASES[model]}
    if model == "oum":
        options["regimes"] = read_regimes(read_source(tmp_path / "regimes.csv"))
    found = posterior(phylogeny, seen, loo=True, **options)

    def again(rest: Observations, node: int) -> tuple[float, float]:
        other = posterior(phylogeny, rest, **options)
        return float(other.estimates[node, 0]), float(other.standard_errors[node, 0])

    agrees(found.tables["leave-one-out table"], phylogeny, seen, 0.1, again)


@pytest.mark.slow
def test_sampling_predicts_what_the_quadrature_does(tmp_path: Path) -> None:
    pytest.importorskip("numpyro")
    phylogeny, seen = read(tmp_path, ROWS)
    given = {
        "models": ("ou",),
        "tau2": 0.05,
        "prior_sigma2": "lognormal(0,0.5)",
        "priors": {"alpha": "lognormal(-1,0.5)"},
    }
    exact, sampled = (
        posterior(phylogeny, seen, loo=True, method=method, **given).tables["leave-one-out table"]  # type: ignore[arg-type]
        for method in ("quadrature", "nuts")
    )
    np.testing.assert_allclose(sampled["mean"], exact["mean"], atol=0.05)
    np.testing.assert_allclose(sampled["sd"], exact["sd"], rtol=0.05)
    np.testing.assert_allclose(sampled["log_density"], exact["log_density"], atol=0.05)


def test_a_diffusion_on_a_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--loo with --model bounded: tips are predicted .* Gaussian models only"):
        ancestral(*read(tmp_path, EXACT), models=("bounded",), loo=True)
