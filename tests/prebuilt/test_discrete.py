"""Sweeps of discrete states against the sum over all combinations of states, and dense matrix exponentials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from hxcli.engine.topology import from_parents
from hxcli.prebuilt.discrete import transitions
from hxcli.prebuilt.discrete.likelihood import (
    joint_states,
    log_likelihood_slopes,
    log_likelihoods,
    marginals,
    state_tree,
)
from hxcli.prebuilt.discrete.transitions import Doubling, Spectral, matrix_of, stationary, transitions_of
from tests.prebuilt.every_state import enumerate_states

# A root with a polytomy, a chain of one-child nodes, an edge of length 0 and a tip beside its parent.
PARENTS = [0, 0, 0, 0, 1, 1, 2, 6, 6]
LENGTHS = np.array([0, 0.3, 1.2, 0.7, 0.0, 2.5, 0.4, 0.1, 3.0])


def generator(cells: Any) -> Any:
    rates = np.array(cells, float)
    np.fill_diagonal(rates, 0)
    return rates - np.diag(rates.sum(1))


IRREVERSIBLE = generator([[0, 0.5, 0.1], [0.2, 0, 0.9], [0.7, 0.05, 0]])
# A chain without return: its matrix cannot be diagonalised.
DEFECTIVE = generator([[0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]])
EQUAL = generator(np.full((3, 3), 0.4))
ROOT = np.array([0.5, 0.2, 0.3])


def seen_at(topology: Any) -> Any:
    """An ambiguous tip, a missing one, one with probabilities, and certain ones."""
    seen = np.ones((topology.size, 3))
    tips = np.flatnonzero(topology.is_leaf)
    for tip, what in zip(tips, ([1, 0, 0], [0, 1, 1], [1, 1, 1], [0.2, 0.5, 0.3], [0, 0, 1]), strict=True):
        seen[tip] = what
    return seen


@pytest.fixture
def case() -> Any:
    topology = from_parents(np.array(PARENTS))
    seen = seen_at(topology)
    return SimpleNamespace(
        seen=seen, tree=state_tree(SimpleNamespace(topology=topology, lengths=LENGTHS), seen), parents=topology.parents
    )


@pytest.mark.parametrize("rates", [IRREVERSIBLE, DEFECTIVE, EQUAL], ids=["irreversible", "defective", "equal"])
def test_all_answers_are_those_of_enumeration(case: Any, rates: Any) -> None:
    dense = enumerate_states(case.parents, LENGTHS, rates, case.seen, ROOT)
    found = marginals(case.tree, rates, ROOT)
    assert found.log_likelihood == pytest.approx(np.log(dense.likelihood), abs=1e-12)
    np.testing.assert_allclose(found.probabilities, dense.marginals, rtol=0, atol=1e-12)
    best, weight = joint_states(case.tree, rates, ROOT)
    np.testing.assert_array_equal(best, dense.best)
    assert weight < found.log_likelihood
    by_likelihood = dense.root_likelihood / dense.root_likelihood.sum()
    assert log_likelihoods(case.tree, rates[None], None)[0] == pytest.approx(
        np.log(by_likelihood @ dense.root_likelihood), abs=1e-12
    )


@pytest.mark.parametrize(
    ("rates", "root"),
    [(IRREVERSIBLE, ROOT), (IRREVERSIBLE, None), (DEFECTIVE, ROOT)],
    ids=["spectral", "root by likelihood", "doubling"],
)
def test_gradients_are_the_slopes_of_the_likelihood(case: Any, rates: Any, root: Any) -> None:
    columns = np.stack([rates, 3 * rates])
    roots = None if root is None else np.stack([root, root])
    found = log_likelihood_slopes(case.tree, columns, roots)
    np.testing.assert_allclose(found.log_likelihood, log_likelihoods(case.tree, columns, roots), rtol=0, atol=1e-12)
    step = 1e-5
    for a, b in np.argwhere(rates > 0):
        moved = np.zeros((3, 3))
        moved[a, b], moved[a, a] = step, -step
        ahead, behind = (log_likelihoods(case.tree, columns + sign * moved, roots) for sign in (1, -1))
        slope = found.by_rates[:, a, b] - found.by_rates[:, a, a]
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    if root is not None:
        ahead, behind = (log_likelihoods(case.tree, columns, roots + sign * step * np.eye(3)[0]) for sign in (1, -1))
        np.testing.assert_allclose(found.by_root[:, 0], (ahead - behind) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("rates", [IRREVERSIBLE, EQUAL], ids=["irreversible", "equal"])
def test_both_ways_along_an_edge_are_the_exponential(rates: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spectral = transitions_of(np.stack([rates, 5 * rates]), 40.0)
    monkeypatch.setattr(transitions, "_spectral", lambda rates: None)
    doubling = transitions_of(np.stack([rates, 5 * rates]), 40.0)
    assert isinstance(spectral, Spectral)
    assert isinstance(doubling, Doubling)
    for length in (0.0, 1e-12, 0.3, 7.0, 40.0):
        dense = np.stack([expm(rates * length), expm(5 * rates * length)])
        for way in (spectral, doubling):
            np.testing.assert_allclose(
                matrix_of(way, SimpleNamespace(length=length)), dense, rtol=0, atol=1e-13 * (1 + length)
            )


def test_several_steps_on_a_short_edge_keep_their_digits() -> None:
    length = 1e-9
    found = np.asarray(matrix_of(transitions_of(DEFECTIVE[None], 1.0), SimpleNamespace(length=length)))
    assert found[0, 0, 2] == pytest.approx((0.5 * length) ** 2 / 2, rel=1e-8)
    assert found[0, 2, 0] == 0


def test_messages_of_large_polytomies_and_deep_trees_do_not_underflow() -> None:
    fan, deep = np.zeros(5001, int), np.concatenate([[0], np.arange(4000)])
    for parents in (fan, deep):
        topology = from_parents(parents)
        seen = np.ones((topology.size, 3))
        tips = np.flatnonzero(topology.is_leaf)
        seen[tips] = np.eye(3)[np.arange(len(tips)) % 3]
        lengths = np.where(topology.is_root, 0, 0.5)
        tree = state_tree(SimpleNamespace(topology=topology, lengths=lengths), seen)
        found = marginals(tree, IRREVERSIBLE, ROOT)
        step = expm(IRREVERSIBLE * 0.5) if len(tips) > 1 else expm(IRREVERSIBLE * 0.5 * topology.depth)
        logs = np.log(step[:, np.arange(len(tips)) % 3]).sum(1)
        expected = np.log(ROOT @ np.exp(logs - logs.max())) + logs.max()
        assert found.log_likelihood == pytest.approx(expected, rel=1e-11)
        assert np.isfinite(found.probabilities).all()


def test_the_stationary_distribution_is_kept() -> None:
    for rates in (IRREVERSIBLE, EQUAL, DEFECTIVE):
        share = stationary(rates)
        np.testing.assert_allclose(share @ rates, 0, atol=1e-15)
        assert share.sum() == pytest.approx(1)
