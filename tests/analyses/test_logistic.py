"""Phylogenetic logistic regression against sums over all hidden states and a dense covariance."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hxcli.analyses.regress.regress import regress
from hxcli.engine.topology import from_parents
from hxcli.errors import HxError
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.reference import shared_paths

pytestmark = pytest.mark.usefixtures("programs")

PARENTS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 5, 5])


def _case() -> tuple[Phylogeny, Observations]:
    rng = np.random.default_rng(4)
    lengths = rng.uniform(0.2, 1, len(PARENTS))
    lengths[0] = 0
    topology = from_parents(PARENTS)
    labels = [f"t{node}" if leaf else "" for node, leaf in enumerate(topology.is_leaf)]
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(labels)))
    x = rng.normal(size=len(phylogeny.tips)) * 3
    y = (x + rng.normal(size=len(x)) * 3 > 0).astype(float)
    y[2] = np.nan
    return phylogeny, Observations(phylogeny.tips, np.column_stack([y, x]), np.zeros((len(x), 2)), ("y", "x"))


def _heights(
    phylogeny: Phylogeny, x: np.ndarray, y: np.ndarray, nodes: np.ndarray, beta: np.ndarray, alpha: float
) -> tuple[float, float, np.ndarray]:
    """Log likelihood by summing over the states of all nodes, log det of the information / 2, and its inverse."""
    mu = 1 / (1 + np.exp(-(x @ beta)))
    m = mu.mean()
    stay = np.exp(-alpha * phylogeny.lengths)
    total = 0.0
    for states in product((0, 1), repeat=len(PARENTS)):
        chance = (1 - m, m)[states[0]]
        for node in range(1, len(PARENTS)):
            same = states[node] == states[PARENTS[node]]
            chance *= same * stay[node] + (1 - stay[node]) * (1 - m, m)[states[node]]
        for probability, observed, node in zip(mu, y, nodes, strict=True):
            one = states[node] * min(1, probability / m)
            one += (1 - states[node]) * max(0, (probability - m) / (1 - m))
            chance *= one if observed else 1 - one
        total += chance
    s = np.where(mu <= m, mu / m, (1 - mu) / (1 - m))
    paths = shared_paths(list(PARENTS), phylogeny.lengths)[np.ix_(nodes, nodes)]
    far = np.diag(paths)[:, None] + np.diag(paths) - 2 * paths
    v = np.outer(s, s) * m * (1 - m) * np.exp(-alpha * far)
    np.fill_diagonal(v, mu * (1 - mu))
    scaled = (mu * (1 - mu))[:, None] * x
    information = scaled.T @ np.linalg.solve(v, scaled)
    return float(np.log(total)), float(np.linalg.slogdet(information)[1] / 2), np.linalg.inv(information)


def test_it_maximises_the_penalised_likelihood() -> None:
    phylogeny, rows = _case()
    found = regress(phylogeny, rows, formula="y ~ x", family="binomial")
    whole = {name: values[0] for name, values in found.tables["regression table"].items()}
    terms = found.tables["coefficients table"]
    used = ~np.isnan(rows.values[:, 0])
    x = np.column_stack([np.ones(used.sum()), rows.values[used, 1]])
    y, nodes = rows.values[used, 0], rows.nodes[used]
    beta = np.array(terms["estimate"])
    plain, penalty, covariance = _heights(phylogeny, x, y, nodes, beta, whole["alpha"])
    assert whole["log_likelihood"] == pytest.approx(plain, rel=1e-9)
    assert whole["penalized_log_likelihood"] == pytest.approx(plain + penalty, rel=1e-9)
    np.testing.assert_allclose(terms["se"], np.sqrt(np.diag(covariance)), rtol=1e-8)
    assert whole["aic"] == pytest.approx(6 - 2 * plain)
    top = plain + penalty
    height = phylogeny.root_distances[phylogeny.tips].max()
    for step in (-1e-3, 1e-3):
        for which in range(3):
            moved, alpha = beta.copy(), whole["alpha"]
            if which < 2:
                moved[which] += step
            else:
                alpha = float(np.clip(alpha * np.exp(step), np.exp(-4) / height, np.exp(4) / height))
            near = _heights(phylogeny, x, y, nodes, moved, alpha)
            assert near[0] + near[1] <= top + 1e-9
    rest = found.tables["residuals table"]
    np.testing.assert_allclose(rest["fitted"][rest["tip"].index("t8")], 1 / (1 + np.exp(-(x @ beta)))[nodes == 8])
    (row,) = np.flatnonzero(np.isfinite(rest["predict"]))
    missing = np.flatnonzero(np.isnan(rows.values[:, 0]))[0]
    point = np.array([1, rows.values[missing, 1]])
    half = 1.959963984540054 * np.sqrt(point @ covariance @ point)
    for name, linear in (("predict_lower", point @ beta - half), ("predict_upper", point @ beta + half)):
        np.testing.assert_allclose(rest[name][row], 1 / (1 + np.exp(-linear)), rtol=1e-6)
    p = rest["predict"][row]
    np.testing.assert_allclose(rest["predict_se"][row], p * (1 - p) * half / 1.959963984540054, rtol=1e-6)


def test_what_is_refused() -> None:
    phylogeny, rows = _case()
    with pytest.raises(HxError, match="a response of it is 0 or 1"):
        regress(phylogeny, rows, formula="x ~ y", family="binomial")
    with pytest.raises(HxError, match="--model is for --family gaussian"):
        regress(phylogeny, rows, formula="y ~ x", family="binomial", model="ou")
    same = Observations(
        rows.nodes, np.column_stack([0 * rows.values[:, 1], rows.values[:, 1]]), rows.standard_errors, rows.traits
    )
    with pytest.raises(HxError, match="y is always 0"):
        regress(phylogeny, same, formula="y ~ x", family="binomial")
