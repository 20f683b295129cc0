"""Sweeps of discrete states against the sum over all combinations of states, and dense matrix exponentials."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from hxcli.engine.topology import from_parents
from hxcli.prebuilt.discrete import level_doubling, transitions
from hxcli.prebuilt.discrete.edge_likelihood import edge_matrices
from hxcli.prebuilt.discrete.likelihood import (
    StateTree,
    joint_states,
    log_likelihood_slopes,
    log_likelihoods,
    marginals,
    messages,
    state_tree,
)
from hxcli.prebuilt.discrete.thinning import thinned
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
# Only between neighbours.
NEIGHBOURS = generator([[0, 0.6, 0], [0.6, 0, 0.2], [0, 0.2, 0]])
EQUAL = generator(np.full((3, 3), 0.4))
ROOT = np.array([0.5, 0.2, 0.3])
# One matrix an edge, one of them without return.
OF_EDGES = IRREVERSIBLE * np.linspace(0.5, 3, len(PARENTS))[:, None, None]
OF_EDGES[4] = DEFECTIVE


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


@pytest.mark.parametrize(
    "rates", [IRREVERSIBLE, DEFECTIVE, EQUAL, OF_EDGES], ids=["irreversible", "defective", "equal", "of edges"]
)
def test_all_answers_are_those_of_enumeration(case: Any, rates: Any) -> None:
    dense = enumerate_states(case.parents, LENGTHS, rates, case.seen, ROOT)
    found = marginals(case.tree, rates, ROOT)
    assert found.log_likelihood == pytest.approx(np.log(dense.likelihood), abs=1e-12)
    np.testing.assert_allclose(found.probabilities, dense.marginals, rtol=0, atol=1e-12)
    best, weight = joint_states(case.tree, rates, ROOT)
    np.testing.assert_array_equal(best, dense.best)
    assert weight < found.log_likelihood
    by_likelihood = dense.root_likelihood / dense.root_likelihood.sum()
    values = log_likelihoods if rates.ndim == 2 else lambda *given: log_likelihood_slopes(*given).log_likelihood
    assert values(case.tree, rates[None], None)[0] == pytest.approx(
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


@pytest.mark.parametrize("kept", [True, False], ids=["matrices kept", "powers alone"])
@pytest.mark.parametrize("root", [ROOT, None], ids=["given root", "root by likelihood"])
def test_sweeps_by_levels_are_the_compiled_ones(case: Any, root: Any, kept: bool, monkeypatch: Any) -> None:
    """With real, complex and repeated eigenvalues and none side by side, two children and many, edges of length 0."""
    reversible = generator([[0, 0.3, 0.2], [0.1, 0, 0.4], [0.25, 0.05, 0]])
    some = [IRREVERSIBLE, EQUAL, reversible, 1e-7 * EQUAL, DEFECTIVE, NEIGHBOURS, 2000 * NEIGHBOURS, 1e-9 * NEIGHBOURS]
    columns = np.stack(some)
    assert np.iscomplexobj(np.linalg.eigvals(columns[0]))
    monkeypatch.setattr(level_doubling, "_MOST_KEPT", 2**19 if kept else 0)
    # Some edges at a time.
    monkeypatch.setattr(level_doubling, "_BLOCK", 4)
    roots = None if root is None else np.repeat(root[None], len(columns), 0)
    compiled = StateTree(case.tree.topology, case.tree.lengths, case.tree.seen)
    compiled.__dict__["by_levels"] = False
    assert case.tree.by_levels
    ours, theirs = (log_likelihood_slopes(tree, columns, roots) for tree in (case.tree, compiled))
    np.testing.assert_allclose(ours.log_likelihood, theirs.log_likelihood, rtol=1e-13)
    np.testing.assert_allclose(ours.by_root, theirs.by_root, rtol=1e-12)
    scale = abs(theirs.by_rates).max((1, 2), keepdims=True)
    np.testing.assert_allclose(ours.by_rates / scale, theirs.by_rates / scale, atol=1e-12)
    for tree in (case.tree, compiled):
        for rates in (IRREVERSIBLE, NEIGHBOURS):
            partials, matrices = messages(tree, rates)
            np.testing.assert_allclose(matrices, [expm(rates * length) for length in LENGTHS], atol=1e-13)
            np.testing.assert_allclose(partials[[3, 5]], case.seen[[3, 5]])


def test_what_needs_several_steps_on_a_short_edge_keeps_its_digits() -> None:
    """From one end of a row of states to the other, where differences of exponentials would leave nothing."""
    tree = state_tree(
        SimpleNamespace(topology=from_parents(np.array([0, 0, 0])), lengths=np.array([0, 1e-6, 0])),
        np.array([[1.0, 1, 1], [0, 0, 1], [1, 0, 0]]),
    )
    for rates in (NEIGHBOURS, 1e-3 * NEIGHBOURS):
        found = log_likelihoods(tree, rates[None], np.array([[1.0, 0, 0]]))[0]
        assert found == pytest.approx(np.log(rates[0, 1] * rates[1, 2] / 2 * 1e-12), abs=1e-5)


def test_rates_without_a_likelihood_leave_those_beside_them_alone(case: Any) -> None:
    """What is seen is impossible under one matrix, another is no number, and of a third nothing can be counted."""
    never = generator(np.zeros((3, 3)))
    columns = np.stack([never, EQUAL * np.nan, 1e290 * NEIGHBOURS, EQUAL])
    found = log_likelihood_slopes(case.tree, columns, np.repeat(ROOT[None], 4, 0))
    alone = log_likelihood_slopes(case.tree, EQUAL[None], ROOT[None])
    assert found.log_likelihood[0] == -np.inf
    assert np.isnan(found.log_likelihood[1:3]).all()
    np.testing.assert_allclose(found.by_rates[3], alone.by_rates[0])


def test_levels_may_hold_children_in_any_order() -> None:
    topology = from_parents(np.array([0, 0, 0, 2, 1, 2, 1]))
    seen = np.ones((7, 3))
    seen[3:] = np.eye(3)[[0, 1, 0, 2]]
    lengths = np.array([0, 0.2, 0.4, 0.3, 0.1, 0.5, 0.6])
    tree = state_tree(SimpleNamespace(topology=topology, lengths=lengths), seen)
    dense = enumerate_states(topology.parents, lengths, IRREVERSIBLE, seen, ROOT)
    found = marginals(tree, IRREVERSIBLE, ROOT)
    np.testing.assert_allclose(found.probabilities, dense.marginals, rtol=0, atol=1e-12)


def test_a_thinned_tree_keeps_distances_and_rare_states() -> None:
    random = np.random.default_rng(2)
    parents = np.sort(np.concatenate([[0], random.integers(0, np.maximum(np.arange(1, 600) // 2, 1))]))
    topology = from_parents(np.minimum(parents, np.maximum(np.arange(600) - 1, 0)))
    lengths = np.where(np.arange(600) > 0, random.uniform(0.1, 1, 600), 0)
    seen = np.ones((600, 2))
    tips = np.flatnonzero(topology.is_leaf)
    seen[tips] = [1, 0]
    seen[tips[:5]] = [0, 1]
    fewer = thinned(state_tree(SimpleNamespace(topology=topology, lengths=lengths), seen), 20)
    kept = np.flatnonzero(fewer.topology.is_leaf)
    assert (fewer.seen[kept] == [0, 1]).all(1).sum() == 5
    assert 50 <= len(kept) < len(tips)
    assert (fewer.topology.child_counts[1:] != 1).all()
    # The same function of the data with the other tips' states unknown.
    left_out = seen.copy()
    chosen = np.concatenate([tips[:5], tips[5:][np.arange(50) * (len(tips) - 5) // 50]])
    left_out[np.setdiff1d(tips, chosen)] = 1
    whole = state_tree(SimpleNamespace(topology=topology, lengths=lengths), left_out)
    rates, root = generator([[0, 0.5], [0.2, 0]])[None], np.array([[0.5, 0.5]])
    assert log_likelihoods(fewer, rates, root)[0] == pytest.approx(log_likelihoods(whole, rates, root)[0], rel=1e-12)


def test_gradients_by_the_rates_of_every_edge(case: Any) -> None:
    found = log_likelihood_slopes(case.tree, OF_EDGES[None], ROOT[None])
    moved = np.random.default_rng(1).random(OF_EDGES.shape) * (1 - np.eye(3))
    moved -= np.eye(3) * moved.sum(2)[:, :, None]
    moved[4] = 0
    ahead, behind = (
        log_likelihood_slopes(case.tree, (OF_EDGES + sign * 1e-5 * moved)[None], ROOT[None]).log_likelihood[0]
        for sign in (1, -1)
    )
    assert (found.by_rates[0] * moved).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-7)


def test_several_steps_on_a_short_edge_keep_their_digits_where_every_edge_has_rates() -> None:
    lengths = np.array([1e-9, 40.0, 0.0])
    found = np.asarray(edge_matrices(np.broadcast_to(DEFECTIVE, (3, 3, 3)), lengths))
    assert found[0, 0, 2] == pytest.approx((0.5 * lengths[0]) ** 2 / 2, rel=1e-8)
    np.testing.assert_allclose(found[1], expm(40 * DEFECTIVE), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found[2], np.eye(3))


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


def test_an_edge_of_endless_changes_forgets_where_it_began() -> None:
    rates = np.array([[-1.0, 1.0], [3.0, -3.0]])
    found = np.asarray(edge_matrices(np.stack([rates * 1e80, rates * 1e20, rates]), np.array([2.0, 1.0, 50.0])))
    np.testing.assert_allclose(found, np.broadcast_to([0.75, 0.25], (3, 2, 2)), rtol=1e-9)
