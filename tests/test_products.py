"""Where products go."""

from __future__ import annotations

import os

import pytest

from hxcli.errors import OptionError
from hxcli.products import Products, choose_products, stem


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/primates.nwk", "primates"),
        ("primates.nwk.gz", "primates"),
        ("a.b.nex", "a.b"),
        ("-", "stdin"),
        (".nwk", ".nwk"),
        ("tree", "tree"),
    ],
)
def test_stem(path, expected):
    assert stem(path) == expected


def test_everything_goes_to_the_prefix():
    default = choose_products("mean", ("x/t.nwk", "t.csv"))
    assert default == Products("t.mean.csv", "t.mean.nex", "t.mean.json")
    assert choose_products("mean", ("t.nwk",), out="a/b") == Products("a/b.csv", "a/b.nex", "a/b.json")


def test_a_folder_as_prefix_keeps_the_default_name(tmp_path):
    expected = os.path.join(tmp_path, "t.mean.csv")
    assert choose_products("mean", ("t.nwk",), out=str(tmp_path)).table == expected
    assert choose_products("mean", ("t.nwk",), out="new/").table == "new/t.mean.csv"


def test_named_products_replace_those_of_the_prefix():
    assert choose_products("mean", ("t.nwk",), out_table="-") == Products(table="-")
    assert choose_products("mean", ("t.nwk",), out="p", out_table="q.tsv") == Products("q.tsv", "p.nex", "p.json")


def test_a_link_to_an_input_is_the_input(tmp_path):
    tree, link = tmp_path / "t.nwk", tmp_path / "link.nwk"
    tree.write_text("")
    link.symlink_to(tree)
    with pytest.raises(OptionError, match="would replace the input"):
        choose_products("mean", (str(tree),), out_tree=str(link))


def test_an_empty_path_is_refused():
    with pytest.raises(OptionError, match="empty"):
        choose_products("mean", ("t.nwk",), out_json="")
