"""What names look like in pictures, and where they go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hxcli.pictures.labels import MOST_LABELLED, label_note, shown, spread, tick_texts, tip_spacing, value_texts
from tests.pictures.subjects import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_shown_can_be_drawn_and_is_short(name: str) -> None:
    text = shown(name)
    assert text.isprintable()
    assert len(text) <= 40


def test_control_and_direction_marks_are_shown_as_escapes() -> None:
    assert shown("a\x07b\u202ec\ud800") == "a\\x07b\\u202ec\\ud800"
    assert shown("Homo_sapiens é 日本") == "Homo_sapiens é 日本"
    assert shown("x" * 41) == "x" * 39 + "…"


@given(st.lists(st.floats(0, 100), max_size=12), st.floats(0.1, 30))
def test_spread_names_keep_their_order_and_do_not_overlap(wanted: list[float], gap: float) -> None:
    places = np.array(wanted)
    moved = spread(places, gap, 0, 100)
    room = min(gap, 100 / max(len(wanted) - 1, 1))
    order = np.argsort(places, kind="stable")
    assert (np.diff(moved[order]) >= room - 1e-9).all()
    assert ((moved >= -1e-9) & (moved <= 100 + 1e-9)).all()


def test_names_with_room_stay_where_they_are_and_others_move_least() -> None:
    assert spread(np.array([50.0, 10.0, 90.0]), 5, 0, 100).tolist() == [50, 10, 90]
    assert spread(np.array([50.0, 50.0]), 4, 0, 100).tolist() == [48, 52]
    assert spread(np.array([0.0, 0.0]), 4, 0, 100).tolist() == [0, 4]


@pytest.mark.parametrize("tips", [1, 10, 82, 200, MOST_LABELLED, MOST_LABELLED + 1, 1000])
def test_names_are_smaller_than_the_space_they_have(tips: int) -> None:
    spacing = tip_spacing(tips, room=640)
    assert spacing.labelled == (tips <= MOST_LABELLED)
    if spacing.labelled:
        assert 3.5 < spacing.font < spacing.spacing
    assert label_note(tips) == ("" if spacing.labelled else f"{tips:,} tips: names are left out above 400")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.31, 10.5, np.nan, -0.1], ["5.31", "10.50", "", "−0.10"]),
        ([1500.0, 2700.0], ["1500", "2700"]),
        ([1e-7, 2e-7], ["1e−07", "2e−07"]),
        ([3.0, 3.0], ["3.000", "3.000"]),
        ([4.04, 5.1], ["4.040", "5.100"]),
    ],
)
def test_values_of_a_column_have_the_same_digits(values: list[float], expected: list[str]) -> None:
    assert value_texts(np.array(values), np.array(values)) == expected


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ([0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([-2, 0, 2], ["−2", "0", "2"]),
        ([2e9, 2.5e9, 3e9], ["2e9", "2.5e9", "3e9"]),
        ([1000000002, 1000000004], ["1.000000002e9", "1.000000004e9"]),
        ([0, 1e-7, 2e-7], ["0", "1e−7", "2e−7"]),
        ([7.0], ["7"]),
        ([], []),
    ],
)
def test_ticks_need_no_power_of_ten_aside(ticks, texts):
    assert tick_texts(ticks) == texts
