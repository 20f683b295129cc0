"""Painted trees: read, and brought onto trees of the same clades."""

from __future__ import annotations

import io

import numpy as np
import pytest

from hxcli.errors import InputError
from hxcli.formats.source import Source, checked_source
from hxcli.formats.tables.regimes import read_regimes
from hxcli.formats.trees.read import read_trees
from hxcli.formats.trees.simmap_writer import write_simmap
from hxcli.painting import Painted
from hxcli.phylogeny import Phylogeny
from hxcli.regime_tree import RegimeTree, paint_alike
from hxcli.state_maps import Changes, StateMaps

PLAIN = "((A:1,B:2)p:1.5,C:4);"
SIMMAP = "((A:{wet,0.25:dry,0.75},B:{dry,2})p:{dry,0.5:wet,1},C:{wet,4});"


def source(text: str) -> Source:
    return checked_source("painted.nwk", text.encode())


def tree(text: str) -> Phylogeny:
    return read_trees(checked_source("tree.nwk", text.encode())).phylogenies[0]


def painted(text: str, on: str = PLAIN) -> Painted:
    found = read_regimes(source(text))
    assert isinstance(found, RegimeTree)
    return paint_alike(tree(on), found)


def segments(found: Painted) -> dict[str, list[tuple[str, float]]]:
    """Label of every node -> the regimes along the edge above it, from the root's end on."""
    topology, labels = found.phylogeny.topology, found.phylogeny.labels.array
    told: dict[str, list[tuple[str, float]]] = {}
    for node in found.nodes.tolist():
        if node == 0:
            continue
        parts = [(found.regimes[found.of_edge[node]], float(found.phylogeny.lengths[node]))]
        above = int(topology.parents[node])
        while above not in found.nodes:
            parts.append((found.regimes[found.of_edge[above]], float(found.phylogeny.lengths[above])))
            above = int(topology.parents[above])
        told[labels[node] or "?"] = parts[::-1]
    return told


WANTED = {
    "A": [("dry", 0.75), ("wet", 0.25)],
    "B": [("dry", 2.0)],
    "p": [("wet", 1.0), ("dry", 0.5)],
    "C": [("wet", 4.0)],
}


@pytest.mark.parametrize(
    "text",
    [
        SIMMAP,
        "(C:{wet,4},(B:{dry,2},A:{wet,0.25:dry,0.75})q:{dry,0.5:wet,1}) ;",
        "((A:[&map={wet,0.25,dry}]1,B:[&map={dry}]2)p[&map={dry,0.5,wet}]:1.5,C[&rate=3,map={wet}]:4);",
        # Another unit of length: the changes lie at their shares of the edges.
        "((A:{wet,2.5:dry,7.5},B:{dry,20})p:{dry,5:wet,10},C:{wet,40});",
        # Two edges in the place of one.
        "((A:{wet,0.25:dry,0.75},B:{dry,2})p:{dry,0.5:wet,1},(C:{wet,3}):{wet,1});",
        "#NEXUS\nbegin smptrees;\ntree one = [&R] " + SIMMAP + "\nend;\n",
        "((A:{wet,0.25:dry,0.75}, B: {dry, 2} [what {is} this])'p':{dry,0.5:wet,1},C:{wet,4});",
    ],
    ids=["simmap", "turned", "annotations", "unit", "one child", "nexus", "spaces"],
)
def test_a_painted_tree_paints_the_same_edges(text: str) -> None:
    found = painted(text)
    assert found.regimes == ("dry", "wet")
    assert segments(found) == WANTED
    assert found.regimes[found.of_edge[0]] == "wet"


def test_an_edge_in_the_place_of_two_is_divided_at_its_shares() -> None:
    found = segments(painted("((A:{wet,0.25:dry,0.75},B:{dry,2})p:{dry,0.5:wet,1},C:{dry,1:wet,3});",
                             "((A:1,B:2)p:1.5,(C:2)c:2);"))  # fmt: skip
    assert found["c"] == [("wet", 2.0)]
    assert found["C"] == [("wet", 1.0), ("dry", 1.0)]


def test_what_maps_writes_is_read_back() -> None:
    phylogeny = tree(PLAIN)
    labels = phylogeny.labels.array.tolist()
    p, first, second = (labels.index(name) for name in "pAB")
    # Of the states wet and dry: along p's edge from wet to dry at 1, along A's from dry to wet at 0.75.
    states = np.zeros((1, len(labels)), np.int16)
    states[0, [p, second]] = 1
    edges = sorted([(p, 1.0, 0, 1), (first, 0.75, 1, 0)])
    edge, time, before, after = (np.array(column) for column in zip(*edges, strict=True))
    found = StateMaps(("wet", "dry"), states, Changes(np.zeros(2, np.intp), edge, time, before, after))
    stream = io.BytesIO()
    write_simmap(stream, phylogeny, [found])
    assert segments(painted(stream.getvalue().decode())) == WANTED


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (PLAIN, "the edge above node 'p' has no map of regimes"),
        (SIMMAP.replace(":{wet,4}", ":4"), "1 edges have no map"),
        (SIMMAP.replace("{dry,2}", "{dry,2,3}"), r"column 27: {dry,2,3} is no map"),
        (SIMMAP.replace("{dry,2}", "{dry,x}"), "column 27: 'x' in a map of regimes is no length"),
        (SIMMAP.replace("C:", "D:"), "the painted tree does not have 'C'"),
        (SIMMAP + SIMMAP, "holds 2 painted trees"),
        ("((A:{a,1},C:{a,1}):{a,1},B:{a,1});", "the tree alone has the clade of 'A', 'B'"),
        ("((A:{a,1},B:{a,1}):{a,1},C:{b,1});", "the edges at the root begin with 'a', 'b'"),
        ("((A:[&map={a,2,b}]1,B:[&map={a}]2)p[&map={a}]:1.5,C[&map={a}]:4);", "is longer than its edge"),
        (SIMMAP.replace("{wet,4}", "{,4}"), "the regime '' is no name"),
    ],
)
def test_what_is_no_painted_tree_of_this_one_is_refused(text: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        painted(text)
