"""Blomberg's K and Pagel's lambda against their definitions with dense matrices, published values, and chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, kstest

from hxcli.analyses.signal.draws import name_ranks, simulated_tips
from hxcli.analyses.signal.signal import signal
from hxcli.engine.topology import from_parents
from hxcli.errors import ModelError
from hxcli.phylogeny import Phylogeny, relabel
from hxcli.prebuilt.contrast_matrices import contrast_matrices
from hxcli.prebuilt.merges import merges_of
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.conftest import reference_models
from tests.reference import random_binary, shared_paths

# A polytomy, a node with one child, a tip at distance 0 of its parent, an inner edge of length 0.
ODD = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 6, 6, 10, 10, 11, 11, 11, 17, 17, 18, 18])


def _phylogeny(parents: np.ndarray, seed: int) -> Phylogeny:
    lengths = np.random.default_rng(seed).exponential(0.5, len(parents))
    lengths[0] = 0
    topology = from_parents(parents)
    if parents is ODD:
        lengths[[5, 7, 19]] = 0
    labels = [f"t{node}" if leaf else "" for node, leaf in enumerate(topology.is_leaf)]
    return Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(labels)))


def _observations(phylogeny: Phylogeny, values: np.ndarray, errors: np.ndarray | float = 0.0) -> Observations:
    names = tuple(f"x{d}" for d in range(values.shape[1]))
    return Observations(phylogeny.tips, values, np.broadcast_to(errors, values.shape), names)


def _dense_k(c: np.ndarray, x: np.ndarray) -> float:
    """The statistic as Blomberg et al. (2003) define it, of covariance c."""
    n, inverse = len(x), np.linalg.inv(c)
    a = inverse.sum(0) @ x / inverse.sum()
    observed = (x - a) @ (x - a) / ((x - a) @ inverse @ (x - a))
    return float(observed / ((np.trace(c) - n / inverse.sum()) / (n - 1)))


def _dense_height(c: np.ndarray, x: np.ndarray, restricted: bool, constant: float = 0.0) -> float:
    """Log likelihood at the covariance c."""
    n, inverse = len(x), np.linalg.inv(c)
    a = inverse.sum(0) @ x / inverse.sum()
    width = np.log(inverse.sum()) if restricted else 0.0
    terms = (n - restricted) * np.log(2 * np.pi) + np.linalg.slogdet(c)[1] + width + (x - a) @ inverse @ (x - a)
    return float(-terms / 2 + constant)


@pytest.mark.parametrize(("parents", "seed"), [(random_binary(20, 4), 1), (ODD, 2)], ids=["binary", "odd"])
def test_k_and_lambda_are_their_definitions(parents: np.ndarray, seed: int) -> None:
    phylogeny = _phylogeny(parents, seed)
    rng = np.random.default_rng(seed)
    tips = phylogeny.tips
    paths = shared_paths(list(parents), phylogeny.lengths)[np.ix_(tips, tips)]
    values = np.linalg.cholesky(paths + 0.1 * np.eye(len(tips))) @ rng.normal(size=(len(tips), 4)) * 3 + 100
    values[rng.permutation(len(tips))[:3], 1] = np.nan
    found = signal(phylogeny, _observations(phylogeny, values), permutations=9).tables["signal table"]
    for d in range(values.shape[1]):
        there = ~np.isnan(values[:, d])
        x, c = values[there, d], paths[np.ix_(there, there)]
        n = len(x)
        assert found["n"][d] == n
        assert found["k_statistic"][d] == pytest.approx(_dense_k(c, x), rel=1e-9)

        def height(share: float, x: Any = x, c: Any = c, n: int = n) -> float:
            v = share * c + (1 - share) * np.diag(np.diag(c))
            inverse = np.linalg.inv(v)
            a = inverse.sum(0) @ x / inverse.sum()
            return _dense_height(v * ((x - a) @ inverse @ (x - a) / n), x, restricted=False)

        value, best = found["lambda"][d], found["log_likelihood"][d]
        assert best == pytest.approx(height(value), rel=1e-9)
        assert found["log_likelihood_zero"][d] == pytest.approx(height(0.0), rel=1e-9)
        for low in np.linspace(0, 0.9, 10):
            hill = minimize_scalar(lambda s: -height(s), bounds=(low, low + 0.1), method="bounded")
            assert -hill.fun <= best + 1e-6
        for end, bound in (("lambda_lower", 0.0), ("lambda_upper", 1.0)):
            fallen = best - chi2.ppf(0.95, 1) / 2
            if np.isnan(found[end][d]):
                assert height(bound) >= fallen
            else:
                assert height(found[end][d]) == pytest.approx(fallen, abs=1e-7)
        ratio = 2 * (best - height(0.0))
        assert found["lambda_p"][d] == pytest.approx(chi2.sf(ratio, 1) / 2 if value else 1)


def test_known_errors_join_the_covariance() -> None:
    phylogeny = _phylogeny(random_binary(15, 4), 3)
    rng = np.random.default_rng(0)
    tips = phylogeny.tips
    paths = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)[np.ix_(tips, tips)]
    errors = rng.uniform(0.2, 1.5, (len(tips), 1)) * (np.arange(len(tips)) > 2)[:, None]
    values = np.linalg.cholesky(paths) @ rng.normal(size=(len(tips), 1)) * 2 + errors * rng.normal(size=errors.shape)
    found = signal(phylogeny, _observations(phylogeny, values, errors), permutations=19).tables["signal table"]
    x, noise = values[:, 0], np.diag(errors[:, 0] ** 2)
    rate = minimize_scalar(
        lambda log: -_dense_height(np.exp(log) * paths + noise, x, restricted=True), bounds=(-8, 8), method="bounded"
    )
    assert found["k_statistic"][0] == pytest.approx(_dense_k(np.exp(rate.x) * paths + noise, x), rel=1e-5)

    def height(share: float) -> float:
        c = share * paths + (1 - share) * np.diag(np.diag(paths))
        best = minimize_scalar(
            lambda log: -_dense_height(np.exp(log) * c + noise, x, restricted=False),
            bounds=(-8, 8),
            method="bounded",
        )
        return float(-best.fun)

    assert found["log_likelihood"][0] == pytest.approx(height(found["lambda"][0]), abs=1e-7)
    assert found["log_likelihood_zero"][0] == pytest.approx(height(0.0), abs=1e-7)
    assert max(height(share) for share in np.linspace(0, 1, 9)) <= found["log_likelihood"][0] + 1e-6
    assert 0.05 <= found["k_p"][0] <= 1
    # Without errors it is the same statistic.
    tiny, none = (
        signal(phylogeny, _observations(phylogeny, values, error), permutations=99).tables["signal table"]
        for error in (1e-7, 0.0)
    )
    for name in ("k_statistic", "k_p", "k_one_p", "lambda", "log_likelihood"):
        assert tiny[name][0] == pytest.approx(none[name][0], rel=1e-5), name


def test_permutations_and_simulations_are_uniform_where_their_null_is_true() -> None:
    phylogeny = _phylogeny(random_binary(25, 8), 5)
    rng = np.random.default_rng(11)
    noise = rng.normal(size=(len(phylogeny.tips), 400))
    found = signal(phylogeny, _observations(phylogeny, noise), permutations=399).tables["signal table"]
    assert kstest(found["k_p"], "uniform").pvalue > 0.01
    # At lambda = 0 a tip varies as far as it is from the root. Half of the chances are at 1, which the test knows.
    alone = noise * np.sqrt(phylogeny.root_distances[phylogeny.tips])[:, None]
    found = signal(phylogeny, _observations(phylogeny, alone), permutations=9).tables["signal table"]
    assert 0.02 < np.mean(found["lambda_p"] <= 0.05) < 0.09
    moved = simulated_tips(rng, phylogeny, name_ranks(phylogeny), phylogeny.tips, 400)
    found = signal(phylogeny, _observations(phylogeny, moved), permutations=399).tables["signal table"]
    assert kstest(found["k_one_p"], "uniform").pvalue > 0.01
    assert np.mean(found["k_p"]) < 0.2


def test_every_arrangement_of_few_tips() -> None:
    """With 4 tips there are 24 orders: the share of those that reach K is what many permutations find."""
    from itertools import permutations

    phylogeny = _phylogeny(np.array([0, 0, 0, 1, 1, 2, 2]), 1)
    tips = phylogeny.tips
    c = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)[np.ix_(tips, tips)]
    # Two values only: many arrangements give the very same K.
    x = np.array([0.0, 0.0, 0.1, 0.1])
    every = np.array([_dense_k(c, x[list(order)]) for order in permutations(range(4))])
    share = np.mean(every >= _dense_k(c, x) * (1 - 1e-9))
    found = signal(phylogeny, _observations(phylogeny, x[:, None]), permutations=20_000).tables["signal table"]
    assert found["k_p"][0] == pytest.approx(share, abs=0.02)


def test_blocks_are_the_merges() -> None:
    phylogeny = _phylogeny(random_binary(150, 4), 3)
    rng = np.random.default_rng(0)
    merges = merges_of(phylogeny, rng.permutation(phylogeny.tips)[:140])
    contrasts = contrast_matrices(merges)
    values = rng.normal(size=(140, 5))
    mean, squares = contrasts.apply(values)
    pruned = merges.prune(values, merges.lengths[:, None].copy())
    np.testing.assert_allclose(mean, pruned.mean, rtol=1e-12)
    np.testing.assert_allclose(squares, pruned.squares, rtol=1e-12)
    assert contrasts.root_variance == pytest.approx(pruned.variance[0], rel=1e-12)
    order = rng.permuted(np.tile(np.arange(140), (3, 1)), axis=1)
    for g in range(3):
        np.testing.assert_allclose(contrasts.apply(values, order.T)[1][g], contrasts.apply(values[order[g]])[1])


def test_how_the_tree_is_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "traits.csv").write_text("id,x\nA,1\nB,2\nC,4\nD,9\nE,3\n")
    tables = []
    for text in ("(((A:1,B:2):1,C:3):1,(D:1,E:4):2);", "((E:4,D:1):2,(C:3,(B:2,A:1):1):1);"):
        (tmp_path / "tree.nwk").write_text(text)
        inputs = read_inputs(InputOptions(str(tmp_path / "tree.nwk"), str(tmp_path / "traits.csv")))
        tables.append(signal(inputs.phylogenies[0], inputs.observations[0], permutations=199).tables["signal table"])
    for name in set(tables[0]) - {"trait"}:
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=1e-9, err_msg=name)


def test_a_star_says_nothing_of_signal() -> None:
    phylogeny = _phylogeny(np.zeros(9, np.int32), 1)
    star = relabel(phylogeny, edge_lengths=np.full(9, 2.0))
    found = signal(star, _observations(star, np.random.default_rng(3).normal(size=(8, 1))), permutations=99)
    table = found.tables["signal table"]
    assert table["k_statistic"][0] == pytest.approx(1)
    # Every arrangement and every simulation is exactly as far from 1, whatever their last digits are.
    assert [float(table[p][0]) for p in ("k_p", "k_one_p", "lambda_p")] == [1, 1, 1]
    assert np.isnan(table["lambda"][0])
    assert found.warnings == ("trait 'x0': on this tree its likelihood is the same for every lambda, which is empty",)


def test_what_has_no_signal_to_speak_of() -> None:
    phylogeny = _phylogeny(random_binary(6, 1), 1)
    values = np.array([[5.0, 1, np.nan]] * 4 + [[5.0, np.nan, np.nan]] * 2)
    found = signal(phylogeny, _observations(phylogeny, values), permutations=9)
    assert np.isnan(found.tables["signal table"]["k_statistic"]).all()
    assert "trait 'x0': all values are equal" in found.warnings[0]
    assert "trait 'x2': 0 of at least 3 tips have a value" in found.warnings[2]
    lengths = phylogeny.lengths.copy()
    pair = np.flatnonzero(phylogeny.topology.parents == phylogeny.topology.parents[-1])
    lengths[pair] = 0
    rng = np.random.default_rng(0)
    equal = np.where(np.isin(phylogeny.tips, pair), 1.0, rng.normal(size=len(phylogeny.tips)))
    together = relabel(phylogeny, edge_lengths=lengths)
    with pytest.raises(ModelError, match="are joined by edges of length 0, so that their covariance has no inverse"):
        signal(together, _observations(together, equal[:, None]))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["geospiza13", "caudata"])
def test_published_values(name: str) -> None:
    folder = reference_models(name)
    expected = {}
    for line in (folder / "values.tsv").read_text().splitlines()[1:]:
        quantity, value, _ = line.split("\t")
        kind, *keys = quantity.split("/")
        if kind == "signal":
            expected[tuple(keys)] = float(value)
        elif kind == "default" and keys[1] == "lambda" and keys[2] in ("lambda", "log_likelihood"):
            expected[keys[0], keys[2]] = float(value)
    inputs = read_inputs(InputOptions(str(folder / "tree.nwk"), str(folder / "traits.csv")))
    found = signal(inputs.phylogenies[0], inputs.observations[0], permutations=9).tables["signal table"]
    assert expected
    for (trait, column), value in expected.items():
        assert found[column][found["trait"].index(trait)] == pytest.approx(value, abs=2e-6), (trait, column)
