"""Phylogenetic regression against dense generalised least squares, published values, and what a formula may say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, f, t

from hxcli.analyses.regress.formula import design
from hxcli.analyses.regress.formulaic_reading import read_formula
from hxcli.analyses.regress.regress import regress
from hxcli.analyses.regress.sum_of_columns import sum_of_columns
from hxcli.engine.topology import from_parents
from hxcli.errors import HxError, ModelError
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.conftest import reference_models
from tests.reference import shared_paths

pytestmark = pytest.mark.usefixtures("programs")

# A polytomy, a node with one child, a tip at distance 0 of its parent, an inner edge of length 0.
PARENTS = np.array(
    [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 6, 6, 10, 10, 11, 11, 11, 17, 17, 18, 18, 19, 19, 20, 20]
)


def _phylogeny() -> Phylogeny:
    lengths = np.random.default_rng(1).exponential(0.5, len(PARENTS))
    lengths[[0, 5, 7, 19]] = 0
    topology = from_parents(PARENTS)
    labels = [f"t{node}" if leaf else "" for node, leaf in enumerate(topology.is_leaf)]
    return Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(labels)))


def _rows(phylogeny: Phylogeny) -> Observations:
    rng = np.random.default_rng(2)
    tips = phylogeny.tips
    values = rng.normal(size=(len(tips), 3)) * [1, 20, 3] + [5, 300, 0]
    values[:, 0] += 0.02 * values[:, 1]
    values[2, 0] = np.nan
    values[7, 1] = np.nan
    diet = np.array(["leaf", "seed", "leaf", ""] * len(tips), object)[: len(tips)]
    return Observations(tips, values, np.zeros(values.shape), ("y", "x", "z"), {"diet": diet})


def _covariance(model: str, phylogeny: Phylogeny, value: float) -> np.ndarray:
    """(L, L) of the tips at unit rate, by the textbook."""
    c = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)
    tips = phylogeny.tips
    times = np.diag(c)
    height = times[tips].max()
    if model == "lambda":
        c = value * c + (1 - value) * np.diag(times)
    elif model == "white":
        c = np.eye(len(c))
    elif model == "ou":
        distance = times[:, None] + times - 2 * c
        c = np.exp(-value * distance) * -np.expm1(-2 * value * c) / (2 * value)
    elif model == "eb":
        c = np.expm1(value * c) / value
    elif model == "delta":
        c = height * (c / height) ** value
    elif model == "kappa":
        c = shared_paths(list(phylogeny.topology.parents), np.where(phylogeny.lengths > 0, phylogeny.lengths**value, 0))
    return c[np.ix_(tips, tips)]


def _dense(c: np.ndarray, x: np.ndarray, y: np.ndarray, restricted: bool) -> dict[str, Any]:
    inverse = np.linalg.inv(c)
    n, p = x.shape
    information = x.T @ inverse @ x
    beta = np.linalg.solve(information, x.T @ inverse @ y)
    rest = y - x @ beta
    rss = rest @ inverse @ rest
    size = n - p if restricted else n
    width = np.linalg.slogdet(information)[1] if restricted else 0
    return {
        "beta": beta,
        "se": np.sqrt(np.diag(np.linalg.inv(information)) * rss / (n - p)),
        "rss": rss,
        "log_likelihood": -(size * np.log(2 * np.pi * rss / size) + np.linalg.slogdet(c)[1] + width + size) / 2,
        "leverage": np.diag(x @ np.linalg.solve(information, x.T @ inverse)),
        "information": information,
    }


@pytest.mark.parametrize("estimator", ["ML", "REML"])
@pytest.mark.parametrize("model", ["bm", "lambda", "ou", "eb", "kappa", "delta", "white"])
def test_every_model_is_dense_least_squares(model: str, estimator: Any) -> None:
    phylogeny = _phylogeny()
    rows = _rows(phylogeny)
    found = regress(phylogeny, rows, formula="y ~ x + C(diet)", model=model, estimator=estimator)
    whole = {name: values[0] for name, values in found.tables["regression table"].items()}
    shape = {"ou": "alpha", "eb": "rate_change"}.get(model, model)
    c = _covariance(model, phylogeny, whole.get(shape, 1.0))
    used = ~np.isnan(rows.values[:, :2]).any(1) & (rows.texts["diet"] != "")
    x = np.column_stack([np.ones(len(used)), rows.values[:, 1], rows.texts["diet"] == "seed"])[used].astype(float)
    y, v = rows.values[used, 0], c[np.ix_(used, used)]
    expected = _dense(v, x, y, estimator == "REML")
    close = {"rtol": 1e-8, "atol": 1e-9}
    table = found.tables["coefficients table"]
    n, p = x.shape
    assert table["term"] == ["Intercept", "x", "C(diet)[T.seed]"]
    np.testing.assert_allclose(table["estimate"], expected["beta"], **close)
    np.testing.assert_allclose(table["se"], expected["se"], **close)
    np.testing.assert_allclose(table["p"], 2 * t.sf(np.abs(expected["beta"] / expected["se"]), n - p), **close)
    np.testing.assert_allclose(table["upper"], expected["beta"] + t.ppf(0.975, n - p) * expected["se"], **close)
    assert set(table["df"]) == {n - p}
    assert whole["log_likelihood"] == pytest.approx(expected["log_likelihood"], rel=1e-9)
    assert whole["sigma2"] == pytest.approx(expected["rss"] / (n - p if estimator == "REML" else n), rel=1e-8)
    shapes = model not in ("bm", "white")
    assert (whole["n"], whole["k"]) == (n, p + 1 + shapes)
    alone = _dense(v, np.ones((n, 1)), y, False)
    assert whole["r_squared"] == pytest.approx(1 - expected["rss"] / alone["rss"], rel=1e-8)
    rest = found.tables["residuals table"]
    names = [phylogeny.labels[node] for node in rows.nodes[used]]
    at = [rest["tip"].index(name) for name in names]
    np.testing.assert_allclose(rest["residual"][at], y - x @ expected["beta"], **close)
    np.testing.assert_allclose(rest["leverage"][at], expected["leverage"], **close)
    assert np.sum(rest["leverage"][at]) == pytest.approx(p)
    # The tip without a response: its mean given its relatives, with the uncertainty of the coefficients.
    missing = np.isnan(rows.values[:, 0])
    row = np.array([1, rows.values[missing, 1][0], rows.texts["diet"][missing][0] == "seed"], float)
    cross, inverse = c[np.ix_(missing, used)][0], np.linalg.inv(v)
    gain = cross @ inverse
    mean = row @ expected["beta"] + gain @ (y - x @ expected["beta"])
    further = row - gain @ x
    variance = c[missing, missing][0] - gain @ cross + further @ np.linalg.solve(expected["information"], further)
    place = rest["tip"].index(phylogeny.labels[rows.nodes[missing][0]])
    assert rest["predict"][place] == pytest.approx(mean, rel=1e-8)
    assert rest["predict_se"][place] == pytest.approx(np.sqrt(variance * expected["rss"] / (n - p)), rel=1e-8)
    if shapes:
        # No shape parameter near by has a higher likelihood.
        certificate = found.about_all["certificate"]
        for step in (-1e-3, 1e-3):
            if certificate["at_lower_bound" if step < 0 else "at_upper_bound"]:
                continue
            other = _covariance(model, phylogeny, whole[shape] + step)[np.ix_(used, used)]
            assert _dense(other, x, y, estimator == "REML")["log_likelihood"] <= whole["log_likelihood"] + 1e-7


def test_known_errors_of_the_response() -> None:
    phylogeny = _phylogeny()
    rows = _rows(phylogeny)
    errors = np.zeros(rows.values.shape)
    errors[:, 0] = np.random.default_rng(3).uniform(0.1, 1, len(errors))
    rows = Observations(rows.nodes, rows.values, errors, rows.traits, rows.texts)
    found = regress(phylogeny, rows, formula="y ~ x")
    used = ~np.isnan(rows.values[:, :2]).any(1)
    x, y = np.column_stack([np.ones(used.sum()), rows.values[used, 1]]), rows.values[used, 0]
    c = _covariance("bm", phylogeny, 1)[np.ix_(used, used)]
    sigma2 = found.tables["regression table"]["sigma2"][0]

    def height(rate: float) -> float:
        v = rate * c + np.diag(errors[used, 0] ** 2)
        inverse = np.linalg.inv(v)
        beta = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ y)
        rest = y - x @ beta
        return float(-(len(y) * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + rest @ inverse @ rest) / 2)

    best = found.tables["regression table"]["log_likelihood"][0]
    assert best == pytest.approx(height(sigma2), rel=1e-9)
    assert max(height(sigma2 * factor) for factor in np.linspace(0.5, 2, 31)) <= best + 1e-9
    v = sigma2 * c + np.diag(errors[used, 0] ** 2)
    covariance = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    np.testing.assert_allclose(found.tables["coefficients table"]["se"], np.sqrt(np.diag(covariance)), rtol=1e-7)


def test_comparison_with_nested_formulas() -> None:
    phylogeny = _phylogeny()
    rows = _rows(phylogeny)
    found = regress(phylogeny, rows, formula="y ~ x + z", model="lambda", against=("y ~ x", "y ~ 1"))
    table = found.tables["comparison table"]
    share = found.tables["regression table"]["lambda"][0]
    used = ~np.isnan(rows.values[:, :2]).any(1)
    c = _covariance("lambda", phylogeny, share)[np.ix_(used, used)]
    y, columns = rows.values[used, 0], np.column_stack([np.ones(used.sum()), rows.values[used, 1:]])
    rss = [_dense(c, columns[:, :p], y, False)["rss"] for p in (3, 2, 1)]
    np.testing.assert_allclose(table["rss"], rss, rtol=1e-8)
    freedom = used.sum() - 3
    for row, fewer in ((1, 1), (2, 2)):
        ratio = (rss[row] - rss[0]) / fewer / (rss[0] / freedom)
        assert table["f"][row] == pytest.approx(ratio, rel=1e-7)
        assert table["p"][row] == pytest.approx(f.sf(ratio, fewer, freedom), rel=1e-6)
        assert table["lr_p"][row] == pytest.approx(chi2.sf(table["lr"][row], fewer))
    # F of one coefficient is the square of its t.
    last = found.tables["coefficients table"]
    assert table["f"][1] == pytest.approx(last["t"][2] ** 2, rel=1e-7)
    with pytest.raises(HxError, match="not nested in 'y ~ x'"):
        regress(phylogeny, rows, formula="y ~ x", against=("y ~ z",))


def test_profile_intervals_hold_more_than_conditional_ones() -> None:
    phylogeny = _phylogeny()
    rows = _rows(phylogeny)
    plain, wide = (
        regress(phylogeny, rows, formula="y ~ x", model="lambda", profile=profile).tables["coefficients table"]
        for profile in (False, True)
    )
    np.testing.assert_allclose(plain["estimate"], wide["estimate"])
    assert np.all(wide["lower"] < wide["estimate"])
    assert np.all(wide["upper"] > wide["estimate"])
    assert not np.allclose(wide["upper"], plain["upper"])


def test_what_is_left_out_is_named() -> None:
    phylogeny = _phylogeny()
    rows = _rows(phylogeny)
    found = regress(phylogeny, rows, formula="y ~ x")
    gap = phylogeny.labels[rows.nodes[7]]
    assert found.warnings == (f"1 row left out, because a predictor is missing: {gap!r}",)
    assert found.about_all["rows_left_out"] == [gap]
    diet = rows.texts["diet"].copy()
    diet[2] = "fruit"
    rows = Observations(rows.nodes, rows.values, rows.standard_errors, rows.traits, {"diet": diet})
    found = regress(phylogeny, rows, formula="y ~ diet")
    assert any("not predicted, because their level has no row with a response" in warning for warning in found.warnings)


COLUMNS = {
    "y": np.array([1, 2, 3, np.nan, 5, 6.0, 4]),
    "x": np.array([1, 2, np.nan, 4, 5, 7.0, 3]),
    "ln mass": np.arange(7.0) + 1,
    "diet": np.array(["a", "b", "a", "b", "", "a", "b"], object),
}


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("y ~ x", ("Intercept", "x")),
        ("y ~ x - 1", ("x",)),
        ("log(y) ~ `ln mass`", ("Intercept", "ln mass")),
        ("y ~ diet", ("Intercept", "diet[T.b]")),
        ("y ~ center(x)", ("Intercept", "center(x)")),
        ("y ~ x + I(x**2)", ("Intercept", "x", "I(x ** 2)")),
    ],
)
def test_formulas(formula: str, terms: tuple[str, ...]) -> None:
    made = design(formula, COLUMNS, list("ABCDEFG"))
    assert made.terms == terms
    assert made.predicted[3]
    assert np.isfinite(made.matrix[made.used | made.predicted]).all()


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("x", "no response"),
        ("y + x ~ x", "2 responses"),
        ("y ~ x | diet", "several parts"),
        ("y ~ xx", "the table has no column 'xx'"),
        ("y ~ x +", "insuffient arguments|misplaced"),
        ("diet ~ x", "the response has 2 columns"),
        ("y ~ x + I(2 * x)", "is a combination of the terms before it"),
        ("y ~ log(x - 1)", "of 'A' is no finite number"),
        ("y ~ x * diet * `ln mass`", "complete rows for 8 coefficients"),
        ("y ~ nosuch(x)", "name 'nosuch' is not defined"),
    ],
)
def test_formulas_that_are_refused(formula: str, message: str) -> None:
    with pytest.raises(HxError, match=message):
        design(formula, COLUMNS, list("ABCDEFG"))


def test_tips_at_no_distance_are_refused_but_under_white_noise() -> None:
    phylogeny = _phylogeny()
    lengths = phylogeny.lengths.copy()
    lengths[[28, 29]] = 0
    phylogeny = Phylogeny(phylogeny.topology, lengths, phylogeny.labels, phylogeny.support)
    rows = _rows(phylogeny)
    with pytest.raises(ModelError, match="joined by edges of length 0"):
        regress(phylogeny, rows, formula="y ~ x", model="lambda")
    found = regress(phylogeny, rows, formula="y ~ x", model="white")
    used = ~np.isnan(rows.values[:, :2]).any(1)
    slope, intercept = np.polyfit(rows.values[used, 1], rows.values[used, 0], 1)
    np.testing.assert_allclose(found.tables["coefficients table"]["estimate"], [intercept, slope])


@pytest.mark.shared
@pytest.mark.parametrize("model", ["bm", "lambda"])
def test_published_values(model: str) -> None:
    folder = reference_models("caper_test")
    inputs = read_inputs(InputOptions(str(folder / "tree.nwk"), str(folder / "traits.csv")))
    found = regress(inputs.phylogenies[0], inputs.observations[0], formula="V1 ~ V2", model=model)
    terms = found.tables["coefficients table"]
    checked = 0
    for line in (folder / "values.tsv").read_text().splitlines()[1:]:
        quantity, value, _ = line.split("\t")
        _, name, *keys = quantity.split("/")
        if name != model:
            continue
        ours = (
            found.tables["regression table"][keys[0]][0]
            if len(keys) == 1
            else terms[keys[1]][terms["term"].index(keys[0])]
        )
        assert ours == pytest.approx(float(value), abs=5e-6), keys
        checked += 1
    assert checked >= 5


def _repeated(phylogeny: Phylogeny) -> Observations:
    """Rows of `_rows`, two for every third tip, with other responses and predictors."""
    rows = _rows(phylogeny)
    again = np.arange(0, len(rows.nodes), 3)
    order = np.sort(np.concatenate([np.arange(len(rows.nodes)), again]))
    values = rows.values[order] + np.random.default_rng(4).normal(size=(len(order), 3)) * [0.3, 2, 0.1]
    return Observations(
        rows.nodes[order], values, np.zeros(values.shape), rows.traits, {"diet": rows.texts["diet"][order]}
    )


def test_rows_of_one_tip_are_averaged_with_the_error_of_their_mean() -> None:
    phylogeny = _phylogeny()
    rows = _repeated(phylogeny)
    found = regress(phylogeny, rows, formula="y ~ x")
    tips = np.unique(rows.nodes)
    groups = [rows.values[rows.nodes == tip, 0] for tip in tips]
    means = np.array([rows.values[rows.nodes == tip].mean(0) for tip in tips])
    some = [group[~np.isnan(group)] for group in groups]
    within = sum(((group - group.mean()) ** 2).sum() for group in some if len(group))
    within /= sum(len(group) - 1 for group in some if len(group))
    errors = np.zeros(means.shape)
    errors[:, 0] = [np.sqrt(within / len(group)) if len(group) else 0 for group in some]
    plain = regress(phylogeny, Observations(tips, means, errors, rows.traits, {}), formula="y ~ x")
    for name in ("estimate", "se"):
        np.testing.assert_allclose(
            found.tables["coefficients table"][name], plain.tables["coefficients table"][name], rtol=1e-9
        )
    assert "several rows: means are used" in found.warnings[0]
    # Known errors: rows count by their inverse squares.
    known = np.full(rows.values.shape, 0.5)
    known[1::2, 0] = 0.2
    weighed = regress(phylogeny, Observations(rows.nodes, rows.values, known, rows.traits, {}), formula="y ~ x")
    weight = 1 / known[:, 0] ** 2
    for i, tip in enumerate(tips):
        own = (rows.nodes == tip) & ~np.isnan(rows.values[:, 0])
        means[i, 0] = (weight * rows.values[:, 0])[own].sum() / weight[own].sum() if own.any() else np.nan
        errors[i, 0] = 1 / np.sqrt(weight[own].sum()) if own.any() else 0
    plain = regress(phylogeny, Observations(tips, means, errors, rows.traits, {}), formula="y ~ x")
    np.testing.assert_allclose(
        weighed.tables["coefficients table"]["estimate"], plain.tables["coefficients table"]["estimate"], rtol=1e-9
    )


def test_rows_of_one_tip_that_differ_in_a_text_are_refused_where_it_counts() -> None:
    phylogeny = _phylogeny()
    rows = _repeated(phylogeny)
    texts = np.array([f"d{i % 2}" for i in range(len(rows.nodes))], object)
    rows = Observations(rows.nodes, rows.values, rows.standard_errors, rows.traits, {"diet": texts})
    with pytest.raises(HxError, match="have 'd0' and 'd1' in column 'diet'"):
        regress(phylogeny, rows, formula="y ~ diet")
    with pytest.raises(HxError, match="a response of 0 and 1 has one row a tip"):
        regress(phylogeny, rows, formula="y ~ x", family="binomial")


def test_a_sum_of_columns_is_read_as_formulaic_reads_it() -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=6) for name in ("y", "x", "a_2")} | {"d": np.array(["u", "v", ""] * 2, object)}
    for formula in ("y ~ x", " y~x +a_2", "y ~ a_2 + x", "a_2 ~ 1"):
        plain, whole = sum_of_columns(formula, columns), read_formula(formula, columns)
        assert plain is not None
        assert plain[:3] == whole[:3]
        one, other = plain.evaluate(columns), whole.evaluate(columns)
        assert one.terms == other.terms
        np.testing.assert_array_equal(one.matrix, other.matrix)
        np.testing.assert_array_equal(one.numbers, other.numbers)
        if plain.right:
            np.testing.assert_array_equal(one.at(columns), other.at(columns))
    for formula in ("y ~ x - 1", "y ~ x + x", "y ~ d", "y ~ x:a_2", "log(y) ~ x", "y ~ nothing", "y ~ x + y", "y ~ 0"):
        assert sum_of_columns(formula, columns) is None
