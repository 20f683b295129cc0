"""What is written is what other programs, and our own readers, read back: names, bits and annotations."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import Any

import dendropy
import numpy as np
import pytest
from Bio import Phylo
from hypothesis import assume, given
from hypothesis import strategies as st

from hxcli.errors import OptionError
from hxcli.formats.json_record import write_record
from hxcli.formats.source import checked_source
from hxcli.formats.tables.node_table import table_frame, write_csv, write_parquet, write_tsv
from hxcli.formats.trees import newick_text
from hxcli.formats.trees.annotations import entries, replaced_notes, words_of
from hxcli.formats.trees.newick import write_newick
from hxcli.formats.trees.nexus_writer import write_nexus
from hxcli.formats.trees.nhx import write_nhx
from hxcli.formats.trees.node_identifiers import mrca_tips, node_names
from hxcli.formats.trees.phyloxml import write_phyloxml
from hxcli.formats.trees.read import read_trees
from hxcli.formats.trees.trait_keys import quantity_of, safe_keys
from hxcli.phylogeny import Phylogeny, fold_below
from tests.formats.written import phylogenies, reconstruct, rendered, star, tree

WRITERS = [write_newick, write_nexus, write_nhx, write_phyloxml]
HOSTILE = [
    "Homo_sapiens",
    "O'Brien",
    "m n",
    "A-1",
    "2",
    "a,b",
    "(x)",
    "[y]",
    "x:y",
    "é",
    'say "hi"',
    "a=b",
    "a;b",
    "<&>",
    "<img src=x onerror=alert(1)>",
]


SMALL = tree(
    [0, 0, 0, 1, 1, 2, 2],
    ["", "", "clade B", "A", "B_b", "O'Brien", "2"],
    [0.25, 0.1, 1e-5, 1 / 3, 0.0, 1e22, 5e-324],
)


def by_dendropy(data: bytes, schema: str = "nexus") -> dict[str | None, Any]:
    read = dendropy.Tree.get(data=data.decode(), schema=schema, preserve_underscores=True)
    return {node.taxon.label if node.taxon else node.label: node for node in read.preorder_node_iter()}


def test_dendropy_reads_every_annotation_of_the_nexus() -> None:
    found = reconstruct(SMALL, ("mass", "gape width [mm]"))
    nodes = by_dendropy(rendered(write_nexus, SMALL, found))
    assert set(nodes) == {None, "clade B", "A", "B_b", "O'Brien", "2"}
    for node, label in enumerate(SMALL.labels.tolist()):
        if not label:
            continue
        notes = nodes[label].annotations.values_as_dict()
        assert nodes[label].edge.length == SMALL.edge_lengths[node]
        for column, key in enumerate(("mass", "gape_width_mm")):
            assert float(notes[key]) == found.estimates[node, column]
            if node == SMALL.topology.size - 1:
                assert f"{key}_se" not in notes
                assert f"{key}_95%_CI" not in notes
                continue
            assert float(notes[f"{key}_se"]) == found.standard_errors[node, column]
            interval = [found.lower[node, column], found.upper[node, column]]
            assert [float(end) for end in notes[f"{key}_95%_CI"]] == interval


def test_biopython_reads_every_annotation_of_the_nexus() -> None:
    found = reconstruct(SMALL, interval="HPD")
    read = Phylo.read(io.StringIO(rendered(write_nexus, SMALL, found).decode()), "nexus")
    names = {clade.name: clade for clade in read.get_terminals()}
    assert {"A", "B_b"} < set(names)
    for node in (3, 4):
        clade = names[SMALL.labels[node]]
        assert clade.branch_length == SMALL.edge_lengths[node]
        assert clade.comment == (
            f"[&mass={found.estimates[node, 0]!r},mass_se={found.standard_errors[node, 0]!r},"
            f"mass_95%_HPD={{{found.lower[node, 0]!r},{found.upper[node, 0]!r}}}]"
        ).replace("np.float64(", "").replace(")", "")
    assert read.root.comment.startswith("[&mass=")


def test_biopython_reads_the_phyloxml() -> None:
    found = reconstruct(SMALL)
    read = Phylo.read(io.BytesIO(rendered(write_phyloxml, SMALL, found)), "phyloxml")
    clades = {clade.name: clade for clade in read.find_clades()}
    assert read.rooted
    for node in range(2, 6):
        clade = clades[SMALL.labels[node]]
        assert clade.branch_length == SMALL.edge_lengths[node]
        values = {each.ref: float(each.value) for each in clade.properties}
        assert values["hx:mass"] == found.estimates[node, 0]
        assert values["hx:mass_95_CI_upper"] == found.upper[node, 0]


def test_the_nexus_as_text() -> None:
    phylogeny = star("A", "Homo_sapiens", rooted=True, annotations={1: ("&rate=0.1,mass=9", "&&NHX:S=x,y:mass=2")})
    found = reconstruct(phylogeny)
    text = rendered(write_nexus, phylogeny, found).decode()
    lines = text.split("\n")
    assert lines[:9] == [
        "#NEXUS", "BEGIN TAXA;", "  DIMENSIONS NTAX=2;", "  TAXLABELS", "    A", "    Homo_sapiens", "  ;", "END;",
        "BEGIN TREES;",
    ]  # fmt: skip
    assert lines[9].startswith("  TREE tree1 = [&R] (A[&mass=")
    assert ',rate=0.1,S="x,y"]:1.0,Homo_sapiens[&mass=' in lines[9]
    assert lines[10:] == ["END;", ""]
    assert "mass=9" not in text
    assert "mass=2" not in text


def test_a_tree_alone_is_written_as_it_came() -> None:
    phylogeny = star("A", "B", rooted=False, annotations={0: ("&x={1,2}",), 2: ("&rate=0.1", "&&NHX:S=human")})
    assert rendered(write_newick, phylogeny) == b"[&U] (A:1.0,B:1.0);\n"
    assert b"[&U] (A:1.0,B[&rate=0.1][&&NHX:S=human]:1.0)[&x={1,2}];" in rendered(write_nexus, phylogeny)
    assert rendered(write_nhx, phylogeny) == b"(A:1.0,B:1.0[&rate=0.1][&&NHX:S=human])[&x={1,2}];\n"


def test_nhx_of_a_reconstruction() -> None:
    phylogeny = star("A", "B", annotations={1: ("&&NHX:S=human:mass=2",)})
    found = reconstruct(phylogeny)
    text = rendered(write_nhx, phylogeny, found).decode()
    assert f"A:1.0[&&NHX:mass={float(found.estimates[1, 0])!r}:mass_se=" in text
    assert ":S=human]" in text


def test_dendropy_reads_every_annotation_of_the_nhx() -> None:
    phylogeny = star(*HOSTILE)
    found = reconstruct(phylogeny)
    nodes = by_dendropy(rendered(write_nhx, phylogeny, found), "newick")
    for node in range(1, phylogeny.topology.size - 1):
        notes = nodes[phylogeny.labels[node]].annotations.values_as_dict()
        figures = [notes[key] for key in ("mass", "mass_se", "mass_95%_CI_lower", "mass_95%_CI_upper")]
        arrays = (found.estimates, found.standard_errors, found.lower, found.upper)
        assert [float(figure) for figure in figures] == [array[node, 0] for array in arrays]


def test_hostile_names_by_biopython() -> None:
    read = Phylo.read(io.BytesIO(rendered(write_phyloxml, star(*HOSTILE))), "phyloxml")
    assert [clade.name for clade in read.get_terminals()] == HOSTILE


def test_support_values_stay() -> None:
    phylogeny = tree([0, 0, 0, 1, 1], ["", "", "A", "B", "C"], support=["", "100/0.99", "", "", ""])
    for write in (write_newick, write_nexus, write_nhx):
        assert b")100/0.99" in rendered(write, phylogeny)
    assert rendered(write_phyloxml, phylogeny).count(b'<confidence type="unknown">') == 2


def test_numbers_among_the_names_cannot_stand_for_places() -> None:
    text = rendered(write_nexus, star("2", "1", "3", "04")).decode()
    assert "('2':1.0,'1':1.0,3:1.0,04:1.0);" in text
    assert "('a_b':1.0,'a b':1.0,c_d:1.0);" in rendered(write_nexus, star("a_b", "a b", "c_d")).decode()


def test_hostile_names_by_dendropy() -> None:
    phylogeny = star(*HOSTILE)
    assert {label for label in by_dendropy(rendered(write_nexus, phylogeny)) if label} == set(HOSTILE)
    assert {label for label in by_dendropy(rendered(write_newick, phylogeny), "newick") if label} == set(HOSTILE)


@given(phylogenies(), st.sampled_from(WRITERS))
def test_what_is_written_is_read_back(phylogeny: Phylogeny, write: Any) -> None:
    assume(write is not write_phyloxml or not any("  " in label for label in phylogeny.labels.tolist()))
    (read,) = read_trees(checked_source("t", rendered(write, phylogeny))).phylogenies
    assert read.topology == phylogeny.topology
    assert read.labels.tolist() == phylogeny.labels.tolist()
    assert read.edge_lengths.tobytes() == phylogeny.edge_lengths.tobytes()


@given(phylogenies())
def test_dendropy_reads_names_and_bits(phylogeny: Phylogeny) -> None:
    # DendroPy looks at a quoted label without its quotes, and takes one that is a bracket or comma for punctuation.
    assume(not any(label in tuple("(),:;") for label in phylogeny.labels.tolist()))
    nodes = by_dendropy(rendered(write_nexus, phylogeny, reconstruct(phylogeny)))
    tips = phylogeny.tips.tolist()
    if len({name.casefold() for name in phylogeny.tip_names.tolist()}) < len(tips):
        # DendroPy takes names that differ by case only for one.
        return
    for tip in tips:
        assert nodes[phylogeny.labels[tip]].edge.length == phylogeny.edge_lengths[tip]


def test_deep_trees_are_written_without_recursion() -> None:
    tips = 20_000
    parents = [0] + [2 * ((i - 1) // 2) for i in range(1, 2 * tips - 1)]
    labels = ["" if node % 2 == 0 and node < len(parents) - 1 else f"t{node}" for node in range(len(parents))]
    phylogeny = tree(parents, labels)
    for write in WRITERS:
        assert rendered(write, phylogeny, reconstruct(phylogeny))
    assert len(rendered(write_csv, reconstruct(phylogeny)).splitlines()) == len(parents) + 1


@given(st.lists(st.text("as_e5%CI{ ", min_size=1, max_size=8) | st.sampled_from(["a", "a_se", "a_5_CI", "a_2"])))
def test_no_key_is_anothers_or_a_figure_of_another(given_names: list[str]) -> None:
    keys = safe_keys(given_names, r"[\s{]+")
    figure = r"(_se|_[0-9.e+-]+%?_(CI|HPD)(_lower|_upper)?)"
    assert len(keys) == len(given_names)
    assert len(set(keys)) == len(keys)
    assert not [(a, b) for a in keys for b in keys if re.fullmatch(re.escape(a) + figure, b)]


def test_the_table() -> None:
    phylogeny = tree([0, 0, 0, 1, 1, 2, 2], ["", "X", "X", "b", "a", "d,e", "c"])
    found = reconstruct(phylogeny, ("mass", "len"))
    rows = list(csv.DictReader(io.StringIO(rendered(write_csv, found).decode())))
    header = ["node", "parent", "tip_a", "tip_b", "n_tips", "trait", "observed", "estimate", "se", "lower", "upper"]
    assert list(rows[0]) == header
    assert [row["node"] for row in rows[::2]] == ["n0", "n1", "n2", "b", "a", "d,e", "c"]
    assert [row["parent"] for row in rows[::2]] == ["", "n0", "n0", "n1", "n1", "n2", "n2"]
    assert [(row["tip_a"], row["tip_b"]) for row in rows[:6:2]] == [("a", "c"), ("a", "b"), ("c", "d,e")]
    assert (rows[6]["tip_a"], rows[6]["tip_b"]) == ("b", "b")
    assert [row["n_tips"] for row in rows[::2]] == ["4", "2", "2", "1", "1", "1", "1"]
    assert [row["trait"] for row in rows[:4]] == ["mass", "len", "mass", "len"]
    for index, row in enumerate(rows):
        node, column = divmod(index, 2)
        assert float(row["estimate"]) == found.estimates[node, column]
        assert float(row["observed"] or "nan") == pytest.approx(found.observed[node, column], abs=0, nan_ok=True)
        assert (row["se"] == "") == math.isnan(found.standard_errors[node, column])
    assert rendered(write_tsv, found).split(b"\n")[0] == "\t".join(header).encode()
    assert table_frame(found)["parent"].null_count() == 2


@pytest.mark.parametrize("traits", [1, 3])
def test_what_is_written_does_not_depend_on_the_pieces(traits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [0] + [2 * ((i - 1) // 2) for i in range(1, 40)]
    labels = [f"t{node}" if node % 2 or node == 39 else "" for node in range(40)]
    phylogeny = tree(parents, labels, annotations={3: ("&rate=1",), 4: ("plain",)})
    found = reconstruct(phylogeny, ("mass", "len", "mass_se")[:traits])
    writers = [(write, (phylogeny, found)) for write in WRITERS]
    writers += [(write, (found, wide)) for write in (write_csv, write_tsv, write_parquet) for wide in (False, True)]
    whole = [rendered(write, *parts) for write, parts in writers]
    monkeypatch.setattr(newick_text, "_PIECE", 8)
    assert [rendered(write, *parts) for write, parts in writers] == whole


def test_node_names_are_unique_whatever_the_labels() -> None:
    phylogeny = tree([0, 0, 0, 1, 1, 2, 2], ["n1", "a", "", "n2", "n2_", "a", "b"])
    assert node_names(phylogeny).to_list() == ["n1", "n1_", "n2__", "n2", "n2_", "a", "b"]
    phylogeny = tree([0, 0, 0], ["root", "x", "y"], support=["", "", ""])
    assert node_names(phylogeny).to_list() == ["root", "x", "y"]


def test_a_node_with_one_child_has_the_key_of_that_child() -> None:
    phylogeny = tree([0, 0, 1, 2, 2, 3], ["", "", "", "", "b", "a"])
    first, second = mrca_tips(phylogeny)
    assert first.tolist() == [5, 5, 5, 5, 4, 5]
    assert second.tolist() == [4, 4, 4, 5, 4, 5]


@given(phylogenies())
def test_keys_name_the_common_ancestor(phylogeny: Phylogeny) -> None:
    topology, labels = phylogeny.topology, phylogeny.labels.tolist()
    below: list[set[str]] = [set() for _ in range(topology.size)]
    groups: list[list[int]] = [[] for _ in range(topology.size)]
    for node in range(topology.size - 1, -1, -1):
        below[node] |= {labels[node]} if topology.is_leaf[node] else set()
        if node:
            below[topology.parents[node]] |= below[node]
            groups[topology.parents[node]].append(node)
    first, second = mrca_tips(phylogeny)
    for node in range(topology.size):
        inner = node
        while len(groups[inner]) == 1:
            inner = groups[inner][0]
        smallest = sorted(min(below[child]) for child in groups[inner])[:2] or [labels[inner]] * 2
        assert [labels[first[node]], labels[second[node]]] == smallest
    assert fold_below(topology, topology.is_leaf.astype(np.int64), "sum").tolist() == [len(names) for names in below]


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        (["mass", "mass"], ["mass", "mass_2"]),
        (["a: b", "a,b", "[]"], ["a_b", "a_b_2", "trait"]),
        (["mass", "mass_se", "mass_95%_CI"], ["mass", "mass_se_2", "mass_95%_CI_2"]),
        (["mass_se", "mass"], ["mass_se", "mass_2"]),
        (["Δt", "masse (g)"], ["Δt", "masse_g"]),
    ],
)
def test_keys_are_safe_and_apart(given_names: list[str], expected: list[str]) -> None:
    assert safe_keys(given_names, r"""[\s:,;\[\]{}()="'&!]+""") == expected


def test_entries_of_an_annotation() -> None:
    text = 'B x{all} 5.9,a=1,b={1,2},c="x,y",,"d",d=(1,2),e={1'
    assert list(entries(text, ",", {"a": "a"}.get)) == ["b={1,2}", 'c="x,y",,"d"', "d=(1,2)", "e={1"]
    assert words_of(text, ",") == "B x{all} 5.9"
    assert list(entries(":S=human:x", ":")) == ["S=human:x"]


def test_quantities_of_statistics() -> None:
    keys = ["height_95%_HPD", "height_median", "height_range", "height.prob", "height", "height_95%HPD_lower"]
    assert {quantity_of(key) for key in keys} == {"height"}
    assert quantity_of("prob(percent)") == quantity_of("prob+-sd") == "prob"
    assert quantity_of("mass_loss") == "mass_loss"


def test_the_record() -> None:
    record = {"b": [1, np.float64(0.5), np.int64(2)], "a": {"x": math.nan, "y": (math.inf, None)}, "é": np.ones(2)}
    data = rendered(write_record, record)
    assert json.loads(data) == {"b": [1, 0.5, 2], "a": {"x": None, "y": [None, None]}, "é": [1, 1]}
    assert data.decode().startswith('{\n  "b"')
    assert data.endswith(b"}\n")


STALE = (
    "&mass=9,mass_se=9,mass_89%_HPD={9,9},mass_95%_CI={9,9},rate=0.1",
    "&&NHX:mass=9:mass_99.9%_CI_lower=9:mass_95_CI_upper=9:S=human",
    "&mass=9",
)


@pytest.mark.parametrize("write", [write_nexus, write_nhx, write_phyloxml])
def test_all_older_figures_of_a_trait_are_replaced(write: Any) -> None:
    phylogeny = star("A", "B", annotations={1: STALE})
    found = reconstruct(phylogeny)
    text = rendered(write, phylogeny, found).decode()
    assert rendered(write, star("A", "B", annotations={1: ("&rate=0.1", "&&NHX:S=human")}), found).decode() == text
    assert text.count("rate") == text.count("human") == 1
    assert replaced_notes(phylogeny, ("height", "mass")) == (
        "annotations 'mass', 'mass_89%_HPD', 'mass_95%_CI', 'mass_95_CI_upper', 'mass_99.9%_CI_lower' and 1 more "
        "of the tree are replaced by those of trait 'mass'",
    )
    assert replaced_notes(phylogeny, ("height", "mas")) == ()


@pytest.mark.parametrize("name", ["a\tb", "a\nb", " a", "a ", "a  b"])
def test_names_whose_white_space_phyloxml_would_lose_are_refused(name: str) -> None:
    message = re.escape(f"phyloXML does not keep the white space in the name of tip {name!r} (write .nex, .nwk")
    with pytest.raises(OptionError, match=message):
        rendered(write_phyloxml, star("A", name))
    assert b"<name>a b</name>" in rendered(write_phyloxml, star("A", "a b"))
