"""Trees and tables that a program has in memory: nothing of them is lost, and they are checked as files are."""

from __future__ import annotations

import io
from typing import Any

import dendropy
import numpy as np
import pandas as pd
import polars as pl
import pytest
from Bio import Phylo

import hxcli as hx
from hxcli.api.tree_objects import LIBRARIES, newick_of
from hxcli.traits import TraitTable

# Quotes, blanks, underscores, brackets, commas, digits that are a name, and other scripts.
NAMES = ("Homo_sapiens", "Homo sapiens ssp.", "it's", "a (b), [c]; d:e", "1e5", "Ålesund 猫", "_x_")
LENGTHS = (0.1, 1 / 3, 1e-300, 12345.678901234567, 5e-324, 2.0, 0.0)


def quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def newick(inner: str = "''", other: str = "''") -> str:
    tips = [f"{quoted(name)}:{length!r}" for name, length in zip(NAMES, LENGTHS, strict=True)]
    return f"(({','.join(tips[:3])}){inner}:0.25,(({','.join(tips[3:])}){other}:0.5):0.125);"


class EteNode:
    """What ete 3 and 4 offer of a tree, as far as it is asked here. Neither can be installed for every Python."""

    def __init__(self, name: str = "", dist: Any = None, support: Any = None, children: tuple[Any, ...] = ()) -> None:
        self.name, self.dist, self.support, self.children = name, dist, support, list(children)
        self.up: Any = None
        for child in self.children:
            child.up = self


def of_dendropy(text: str) -> Any:
    return dendropy.Tree.get(data=text, schema="newick", preserve_underscores=True)


def of_biopython(text: str) -> Any:
    return Phylo.read(io.StringIO(text), "newick")


@pytest.mark.parametrize("inner", [("'c l a d e'", "'d_e'"), ("95", "100")], ids=["names", "support"])
@pytest.mark.parametrize("read", [of_dendropy, of_biopython])
def test_a_tree_of_another_library_keeps_every_name_and_length(read, inner):
    text = newick(*inner)
    found, plain = hx.read_tree(read(text)), hx.read_tree(text)
    assert found == plain
    assert set(found.tip_names) == set(NAMES)
    assert sorted(found.edge_lengths[found.tips]) == sorted(LENGTHS)


@pytest.mark.parametrize(("module", "none"), [("ete3.coretype.tree", 1.0), ("ete4.core.tree", None)])
def test_a_tree_of_ete_keeps_every_name_and_length(module, none):
    kind = type("TreeNode", (EteNode,), {"__module__": module})
    tips = [kind(name, length, none) for name, length in zip(NAMES, LENGTHS, strict=True)]
    one = kind("", 0.25, 95.0, tuple(tips[:3]))
    other = kind("", 0.5, 99.5, tuple(tips[3:]))
    root = kind("", 0.0 if none else None, none, (one, kind("", 0.125, none, (other,))))
    assert hx.read_tree(root) == hx.read_tree(newick("95", "99.5"))
    one.name = "c l a d e"
    assert hx.read_tree(root) == hx.read_tree(newick("'c l a d e'"))


def test_what_a_tree_states_of_its_root_is_kept():
    assert hx.read_tree(of_dendropy("[&R] ((A:1,B:1):1,C:1);")).rooted is True
    with pytest.warns(hx.HxWarning, match="marked as unrooted"):
        assert hx.read_tree(of_dendropy("[&U] ((A:1,B:1):1,C:1);")).rooted is False
    assert hx.read_tree(of_biopython("((A:1,B:1):1,C:1);")).rooted is None


def test_phyloxml_of_biopython_keeps_several_supports():
    text = (
        '<phyloxml xmlns="http://www.phyloxml.org"><phylogeny rooted="true"><clade><clade><confidence type="b">95'
        '</confidence><confidence type="p">0.5</confidence><clade><name>A</name></clade><clade><name>B</name></clade>'
        "</clade><clade><name>C</name></clade></clade></phylogeny></phyloxml>"
    )
    found = hx.read_tree(Phylo.read(io.StringIO(text), "phyloxml"))
    assert sorted(found.support) == ["", "", "", "", "95/0.5"]
    assert found.rooted is True


def test_a_deep_tree_of_another_library_needs_no_recursion():
    tree = of_dendropy("(A:1,B:1);")
    tip = tree.seed_node.child_nodes()[1]
    for number in range(5000):
        tip.new_child(label=f"t{number}", edge_length=1.0)
        tip = tip.new_child(edge_length=1.0)
    tip.label = "last"
    assert newick_of(tree, LIBRARIES["dendropy"]).count("(") == 5001
    assert hx.read_tree(tree).topology.depth == 5001


def test_trees_of_a_list_a_text_and_a_file_are_the_same(tmp_path):
    texts = ["((A:1,B:1):1,C:2);", "((A:1,C:1):1,B:2);"]
    file = tmp_path / "two.nwk"
    file.write_text("\n".join(texts))
    of_text, of_file = hx.read_trees("\n".join(texts)), hx.read_trees(file)
    assert of_text == of_file == hx.read_trees(texts) == hx.read_trees(of_text)
    assert of_text == hx.read_trees([texts[0], of_biopython(texts[1])])
    assert of_text == hx.read_trees(dendropy.TreeList([of_dendropy(text) for text in texts]))
    assert hx.read_tree(file, tree_index=2) == of_file[1]
    with pytest.raises(hx.InputError, match="the file holds 2 trees"):
        hx.read_tree(file)
    assert repr(of_file[0]) == "Phylogeny(3 tips, 5 nodes)"


def test_the_record_says_where_a_tree_was_read(here):
    tree, traits = hx.read_tree("tree.nwk"), hx.read_traits("traits.csv", column="mass")
    done = hx.mean(tree, traits, weights="local")
    inputs = hx.mean("tree.nwk", "traits.csv", column="mass", weights="local").record()["inputs"]
    assert done.record()["inputs"] == inputs
    assert done.record()["command_line"][2:4] == ["tree.nwk", "traits.csv"]
    (here / "tree.nwk").unlink()
    (here / "traits.csv").unlink()
    assert hx.mean(tree, traits, weights="local").table().equals(done.table())
    # Options of the analysis go before those of the reading.
    assert hx.mean(tree, traits, column="size", weights="local").found.traits == ("size",)


def test_what_reading_has_told_is_not_told_again(here):
    with pytest.warns(hx.HxWarning, match="the root has 3 branches") as told:
        tree = hx.read_tree("(A:1,B:1,(C:1,D:1):1);")
    assert len(told) == 1
    assert {warning.filename for warning in told} == {__file__}
    done = hx.mean(tree, {"A": 1.0, "B": 2.0, "C": 3.0, "D": 4.0}, weights="local")
    assert done.notes == ("the root has 3 branches, as unrooted trees have; it is used as the root",)


COLUMNS: dict[str, list[Any]] = {
    "name": ["A_a", "B b", "C", "D's"],
    "mass": [1.5, 2.5, 3.5, 5.5],
    "size": [10, 20, None, 40],
}


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        pl.DataFrame(COLUMNS),
        pl.LazyFrame(COLUMNS),
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS).set_index("name"),
        pd.DataFrame(COLUMNS).astype({"size": "Int64"}).set_index("name"),
        pd.DataFrame(COLUMNS, index=range(4)),
        {tip: {"mass": mass, "size": size} for tip, mass, size in zip(*COLUMNS.values(), strict=True)},
    ],
    ids=["columns", "polars", "lazy", "pandas", "index", "nullable", "range", "rows"],
)
def test_a_frame_or_a_dict_is_read_as_its_file_is(here, table):
    found, plain = hx.read_traits(table), hx.read_traits("traits.csv")
    assert found.names == plain.names
    assert found.traits == plain.traits
    np.testing.assert_array_equal(found.values, plain.values)
    assert repr(found) == "ReadTable(4 rows; mass, size)"


def test_values_of_one_trait_and_known_errors(here):
    one = hx.read_traits(pd.Series({"A_a": 1.5, "C": 2.5}, name="mass"))
    assert (one.traits, one.names.tolist()) == (("mass",), ["A_a", "C"])
    assert hx.read_traits({"A_a": 1.5, "C": 2}).traits == ("trait",)
    table = {"tip": ["A_a", "C"], "mass": [1.5, 2.5], "e": [0.1, 0.2]}
    with pytest.warns(hx.HxWarning, match="known standard errors of 'mass': column 'e'"):
        found = hx.read_traits(table, se_column={"mass": "e"})
    assert found.standard_errors[:, 0].tolist() == [0.1, 0.2]
    # A record that was made by hand goes the same way.
    with pytest.warns(hx.HxWarning, match="known standard errors of 'mass': column 'mass_se'"):
        again = hx.read_traits(TraitTable(found.names, found.traits, found.values, found.standard_errors))
    assert again.standard_errors.tolist() == found.standard_errors.tolist()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"tip": ["A", "A"], "x": [1.0, 2.0]}, "2 rows for 'A'"),
        ({"tip": ["A", "B"], "x": [1.0, float("inf")]}, "<traits>: row 2"),
        ({"tip": ["A", "B"], "x": ["1", "two"]}, "<traits>: row 2"),
        (pl.DataFrame({"tip": ["A"], "x": [[1.0]]}), "neither numbers nor text"),
    ],
)
def test_a_frame_is_refused_as_its_file_is(table, message):
    with pytest.raises(hx.InputError, match=message):
        hx.mean("((A:1,B:1):1,(C:1,D:1):1);", table, weights="local")


def test_what_is_neither_tree_nor_table_is_named():
    with pytest.raises(TypeError, match="tree cannot be"):
        hx.read_tree(object())
    with pytest.raises(TypeError, match="neither numbers nor text"):
        hx.read_traits({"tip": ["A"], "x": [object()]})
    with pytest.raises(hx.InputError, match=r"nothing.nwk: no such file"):
        hx.read_tree("nothing.nwk")


# Slow: it compiles what pools trees.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hxcli.errors.HxWarning")
def test_all_trees_of_a_list_are_pooled_as_those_of_a_file(here):
    texts = ["((A_a:1,'B b':1):1,(C:1,'D''s':1):1);", "((A_a:1,C:2):1,'B b':1,'D''s':1);"] * 2
    (here / "two.nwk").write_text("\n".join(texts[:2]))
    tables = []
    for trees in (texts, hx.read_trees(texts), ["two.nwk", "two.nwk"]):
        done = hx.mean(trees, "traits.csv", all_trees=True, column="mass", summary_tree=texts[0])
        assert done.products == ("table", "tree", "node ages", "trees table", "record")
        assert done.table("trees table")["tree"].unique().to_list() == [1, 2, 3, 4]
        tables.append(done.table())
    assert tables[0]["frequency"].to_list()[:3] == [1.0, 0.5, 0.5]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    with pytest.raises(
        hx.HxError, match=r"3 files, where a tree and a table are expected \(several tree files need --all-trees"
    ):
        hx.mean(["two.nwk", "two.nwk"], "traits.csv")
