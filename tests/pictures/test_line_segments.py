"""Colours along edges: linear between the estimates at their ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hxcli.pictures.layout import lay_out
from hxcli.pictures.line_segments import UNKNOWN, Scale, edge_pieces, node_classes, scale_of, strokes
from tests.examples import NAMES, example
from tests.pictures.subjects import found_on

COUNT = 16
TREE = example("mixed degrees")
LAYOUT = lay_out(found_on(TREE).phylogeny)


@given(
    st.lists(
        st.floats(-8, 8).map(lambda x: round(x * 4) / 4) | st.floats(-1e300, 1e300),
        min_size=LAYOUT.topology.size,
        max_size=LAYOUT.topology.size,
    )
)
def test_every_piece_has_the_colour_of_the_value_in_its_middle(given_values: list[float]) -> None:
    values = np.array(given_values)
    scale = scale_of(values)
    pieces = edge_pieces(LAYOUT, values, scale, COUNT)
    for node in range(1, LAYOUT.topology.size):
        mine = np.flatnonzero(pieces.nodes == node)
        mine = mine[np.argsort(pieces.starts[mine], kind="stable")]
        assert (pieces.starts[mine[0]], pieces.ends[mine].max()) == (0, 1)
        assert pieces.starts[mine[1:]] == pytest.approx(np.sort(pieces.ends[mine])[:-1], abs=1e-9)
        begin, end = scale.part(values[[LAYOUT.topology.parents[node], node]])
        middle = (pieces.starts[mine] + pieces.ends[mine]) / 2
        wide = pieces.ends[mine] - pieces.starts[mine] > 1e-6
        expected = np.clip(np.floor((begin + middle * (end - begin)) * COUNT), 0, COUNT - 1)
        # A value on a border may have the colour of either side.
        assert (np.abs(pieces.classes[mine] - expected)[wide] <= (abs(end - begin) * COUNT < 1e-6)).all()


def test_what_is_not_known_is_grey() -> None:
    values = TREE.values.copy()
    values[0] = np.nan
    pieces = edge_pieces(LAYOUT, values, scale_of(values), COUNT)
    below_root = LAYOUT.topology.parents[pieces.nodes] == 0
    assert set(pieces.classes[below_root]) == {UNKNOWN}
    assert UNKNOWN not in pieces.classes[~below_root]
    assert node_classes(values, scale_of(values), COUNT)[0] == UNKNOWN


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([1.0, 3.0, np.nan], 1, 3),
        ([2.0, 2.0], 1.9, 2.1),
        ([0.0], -1, 1),
        ([np.nan], 0, 1),
        ([-1e308, 1e308], -1e308, 1e308),
    ],
)
def test_the_scale_has_room_for_equal_and_for_huge_values(values: list[float], low: float, high: float) -> None:
    scale = scale_of(np.array(values))
    assert (scale.low, scale.high) == pytest.approx((low, high))
    assert scale.part(np.array([scale.low, scale.high])).tolist() == [0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_the_pieces_add_up_to_the_tree(name: str) -> None:
    tree = example(name)
    layout = lay_out(found_on(tree).phylogeny)
    lines = strokes(layout, tree.values, scale_of(tree.values), COUNT)
    length = sum(float(np.ptp(ends[..., 0], axis=1).sum()) for ends in lines.edges.values())
    drawn = layout.depths - layout.depths[layout.topology.parents]
    assert length == pytest.approx(drawn.sum())
    assert sum(map(len, lines.connectors.values())) == (layout.topology.child_counts > 1).sum()


def test_one_colour_is_one_piece() -> None:
    pieces = edge_pieces(LAYOUT, np.full(LAYOUT.topology.size, 7.0), Scale(6, 8), COUNT)
    assert len(pieces.nodes) == LAYOUT.topology.size - 1
