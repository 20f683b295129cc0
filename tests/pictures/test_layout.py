"""Where nodes lie, beside slow and obvious rules."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.pictures.layout import lay_out
from hxcli.pictures.projections import Round, Straight
from tests.examples import NAMES, Example, caterpillar, example, make
from tests.pictures.subjects import found_on


def tips_from_top(tree: Example) -> list[int]:
    """Tips in the order in which the tree is written down."""
    order, stack = [], [0]
    while stack:
        node = stack.pop()
        children = [i for i in range(1, len(tree.parents)) if tree.parents[i] == node]
        order += [] if children else [node]
        stack += children[::-1]
    return order


@pytest.mark.parametrize("name", NAMES)
def test_tips_have_rows_in_the_order_of_the_file_and_parents_lie_amid_their_children(name: str) -> None:
    tree = example(name)
    layout = lay_out(found_on(tree).phylogeny)
    assert np.argsort(layout.rows[tree.leaves]).tolist() == [
        tree.leaves.tolist().index(tip) for tip in tips_from_top(tree)
    ]
    for node, parent in enumerate(tree.parents):
        rows = [layout.rows[i] for i in range(1, len(tree.parents)) if tree.parents[i] == node]
        if rows:
            ends = (layout.first_rows[node], layout.last_rows[node])
            assert (layout.rows[node], *ends) == ((rows[0] + rows[-1]) / 2, rows[0], rows[-1])
        if node:
            assert layout.depths[node] == pytest.approx(layout.depths[parent] + tree.lengths[node])


def test_without_lengths_levels_are_drawn() -> None:
    tree = example("ladder")
    layout = lay_out(found_on(Example("flat", tree.topology, 0 * tree.lengths, tree.values)).phylogeny)
    assert not layout.measured
    assert not layout.ultrametric
    assert layout.depths.tolist() == tree.topology.node_depths.tolist()


def test_ultrametric_trees_are_told_from_others() -> None:
    tree = example("symmetric")
    clock = Example("clock", tree.topology, np.where(np.arange(tree.topology.size) > 0, 1.0, 0.0), tree.values)
    assert lay_out(found_on(clock).phylogeny).ultrametric
    assert not lay_out(found_on(tree).phylogeny).ultrametric


def test_a_very_deep_tree_is_laid_out() -> None:
    layout = lay_out(found_on(make("deep", caterpillar(20_000))).phylogeny)
    assert layout.rows.max() == 20_000
    assert np.isfinite(layout.depths).all()


def test_straight_and_round_paper() -> None:
    tree = example("ladder")
    layout = lay_out(found_on(tree).phylogeny)
    straight = Straight(layout, left=10, bottom=20, width=100, spacing=8)
    points = straight.points(layout.depths, layout.rows)
    assert points[0, 0] == 10
    assert points[:, 0].max() == pytest.approx(110)
    assert sorted(points[tree.leaves, 1]) == pytest.approx(24 + 8 * np.arange(layout.tips))
    assert straight.per_length == pytest.approx(100 / layout.height)

    ring = Round(layout, 50, 60, 40)
    points = ring.points(layout.depths, layout.rows) - (50, 60)
    radii = np.hypot(*points.T)
    assert radii.max() == pytest.approx(40)
    # Equal steps along an edge are equal steps outwards.
    assert radii == pytest.approx(radii[0] + layout.depths * ring.per_length)
    angles = layout.angles(layout.rows[tree.leaves])
    assert np.allclose(np.diff(np.sort(angles)), np.diff(np.sort(angles))[0])
    assert np.ptp(angles) < 2 * np.pi


def test_arcs_join_the_children_at_the_parents_radius() -> None:
    layout = lay_out(found_on(example("polytomies")).phylogeny)
    ring = Round(layout, 0, 0, 1)
    joining = np.flatnonzero(layout.topology.child_counts > 1)
    lines = np.stack([layout.depths[joining], layout.first_rows[joining], layout.last_rows[joining]], axis=1)
    points, starts = ring.connectors(lines)
    for node, begin, end in zip(joining, starts[:-1], starts[1:], strict=True):
        assert np.hypot(*points[begin:end].T) == pytest.approx(float(layout.radii(layout.depths[node])))
        ends = ring.points(layout.depths[[node, node]], np.array([layout.first_rows[node], layout.last_rows[node]]))
        assert points[[begin, end - 1]] == pytest.approx(ends)
