"""phyloXML and NeXML: tips by their labels, no entities, no surprises."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from hxcli.errors import InputError
from hxcli.formats.source import checked_source
from hxcli.formats.trees.read import TreeFile, pick_tree, read_trees

DATA = Path(__file__).parents[2] / "data" / "trees"


def read(text: str) -> TreeFile:
    return read_trees(checked_source("f", text.encode()))


def phyloxml(inside: str, rooted: str = "true") -> str:
    return f'<phyloxml xmlns="http://www.phyloxml.org"><phylogeny rooted="{rooted}">{inside}</phylogeny></phyloxml>'


def nexml(inside: str) -> str:
    return (
        '<nex:nexml xmlns:nex="http://www.nexml.org/2009" xmlns="http://www.nexml.org/2009"><otus id="o">'
        '<otu id="a" label="A a"/><otu id="b" label="B"/></otus>'
        f'<trees id="t" otus="o"><tree id="t1" label="name">{inside}</tree></trees></nex:nexml>'
    )


def tip(name: str, length: str = "1") -> str:
    return f"<clade><name>{name}</name><branch_length>{length}</branch_length></clade>"


def test_phyloxml_is_read(tmp_path):
    tree = pick_tree(read_trees(DATA / "tree.phyloxml"), None)
    assert tree.tip_names.tolist() == ["C", "A & b", "Ærø x"]
    assert tree.support.tolist() == ["", "89.0", "", "", ""]
    assert tree.edge_lengths[1:].tolist() == [0.5, 3, 1, 0.25]
    assert (tree.name, tree.rooted) == ("made", True)
    packed = tmp_path / "tree.nwk"
    packed.write_bytes(gzip.compress((DATA / "tree.phyloxml").read_bytes()))
    assert read_trees(packed).phylogenies == (tree,)
    assert read_trees(packed).format == "phyloxml"


def test_nexml_is_read():
    found = read_trees(DATA / "tree.nexml")
    tree = pick_tree(found, None)
    assert found.format == "nexml"
    assert tree.labels.tolist() == ["", "inner", "o3", "Lion", "Red fox"]
    assert tree.topology.parents.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(tree.edge_lengths, [np.nan, 0.5, np.nan, 1, 2])
    assert (tree.name, tree.rooted) == ("made", True)


def test_support_values_beside_names_become_annotations():
    confidence = '<confidence type="a">89</confidence><confidence type="b">0.9</confidence>'
    inside = f"<clade><clade><name>x</name>{confidence}{tip('A')}{tip('B')}</clade>{tip('C')}</clade>"
    (named,) = read(phyloxml(inside)).phylogenies
    assert (named.labels[1], named.support[1], dict(named.annotations)) == ("x", "", {1: ("&confidence={89,0.9}",)})
    (bare,) = read(phyloxml(inside.replace("<name>x</name>", ""), "false")).phylogenies
    assert (bare.support[1], bare.rooted) == ("89/0.9", False)


def test_names_keep_what_is_no_xml_white_space():
    inside = tip(" A  b\n\u00a0") + tip("%41_&lt;&apos;")
    (tree,) = read(phyloxml(f"<clade>{inside}</clade>")).phylogenies
    assert tree.tip_names.tolist() == ["A b \u00a0", "%41_<'"]


def test_deep_phyloxml_is_read_without_recursion():
    depth = 5_000
    text = phyloxml("<clade>" * depth + tip("A") + tip("B") + "</clade>" * depth)
    assert read(text).phylogenies[0].topology.depth == depth


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<phyloxml", "not well formed"),
        ("\n\n<phyloxml><phylogeny><clade></phylogeny></phyloxml>", "line 3, column 31: the XML is not well formed"),
        ('<?xml version="1.0"?><phyloxml><phylogeny>', "not well formed.*cut short"),
        (
            '<!DOCTYPE x [<!ENTITY a "aaaa">]><phyloxml>&a;</phyloxml>',
            "document type declaration.*entities are not read",
        ),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><phyloxml/>', "document type declaration"),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?><phyloxml>é</phyloxml>",
            "says that it is ISO-8859-1, but it is UTF-8",
        ),
        ("<phyloxml/>", "no phylogeny"),
        (phyloxml(""), "0 clades"),
        (phyloxml(f"<clade>{tip('A')}</clade><clade/>"), "2 clades"),
        (phyloxml(f"<clade>{tip('A')}{tip('A')}</clade>"), "tree 1: duplicate tip name"),
        (phyloxml(f"<clade>{tip('A')}{tip(' ')}</clade>"), "a tip has no <name>"),
        (
            phyloxml("<clade><clade><taxonomy><scientific_name>Pongo</scientific_name></taxonomy></clade></clade>"),
            "a tip has no <name>; its taxonomy says 'Pongo'",
        ),
        (phyloxml(f"<clade>{tip('A', 'NaN')}{tip('B')}</clade>"), "edge length 'NaN' of 'A' is not a finite number"),
        (phyloxml(f"<clade>{tip('A', 'INF')}{tip('B')}</clade>"), "not a finite number"),
        (
            phyloxml('<clade><clade branch_length="1"><name>A</name><branch_length>2</branch_length></clade></clade>'),
            "two",
        ),
        (nexml(""), "0 nodes without a parent"),
        (nexml('<node id="1" otu="a"/><node id="2" otu="b"/>'), "2 nodes without a parent"),
        (nexml('<node id="1" otu="zz"/>'), "otu 'zz' that is not there"),
        (nexml('<node id="1"/><node id="1"/>'), "node id '1' is given twice"),
        (nexml('<node id="1"/><edge source="1" target="2"/>'), "a node '2' that is not there"),
        (
            nexml('<node id="1"/><node id="2" otu="a"/><edge source="1" target="2"/><edge source="1" target="2"/>'),
            "node '2' has two parents",
        ),
        (
            nexml(
                '<node id="0"/><node id="1"/><node id="2"/><edge source="1" target="2"/><edge source="2" target="1"/>'
            ),
            "2 nodes are in a circle",
        ),
        (nexml('<node id="1"/><node id="2"/><edge source="1" target="2"/>'), "tip with an empty name"),
        ("<nexml/>", "no tree"),
    ],
)
def test_refusals(text, found):
    with pytest.raises(InputError, match=found):
        read(text)
