"""Adequacy of fitted models: against contrasts taken one by one, scipy's tests and dense algebra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hxcli.analyses.fit.adequacy import REPLICATES, STATISTICS, _adequacy, adequacy
from hxcli.analyses.fit.drawing import drawn
from hxcli.analyses.fit.fitted import FittedModel
from hxcli.cli.app import run
from hxcli.phylogeny import Phylogeny
from tests.analyses.dense_models import dense, solved
from tests.analyses.test_bootstrap import DATA, fits
from tests.analyses.test_fit import FOSSILS, ULTRAMETRIC, at, observed, tree


def by_hand(phylogeny: Phylogeny, lengths: np.ndarray, values: dict[int, float]) -> tuple[list[float], ...]:
    """Contrasts of a binary tree, their standard deviations, states and heights of their nodes (Felsenstein 1985)."""
    parents = phylogeny.topology.parents
    heights = np.zeros(len(parents))
    for node in range(1, len(parents)):
        heights[node] = heights[parents[node]] + lengths[node]
    there: dict[int, list[tuple[float, float]]] = {}
    found: tuple[list[float], ...] = ([], [], [], [])
    for node in range(len(parents) - 1, -1, -1):
        if node in values:
            value, variance = values[node], 0.0
        else:
            (x1, v1), (x2, v2) = there[node]
            value, variance = (v2 * x1 + v1 * x2) / (v1 + v2), v1 * v2 / (v1 + v2)
            for kind, figure in zip(
                found, ((x1 - x2) / (v1 + v2) ** 0.5, (v1 + v2) ** 0.5, value, heights[node]), strict=True
            ):
                kind.append(float(figure))
        there.setdefault(int(parents[node]), []).append((value, variance + lengths[node]))
    return found


@pytest.mark.parametrize("name", ["bm", "ou"])
def test_statistics_are_those_of_contrasts_taken_one_by_one(name: str) -> None:
    from scipy.stats import kstest, linregress

    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0, seed=8)
    fitted = fits(seen, ULTRAMETRIC, (name,))[0]
    values = at(fitted)
    heights = phylogeny.root_distances
    if name == "ou":
        # As Brownian motion that lasts as long as there is variance, seen from the tips.
        alpha, top = values["alpha"], heights.max()
        heights = values["sigma2"] / (2 * alpha) * np.exp(-2 * alpha * top) * np.expm1(2 * alpha * heights)
    else:
        heights = values["sigma2"] * heights
    lengths = heights - heights[phylogeny.topology.parents]
    tips = {int(node): float(value) for node, value in zip(seen.nodes, seen.values[:, 0], strict=True)}
    contrasts, deviations, states, nodes = map(np.array, by_hand(phylogeny, lengths, tips))
    sizes = abs(contrasts)
    slow = {
        "m_sig": (sizes**2).mean(),
        "c_var": sizes.std(ddof=1) / sizes.mean(),
        "s_var": linregress(deviations, sizes).slope,
        "s_asr": linregress(states, sizes).slope,
        "s_hgt": linregress(nodes, sizes).slope,
    }
    found = dict(zip(STATISTICS, _adequacy(fitted, 1, 0.95).values.tolist(), strict=True))
    for statistic, value in slow.items():
        assert found[statistic] == pytest.approx(value, rel=1e-6), statistic
    both = [kstest(sign * contrasts, "norm", (0, np.sqrt((sizes**2).mean()))).statistic for sign in (1, -1)]
    assert 1 / (2 * len(contrasts)) <= found["d_cdf"] <= max(*both, 0.5)


@pytest.mark.parametrize(("name", "tau2"), [("ou", 0.0), ("kappa", 0.04)])
def test_mean_square_is_the_dense_one_on_trees_of_any_shape(name: str, tau2: float) -> None:
    """A polytomy, an edge of 0, a node with one child, tips of different heights, a missing tip, known errors."""
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, errors=tau2 > 0)
    fitted = fits(seen, FOSSILS, (name,), tau2=tau2)[0]
    found = _adequacy(fitted, 1, 0.95)
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    noise = seen.standard_errors[there, 0] ** 2 + tau2
    model = dense(name, phylogeny, at(fitted))
    slow = solved(model, tips, y, noise, restricted=False)
    v = model.covariance[np.ix_(tips, tips)] + np.diag(noise)
    rest = y - model.design[tips] @ slow.beta
    # What the root's state would do at the tips, which contrasts do not see.
    alpha = at(fitted).get("alpha", 0.0)
    root = np.exp(-alpha * phylogeny.root_distances[tips])
    inverse = np.linalg.inv(v)
    seen_of_it = (root @ inverse @ rest) ** 2 / (root @ inverse @ root)
    assert found.contrasts == len(y) - 1
    assert found.values[0] * found.contrasts == pytest.approx(rest @ inverse @ rest - seen_of_it, rel=1e-7)
    assert ((found.p > 0) & (found.p <= 1) | np.isnan(found.p)).all()


def test_white_has_no_heights_and_no_p_of_them() -> None:
    fitted = fits(observed(tree(ULTRAMETRIC), missing=0), ULTRAMETRIC, ("white",))[0]
    found = dict(zip(STATISTICS, _adequacy(fitted, 1, 0.95).p.tolist(), strict=True))
    assert np.isnan(found["s_hgt"])
    assert 0 < found["m_sig"] <= 1


def test_command_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(DATA / "primates.nwk"), str(DATA / "primates.csv"), "--column", "ln_body_mass", "--no-intervals"]
    out = tmp_path / "a.csv"
    assert run(["fit", *files, "--model", "kappa", "--model", "bm", "--adequacy", "--out-adequacy", str(out)]) == 0
    assert "least adequate (p)" in capsys.readouterr().err
    table = pl.read_csv(out)
    assert table["statistic"].to_list() == [*STATISTICS] * 2
    assert set(table["replicates"]) == {REPLICATES}
    # Of 37 tips: their rates by ML.
    assert table.filter(pl.col("model") == "bm")["value"][0] == pytest.approx(37 / 36)


@pytest.mark.slow
def test_p_is_uniform_where_the_model_is_true() -> None:
    """Of 60 traits that were drawn under bm at its own rate, within three binomial errors."""
    seen = observed(tree(ULTRAMETRIC), missing=0)
    null = fits(seen, ULTRAMETRIC, ("bm",))[0]
    traits = drawn(null, 60, 9)
    found = []
    for place in range(60):
        held = {"sigma2": at(null)["sigma2"], "root": at(null)["root"]}
        values = traits.means[seen.nodes, place] * null.units.scale[0] + null.units.location[0]
        one: FittedModel = fits(
            type(seen)(seen.nodes, values[:, None], seen.standard_errors, seen.traits), ULTRAMETRIC, ("bm",), held=held
        )[0]
        found.append(adequacy([one], 100 + place, 0.95)[0].p)
    shares = np.array(found)
    for limit in (0.25, 0.5, 0.75):
        apart = abs((shares <= limit).mean(0) - limit)
        assert (apart < 3 * np.sqrt(limit * (1 - limit) / 60)).all()
