"""Independent contrasts against a plain recursion, and their sum of squares against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.analyses.contrasts import contrasts
from hxcli.engine.topology import from_parents
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.reference import random_binary, shared_paths

# A polytomy, a node with one child, a tip at distance 0 of its parent, an inner edge of length 0.
ODD = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 6, 6, 10, 10, 11, 11, 11, 17, 17, 18, 18])


def _case(parents: np.ndarray) -> tuple[Phylogeny, Observations]:
    rng = np.random.default_rng(len(parents))
    lengths = rng.exponential(0.5, len(parents))
    lengths[0] = 0
    if parents is ODD:
        lengths[[5, 7, 19]] = 0
    topology = from_parents(parents)
    labels = [f"t{node}" if leaf else "" for node, leaf in enumerate(topology.is_leaf)]
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(labels)))
    values = rng.normal(100, 3, (len(phylogeny.tips), 2))
    values[1, 1] = np.nan
    return phylogeny, Observations(phylogeny.tips, values, np.zeros(values.shape), ("a", "b"))


def test_binary_nodes_have_felsensteins_contrasts() -> None:
    phylogeny, observations = _case(random_binary(20, 3))
    table = contrasts(phylogeny, observations).tables["contrasts table"]
    value = dict(zip(observations.nodes.tolist(), observations.values[:, 0], strict=True))
    length = dict(enumerate(phylogeny.lengths.tolist()))
    expected = {}
    for node in range(phylogeny.topology.size - 1, -1, -1):
        children = [c for c in range(1, phylogeny.topology.size) if phylogeny.topology.parents[c] == node]
        if children:
            first, second = children
            total = length[first] + length[second]
            expected[node] = (value[first] - value[second]) / np.sqrt(total), np.sqrt(total)
            value[node] = (value[first] * length[second] + value[second] * length[first]) / total
            length[node] += length[first] * length[second] / total
    rows = [row for row, trait in enumerate(table["trait"]) if trait == "a"]
    assert len(rows) == len(expected)
    for row in rows:
        node = int(table["node"][row])
        assert table["contrast"][row] == pytest.approx(expected[node][0], rel=1e-9)
        assert table["standard_deviation"][row] == pytest.approx(expected[node][1], rel=1e-12)
        assert table["sum_of_squares"][row] == pytest.approx(expected[node][0] ** 2, rel=1e-9)
        assert table["value"][row] == pytest.approx(value[node], rel=1e-12)


def test_squares_sum_to_those_of_least_squares_whatever_the_tree() -> None:
    phylogeny, observations = _case(ODD)
    found = contrasts(phylogeny, observations)
    paths = shared_paths(list(ODD), phylogeny.lengths)
    for d in range(2):
        there = ~np.isnan(observations.values[:, d])
        nodes, x = observations.nodes[there], observations.values[there, d]
        inverse = np.linalg.inv(paths[np.ix_(nodes, nodes)])
        rest = x - inverse.sum(0) @ x / inverse.sum()
        assert found.about_traits[d]["sum_of_squares"] == pytest.approx(rest @ inverse @ rest, rel=1e-9)
        assert found.about_traits[d]["contrasts"] == there.sum() - 1
    table = found.tables["contrasts table"]
    assert np.isnan(table["contrast"][np.array(table["children"]) > 2]).all()
    assert (np.array(table["children"]) > 2).any()
