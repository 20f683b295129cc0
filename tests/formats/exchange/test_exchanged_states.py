"""Traits of states for iTOL, auspice and augur: what the products say, against the findings."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from hxcli.formats.exchange.itol import write_itol
from hxcli.formats.exchange.nextstrain import write_auspice, write_node_data
from hxcli.state_colours import state_colours
from tests.formats.written import reconstruct, rendered, tree, with_states

SCHEMA = json.loads((Path(__file__).parent / "auspice_v2.schema.json").read_text())
LABELS = ["root", "", "95x", "A", "B", "C", "<D>"]
SMALL = tree([0, 0, 0, 1, 1, 2, 2], LABELS, [9, 0.5, 0.25, 1e-5, 2, 0, 3])
STATES = with_states(SMALL)
BOTH = with_states(SMALL, reconstruct(SMALL))
PLAIN = with_states(tree([0, 0, 0, 1, 1, 2, 2], ["", "n1", "n2", "A", "B b", "C", "D"]))


def unpacked(found: Any) -> dict[str, list[str]]:
    with zipfile.ZipFile(io.BytesIO(rendered(write_itol, found))) as archive:
        return {name: archive.read(name).decode().splitlines() for name in archive.namelist()}


def settings(lines: list[str]) -> dict[str, list[str]]:
    """What stands before DATA: key -> fields."""
    return {key: fields for key, *fields in (line.split("\t") for line in lines[2 : lines.index("DATA")])}


def data(lines: list[str]) -> dict[str, list[str]]:
    return {key: fields for key, *fields in (line.split("\t") for line in lines[lines.index("DATA") + 1 :])}


def test_itol_has_a_strip_of_the_tips_and_pies_of_the_nodes() -> None:
    files = unpacked(PLAIN)
    assert list(files) == ["tree.tree", "labels.txt", "1_habitat_strip.txt", "1_habitat_pies.txt"]
    strip, pies = files["1_habitat_strip.txt"], files["1_habitat_pies.txt"]
    land, sea, air = state_colours(("land", "sea", "air"))
    assert strip[:2] == ["DATASET_COLORSTRIP", "SEPARATOR TAB"]
    legend = {
        "LEGEND_TITLE": ["habitat"],
        "LEGEND_SHAPES": ["1", "1", "1"],
        "LEGEND_COLORS": [land, sea, air],
        "LEGEND_LABELS": ["land", "sea", "air"],
    }
    assert settings(strip).items() >= legend.items()
    # The name with a space is shown by labels.txt.
    assert data(strip) == {"A": ["#bbbbbb", "land|air"], "t4": [sea, "sea"], "C": [air, "air"]}
    assert pies[:2] == ["DATASET_PIECHART", "SEPARATOR TAB"]
    fields = {"FIELD_COLORS": [land, sea, air], "FIELD_LABELS": ["land", "sea", "air"]}
    assert settings(pies).items() >= (legend | fields).items()
    shares = PLAIN.of_states[0].probabilities
    # All nodes, and the two tips that are not sure, over the node, of one size.
    expected = {key: ["0", "1", *map(repr, shares[node].tolist())] for key, node in
                (("n0", 0), ("n1", 1), ("n2", 2), ("A", 3), ("D", 6))}  # fmt: skip
    assert data(pies) == expected


def test_names_of_states_cannot_break_a_file_of_itol() -> None:
    files = unpacked(with_states(PLAIN.phylogeny, states=("a\tb", "<i>", "c")))
    for name in ("1_habitat_strip.txt", "1_habitat_pies.txt"):
        assert settings(files[name])["LEGEND_LABELS"] == ["a_b", "_i_", "c"]


def test_numbers_and_states_stand_side_by_side() -> None:
    found = with_states(PLAIN.phylogeny, reconstruct(PLAIN.phylogeny))
    assert list(unpacked(found))[2:] == ["1_mass.txt", "2_habitat_strip.txt", "2_habitat_pies.txt"]
    nodes = json.loads(rendered(write_node_data, BOTH))["nodes"]
    assert list(nodes["root"]) == ["mass", "mass_confidence", "habitat", "habitat_confidence", "habitat_entropy"]
    read = json.loads(rendered(write_auspice, BOTH))
    jsonschema.Draft7Validator(SCHEMA).validate(read)
    assert [(each["key"], each["type"]) for each in read["meta"]["colorings"]] == [
        ("mass", "continuous"),
        ("habitat", "categorical"),
    ]


def test_auspice_has_states_with_probabilities_and_colours() -> None:
    read = json.loads(rendered(write_auspice, STATES))
    jsonschema.Draft7Validator(SCHEMA).validate(read)
    (colouring,) = read["meta"]["colorings"]
    scale = [["land", "#0072b2"], ["sea", "#cc79a7"], ["air", "#e69f00"]]
    assert colouring == {"key": "habitat", "title": "habitat", "type": "categorical", "scale": scale}
    root = read["tree"]["node_attrs"]["habitat"]
    assert root == {"value": "land+sea", "confidence": {"land": 0.5, "sea": 0.5}, "entropy": pytest.approx(math.log(2))}
    trait, nodes = STATES.of_states[0], json.loads(rendered(write_node_data, STATES))["nodes"]
    for node, (name, figures) in enumerate(nodes.items()):
        shares = dict(zip(trait.states, trait.probabilities[node].tolist(), strict=True))
        kept = sorted(((value, state) for state, value in shares.items() if value > 1e-3), reverse=True)
        assert list(figures["habitat_confidence"].values()) == [value for value, _ in kept], name
        assert figures["habitat_confidence"].items() <= shares.items()
        assert figures["habitat_entropy"] == pytest.approx(-sum(p * math.log(p) for p in shares.values() if p))
        if node:
            assert figures["habitat"] == kept[0][1]


def test_nodes_of_which_nothing_is_known_are_left_out() -> None:
    trait = PLAIN.of_states[0]
    shares = trait.probabilities.copy()
    shares[1] = np.nan
    found = replace(PLAIN, of_states=(replace(trait, probabilities=shares),))
    assert "n1" not in data(unpacked(found)["1_habitat_pies.txt"])
    nodes = json.loads(rendered(write_node_data, found))["nodes"]
    assert nodes["n1"] == {}
    assert nodes["n2"] == json.loads(rendered(write_node_data, PLAIN))["nodes"]["n2"]
    read = json.loads(rendered(write_auspice, found))
    jsonschema.Draft7Validator(SCHEMA).validate(read)
    assert list(read["tree"]["children"][0]["node_attrs"]) == ["div"]


def test_a_state_that_is_sure_has_an_entropy_of_zero() -> None:
    nodes = json.loads(rendered(write_node_data, STATES))["nodes"]
    assert nodes["B"] == {"habitat": "sea", "habitat_confidence": {"sea": 1.0}, "habitat_entropy": 0.0}
