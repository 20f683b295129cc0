"""Topologies: what they say about a tree, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import hxcli as hx
from hxcli.engine.schedule import build_schedule, chunk_width, size_class
from hxcli.engine.topology import Topology, merge_topologies
from tests import examples, reference
from tests.examples import Example

ZOO = [examples.example(name) for name in examples.NAMES]
WIDE = examples.make("wide", examples.random_ragged(3000, (0, 1, 2, 3, 9), seed=3))
SCATTERED = examples.make("scattered", examples.ungrouped(examples.random_ragged(700, (0, 0, 1, 2, 3), seed=4)))


def example_id(example: Example) -> str:
    return example.name


def describe(topology: Topology) -> None:
    """Checks every derived array against a loop over nodes."""
    parents = topology.parents.tolist()
    kids = reference.children_of(parents)
    depths = [0] * len(parents)
    for node, parent in enumerate(parents):
        if node != parent:
            depths[node] = depths[parent] + 1
    assert topology.size == len(parents)
    assert topology.depth == max(depths)
    assert topology.node_depths.tolist() == depths
    assert topology.child_counts.tolist() == [len(k) for k in kids]
    assert topology.is_leaf.tolist() == [not k for k in kids]
    assert topology.is_root.tolist() == [node == parent for node, parent in enumerate(parents)]
    assert topology.is_inner.tolist() == [bool(k) and i != parents[i] for i, k in enumerate(kids)]
    assert topology.max_degree == max(len(k) for k in kids)
    degrees = {len(k) for k in kids if k}
    assert topology.equal_degree == (len(degrees) == 1)
    for node, own in enumerate(kids):
        start = topology.first_child[node]
        if own:
            assert topology.children[start : start + len(own)].tolist() == own
    for level in range(topology.depth + 1):
        first, last = topology.level_starts[level : level + 2]
        assert [i for i, d in enumerate(depths) if d == level] == list(range(first, last))


@pytest.mark.parametrize("example", [*ZOO, SCATTERED], ids=example_id)
def test_derived_arrays(example: Example) -> None:
    describe(example.topology)


@given(examples.parent_arrays())
@settings(max_examples=60, deadline=None)
def test_derived_arrays_of_any_tree(parents: NDArray[np.int64]) -> None:
    describe(hx.from_parents(parents))


def test_shapes_have_their_names() -> None:
    assert [e.topology.equal_degree for e in ZOO if e.name in ("chain", "star", "mixed degrees")] == [True, True, False]
    # A single node has no degree to be equal.
    assert not examples.example("single").topology.equal_degree
    assert {e.name for e in ZOO if e.topology.symmetric} == {"cherry", "star", "symmetric"}


def test_symmetric_is_what_symmetric_topology_makes() -> None:
    for depth, degree in [(0, 3), (1, 1), (4, 1), (1, 5), (3, 2), (2, 3)]:
        topology = hx.symmetric_topology(depth, degree)
        describe(topology)
        assert topology.depth == depth
        assert topology.is_leaf.sum() == degree**depth
        assert topology.symmetric == (depth > 0 and degree > 1)
        assert topology == hx.from_parents(topology.parents)


def test_symmetric_needs_siblings_together_and_one_root() -> None:
    full = [0, 0, 0, 1, 1, 2, 2]
    assert hx.from_parents(full).symmetric
    assert not hx.from_parents([0, 0, 0, 1, 2, 1, 2]).symmetric
    cherry = hx.from_parents([0, 0, 0])
    merged, _ = merge_topologies([cherry, cherry])
    assert not merged.symmetric


def test_equality_and_hash_follow_the_parents() -> None:
    one, other = hx.from_parents([0, 0, 0, 1, 1]), hx.from_parents(np.array([0, 0, 0, 1, 1], np.int16))
    assert one == other
    assert hash(one) == hash(other)
    assert one != hx.from_parents([0, 0, 0, 2, 2])
    assert one != hx.from_parents([0, 0, 0])
    assert one != [0, 0, 0, 1, 1]
    assert pickle.loads(pickle.dumps(one)) == one


def test_arrays_are_read_only() -> None:
    topology = hx.from_parents([0, 0, 0])
    for name in ("parents", "node_depths", "level_starts", "child_counts", "is_leaf", "is_root", "children"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(topology, name)[0] = 1


def test_the_callers_array_stays_the_callers() -> None:
    given_parents = np.array([0, 0, 0], np.int32)
    topology = hx.from_parents(given_parents)
    given_parents[2] = 1
    assert topology.parents.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ([], "non-empty 1-D array, got shape \\(0,\\)"),
        ([[0, 0]], "1-D array, got shape \\(1, 2\\)"),
        ([0.0, 0.0], "must be integers, got dtype float64"),
        ([False, True], "must be integers, got dtype bool"),
        ([1, 0], "the root must be its own parent: expected parents\\[0\\] == 0, got 1"),
        ([-1, 0], "the root must be its own parent: expected parents\\[0\\] == 0, got -1"),
        ([0, 0, 2], "parents\\[2\\] = 2: a second root"),
        ([0, 2, 0], "parents\\[1\\] = 2: parent 2 does not come before its child"),
        ([0, 0, -1], "parents\\[2\\] = -1 is negative"),
        ([0, 0, 1, 0], "node 3 \\(depth 1\\) comes after a deeper node \\(depth 2\\).*breadth-first"),
    ],
)
def test_refused_parents(parents: list[int], message: str) -> None:
    with pytest.raises(hx.TopologyError, match=message):
        hx.from_parents(parents)


def test_refused_sizes() -> None:
    with pytest.raises(hx.TopologyError, match="depth must not be negative, got -1"):
        hx.symmetric_topology(-1, 2)
    with pytest.raises(hx.TopologyError, match="degree must be at least 1, got 0"):
        hx.symmetric_topology(2, 0)


def test_merged_trees_keep_their_shape() -> None:
    topologies = [example.topology for example in ZOO]
    merged, places = merge_topologies(topologies)
    describe(merged)
    assert sorted(np.concatenate(places).tolist()) == list(range(merged.size))
    for topology, place in zip(topologies, places, strict=True):
        assert merged.parents[place].tolist() == place[topology.parents].tolist()
    with pytest.raises(hx.TopologyError, match="at least one tree"):
        merge_topologies([])


def test_size_classes_grow_and_hold_what_they_must() -> None:
    sizes = np.arange(1, 5000)
    classes = np.array([size_class(int(n)) for n in sizes])
    assert np.all(classes >= sizes)
    assert np.all(np.diff(classes) >= 0)
    # At most a quarter of the room is spare, and few classes serve many sizes.
    assert np.all(classes[sizes > 256] <= sizes[sizes > 256] * 1.25)
    assert len(set(classes)) < 60


@pytest.mark.parametrize("width", [16, 128])
@pytest.mark.parametrize("example", [*ZOO, WIDE, SCATTERED], ids=example_id)
def test_a_schedule_visits_every_family_once_and_children_first(example: Example, width: int) -> None:
    topology = example.topology
    schedule = build_schedule(topology, size_class(topology.size), width)
    families = int((~topology.is_leaf).sum())
    first = int(schedule.chunks[0, 0])
    order = schedule.nodes[first : first + families].tolist()
    assert sorted(order) == np.flatnonzero(~topology.is_leaf).tolist()
    place = {node: i for i, node in enumerate(order)}
    for node in order:
        if topology.parents[node] != node:
            assert place[node] < place[int(topology.parents[node])]
    assert schedule.has_children.sum() == families
    assert schedule.has_parent.sum() == topology.size - 1


def test_chunks_are_narrower_the_more_numbers_a_node_holds() -> None:
    for capacity in (64, 1024, 2048, 10240, 2**21):
        widths = [chunk_width(capacity, columns) for columns in (1, 3, 16, 1000)]
        assert widths == sorted(widths, reverse=True)
        assert all(width & (width - 1) == 0 and 16 <= width < capacity for width in widths)
    assert chunk_width(2**21, 1) > chunk_width(2**21, 1000) == chunk_width(2048, 1000)
