"""Fits of models: against dense algebra, published values and each other."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from hxcli.analyses.fit.fit import fit, fit_models, painted_tree
from hxcli.analyses.fit.fitted import Fitter
from hxcli.analyses.fit.options import FitOptions
from hxcli.analyses.fit.ranking import ranked, weights_of
from hxcli.analyses.model_states import average, model_states
from hxcli.errors import OptionError
from hxcli.formats.source import checked_source
from hxcli.formats.trees.read import read_trees
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.painting import RegimeRow, RegimeTable, unpainted
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations
from tests.analyses.dense_models import Dense, dense, dense_regimes, solved
from tests.conftest import SHARED, reference_models

MODELS = SHARED / "reference-models"
# A polytomy, an edge of 0, a node with one child, tips of different heights.
FOSSILS = (
    "((((A:1.2,B:1.7)p:0.8,(C:2.1,D:0.4,E:2.2)q:0.3)r:0.5,((F:0.9,G:1.9)s:0.0,H:2.4)t:0.7)u:0.6,"
    "((I:1.1,J:2.6)v:1.3,(K:0.2)w:0.9)x:0.4,L:3.1)y;"
)
ULTRAMETRIC = "((((A:1,B:1):1,C:2):0.5,(D:1.5,E:1.5):1):1.5,((F:0.7,G:0.7):2.1,(H:1.3,(I:0.4,J:0.4):0.9):1.5):1.2);"
PLAIN = ("bm", "white", "ou", "eb", "acdc", "lambda", "kappa", "delta", "trend")


def tree(text: str) -> Phylogeny:
    return read_trees(checked_source("tree", text.encode())).phylogenies[0]


def observed(phylogeny: Phylogeny, *, errors: bool = False, missing: int = 1, seed: int = 3) -> Observations:
    """Correlated values at all tips but some, with standard errors or without."""
    generator = np.random.default_rng(seed)
    depth = phylogeny.root_distances[phylogeny.tips]
    noise = generator.standard_normal(phylogeny.topology.size)
    states = np.zeros(phylogeny.topology.size)
    for node in range(1, len(states)):
        states[node] = states[phylogeny.topology.parents[node]] + noise[node] * np.sqrt(phylogeny.lengths[node])
    values = (10 + states[phylogeny.tips] + 0.2 * depth)[:, None]
    values[:missing] = np.nan
    se = np.full(values.shape, 0.3 if errors else 0.0) * generator.uniform(0.5, 2, values.shape)
    return Observations(phylogeny.tips.copy(), values, se, ("x",))


def oracle(fitted: object, values: dict[str, float], painted: object = None) -> Dense:
    name, root = fitted.bound.name, fitted.bound.model.root_name or "theta"  # type: ignore[attr-defined]
    if painted is not None:
        return dense_regimes(name, painted, values)  # type: ignore[arg-type]
    return dense(name, fitted.bound.fields.phylogeny, values, root)  # type: ignore[attr-defined]


def at(fitted: object) -> dict[str, float]:
    return {name: each.value for name, each in fitted.parameters.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("restricted", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("name", [*PLAIN, "ou stationary", "ou free"])
def test_likelihood_means_and_states_are_the_dense_ones(name: str, restricted: bool) -> None:
    name, _, root = name.partition(" ")
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    options = FitOptions(estimator="REML" if restricted else "ML", ou_root=root or None, intervals=False)
    fitted = fit_models(unpainted(phylogeny), seen, (name,), options)[0][0]
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    slow = oracle(fitted, at(fitted))
    found = solved(slow, tips, y, np.zeros(len(tips)), restricted=fitted.estimator == "REML")
    assert fitted.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)
    assert [fitted.parameters[u].value for u in slow.unknowns] == pytest.approx(found.beta.tolist(), abs=1e-9)
    mean, deviation = fitted.states
    np.testing.assert_allclose(mean, found.mean, atol=1e-9)
    np.testing.assert_allclose(deviation**2, np.maximum(found.variance, 0), atol=1e-9)


@pytest.mark.parametrize("name", PLAIN)
def test_no_dense_search_finds_more(name: str) -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    fitted = fit_models(unpainted(phylogeny), seen, (name,), FitOptions(intervals=False))[0][0]
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    values = at(fitted)
    shapes = [each for each in fitted.bound.coordinates if not each.is_rate]
    best = -math.inf
    # Over the whole support, the best rate in closed form.
    for share in np.linspace(0, 1, 201):
        tried = dict(values)
        for each in shapes:
            low, high = each.to_search(each.low), each.to_search(each.high)
            tried[each.name] = float(each.from_search(low + share * (high - low)))
        unit = oracle(fitted, {**tried, "sigma2": 1.0})
        v, x = unit.covariance[np.ix_(tips, tips)], unit.design[tips]
        sign, log_det = np.linalg.slogdet(v)
        if sign <= 0 or np.linalg.cond(v) > 1e12:
            continue
        rest = y - x @ np.linalg.lstsq(np.linalg.cholesky(v).T @ x, np.linalg.cholesky(v).T @ y, rcond=None)[0]
        inverse = np.linalg.inv(v)
        beta = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ y)
        rest = y - x @ beta
        rate = rest @ inverse @ rest / len(y)
        best = max(best, -(len(y) * (np.log(2 * np.pi * rate) + 1) + log_det) / 2)
    assert fitted.optimum.certificate.converged
    assert best <= fitted.log_likelihood + 1e-6


@pytest.mark.parametrize("name", ["bms", "oum", pytest.param("oumva", marks=pytest.mark.slow)])
def test_models_with_regimes_are_the_dense_ones(name: str) -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, missing=0)
    rows = (
        RegimeRow("", "", "", "a", 1.0, 2),
        RegimeRow("", "A", "E", "b", 0.5, 3),
        RegimeRow("x", "", "", "b", 0.25, 4),
        RegimeRow("H", "", "", "b", 0.0, 5),
    )
    painted = painted_tree(phylogeny, RegimeTable("regimes", rows))
    fitted = fit_models(painted, seen, (name,), FitOptions(intervals=False))[0][0]
    slow = oracle(fitted, at(fitted), painted)
    placed = painted.observations(seen)
    found = solved(slow, placed.nodes, placed.values[:, 0], np.zeros(len(placed.nodes)), restricted=False)
    assert fitted.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)
    assert [fitted.parameters[u].value for u in slow.unknowns] == pytest.approx(found.beta.tolist(), abs=1e-8)
    np.testing.assert_allclose(fitted.states[0], found.mean, atol=1e-8)


def test_known_errors_enter_every_model() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, errors=True)
    fitted = fit_models(unpainted(phylogeny), seen, ("bm", "ou"), FitOptions(tau2=0.05, intervals=False))[0]
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    noise = seen.standard_errors[there, 0] ** 2 + 0.05
    for each in fitted:
        found = solved(oracle(each, at(each)), tips, y, noise, restricted=False)
        assert each.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-9)
        np.testing.assert_allclose(each.states[0], found.mean, atol=1e-8)
        for factor in (0.98, 1.02):
            for name in ("sigma2", "alpha"):
                if name in at(each):
                    moved = oracle(each, {**at(each), name: at(each)[name] * factor})
                    assert solved(moved, tips, y, noise, restricted=False).log_likelihood < each.log_likelihood + 1e-9


def test_identities_on_an_ultrametric_tree() -> None:
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0)
    fitted = fit_models(unpainted(phylogeny), seen, ("acdc", "ou", "bm"), FitOptions(intervals=False))[0]
    by_name = {each.name: each for each in fitted}
    if at(by_name["acdc"])["rate_change"] > 0:
        assert at(by_name["acdc"])["rate_change"] == pytest.approx(2 * at(by_name["ou"])["alpha"], rel=1e-5)
        assert "equals_ou" in by_name["acdc"].flags
    held = {
        "lambda": {"lambda": 1.0},
        "kappa": {"kappa": 1.0},
        "delta": {"delta": 1.0},
        "acdc": {"rate_change": 0.0},
    }
    for name, values in held.items():
        same = fit_models(unpainted(phylogeny), seen, (name,), FitOptions(held=values, intervals=False))[0][0]
        assert same.log_likelihood == pytest.approx(by_name["bm"].log_likelihood, abs=1e-9)
        assert same.k == by_name["bm"].k


def test_intervals_end_where_the_likelihood_has_fallen_by_half_a_quantile() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, missing=0)
    fitter = Fitter(edge_fields(phylogeny), seen, FitOptions())
    drop = 3.841458820694124 / 2
    for name in ("ou", "delta", "trend"):
        fitted = fitter.fit(named_model(name), 0)
        for parameter, estimate in fitted.parameters.items():
            if parameter in ("half_life", "stationary_variance"):
                continue
            for end in (estimate.lower, estimate.upper):
                if math.isnan(end):
                    continue
                options = FitOptions(held={parameter: end}, intervals=False)
                held = Fitter(edge_fields(phylogeny), seen, options).fit(named_model(name), 0)
                assert fitted.log_likelihood - held.log_likelihood == pytest.approx(drop, abs=1e-4), (name, parameter)


def test_order_of_rows_and_children_changes_nothing() -> None:
    first = tree(ULTRAMETRIC)
    second = tree(
        "(" + "((H:1.3,(J:0.4,I:0.4):0.9):1.5,(G:0.7,F:0.7):2.1):1.2,((E:1.5,D:1.5):1,(C:2,(B:1,A:1):1):0.5):1.5);"
    )
    seen = observed(first, missing=0)
    by_tip = dict(zip(first.labels[seen.nodes].tolist(), seen.values[:, 0], strict=True))
    values = np.array([[by_tip[label]] for label in second.labels[second.tips].tolist()])
    other = Observations(second.tips.copy(), values, np.zeros_like(values), ("x",))
    names = ("bm", "ou", "kappa")
    one, two = (fit(*each, models=names, bootstrap=9) for each in ((first, seen), (second, other)))
    # To the last bit, because figures are found in an order that does not depend on that of the files.
    assert str(one.tables) == str(two.tables)
    assert one.rows == two.rows


def test_what_cannot_be_told_is_refused() -> None:
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0)
    with pytest.raises(OptionError, match="a trend cannot be told from the root's state"):
        fit(phylogeny, seen, models=("trend",))
    with pytest.raises(OptionError, match="its state cannot be told from the optimum"):
        fit(phylogeny, seen, models=("ou",), ou_root="free")
    with pytest.raises(OptionError, match="give --regimes"):
        fit(phylogeny, seen, models=("oum",))
    with pytest.raises(OptionError, match="there is no such model"):
        fit(phylogeny, seen, models=("nosuchmodel",))
    with pytest.raises(OptionError, match="no model here has such a parameter"):
        fit(phylogeny, seen, models=("bm",), held={"alpha": 1.0})
    with pytest.raises(OptionError, match="outside its support"):
        fit(phylogeny, seen, models=("lambda",), held={"lambda": 1.5})
    fossils = tree(FOSSILS)
    with pytest.raises(OptionError, match="compares only models with the same mean"):
        fit(fossils, observed(fossils), models=("bm", "trend"), estimator="REML")


def test_a_model_that_holds_another_is_never_less_likely() -> None:
    """An edge of 1e-9 bends the likelihood of kappa so that polynomials through it promise what is not there."""
    phylogeny = tree("(((((A:1)a:0)b:2,B:1e-9)c:3,(C:1,D:1,E:1,F:1)d:0)e:1,G:5)r;")
    values = np.array([[1.0], [2.0], [1.0], [3.0], [2.0], [7.0]])
    nodes = np.array([phylogeny.labels.tolist().index(name) for name in "ABCDEG"])
    order = np.argsort(nodes)
    seen = Observations(nodes[order], values[order], np.zeros((6, 1)), ("x",))
    bm, kappa = fit_models(unpainted(phylogeny), seen, ("bm", "kappa"), FitOptions(intervals=False))[0]
    assert kappa.log_likelihood >= bm.log_likelihood


def test_few_values_have_an_infinite_criterion_and_no_weight() -> None:
    phylogeny = tree("((A:1,B:2):1,C:3);")
    seen = Observations(phylogeny.tips.copy(), np.array([[1.0], [2.0], [4.0]]), np.zeros((3, 1)), ("x",))
    found = fit_models(unpainted(phylogeny), seen, ("bm",), FitOptions(intervals=False))[0]
    assert found[0].aicc == math.inf
    assert weights_of(found)[1].tolist() == [0.0]
    assert math.isnan(ranked(found)[0][1])


def test_a_star_says_nothing_of_shapes() -> None:
    phylogeny = tree(f"({','.join(f'{name}:2' for name in 'ABCDEFGHIJKLMNOPQRSTUVWX')});")
    names = ("bm", "ou", "eb", "lambda", "kappa", "delta")
    rows = fit_models(unpainted(phylogeny), observed(phylogeny), names, FitOptions(intervals=False))[0]
    assert max(each.log_likelihood for each in rows) - min(each.log_likelihood for each in rows) < 1e-9
    assert {each.name for each in rows if "optimum_not_certain" in each.flags} == {each.name for each in rows} - {"bm"}


def test_equal_values_are_said_in_words() -> None:
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0)
    values = np.stack([np.full(len(seen.nodes), 3.5), seen.values[:, 0]], 1)
    both = Observations(seen.nodes, values, np.zeros_like(values), ("same", "x"))
    found = fit(phylogeny, both, models=("bm", "white"), intervals=False)
    assert found.warnings[0].startswith("trait 'same': all values are equal")
    assert not any("'same'" in warning for warning in found.warnings[1:])
    assert found.tables["fits table"]["weight"][:2] == [0.0, 0.0]


def test_averaged_states_are_the_moments_of_the_mixture() -> None:
    states = [(np.array([1.0, 2.0]), np.array([0.5, 0.0])), (np.array([3.0, 2.0]), np.array([1.0, 0.0]))]
    found = average(states, np.array([0.25, 0.75]), 0.95, (0.0, 1.0))
    assert found.mean.tolist() == pytest.approx([2.5, 2.0])
    assert found.within[0] == pytest.approx(math.sqrt(0.25 * 0.25 + 0.75))
    assert found.between[0] == pytest.approx(math.sqrt(0.25 * 2.25 + 0.75 * 0.25))
    assert found.deviation[0] == pytest.approx(math.hypot(found.within[0], found.between[0]))
    assert (found.lower[1], found.upper[1], found.deviation[1]) == (2.0, 2.0, 0.0)


def test_an_average_is_that_of_its_models() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    names = ("bm", "ou", "white")
    averaged = model_states(phylogeny, seen, models=("average", *names), estimator="ML")
    weights = weights_of(fit_models(unpainted(phylogeny), seen, names, FitOptions(intervals=False))[0])[1]
    each = [model_states(phylogeny, seen, models=(name,), estimator="ML") for name in names]
    mean = sum(w * one.estimates for w, one in zip(weights, each, strict=True))
    np.testing.assert_allclose(averaged.estimates, mean, atol=1e-9)
    total = averaged.columns["se_within"] ** 2 + averaged.columns["se_between"] ** 2
    np.testing.assert_allclose(averaged.standard_errors**2, total, atol=1e-12)


def read(name: str, columns: tuple[str, ...]) -> tuple[Phylogeny, Observations]:
    folder = reference_models(name)
    inputs = read_inputs(InputOptions(str(folder / "tree.nwk"), str(folder / "traits.csv"), columns=columns))
    return inputs.phylogenies[0], inputs.observations[0]


def published() -> list[tuple[str, str]]:
    """(set, run) pairs of which values are known."""
    found = []
    for place in sorted(MODELS.glob("*/values.tsv")):
        meta = place.parent / "meta.json"
        if meta.exists():
            found += [(place.parent.name, run["name"]) for run in json.loads(meta.read_text()).get("runs", [])]
    return found


@pytest.mark.shared
@pytest.mark.parametrize(("name", "run"), published())
def test_published_values(name: str, run: str) -> None:
    meta = json.loads((MODELS / name / "meta.json").read_text())
    asked = next(each for each in meta["runs"] if each["name"] == run)
    with open(MODELS / name / "values.tsv", newline="") as file:
        known = [row for row in csv.DictReader(file, delimiter="\t") if row["quantity"].split("/")[0] == run]
    options = dict(zip(asked.get("options", [])[::2], asked.get("options", [])[1::2], strict=True))
    wanted = list(dict.fromkeys((row["quantity"].split("/")[1], row["quantity"].split("/")[2]) for row in known))
    regimes = None
    if "regimes" in asked:
        from hxcli.formats.source import read_source
        from hxcli.formats.tables.regimes import read_regimes

        regimes = read_regimes(read_source(str(MODELS / name / asked["regimes"])))
    phylogeny, seen = read(name, tuple(dict.fromkeys(trait for trait, _ in wanted)))
    painted = painted_tree(phylogeny, regimes)
    models = tuple(dict.fromkeys(model for _, model in wanted))
    choices = FitOptions(intervals=False, ou_root=options.get("--ou-root"))
    fitted = {(e.trait, e.name): e for each in fit_models(painted, seen, models, choices) for e in each}
    for row in known:
        _, trait, model, quantity = row["quantity"].split("/")
        one = fitted[trait, model]
        value = getattr(one, quantity) if hasattr(one, quantity) else one.parameters[quantity].value
        digits = len(row["value"].partition(".")[2])
        expected = float(row["value"])
        assert value == pytest.approx(expected, abs=max(1.01 * 10**-digits, 2e-5 * abs(expected))), row["quantity"]


def test_models_are_listed_with_their_supports(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from hxcli.cli.app import run as hx

    assert hx(["models"]) == 0
    listed = capsys.readouterr().out
    assert "alpha: 1e-06 to 1000 / T" in listed
    assert hx(["models", "show", "ou"]) == 0
    assert "def model(edge):" in capsys.readouterr().out
    assert hx(["models", "show", "nosuch"]) == 2
    assert "there is no such model" in capsys.readouterr().err
    assert "sym        one rate for every pair of states" in listed
    assert hx(["models", "show", "er"]) == 0
    assert "b,rate1,0,rate1" in capsys.readouterr().out
