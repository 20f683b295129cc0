"""The archive for iTOL: what each file says, read with zipfile, csv and DendroPy."""

from __future__ import annotations

import csv
import io
import re
import zipfile

import dendropy
import pytest
from hypothesis import given

from hxcli.errors import OptionError
from hxcli.formats.exchange.itol import write_itol
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from tests.formats.written import phylogenies, reconstruct, rendered, star, tree


def unpacked(found: Reconstruction) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(rendered(write_itol, found))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def rows(text: str) -> list[list[str]]:
    """The lines behind DATA, split at tabs as iTOL does."""
    head, _, data = text.partition("\nDATA\n")
    assert head.splitlines()[1] == "SEPARATOR TAB"
    read = list(csv.reader(io.StringIO(data), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert all(len(row) == 2 for row in read)
    return read


def identifiers(newick: str) -> dict[str, dendropy.Node]:
    read = dendropy.Tree.get(data=newick, schema="newick", preserve_underscores=True)
    return {node.taxon.label if node.taxon else node.label: node for node in read.preorder_node_iter()}


def test_every_node_has_an_identifier_and_a_value() -> None:
    phylogeny = tree([0, 0, 0, 1, 1, 2, 2], ["", "ab", "95x", "A_1", "B.b", "7", "x|y"], [0.25, 0.1, 1e-5, 1, 2, 3, 4])
    found = reconstruct(phylogeny, ("mass", "gape width [mm]"))
    files = unpacked(found)
    assert list(files) == ["tree.tree", "labels.txt", "1_mass.txt", "2_gape_width_mm.txt"]
    assert files["tree.tree"] == "((A_1:1.0,B.b:2.0)ab:0.1,(7:3.0,t6:4.0)95x:1e-05)n0:0.25;\n"
    nodes = identifiers(files["tree.tree"])
    assert rows(files["labels.txt"]) == [["t6", "x|y"]]
    for number, (name, trait) in enumerate((("1_mass", "mass"), ("2_gape_width_mm", "gape width [mm]"))):
        lines = files[f"{name}.txt"].splitlines()
        assert lines[0] == "DATASET_GRADIENT"
        assert f"DATASET_LABEL\t{trait}" in lines
        values = {key: float(value) for key, value in rows(files[f"{name}.txt"])}
        assert set(values) == set(nodes)
        order = ["n0", "ab", "95x", "A_1", "B.b", "7", "t6"]
        assert [values[key] for key in order] == found.estimates[:, number].tolist()


def test_inner_nodes_are_never_numbers_and_support_stays() -> None:
    named = unpacked(reconstruct(tree([0, 0, 0, 1, 1, 2, 2], ["root", "nan", "1e5", "A", "B", "C", "D"])))
    assert named["tree.tree"].startswith("((A:1.0,B:1.0)n1:1.0,(C:1.0,D:1.0)n2:1.0)root")
    assert rows(named["labels.txt"]) == [["n1", "nan"], ["n2", "1e5"]]
    supported = tree([0, 0, 0, 1, 1], ["", "", "A", "B", "C"], support=["", "100/0.99", "", "", ""])
    assert unpacked(reconstruct(supported))["tree.tree"] == "((B:1.0,C:1.0)n1:1.0[100/0.99],A:1.0)n0;\n"


def test_a_made_up_identifier_is_nobody_elses() -> None:
    files = unpacked(reconstruct(star("t2", "a b", "t2_")))
    assert files["tree.tree"] == "(t2:1.0,t2__:1.0,t2_:1.0)n0;\n"
    assert rows(files["labels.txt"]) == [["t2__", "a b"]]


def test_hostile_names_stay_text() -> None:
    names = ["O'Brien", 'say "hi"', "a,b", "(x);", "[y]", "#z", "x:y", "é", "{}", "{0}", "=1+1", "&amp;"]
    files = unpacked(reconstruct(star(*names), traits=("{}\tx\n<img src=x onerror=alert(1)>", "../../x", "X")))
    assert re.fullmatch(r"\((t\d+:1\.0,?)+\)n0;\n", files["tree.tree"])
    assert [name for _, name in rows(files["labels.txt"])] == names
    assert list(files)[2:] == ["1_x_img_src_x_onerror_alert_1.txt", "2_.._.._x.txt", "3_X.txt"]
    titles = [text.splitlines()[2] for name, text in files.items() if name[0].isdigit()]
    assert titles == ["DATASET_LABEL\t{}_x__img src=x onerror=alert(1)_", "DATASET_LABEL\t../../x", "DATASET_LABEL\tX"]


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "a\tb", "a\nb", "a\rb", " a", "a\x85b", "a\u2028b"])
def test_names_that_itol_would_not_show_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"the name of tip {name!r} as it is") + r".*leave out --itol"):
        rendered(write_itol, reconstruct(star("A", name)))


def test_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reconstruct(star("A", "B b"))
    before = rendered(write_itol, found)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert rendered(write_itol, found) == before


@given(phylogenies())
def test_dendropy_reads_the_tree_of_any_phylogeny(phylogeny: Phylogeny) -> None:
    try:
        files = unpacked(reconstruct(phylogeny))
    except OptionError:
        assert any(set(label) & set("<>") for label in phylogeny.labels.tolist())
        return
    nodes = identifiers(files["tree.tree"])
    shown = dict(rows(files["labels.txt"])) if "labels.txt" in files else {}
    tips = phylogeny.tips.tolist()
    if len({key.casefold() for key in nodes}) == phylogeny.topology.size:
        # DendroPy takes names that differ by case only for one.
        leaves = {shown.get(key, key): node for key, node in nodes.items() if node.is_leaf()}
        assert {name: node.edge.length for name, node in leaves.items()} == {
            phylogeny.labels[tip]: phylogeny.edge_lengths[tip] for tip in tips
        }
    assert len(rows(files["1_mass.txt"])) == phylogeny.topology.size
