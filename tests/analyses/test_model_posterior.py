"""Posteriors under other models than Brownian motion: against dense grids."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.analyses.posterior.posterior import posterior
from hxcli.errors import OptionError
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations
from tests.analyses.dense_models import dense
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
    with pytest.raises(OptionError, match="the model has 2 means"):
        posterior(phylogeny, seen, models=("trend",))
    with pytest.raises(OptionError, match="no model here has it as a free parameter"):
        posterior(phylogeny, seen, models=("ou",), priors={"lambda": "uniform(0,1)"})
    with pytest.raises(OptionError, match="goes with Brownian motion only"):
        posterior(phylogeny, seen, models=("ou",), draws=5)
