"""Pictures of traits of states: shares as areas, colours by names, every tree of the zoo."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hxcli.errors import OptionError
from hxcli.pictures import writers
from hxcli.pictures.figure import drawing_style
from hxcli.pictures.labels import shown
from hxcli.pictures.options import PictureChoices, PictureKind, PictureLayout
from hxcli.pictures.pies import with_room
from hxcli.pictures.state_data import state_subject
from hxcli.state_colours import COLOURS, TIERS, state_colours
from hxcli.state_findings import StateFindings
from tests.examples import example, make, random_binary
from tests.pictures.subjects import HOSTILE, states_on

WAYS = [
    PictureChoices(kind, layout)
    for kind in (PictureKind.TREE, PictureKind.CONTMAP)
    for layout in PictureLayout
]  # fmt: skip
# How linear red, green and blue look to people without one of the three cones (Machado, Oliveira and Fernandes 2009).
SIGHTS = np.array(
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)


def svg(found: StateFindings, choices: PictureChoices | None = None) -> bytes:
    stream = io.BytesIO()
    writers.write_svg(stream, found, choices)
    return stream.getvalue()


def texts(data: bytes) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(data).iter("{http://www.w3.org/2000/svg}text")]


def drawn(found: StateFindings, choices: PictureChoices) -> Figure:
    with drawing_style():
        return writers.draw(found, choices)


def areas(figure: Figure) -> list[tuple[str, float]]:
    """Colour and area of every filled shape."""
    shapes = []
    for collection in figure.axes[0].collections:
        assert isinstance(collection, PathCollection)
        if not len(collection.get_facecolors()):
            continue
        for path, colour in zip(collection.get_paths(), collection.get_facecolors(), strict=True):
            x, y = path.vertices.T
            area = abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
            shapes.append((to_hex(colour), area))
    return shapes


def seen_colours(colours: tuple[str, ...]) -> np.ndarray:
    """(4, C, 3) the colours in a space whose distances are those that people see (Ottosson 2020), for every sight."""
    bytes_ = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in colours]) / 255
    linear = np.where(bytes_ <= 0.04045, bytes_ / 12.92, ((bytes_ + 0.055) / 1.055) ** 2.4)
    cones = np.array([[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696],
                      [0.08830246, 0.28171884, 0.6299787]])  # fmt: skip
    space = np.array([[0.21045426, 0.79361779, -0.00407205], [1.9779985, -2.42859221, 0.45059371],
                      [0.02590404, 0.78277177, -0.80867577]])  # fmt: skip
    found = np.clip(np.einsum("sij,cj->sci", SIGHTS, linear), 0, 1)
    return np.cbrt(found @ cones.T) @ space.T


def test_colours_can_be_told_apart_by_everybody() -> None:
    for colours, least in ((TIERS[0], 0.076), (COLOURS, 0.066)):
        places = seen_colours(colours)
        pairs = combinations(range(len(colours)), 2)
        assert min(np.linalg.norm(places[:, a] - places[:, b], axis=1).min() for a, b in pairs) > least


def test_colours_belong_to_names() -> None:
    states = [f"state {number}" for number in range(30)]
    whole = dict(zip(states, state_colours(states), strict=True))
    assert dict(zip(states[::-1], state_colours(states[::-1]), strict=True)) == whole
    assert len(set(whole.values())) == len(COLOURS)
    assert set(state_colours(states[:5])) == set(TIERS[0])
    five = states[:5]
    colours = dict(zip(five, state_colours(five), strict=True))
    kept = 0
    for left_out in five:
        rest = [state for state in five if state != left_out]
        kept += sum(colours[state] == colour for state, colour in zip(rest, state_colours(rest), strict=True))
    # Of twenty, those that stay as they were when one of five states is not there.
    assert kept >= 15
    # Pictures that people have must not change.
    assert state_colours(["land", "sea", "air"]) == ["#0072b2", "#cc79a7", "#e69f00"]


@pytest.mark.parametrize("choices", WAYS, ids=str)
@pytest.mark.parametrize("name", ["single", "cherry", "star", "chain", "polytomies", "zero edges"])
def test_every_tree_is_drawn_with_its_names_and_states(name: str, choices: PictureChoices) -> None:
    found = states_on(example(name))
    said = set(texts(svg(found, choices)))
    assert {*found.phylogeny.tip_names, "land", "sea", "air", "habitat"} <= said


@pytest.mark.parametrize("layout", PictureLayout)
def test_pies_and_squares_have_the_shares_as_areas(layout: PictureLayout) -> None:
    found = states_on(example("random binary"))
    trait, subject = found.of_states[0], state_subject(found, found.of_states[0])
    shapes = areas(drawn(found, PictureChoices(layout=layout)))
    leaf = found.phylogeny.topology.is_leaf
    by_colour = dict.fromkeys(subject.colours, 0.0)
    for colour, area in shapes:
        by_colour[colour] += area
    silent = leaf & (trait.seen.sum(1) == 0)
    assert silent.sum() == 1
    tips, nodes = trait.seen.sum(0), trait.probabilities[~leaf | silent].sum(0)
    # Two sizes, of a square and a pie, explain the area of every colour.
    sizes, left, *_ = np.linalg.lstsq(np.stack([tips, nodes], axis=1), np.array(list(by_colour.values())), rcond=None)
    assert left.sum() < 1e-4 * np.square(list(by_colour.values())).sum()
    assert (sizes > 3).all()


def test_edges_have_the_colour_of_the_most_probable_state_paler_where_unsure() -> None:
    found = states_on(example("random binary"))
    subject = state_subject(found, found.of_states[0])
    best, top = subject.probabilities.argmax(1), subject.probabilities.max(1)
    for node, shade in enumerate(subject.classes):
        sure = sum(top[node] >= least for least in (0.5, 0.75, 0.95))
        if subject.best[node] < 0:
            assert shade == -1
        else:
            assert shade == 4 * best[node] + sure
    assert subject.shades[3::4] == list(subject.colours)
    used = {to_hex(colour) for collection in drawn(found, PictureChoices(PictureKind.CONTMAP)).axes[0].collections
            for colour in collection.get_edgecolor()}  # fmt: skip
    assert {subject.shades[shade] for shade in subject.classes if shade >= 0} <= used


def test_thousands_of_tips_have_a_strip_and_pies_where_there_is_room() -> None:
    found = states_on(make("large", random_binary(1200)))
    data = svg(found)
    assert len(data) < 600_000
    said = texts(data)
    assert "1,200 tips: names are left out above 400" in said
    assert "edges: the most probable state, paler below 0.95, 0.75 and 0.5" in said
    assert "tip7" not in said


def test_places_with_room_are_apart_and_the_first_go_first() -> None:
    centres = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [5.5, 0.0]])
    assert with_room(centres, np.array([1, 0, 3, 2]), 2.0, 9).tolist() == [1, 3]
    assert with_room(centres, np.array([1, 0, 3, 2]), 0.5, 3).tolist() == [1, 0, 3]


@pytest.mark.parametrize("choices", WAYS, ids=str)
def test_hostile_names_are_text(choices: PictureChoices) -> None:
    found = states_on(example("random binary"), [name.strip() for name in HOSTILE], HOSTILE)
    data = svg(found, choices)
    assert {shown(name, 30) for name in HOSTILE if len(name) < 30} <= set(texts(data))
    assert svg(found, choices) == data
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(data).iter()}
    assert not tags & {"img", "script", "foreignObject", "a"}


@pytest.mark.parametrize("choices", WAYS, ids=str)
def test_what_is_not_known_is_grey_and_has_no_pie(choices: PictureChoices) -> None:
    found = states_on(example("random binary"))
    trait = found.of_states[0]
    shares = trait.probabilities.copy()
    shares[1] = np.nan
    unknown = replace(found, of_states=(replace(trait, probabilities=shares),))
    said = texts(svg(unknown, choices))
    assert "grey: not estimated" in said
    assert not [text for text in said if "nan" in text]
    assert len(areas(drawn(unknown, choices))) <= len(areas(drawn(found, choices)))


def test_frequencies_of_clades_stand_beside_the_pies() -> None:
    found = states_on(example("random binary"))
    size = found.phylogeny.topology.size
    often = replace(found.of_states[0], columns={"frequency": np.linspace(0.5, 1, size)})
    figure = drawn(replace(found, of_states=(often,)), PictureChoices(support=True))
    inner = np.flatnonzero(found.phylogeny.topology.is_inner)
    written = {text.get_text(): text for text in figure.axes[0].texts}
    pies = [path.vertices for each in figure.axes[0].collections for path in each.get_paths() if len(path) > 5]
    corners = figure.axes[0].transData.transform(np.concatenate(pies))
    with drawing_style():
        figure.canvas.draw()
        for node in inner:
            box = written[f"{50 + 50 * node / (size - 1):.3g}"].get_window_extent()
            assert not ((corners > box.min) & (corners < box.max)).all(1).any()


def test_a_traitgram_of_states_is_refused() -> None:
    with pytest.raises(OptionError, match="--kind traitgram: 'habitat' has states, not numbers"):
        svg(states_on(example("cherry")), PictureChoices(PictureKind.TRAITGRAM))
