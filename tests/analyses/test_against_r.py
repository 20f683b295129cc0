"""The models against independent results on real data, to 1e-9 of the largest value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hxcli.analyses.ancestral import ancestral
from hxcli.analyses.mean import mean
from hxcli.analyses.posterior.posterior import posterior
from hxcli.traits import Observations
from tests.analyses.cases import PRIMARY, agree, column, load, rows, scalars

GLS = ["vertebrate", "geospiza", "anole", "shorebird", "sim_fossil200", "sim_ladder300"]
EXACT = ["vertebrate", "geospiza", "anole"]
# Polytomies, missing tips and edges of 0 among them.
QUICK = ["vertebrate", "shorebird", "dino"]

pytestmark = pytest.mark.usefixtures("programs")


@pytest.mark.parametrize("name", GLS)
def test_ancestral_agrees_with_dense_gls(reference: Callable[[str], Path], name: str) -> None:
    phylogeny, observations = load(reference(name))
    found = ancestral(phylogeny, observations)
    table = rows(reference(name) / "exact_gls.csv")
    nodes, expected = column(phylogeny, table, "est")
    agree(found.estimates[nodes, 0], expected)
    agree(found.standard_errors[nodes, 0] ** 2, column(phylogeny, table, "var_REML")[1])
    # The results use z = 1.959964.
    agree(found.lower[nodes, 0], column(phylogeny, table, "ci_lo")[1], 1e-6)


@pytest.mark.parametrize("name", ["primates_na", "dino"])
def test_missing_tips_and_zero_edges_agree_with_dense_conditioning(reference: Callable[[str], Path], name: str) -> None:
    phylogeny, observations = load(reference(name))
    found = ancestral(phylogeny, observations)
    table = rows(reference(name) / "exact_full_tree.csv")
    nodes, expected = column(phylogeny, table, "est")
    assert len(nodes) == phylogeny.topology.size
    agree(found.estimates[nodes, 0], expected)
    agree(found.standard_errors[nodes, 0] ** 2, column(phylogeny, table, "var_REML")[1])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in PRIMARY]
)
@pytest.mark.parametrize("estimator", ["REML", "ML"])
def test_rate_and_likelihood_agree(reference: Callable[[str], Path], name: str, estimator: str) -> None:
    pruned = "tree_pruned.nwk" if (reference(name) / "tree_pruned.nwk").exists() else "tree.nwk"
    expected = scalars(reference(name))
    for tree in {pruned, "tree.nwk"}:
        figures = ancestral(*load(reference(name), tree), estimator=estimator).parameters[PRIMARY[name]]
        assert figures["sigma2"].value == pytest.approx(expected[f"sigma2_{estimator}"], rel=1e-9)
        assert figures["log_likelihood"].value == pytest.approx(expected[f"logLik_{estimator}"], rel=1e-9, abs=1e-9)
        assert figures["root"].value == pytest.approx(expected["gls_root_mean"], rel=1e-9)
        assert figures["root_se"].value == pytest.approx(expected[f"root_se_{estimator}"], rel=1e-9)


@pytest.mark.parametrize("name", GLS)
def test_pruning_mean_is_the_gls_root_and_the_contrast_states(reference: Callable[[str], Path], name: str) -> None:
    phylogeny, observations = load(reference(name))
    found = mean(phylogeny, observations)
    assert found.estimates[0, 0] == pytest.approx(scalars(reference(name))["gls_root_mean"], rel=1e-9)
    nodes, expected = column(phylogeny, rows(reference(name) / "ace_pic.csv"), "est")
    if phylogeny.topology.equal_degree:
        # ape resolves polytomies at random lengths 0, so its clade states are those of the tree it made.
        agree(found.estimates[nodes, 0], expected)


@pytest.mark.parametrize("name", list(PRIMARY))
def test_local_mean_agrees(reference: Callable[[str], Path], name: str) -> None:
    tree = "tree_pruned.nwk" if (reference(name) / "tree_pruned.nwk").exists() else "tree.nwk"
    phylogeny, observations = load(reference(name), tree)
    table = [row for row in rows(reference(name) / "naive_recursive.csv") if row["est"] not in ("NA", "NaN")]
    nodes, expected = column(phylogeny, table, "est")
    assert len(nodes) > 1
    agree(mean(phylogeny, observations, weights="local").estimates[nodes, 0], expected)


@pytest.mark.parametrize("name", EXACT)
def test_posterior_agrees_with_dense_conditioning(reference: Callable[[str], Path], name: str) -> None:
    phylogeny, observations = load(reference(name))
    nodes_table = rows(reference(name) / "bayes_exact_nodes.csv")
    settings = rows(reference(name) / "bayes_exact_marginal.csv")
    assert {row["root_prior"] for row in settings} == {"flat", "normal"}
    for row in settings:
        prior = (
            {} if row["root_prior"] == "flat" else {"root_mean": float(row["mu0"]), "root_variance": float(row["v0"])}
        )
        found = posterior(phylogeny, observations, sigma2=float(row["sigma2"]), tau2=float(row["tau2"]), **prior)
        figures = found.parameters[PRIMARY[name]]
        assert figures["log_likelihood"].value == pytest.approx(float(row["log_marginal"]), rel=1e-9, abs=1e-9)
        table = [r for r in nodes_table if (r["setting"], r["root_prior"]) == (row["setting"], row["root_prior"])]
        nodes, expected = column(phylogeny, table, "post_mean")
        agree(found.estimates[nodes, 0], expected)
        agree(found.standard_errors[nodes, 0] ** 2, column(phylogeny, table, "post_var")[1])


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("case", ["missing_tips", "per_tip_tau2"])
def test_posterior_with_missing_tips_and_known_errors(reference: Callable[[str], Path], name: str, case: str) -> None:
    phylogeny, observations = load(reference(name))
    table = [r for r in rows(reference(name) / "bayes_exact_special_nodes.csv") if r["case"] == case]
    marginal = next(r for r in rows(reference(name) / "bayes_exact_special_marginal.csv") if r["case"] == case)
    tips = {r["tip_a"]: r for r in table if r["is_tip"] == "1"}
    values, errors = observations.values.copy(), np.zeros_like(observations.values)
    for i, node in enumerate(observations.nodes):
        row = tips[phylogeny.labels[node]]
        if row["observed"] == "0":
            values[i] = np.nan
        else:
            errors[i] = np.sqrt(float(row["tau2"]))
    noisy = Observations(observations.nodes, values, errors, observations.traits)
    found = posterior(phylogeny, noisy, sigma2=float(marginal["sigma2"]), tau2=0.0)
    figures = found.parameters[PRIMARY[name]]
    assert figures["log_likelihood"].value == pytest.approx(float(marginal["log_marginal"]), rel=1e-9, abs=1e-9)
    nodes, expected = column(phylogeny, table, "post_mean")
    agree(found.estimates[nodes, 0], expected)
    agree(found.standard_errors[nodes, 0] ** 2, column(phylogeny, table, "post_var")[1])


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        # The dense search takes seconds.
        pytest.param(estimator, name, marks=() if name in ("vertebrate", "shorebird") else pytest.mark.slow)
        for estimator in ("REML", "ML")
        for name in PRIMARY
    ],
)
def test_rate_with_known_errors_agrees_with_a_dense_search(
    reference: Callable[[str], Path], name: str, estimator: str
) -> None:
    tree = "tree_pruned.nwk" if (reference(name) / "tree_pruned.nwk").exists() else "tree.nwk"
    phylogeny, observations = load(reference(name), tree)
    row = next(r for r in rows(reference(name) / "me_dense.csv") if r["method"].startswith(f"{estimator}_knownSE"))
    errors = np.full_like(observations.values, np.sqrt(float(row["tau2"])))
    noisy = Observations(observations.nodes, observations.values, errors, observations.traits)
    figures = ancestral(phylogeny, noisy, estimator=estimator).parameters[PRIMARY[name]]
    assert figures["log_likelihood"].value == pytest.approx(float(row["logLik"]), rel=1e-9, abs=1e-9)
    if row["at_boundary"] == "0":
        # The search behind the reference stops where the likelihood is flat to its last digits.
        assert figures["sigma2"].value == pytest.approx(float(row["sigma2"]), rel=1e-6)
        assert figures["root"].value == pytest.approx(float(row["mean"]), rel=1e-7)
