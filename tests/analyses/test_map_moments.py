"""Exact moments of histories and probabilities along edges, beside enumeration and dense matrices."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.linalg import expm

from hxcli.analyses.maps.along_edges import edge_shares
from hxcli.analyses.maps.edge_exponentials import Directions, exponentials, jets
from hxcli.analyses.maps.first_times import absent, first_times, too_long
from hxcli.analyses.maps.moments import moments, too_many
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.text_columns import Texts
from tests.examples import Example, example, make

RNG = np.random.default_rng(4)
# Irreversible, with a transition that never happens.
RATES = np.array([[0, 0.9, 0.0], [0.05, 0, 1.1], [0.4, 0.3, 0]])
RATES -= np.diag(RATES.sum(1))
PRIOR = np.array([0.5, 0.2, 0.3])
TREES = ["cherry", "star", "chain", "polytomies", "zero edges", "caterpillar"]


def seen_on(tree: Example) -> FloatArray:
    """(N, 3) what is seen: a state, two of them, or nothing."""
    seen = np.ones((tree.topology.size, 3))
    for number, tip in enumerate(tree.leaves):
        seen[tip] = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]][number % 4])
    return seen


def partials_of(tree: Example, seen: FloatArray) -> FloatArray:
    partials = seen.copy()
    for node in range(tree.topology.size - 1, 0, -1):
        partials[tree.parents[node]] *= expm(RATES * tree.lengths[node]) @ partials[node]
    return partials


def enumerated(tree: Example, seen: FloatArray, cell: tuple[int, int], size: float) -> tuple[float, float, float]:
    """Coefficients of the likelihood in the size of a change of one cell, over all states of all nodes."""
    push = np.zeros((3, 3))
    push[cell] = size
    zero = np.zeros((3, 3))
    jet = {}
    for node in range(1, tree.topology.size):
        block = np.block([[RATES, push, zero], [zero, RATES, push], [zero, zero, RATES]]) * tree.lengths[node]
        jet[node] = expm(block)[:3].reshape(3, 3, 3).transpose(1, 0, 2)
    total = np.zeros(3)
    for states in product(range(3), repeat=tree.topology.size):
        series = np.array([PRIOR[states[0]], 0, 0]) * np.prod([seen[node, state] for node, state in enumerate(states)])
        if not series[0]:
            continue
        for node, coefficients in jet.items():
            edge = coefficients[:, states[tree.parents[node]], states[node]]
            series = np.convolve(series, edge)[:3]
        total += series
    return tuple(total)


def small(name: str) -> Example:
    """A tree of the zoo with at most six nodes."""
    tree = example(name)
    keep = min(tree.topology.size, 6)
    made = make(name, tree.parents[:keep])
    return Example(name, made.topology, tree.lengths[:keep], made.values)


@pytest.mark.parametrize("name", TREES)
def test_moments_are_those_of_all_states_of_all_nodes(name: str) -> None:
    tree = small(name)
    seen = seen_on(tree)
    found = moments(tree.topology, tree.lengths, RATES, partials_of(tree, seen), PRIOR)
    for a, b in product(range(3), repeat=2):
        if a != b and not RATES[a, b]:
            assert found.changes[a, b] == found.change_variance[a, b] == 0
            continue
        zero, first, second = enumerated(tree, seen, (a, b), 1.0 if a == b else RATES[a, b])
        mean = first / zero
        square = 2 * second / zero + (0 if a == b else mean)
        if a == b:
            ours = found.dwell[a], found.dwell_variance[a]
        else:
            ours = found.changes[a, b], found.change_variance[a, b]
        assert ours == pytest.approx((mean, square - mean**2), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 50.0])
def test_exponentials_and_coefficients_are_those_of_block_matrices(scale: float) -> None:
    lengths = scale * np.array([0.0, 0.3, 1.0, 7.0])
    directions = Directions(np.array([0, 1]), np.array([0, 2]), np.array([1.0, 1.1]))
    found = jets(RATES, lengths, directions)
    zero = np.zeros((3, 3))
    # Small entries of the dense exponential have fewer digits than ours.
    for edge, length in enumerate(lengths):
        assert found.zero[edge] == pytest.approx(expm(RATES * length), rel=1e-7)
        for number, (a, b, size) in enumerate(zip(*directions, strict=True)):
            push = zero.copy()
            push[a, b] = size
            block = expm(np.block([[RATES, push, zero], [zero, RATES, push], [zero, zero, RATES]]) * length)
            assert found.first[number, edge] == pytest.approx(block[:3, 3:6], rel=1e-7, abs=1e-300)
            assert found.second[number, edge] == pytest.approx(block[:3, 6:], rel=1e-7, abs=1e-300)
    assert exponentials(np.zeros((3, 3)), lengths)[3] == pytest.approx(np.eye(3), abs=1e-12)


def test_a_transition_of_several_steps_keeps_its_digits_on_a_short_edge() -> None:
    (found,) = exponentials(RATES, np.array([1e-9]))
    assert found[0, 2] == pytest.approx(RATES[0, 1] * RATES[1, 2] * 1e-18 / 2, rel=1e-7)


def test_states_along_edges_are_those_of_nodes_put_there() -> None:
    tree = example("random binary")
    seen = seen_on(tree)
    size = tree.topology.size
    partials = partials_of(tree, seen)
    posterior = np.zeros((size, 3))
    posterior[0] = PRIOR * partials[0] / (PRIOR * partials[0]).sum()
    for node in range(1, size):
        matrix = expm(RATES * tree.lengths[node])
        above = posterior[tree.parents[node]] / (matrix @ partials[node])
        posterior[node] = partials[node] * (above @ matrix)
    phylogeny = Phylogeny(tree.topology, tree.lengths, Texts.blank(size), Texts.blank(size))
    found = edge_shares(phylogeny, RATES, partials, posterior)
    assert found.shares.sum(1) == pytest.approx(1)
    for piece in RNG.choice(len(found.nodes), 20, replace=False):
        node, length = found.nodes[piece], tree.lengths[found.nodes[piece]]
        place = (found.starts[piece] + found.ends[piece]) / 2 * length
        matrix = expm(RATES * length)
        above = posterior[tree.parents[node]] / (matrix @ partials[node])
        there = (above @ expm(RATES * place)) * (expm(RATES * (length - place)) @ partials[node])
        assert found.shares[piece] == pytest.approx(there, rel=1e-9)
    for node in range(1, size):
        mine = np.flatnonzero(found.nodes == node)
        assert (found.starts[mine[0]], found.ends[mine[-1]]) == (0, 1)
        assert found.starts[mine[1:]].tolist() == found.ends[mine[:-1]].tolist()


def posterior_of_root(partials: FloatArray) -> FloatArray:
    given: FloatArray = PRIOR * partials[0]
    return given / given.sum()


def without_until(tree: Example, seen: FloatArray, state: int, time: float) -> float:
    """Likelihood of histories without a state up to a distance from the root, over all states of all nodes."""
    distances = np.zeros(tree.topology.size)
    lost = RATES.copy()
    lost[:, state], lost[state] = 0, 0
    matrices = {}
    for node in range(1, tree.topology.size):
        begin = distances[tree.parents[node]]
        distances[node] = begin + tree.lengths[node]
        early = min(max(time - begin, 0), tree.lengths[node])
        matrix = expm(lost * early)
        matrix[:, state] = 0 if early > 0 or time >= begin else matrix[:, state]
        matrices[node] = matrix @ expm(RATES * (tree.lengths[node] - early))
    total = 0.0
    for states in product(range(3), repeat=tree.topology.size):
        if any(states[node] == state and distances[node] <= time for node in range(tree.topology.size)):
            continue
        value = PRIOR[states[0]]
        for node, given in enumerate(states):
            value *= seen[node, given] * (matrices[node][states[tree.parents[node]], given] if node else 1)
        total += value
    return total


@pytest.mark.parametrize("name", TREES)
def test_the_probability_that_a_state_is_not_there_yet_is_that_of_all_histories_without_it(name: str) -> None:
    tree = small(name)
    seen, size = seen_on(tree), tree.topology.size
    partials = partials_of(tree, seen)
    phylogeny = Phylogeny(tree.topology, tree.lengths, Texts.blank(size), Texts.blank(size))
    height = phylogeny.root_distances.max()
    times = np.array([0.0, 0.2, 0.5, 0.8, 1.0]) * height
    whole = float(PRIOR @ partials[0])
    for state in range(3):
        found = absent(phylogeny, RATES, partials, posterior_of_root(partials), state, times)
        expected = [without_until(tree, seen, state, time) / whole for time in times]
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("faster", [1.0, 300.0])
def test_moments_of_first_times_are_integrals_of_that_probability(
    faster: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "RATES", RATES * faster)
    tree = example("random binary")
    seen, size = seen_on(tree), tree.topology.size
    partials = partials_of(tree, seen)
    phylogeny = Phylogeny(tree.topology, tree.lengths, Texts.blank(size), Texts.blank(size))
    height = phylogeny.root_distances.max()
    times = np.union1d(np.linspace(0, height, 4001), np.geomspace(height * 1e-6, height, 2000))
    found = first_times(phylogeny, RATES, partials, posterior_of_root(partials))
    for state in range(3):
        free = absent(phylogeny, RATES, partials, posterior_of_root(partials), state, times)
        reached = 1 - free[-1]
        mean = trapezoid(free - free[-1], times) / reached
        square = trapezoid(2 * times * (free - free[-1]), times) / reached
        assert found.reached[state] == pytest.approx(reached)
        assert found.mean[state] == pytest.approx(mean, abs=2e-4 * height / faster)
        assert found.sd[state] == pytest.approx(np.sqrt(square - mean**2), abs=2e-4 * height / faster)


def test_many_states_on_many_nodes_are_too_many() -> None:
    assert not too_many(2_000, RATES)
    assert too_many(2_000, np.ones((30, 30)))
    assert not too_long(2_000, 3)
    assert too_long(100, 30)
