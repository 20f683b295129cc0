"""Traits of states on the page: what it holds of them, and that their names are no markup."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from hxcli.pictures.labels import printable
from hxcli.report.page import report_page
from hxcli.state_colours import state_colours
from hxcli.state_findings import StateFindings
from tests.examples import NAMES, example, make, random_binary
from tests.pictures.subjects import HOSTILE, found_on, states_on
from tests.report.pages import Elements, record


def page_of_states(found: StateFindings) -> str:
    """The page with a record as a run gives it."""
    told = record(found)  # type: ignore[arg-type]
    for number, trait in enumerate(told["results"][0]["traits"]):
        trait |= found.trait_facts(number)
    return report_page(found, told)


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_tree_has_a_page(name: str) -> None:
    found = states_on(example(name))
    page = page_of_states(found)
    trait = found.of_states[0]
    assert set(found.phylogeny.tip_names) <= set(Elements(page).texts)
    (said,) = data_of(page)["traits"]
    assert list(said["columns"]) == ["observed", "state", "probability", "P(land)", "P(sea)", "P(air)"]
    assert said["columns"]["P(sea)"] == trait.probabilities[:, 1].tolist()
    assert said["columns"]["probability"] == trait.probabilities.max(1).tolist()
    assert said["columns"]["observed"] == [text or None for text in trait.observed.tolist()]


def test_rates_have_intervals_and_flags_are_said() -> None:
    page = page_of_states(states_on(example("random binary")))
    rates = re.search(r'<section id="rates">.*?</section>', page, re.DOTALL)
    assert rates
    texts = Elements(rates[0]).texts
    for said in ("habitat", "er", "−1.5", "many parameters", "q(land,sea)", "0.5", "0.25", "1", "ML"):
        assert said in texts
    assert 'id="parameters"' not in page
    assert 'id="diagnostics"' not in page


def test_the_picture_has_edges_pies_and_squares_in_the_states_colours() -> None:
    found = states_on(example("random binary"))
    svg = re.search(r"<svg.*?</svg>", page_of_states(found), re.DOTALL)
    assert svg
    leaf, trait = found.phylogeny.topology.is_leaf, found.of_states[0]
    colours = state_colours(trait.states)
    # A legend, a square for every tip that has a state, one of two halves.
    squares = re.findall(r'<rect x="[^"]*" y="[^"]*" width="[^"]*" height="[^"]*" fill="(#\w+)"', svg[0])
    expected = {colour: 1 + int((trait.seen[:, place] > 0).sum()) for place, colour in enumerate(colours)}
    assert {colour: squares.count(colour) for colour in colours} == expected
    # Sectors are as wide as the probabilities: from their ends on a circle.
    sectors = re.findall(
        r'<path fill="(#\w+)" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)A\S+ \S+ 0 (\d) 1 ([\d.]+) ([\d.]+)Z"', svg[0]
    )
    unsure = ~leaf | (trait.seen.sum(1) == 0)
    assert len(sectors) == 3 * unsure.sum()
    for place, (colour, *numbers) in enumerate(sectors[:3]):
        x, y, x1, y1, large, x2, y2 = map(float, numbers)
        turn = (np.arctan2(x2 - x, y - y2) - np.arctan2(x1 - x, y - y1)) % (2 * np.pi)
        assert turn / (2 * np.pi) == pytest.approx(trait.probabilities[0, place], abs=0.02)
        assert (turn > np.pi) == (large == 1)
        assert colour == colours[place]


def test_numbers_and_states_are_groups_of_one_picture() -> None:
    states = states_on(example("random binary"))
    numbers = found_on(example("random binary"))
    both = StateFindings(states.phylogeny, states.of_states, numbers, "made up")
    told = record(both)  # type: ignore[arg-type]
    told["results"][0]["traits"][1] |= both.trait_facts(1)
    page = report_page(both, told)
    assert re.findall(r'<g class="trait" data-trait="(\d)"( hidden)?>', page) == [("0", ""), ("1", " hidden")]
    assert [trait["name"] for trait in data_of(page)["traits"]] == ["mass", "habitat"]
    assert '<option value="1">habitat</option>' in page
    assert 'id="parameters"' in page
    assert 'id="rates"' in page


def test_names_of_states_are_text_everywhere() -> None:
    found = states_on(example("random binary"), [name.strip() for name in HOSTILE], HOSTILE)
    page, plain = page_of_states(found), page_of_states(states_on(example("random binary"), list("abcdefgh")))
    assert set(Elements(page).tags) == set(Elements(plain).tags)
    assert "\u2028" not in page
    assert page.count("</script>") == 2
    assert printable(HOSTILE[3]) in data_of(page)["traits"][0]["columns"]["state"]


def test_many_tips_and_many_states_have_a_page_of_bounded_size() -> None:
    found = states_on(make("large", random_binary(1200)), [f"country {number}" for number in range(40)])
    page = page_of_states(found)
    assert len(page) < 1_200_000
    assert list(data_of(page)["traits"][0]["columns"]) == ["observed", "state", "probability"]
