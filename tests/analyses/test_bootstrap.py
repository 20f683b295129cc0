"""The parametric bootstrap of fits: against dense algebra and against refitting one trait after the other."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import hxcli as hx
from hxcli.analyses.fit.bootstrap import Bootstrapped, _maxima, bootstrap
from hxcli.analyses.fit.drawing import drawn
from hxcli.analyses.fit.fitted import FittedModel, Fitter
from hxcli.analyses.fit.options import FitOptions
from hxcli.cli.app import run
from hxcli.errors import OptionError
from hxcli.inference.simulated_traits import Simulated, SimulatedLikelihood
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.traits import Observations
from tests.analyses.dense_models import dense, solved
from tests.analyses.test_fit import FOSSILS, ULTRAMETRIC, observed, tree

DATA = Path(__file__).resolve().parents[2] / "data"
COUNT = 12


def fits(seen: Observations, text: str, names: tuple[str, ...], **options: object) -> list[FittedModel]:
    fitter = Fitter(edge_fields(tree(text)), seen, FitOptions(intervals=False, **options))  # type: ignore[arg-type]
    return [fitter.fit(named_model(name), 0) for name in names]


def refitted(
    one: FittedModel, traits: Simulated, place: int, seen: Observations, text: str, tau2: float
) -> FittedModel:
    """The model fitted to one trait by the usual search."""
    values = traits.means[seen.nodes, place] * one.units.scale[0] + one.units.location[0]
    there = replace(seen, values=np.where(np.isnan(seen.values[:, 0]), np.nan, values)[:, None])
    return fits(there, text, (one.name,), tau2=tau2)[0]


@pytest.mark.parametrize(
    ("name", "tau2"),
    [
        ("ou", 0.0),
        ("kappa", 0.04),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in [("trend", 0.0), ("ou", 0.04), ("trend", 0.04)]),
    ],
)
def test_likelihoods_of_all_traits_at_shared_parameters_are_the_dense_ones(name: str, tau2: float) -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, errors=tau2 > 0)
    one = fits(seen, FOSSILS, (name,), tau2=tau2)[0]
    traits = drawn(one, 3, 1)
    low, high = (np.maximum(one.likelihood.ends, -2)[:, 0], np.minimum(one.likelihood.ends, 2)[:, 1])
    points = low + np.array([[0.3], [0.7]]) * (high - low)
    shared = SimulatedLikelihood(one.likelihood, traits).shared(points)
    own = SimulatedLikelihood(one.likelihood, traits).own(np.repeat(points[:1], 3, 0))
    np.testing.assert_allclose(own.log_likelihood, shared.log_likelihood[0], atol=1e-9)
    there = ~np.isnan(seen.values[:, 0])
    tips, scale = seen.nodes[there], float(one.units.scale[0])
    noise = (seen.standard_errors[there, 0] ** 2 + tau2) / scale**2
    for row, point in enumerate(points):
        for column in range(3):
            values = one.likelihood.parameters(point) | {"sigma2": float(shared.rate[row, column])}
            values["sigma2"] *= one.likelihood.parameters(point).get("sigma2", 1.0)
            slow = solved(dense(name, phylogeny, values), tips, traits.means[tips, column], noise, restricted=False)
            assert shared.log_likelihood[row, column] == pytest.approx(slow.log_likelihood, abs=1e-8)
            assert shared.beta[row, column].tolist() == pytest.approx(slow.beta.tolist(), abs=1e-8)


@pytest.mark.parametrize("tau2", [0.0, pytest.param(0.04, marks=pytest.mark.slow)], ids=["exact", "errors"])
def test_ratios_intervals_and_power_are_those_of_refitting_one_by_one(tau2: float) -> None:
    seen = observed(tree(FOSSILS), errors=tau2 > 0)
    null, ou, kappa = fits(seen, FOSSILS, ("bm", "ou", "kappa"), tau2=tau2)
    for one, result in zip((ou, kappa), bootstrap((ou, kappa), null, COUNT, 5, 0.9), strict=True):
        under_null, under_own = drawn(null, COUNT, 5), drawn(one, COUNT, 5)
        found = {}
        for drawn_under, traits in ((null, under_null), (one, under_own)):
            for model in (null, one):
                same_units = replace(model, units=drawn_under.units)
                found[drawn_under.name, model.name] = [
                    refitted(same_units, traits, place, seen, FOSSILS, tau2) for place in range(COUNT)
                ]
        heights = {key: np.array([each.log_likelihood for each in row]) for key, row in found.items()}
        at_null = 2 * (heights["bm", one.name] - heights["bm", "bm"])
        at_own = 2 * (heights[one.name, one.name] - heights[one.name, "bm"])
        ratio = 2 * (one.log_likelihood - null.log_likelihood)
        assert result.ratio == pytest.approx(ratio)
        assert result.p == (1 + (at_null >= ratio - 1e-4).sum()) / (COUNT + 1)
        assert result.critical == pytest.approx(np.quantile(at_null, 0.95), abs=1e-3)
        assert result.power == (at_own > np.quantile(at_null, 0.95) + 1e-4).mean()
        # Where alpha is large, the likelihood hardly knows how large.
        name = "stationary_variance" if one is ou else "sigma2"
        estimates = [each.parameters[name].value for each in found[one.name, one.name]]
        assert result.intervals[name] == pytest.approx(np.quantile(estimates, [0.05, 0.95]).tolist(), rel=0.02)


@pytest.mark.slow
def test_several_parameters_are_found_by_all_traits() -> None:
    """With known errors the rate is searched for too."""
    seen = observed(tree(FOSSILS), errors=True)
    null, ou = fits(seen, FOSSILS, ("bm", "ou"))
    traits = drawn(null, 3, 2)
    there = _maxima(ou, traits, null)
    for place in range(3):
        slow = refitted(ou, traits, place, seen, FOSSILS, 0.0)
        units = float(ou.optimum.figures.size[0]) * np.log(ou.units.scale[0])
        assert there.figures.log_likelihood[place] - units >= slow.log_likelihood - 1e-5


@pytest.mark.slow
def test_a_model_that_holds_bm_is_never_less_likely() -> None:
    """Two coordinates, of which one often ends at an end of its support."""
    seen = observed(tree(ULTRAMETRIC), errors=True, missing=0)
    null, *others = fits(seen, ULTRAMETRIC, ("bm", "eb", "delta", "lambda"))
    for one in others:
        traits = drawn(one, 100, 3)
        there, below = (_maxima(each, traits, one).figures.log_likelihood for each in (one, null))
        assert (there - below).min() > -1e-4


def test_draws_depend_on_the_seed_and_on_nothing_else() -> None:
    seen = observed(tree(ULTRAMETRIC), missing=0)
    turned = "(" + "((H:1.3,(J:0.4,I:0.4):0.9):1.5,(G:0.7,F:0.7):2.1):1.2,((E:1.5,D:1.5):1,(C:2,(B:1,A:1):1):0.5):1.5);"
    first, second = tree(ULTRAMETRIC), tree(turned)
    by_tip = dict(zip(first.labels[seen.nodes].tolist(), seen.values[:, 0], strict=True))
    values = np.array([[by_tip[label]] for label in second.labels[second.tips].tolist()])
    other = Observations(second.tips.copy(), values, np.zeros_like(values), ("x",))

    def of(observations: Observations, text: str, names: tuple[str, ...], seed: int) -> list[Bootstrapped]:
        null, *others = fits(observations, text, ("bm", *names))
        return bootstrap(others, null, COUNT, seed, 0.95)

    alone, beside = of(seen, ULTRAMETRIC, ("ou",), 1), of(seen, ULTRAMETRIC, ("white", "ou"), 1)
    assert [row[3:] for row in alone[0].rows()[:1]] == [row[3:] for row in beside[1].rows()[:1]]
    moved = of(other, turned, ("ou",), 1)[0]
    assert moved.p == alone[0].p
    assert moved.critical == pytest.approx(alone[0].critical, abs=1e-6)
    assert of(seen, ULTRAMETRIC, ("ou",), 2)[0].critical != alone[0].critical


def test_command_writes_the_table_and_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [str(DATA / "primates.nwk"), str(DATA / "primates.csv"), "--column", "ln_body_mass", "--no-intervals"]
    asked = ["fit", *files, "-q", "--bootstrap", "19", "--model", "kappa", "--model", "bm"]
    assert run([*asked, "-o", "a"]) == 0
    assert run([*asked, "-o", "b", "--seed", "0"]) == 0
    assert (tmp_path / "a.bootstrap.csv").read_bytes() == (tmp_path / "b.bootstrap.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "a.bootstrap.csv").read_text().splitlines()))
    assert [row["quantity"] for row in rows if row["model"] == "bm"] == ["sigma2", "root"]
    ratio = next(row for row in rows if row["quantity"] == "likelihood_ratio")
    assert 1 / 20 <= float(ratio["p"]) <= 1
    assert ratio["replicates"] == "19"
    found = hx.fit(files[0], files[1], column="ln_body_mass", intervals=False, bootstrap=19, model=["kappa", "bm"])
    assert isinstance(found.table("bootstrap table"), pl.DataFrame)
    assert found.table("bootstrap table").rows() == pl.read_csv(tmp_path / "a.bootstrap.csv").rows()
    models = found.record()["results"][0]["traits"][0]["models"]
    assert {each["model"]: each["bootstrap"]["replicates"] for each in models} == {"kappa": 19, "bm": 19}
    assert run(["fit", *files, "-q", "--model", "bm", "-o", "plain"]) == 0
    assert not (tmp_path / "plain.bootstrap.csv").exists()


def test_restricted_likelihoods_of_other_means_are_refused() -> None:
    seen = observed(tree(FOSSILS))
    null = fits(seen, FOSSILS, ("bm",), estimator="REML")[0]
    other = Fitter(edge_fields(tree(FOSSILS)), seen, FitOptions(intervals=False, ou_root="free"))
    free = other.fit(named_model("ou", "free"), 0)
    with pytest.raises(OptionError, match="does not compare with the restricted one of bm"):
        bootstrap([free], null, 5, 1, 0.95)


@pytest.mark.slow
def test_p_is_uniform_where_bm_is_true() -> None:
    """Of 40 traits that were drawn under bm, within three binomial errors."""
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0)
    null = fits(seen, ULTRAMETRIC, ("bm",))[0]
    traits = drawn(null, 40, 9)
    found = []
    for place in range(40):
        values = traits.means[seen.nodes, place][:, None]
        one, white = fits(replace(seen, values=values), ULTRAMETRIC, ("bm", "white"))
        found.append(bootstrap([white], one, 99, 100 + place, 0.95)[0].p)
    for share in (0.25, 0.5, 0.75):
        assert abs((np.array(found) <= share).mean() - share) < 3 * np.sqrt(share * (1 - share) / 40)
