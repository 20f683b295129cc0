"""Small texts beside nodes cross no line and no other text where there is room."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hxcli.pictures import writers
from hxcli.pictures.figure import drawing_style
from hxcli.pictures.labels import value_texts
from hxcli.pictures.options import PictureChoices, PictureKind, PictureLayout
from hxcli.pictures.picture_data import subject_of
from hxcli.pictures.text_placement import Room, around, beside
from hxcli.pictures.traitgram import traitgram
from hxcli.pictures.tree_drawing import COLOURS
from hxcli.text_columns import Texts
from tests.examples import example, make, random_binary
from tests.pictures.subjects import found_on

NOTHING = np.zeros((0, 4))


@given(st.lists(st.floats(-20, 20), min_size=4, max_size=4))
def test_a_line_that_crosses_the_text_is_found(ends: list[float]) -> None:
    line = np.array(ends).reshape(1, 2, 2)
    _, _, free = Room(line, NOTHING).take([(-6.0, -2.0)], 12.0, 6.0)
    # The slow twin: thousands of points of the line.
    points = line[0, 0] + np.linspace(0, 1, 4001)[:, None] * (line[0, 1] - line[0, 0])

    def inside(margin: float) -> bool:
        low, high = np.array([-6.7, -3.54]) - margin, np.array([6.7, 3.14]) + margin
        return bool(((points >= low) & (points <= high)).all(1).any())

    assert not (free and inside(-0.02))
    assert free or inside(0.02)


def test_the_first_free_place_is_taken_and_then_it_is_taken() -> None:
    room = Room(np.array([[[-50.0, 0.0], [50.0, 0.0]]]), np.array([[0.0, 10.0, 20.0, 20.0]]))
    corners = [(0.0, -2.0), (5.0, 12.0), (30.0, 12.0), (60.0, 12.0)]
    assert room.take(corners, 10, 6) == (30.0, 12.0, True)
    assert room.take(corners, 10, 6) == (60.0, 12.0, True)
    assert room.take(corners, 10, 6) == (0.0, -2.0, False)


@pytest.mark.parametrize("corners", [beside(0, 0, 20, 6, away=3, behind=True), around(0, 0, 20, 6, away=3)])
def test_no_place_covers_the_node_itself(corners: list[tuple[float, float]]) -> None:
    for left, foot in corners:
        assert not (left < 0 < left + 20 and foot < 0 < foot + 0.74 * 6)


def lines_of(figure: Figure) -> np.ndarray:
    """(M, 2, 2) all straight lines on the paper that are wide enough to hide a figure."""
    found = []
    for collection in figure.axes[0].collections:
        if collection.get_linewidth()[0] > 0.45 and not len(collection.get_offsets()[1:]):
            for path in collection.get_paths():
                begins = np.flatnonzero(path.codes == path.MOVETO) if path.codes is not None else [0]
                found += [pair for part in np.split(path.vertices, begins[1:]) for pair in pairwise(part)]
    return np.array(found)


@pytest.mark.parametrize("size", [8, 20, 40])
def test_the_estimates_at_the_nodes_cross_nothing(size: int) -> None:
    found = found_on(make("random", random_binary(size, seed=size)))
    subject = subject_of(found)
    nodes = np.flatnonzero(~subject.layout.topology.is_leaf)
    expected = value_texts(subject.estimates[nodes], subject.estimates)
    with drawing_style():
        figure = writers.draw(found, PictureChoices(PictureKind.TREE))
        figure.canvas.draw()
        small = [text for text in figure.axes[0].texts if text.get_fontsize() <= 6 and text.get_text() in expected]
        boxes = [text.get_window_extent().transformed(figure.axes[0].transData.inverted()).extents for text in small]
    assert sorted(text.get_text() for text in small) == sorted(expected)
    lines = lines_of(figure)
    assert len(lines) >= 2 * len(nodes)
    free = [text.get_bbox_patch() is None for text in small]
    # Those that must cross a line have white below them, and are few.
    assert np.mean(free) > 0.9
    for box in np.array(boxes)[free]:
        points = lines[:, 0, None] + np.linspace(0, 1, 400)[:, None] * (lines[:, 1] - lines[:, 0])[:, None]
        inner = box + np.array([0.2, 0.9, -0.2, -0.9])
        assert not ((points > inner[:2]) & (points < inner[2:])).all(-1).any()


def test_round_support_values_are_where_they_are_read() -> None:
    found = found_on(example("symmetric"))
    support = Texts(["", "95", "100", *[""] * 12])
    found = replace(found, phylogeny=replace(found.phylogeny, support=support))
    with drawing_style():
        figure = writers.draw(found, PictureChoices(layout=PictureLayout.CIRCULAR, support=True))
    small = [text for text in figure.axes[0].texts if text.get_text() in ("95", "100")]
    assert len(small) == 2
    assert all(text.get_bbox_patch() is None for text in small)


def test_a_traitgrams_names_are_led_to_in_the_tips_colours() -> None:
    # All tips close together: their names have to move far.
    tree = make("random", random_binary(60, seed=1))
    close = found_on(tree, estimates=np.where(tree.topology.is_leaf, np.linspace(0, 0.01, tree.topology.size), 1.0))
    subject = subject_of(close)
    with drawing_style():
        colours = writers.colour_map("viridis")
        figure = traitgram(subject, PictureChoices(PictureKind.TRAITGRAM), colours, [])
    leads = figure.axes[0].collections[-1]
    drawn = {tuple(colour[:3]) for colour in leads.get_edgecolor()}
    part = subject.scale.part(subject.estimates[subject.tips])
    assert drawn == {colours((np.floor(one * COLOURS) + 0.5) / COLOURS)[:3] for one in np.clip(part, 0, 1 - 1e-9)}
    ends = np.concatenate([path.vertices for path in leads.get_paths()])
    names = [text for text in figure.axes[0].texts if text.get_text().startswith("tip")]
    assert len(names) == 60
    # The longest line that leads to a name is not steeper than can be followed.
    assert ends[:, 0].max() - 46 - 330 > 80
