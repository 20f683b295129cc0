"""Node data and datasets for Nextstrain: held against a schema, and what they say against the reconstruction."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from Bio import Phylo
from hypothesis import assume, given

from hxcli.errors import OptionError
from hxcli.formats.exchange.nextstrain import write_auspice, write_node_data
from hxcli.formats.trees.newick import write_named_newick
from hxcli.formats.trees.node_identifiers import made_names_notes, node_names
from hxcli.phylogeny import Phylogeny, relabel
from hxcli.reconstruction import Reconstruction
from hxcli.text_columns import Texts
from tests.formats.written import phylogenies, reconstruct, rendered, star, tree

DATASET = jsonschema.Draft7Validator(json.loads((Path(__file__).parent / "auspice_v2.schema.json").read_text()))
NODE_DATA = jsonschema.Draft7Validator(
    {
        "type": "object",
        "required": ["nodes"],
        "additionalProperties": False,
        "properties": {
            "nodes": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "patternProperties": {
                        "_confidence$": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
                        "^(?!.*_confidence$)": {"type": "number"},
                    },
                },
            },
        },
    }
)
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    'say "hi"',
    "a\tb",
    "a\nb",
    "O'Brien",
    "a,b",
    "\\u0041",
    "</script>",
    "é",
    "{}",
]
SMALL = tree([0, 0, 0, 1, 1, 2, 2], ["root", "", "twice", "A", "B", "C", "twice"], [9, 0.5, 0.25, 1e-5, 2, 0, 3])


def dataset(found: Reconstruction) -> Any:
    read = json.loads(rendered(write_auspice, found), parse_constant=lambda word: pytest.fail(word))
    DATASET.validate(read)
    return read


def node_data(found: Reconstruction) -> dict[str, Any]:
    read = json.loads(rendered(write_node_data, found), parse_constant=lambda word: pytest.fail(word))
    NODE_DATA.validate(read)
    return read["nodes"]


def walk(root: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The nodes of a dataset in breadth-first order, each with its parent."""
    found: list[tuple[dict[str, Any], dict[str, Any] | None]] = [(root, None)]
    for node, _ in found:
        found += [(child, node) for child in node.get("children", [])]
    return found


def without_children(node: dict[str, Any] | None) -> Any:
    return node and {key: value for key, value in node.items() if key != "children"}


def test_the_dataset_has_every_figure() -> None:
    found = reconstruct(SMALL, ("mass", "gape width [mm]"))
    read = dataset(found)
    nodes = walk(read["tree"])
    assert [node["name"] for node, _ in nodes] == ["root", "n1", "n2", "A", "B", "C", "twice"]
    parents = [parent and parent["name"] for _, parent in nodes]
    assert parents == [None, "root", "root", "n1", "n1", "n2", "n2"]
    assert [node["node_attrs"]["div"] for node, _ in nodes] == [0, 0.5, 0.25, 0.50001, 2.5, 0.25, 3.25]
    for number, (node, _) in enumerate(nodes):
        for column, key in enumerate(("mass", "gape_width_mm")):
            figure = node["node_attrs"][key]
            assert figure["value"] == found.estimates[number, column]
            if number == 6:
                assert "confidence" not in figure
            else:
                assert figure["confidence"] == [found.lower[number, column], found.upper[number, column]]
    assert read["meta"]["colorings"] == [
        {"key": "mass", "title": "mass", "type": "continuous"},
        {"key": "gape_width_mm", "title": "gape width [mm]", "type": "continuous"},
    ]
    assert read["meta"]["title"] == "mass, gape width [mm]"
    assert read["meta"]["updated"] == "XXXX-XX-XX"
    assert dataset(reconstruct(relabel(SMALL, name="posterior 7")))["meta"]["title"] == "posterior 7"


def test_support_values_become_branch_labels() -> None:
    phylogeny = tree([0, 0, 0, 1, 1], ["", "", "A", "B", "C"], support=["", "100/0.99", "", "", ""])
    labels = [node.get("branch_attrs") for node, _ in walk(dataset(reconstruct(phylogeny))["tree"])]
    assert labels == [None, {"labels": {"support": "100/0.99"}}, None, None, None]


def test_the_node_data_has_every_figure() -> None:
    found = reconstruct(SMALL)
    nodes = node_data(found)
    assert list(nodes) == node_names(SMALL).to_list()
    for number, figures in enumerate(nodes.values()):
        assert figures["mass"] == found.estimates[number, 0]
        interval = [found.lower[number, 0], found.upper[number, 0]]
        assert figures.get("mass_confidence") == (None if number == 6 else interval)


def test_the_named_tree_has_the_names_of_the_node_data() -> None:
    text = rendered(write_named_newick, SMALL).decode()
    assert text == "((A:1e-05,B:2.0)n1:0.5,(C:0.0,twice:3.0)n2:0.25)root:9.0;\n"
    read = Phylo.read(io.StringIO(text), "newick")
    assert {clade.name for clade in read.find_clades()} == set(node_data(reconstruct(SMALL)))
    supported = tree([0, 0, 0, 1, 1], ["", "", "A", "B", "C"], support=["", "95", "", "", ""])
    assert rendered(write_named_newick, supported) == b"((B:1.0,C:1.0)n1:1.0,A:1.0)n0;\n"


def test_names_that_the_tree_does_not_have_are_said() -> None:
    (note,) = made_names_notes(SMALL)
    assert note.startswith("'n1', 'n2' of the node data are no names of the tree's file: give augur the tree that ")
    assert made_names_notes(relabel(SMALL, labels=Texts(list("rstuvwx")))) == ()


@pytest.mark.parametrize(
    ("traits", "keys"),
    [
        (("div", "num_date", "none", "hidden"), ["trait_div", "trait_num_date", "trait_none", "trait_hidden"]),
        (("branch_length", "muts"), ["trait_branch_length", "trait_muts"]),
        (("mass", "mass_confidence", "x_entropy", "y__url"), ["mass", "mass_2", "x", "y"]),
        (("<script>", "µ", "a b", "a_b"), ["script", "trait", "a_b", "a_b_2"]),
    ],
)
def test_keys_mean_nothing_else_to_augur(traits: tuple[str, ...], keys: list[str]) -> None:
    read = dataset(reconstruct(SMALL, traits))
    assert [each["key"] for each in read["meta"]["colorings"]] == keys
    assert [each["title"] for each in read["meta"]["colorings"]] == list(traits)
    assert set(read["tree"]["node_attrs"]) == {"div", *keys}
    assert set(node_data(reconstruct(SMALL, traits))["root"]) == {*keys, *(f"{key}_confidence" for key in keys)}


def test_hostile_names_stay_text() -> None:
    found = reconstruct(star(*HOSTILE), traits=tuple(HOSTILE))
    read = dataset(found)
    assert [child["name"] for child in read["tree"]["children"]] == HOSTILE
    assert [each["title"] for each in read["meta"]["colorings"]] == HOSTILE
    assert list(node_data(found))[1:] == HOSTILE


def test_what_has_no_number_is_left_out() -> None:
    found = reconstruct(star("A", "B"), ("mass", "empty"))
    found.estimates[:, 1] = np.nan
    found.lower[:, 1] = np.nan
    found.upper[0, 0] = math.inf
    root = dataset(found)["tree"]
    assert set(root["node_attrs"]) == {"div", "mass"}
    assert set(root["node_attrs"]["mass"]) == {"value"}
    assert set(node_data(found)["n0"]) == {"mass"}
    found.estimates[:, 0] = np.nan
    assert node_data(found) == {"n0": {}, "A": {}, "B": {}}


def test_a_tip_that_is_infinitely_far_is_refused() -> None:
    with pytest.raises(OptionError, match="'B' is too far from the root for --auspice"):
        dataset(reconstruct(tree([0, 0, 1], ["", "A", "B"], [0, 1e308, 1e308])))


@given(phylogenies())
def test_any_tree_keeps_its_shape(phylogeny: Phylogeny) -> None:
    assume(np.nan_to_num(phylogeny.lengths).max() < 1e307)
    nodes = walk(dataset(reconstruct(phylogeny))["tree"])
    names = node_names(phylogeny).to_list()
    assert [node["name"] for node, _ in nodes] == names
    parents = phylogeny.topology.parents.tolist()
    assert [parent["name"] for _, parent in nodes if parent] == [names[parent] for parent in parents[1:]]
    assert list(node_data(reconstruct(phylogeny))) == names


@pytest.mark.slow
def test_deep_trees_are_written_without_recursion() -> None:
    tips = 20_000
    parents = [0] + [2 * ((i - 1) // 2) for i in range(1, 2 * tips - 1)]
    found = reconstruct(tree(parents, [f"t{node}" for node in range(len(parents))]))
    text = rendered(write_auspice, found).decode()
    assert len(parents) > 10 * sys.getrecursionlimit()
    assert text.count('{"name":') == len(parents)
    outside = re.sub(r'"[^"]*"', "", text)
    assert outside.count("{") == outside.count("}")
    assert outside.count("[") == outside.count("]")
    assert text.endswith("]}" * (tips - 1) + "}\n")
    assert len(node_data(found)) == len(parents)
