"""Pairs of nodes on a grid of few cells, beside sums over all assignments of cells."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from hxcli.engine.topology import from_parents
from hxcli.prebuilt.grid_levels import GroupedEdges, swept
from hxcli.prebuilt.grid_pairs import difference_below, joint_cells
from hxcli.prebuilt.grid_spectrum import SpectralEdges, spectrum_of
from hxcli.prebuilt.grid_squares import SquaredEdges
from hxcli.prebuilt.path_gains import paths_between

PARENTS = np.array([0, 0, 0, 1, 1, 3])
TIME = np.array([0, 0.7, 0.0, 0.4, 1.1, 0.2])
UP, DOWN = np.array([0.9, 1.4, 0.6, 0.0]), np.array([0.0, 0.5, 1.1, 0.8])
PAIRS = ((0, 5), (2, 5), (4, 3), (1, 4), (5, 4))


@pytest.mark.parametrize("way", ["spectrum", "squares"])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_pairs_are_sums_over_all_assignments(way: str, lost: float) -> None:
    leaving = np.array([lost, 0.0, 0.0, lost])
    walk = np.diag(UP[:-1], 1) + np.diag(DOWN[1:], -1) - np.diag(UP + DOWN + leaving)
    chances = [expm(walk * time) for time in TIME]
    topology = from_parents(PARENTS)
    likelihood = np.random.default_rng(1).uniform(0.1, 1, (6, 4))
    likelihood[~np.asarray(topology.is_leaf)] = 1.0
    root = np.array([0.4, 1.0, 0.7, 0.2])
    spectrum = spectrum_of(UP, DOWN, leaving)
    assert spectrum is not None

    def made(_: int, time: Any) -> Any:
        return SpectralEdges(spectrum, time) if way == "spectrum" else SquaredEdges(UP, DOWN, leaving, time)

    edges = GroupedEdges(TIME, np.zeros(6, np.intp), made)
    density = swept(topology, edges, likelihood, root, slopes=False).density
    first, second = np.array(PAIRS).T
    found = joint_cells(topology, edges, likelihood, density, paths_between(topology, first, second))
    exact = np.zeros((len(PAIRS), 4, 4))
    for cells in product(range(4), repeat=6):
        chance = root[cells[0]] * np.prod([likelihood[node, cells[node]] for node in range(6)])
        chance *= np.prod([chances[node][cells[PARENTS[node]], cells[node]] for node in range(1, 6)])
        for place, (one, other) in enumerate(PAIRS):
            exact[place, cells[one], cells[other]] += chance
    np.testing.assert_allclose(found, exact / exact.sum((1, 2), keepdims=True), atol=1e-12)


def test_differences_are_those_of_draws_within_cells() -> None:
    random = np.random.default_rng(2)
    walls = np.array([0.0, 0.2, 0.9, 1.1, 2.5])
    joint = random.uniform(size=(4, 4))
    joint /= joint.sum()
    cells = np.array(np.unravel_index(random.choice(16, 200_000, p=joint.ravel()), (4, 4)))
    states = walls[cells] + random.random(cells.shape) * np.diff(walls)[cells]
    at = np.linspace(-3, 3, 25)
    drawn = (states[0] - states[1] <= at[:, None]).mean(1)
    np.testing.assert_allclose(difference_below(joint, walls, at), drawn, atol=4e-3)
