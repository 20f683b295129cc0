"""The sweeps by eigenvectors and by squares against the compiled ones, which are held to dense algebra elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hxcli.engine.topology import Topology, from_parents
from hxcli.inference.grid_engine import GridEngine
from hxcli.model import Sde
from hxcli.prebuilt.grid_generator import Generator, make_cells, make_generator
from hxcli.prebuilt.grid_levels import Found, GroupedEdges, swept
from hxcli.prebuilt.grid_spectrum import SpectralEdges, spectrum_of
from hxcli.prebuilt.grid_squares import SquaredEdges
from tests.prebuilt.test_grid import CASE, CELLS, TOPOLOGY, pieces

# One walk on all edges, and three.
ALONE, SOME = np.zeros(TOPOLOGY.size, int), np.array([0, 0, 1, 1, 0, 2, 2, 1, 1, 2])


def walk_of(*generators: Any) -> Any:
    """(G, k) rates of walks."""
    return Generator(
        *(np.concatenate([np.asarray(each, float) for each in part]) for part in zip(*generators, strict=True))
    )


def by_eigenvectors(walk: Any, time: np.ndarray, group: np.ndarray) -> GroupedEdges:
    def made(number: int, time: np.ndarray) -> SpectralEdges:
        spectrum = spectrum_of(*(each[number] for each in walk))
        assert spectrum is not None
        return SpectralEdges(spectrum, time)

    return GroupedEdges(time, group, made)


def by_squares(walk: Any, time: np.ndarray, group: np.ndarray) -> GroupedEdges:
    """Of two groups at a time: others are made anew."""

    def made(number: int, time: np.ndarray) -> SquaredEdges:
        return SquaredEdges(*(each[number] for each in walk), time)

    return GroupedEdges(time, group, made, 2)


@pytest.mark.parametrize(
    ("ends", "root", "group"),
    [
        ("reflecting", "best", ALONE),
        ("absorbing", "flat", ALONE),
        ("reflecting", "flat", SOME),
        pytest.param("absorbing", "best", ALONE, marks=pytest.mark.slow),
        pytest.param("reflecting", "flat", ALONE, marks=pytest.mark.slow),
        pytest.param("absorbing", "best", SOME, marks=pytest.mark.slow),
        pytest.param("absorbing", "flat", SOME, marks=pytest.mark.slow),
        pytest.param("reflecting", "best", SOME, marks=pytest.mark.slow),
    ],
)
def test_all_ways_agree_in_everything(ends: str, root: str, group: np.ndarray) -> None:
    sde = Sde(lambda x: 0.5 * (x - x**3), 0.9, ends=ends)
    _, _, generator, own = pieces(CASE, sde, -2.0, 2.0, CELLS)
    others = [pieces(CASE, Sde(lambda x: 0.3 - x, noise, ends=ends), -2.0, 2.0, CELLS)[2] for noise in (0.6, 1.1)]
    walk = walk_of(generator, *others[: group.max()])
    time, likelihood = (np.asarray(each, float)[: TOPOLOGY.size] for each in (own.time, own.likelihood))
    weights = None if root == "best" else np.ones(CELLS)
    exact = GridEngine(TOPOLOGY, group)._compiled(walk, time, likelihood, weights, slopes=True, densities=True)
    assert exact.slopes is not None
    for edges in (by_eigenvectors(walk, time, group), by_squares(walk, time, group)):
        found = swept(TOPOLOGY, edges, likelihood, weights, slopes=True)
        assert found.doubt < 1e-9
        assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-10)
        if root == "flat":
            np.testing.assert_allclose(found.density, exact.density, atol=1e-10)
        assert found.slopes is not None
        for name in ("up", "down", "lost", "time"):
            mine, other = getattr(found.slopes, name), getattr(exact.slopes, name)
            if name == "up":
                mine, other = mine[:, :-1], other[:, :-1]
            if name == "down":
                mine, other = mine[:, 1:], other[:, 1:]
            if name == "time":
                mine, other = mine[time > 0], other[time > 0]
            np.testing.assert_allclose(mine, other, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(
            found.slopes.likelihood * likelihood, exact.slopes.likelihood * likelihood, atol=1e-10
        )


@pytest.mark.parametrize("way", ["eigenvectors", "squares"])
def test_siblings_need_not_be_neighbours(way: str) -> None:
    _, _, generator, _ = pieces(CASE, Sde(lambda x: 0.5 * (x - x**3), 0.9), -2.0, 2.0, CELLS)
    walk = walk_of(generator)
    topology = from_parents([0, 0, 0, 1, 2, 1, 2, 3, 4, 3, 4])
    ordered = np.array([0, 1, 2, 3, 5, 4, 6, 7, 9, 8, 10])
    place = np.argsort(ordered)
    neighbours = from_parents(place[topology.parents[ordered]])
    assert (np.diff(topology.parents[1:]) < 0).any()
    assert (np.diff(neighbours.parents[1:]) >= 0).all()
    random = np.random.default_rng(3)
    time, likelihood = random.uniform(0.1, 1, topology.size), random.uniform(0.01, 1, (topology.size, CELLS))

    def found(topology: Topology, time: np.ndarray, likelihood: np.ndarray) -> Found:
        edges = (by_eigenvectors if way == "eigenvectors" else by_squares)(walk, time, np.zeros(len(time), int))
        return swept(topology, edges, likelihood, np.ones(CELLS), slopes=True)

    first = found(topology, time, likelihood)
    second = found(neighbours, time[ordered], likelihood[ordered])
    assert first.log_likelihood == pytest.approx(second.log_likelihood, abs=1e-12)
    np.testing.assert_allclose(first.density[ordered], second.density, atol=1e-12)
    assert first.slopes is not None
    assert second.slopes is not None
    np.testing.assert_allclose(first.slopes.up, second.slopes.up, atol=1e-10)
    exact = GridEngine(topology, np.zeros(11, int))._compiled(
        walk, time, likelihood, np.ones(CELLS), slopes=False, densities=True
    )
    assert first.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-10)
    np.testing.assert_allclose(first.density, exact.density, atol=1e-10)


def test_what_rounding_would_spoil_is_noticed_and_squares_keep_it() -> None:
    """Tips side by side on a short edge, far apart: what one says there is smaller than rounding."""
    _, _, generator, own = pieces(CASE, Sde(0.0, 0.02), -2.5, 2.5, CELLS)
    walk = walk_of(generator)
    time, likelihood = (np.asarray(each, float)[: TOPOLOGY.size] for each in (own.time, own.likelihood))
    assert not swept(TOPOLOGY, by_eigenvectors(walk, time, ALONE), likelihood, np.ones(CELLS), slopes=True).doubt < 1e-7
    found = GridEngine(TOPOLOGY, ALONE).swept(walk, time, likelihood, np.ones(CELLS))
    exact = GridEngine(TOPOLOGY, ALONE)._compiled(walk, time, likelihood, np.ones(CELLS), slopes=False, densities=False)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-9)


def test_squares_go_on_until_the_walk_has_forgotten_its_start() -> None:
    """More steps than any edge of the compiled program has: the density is the stationary one."""
    walk = [
        np.asarray(each, float)
        for each in make_generator(Sde(lambda x: -x, 0.4), make_cells(-1.0, 1.0, CELLS, "linear"))
    ]
    edges = SquaredEdges(*walk, np.array([0.0, 1e9]))
    first = np.eye(CELLS)[:1]
    reached = edges.forwards(slice(1, 2), first)[0]
    weights = np.concatenate([[0.0], np.cumsum(np.log(walk[0][:-1]) - np.log(walk[1][1:]))])
    stationary = np.exp(weights - weights.max())
    np.testing.assert_allclose(reached, stationary / stationary.sum(), atol=1e-12)
    np.testing.assert_allclose(edges.backwards(slice(1, 2), np.ones((1, CELLS))), 1.0, atol=1e-12)


def test_walks_that_cannot_be_turned_round_have_no_eigenvectors() -> None:
    walk = make_generator(Sde(0.0, lambda x: 1.0 * (x > 0)), make_cells(-1.0, 1.0, CELLS, "linear"))
    assert spectrum_of(*(np.asarray(each, float) for each in walk)) is None
