"""Where products go."""

from __future__ import annotations

import gzip
import io
import os

import numpy as np
import pytest

from hxcli.engine.topology import from_parents
from hxcli.errors import OptionError
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.run.product_kinds import Result
from hxcli.run.products import choose_products, stem, writer_for
from hxcli.text_columns import Texts
from hxcli.traits import Observations

PHYLOGENY = Phylogeny(from_parents([0, 0, 0]), np.ones(3), Texts(["", "A", "B"]), Texts.blank(3))
ONES = np.ones((3, 1))
SEEN = Observations(PHYLOGENY.tips, ONES[1:], ONES[1:] * 0, ("x",))
FOUND = Reconstruction(PHYLOGENY, ("x",), SEEN, ONES, ONES, 0.95, "CI", {}, (2,), "test")


def written(path: str, kind: str) -> bytes:
    stream = io.BytesIO()
    writer_for(path, kind)(Result(FOUND, dict), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [
        ("a.csv", "table", b"node,parent"),
        ("a.b/A.TSV", "table", b"node\tparent"),
        ("a.parquet", "table", b"PAR1"),
        ("-", "table", b"node,parent"),
        ("a.nex", "tree", b"#NEXUS"),
        ("a.nexus", "tree", b"#NEXUS"),
        ("-", "tree", b"#NEXUS"),
        ("a.nwk", "tree", b"(A:1.0,B:1.0)"),
        ("a.tree", "tree", b"(A:1.0,B:1.0)"),
        ("a.newick", "tree", b"(A:1.0,B:1.0)"),
        ("a.nhx", "tree", b"(A:1.0[&&NHX:x=1.0"),
        ("a.xml", "tree", b"<?xml"),
    ],
)
def test_the_extension_picks_the_format(path: str, kind: str, begins: bytes) -> None:
    data = written(path, kind)
    assert data.startswith(begins)
    assert data == written(path, kind)
    if path != "-" and not path.endswith("parquet"):
        zipped = written(path + ".gz", kind)
        assert gzip.decompress(zipped) == data
        # The same bytes at any time of day.
        assert zipped[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("a.xlsx", "table", r"a\.xlsx: no table is written as '\.xlsx' \(use one of \.csv \.tsv \.parquet;"),
        ("a.csv", "tree", r"no tree is written as '\.csv' \(use one of \.nex "),
        ("a.parquet.gz", "table", r"no table is written as '\.parquet\.gz'"),
        ("table", "table", "no extension"),
        ("a.gz", "tree", "no extension"),
    ],
)
def test_unknown_extensions_are_refused(path: str, kind: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        writer_for(path, kind)


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
    default = choose_products("mean", ("x/t.nwk", "t.csv"), named={})
    assert default == {"table": "t.mean.csv", "tree": "t.mean.nex", "record": "t.mean.json"}
    prefixed = choose_products("mean", ("t.nwk",), out="a/b", named={"table": None})
    assert list(prefixed.values()) == ["a/b.csv", "a/b.nex", "a/b.json"]


def test_a_folder_as_prefix_keeps_the_default_name(tmp_path):
    expected = os.path.join(tmp_path, "t.mean.csv")
    assert choose_products("mean", ("t.nwk",), out=str(tmp_path), named={})["table"] == expected
    assert choose_products("mean", ("t.nwk",), out="new/", named={})["table"] == "new/t.mean.csv"


def test_named_products_replace_those_of_the_prefix():
    assert choose_products("mean", ("t.nwk",), named={"table": "-", "tree": None}) == {"table": "-"}
    both = choose_products("mean", ("t.nwk",), out="p", named={"table": "q.tsv"})
    assert both == {"table": "q.tsv", "tree": "p.nex", "record": "p.json"}


def test_a_link_to_an_input_is_the_input(tmp_path):
    tree, link = tmp_path / "t.nwk", tmp_path / "link.nwk"
    tree.write_text("")
    link.symlink_to(tree)
    with pytest.raises(OptionError, match="would replace the input"):
        choose_products("mean", (str(tree),), named={"tree": str(link)})


def test_an_empty_path_is_refused():
    with pytest.raises(OptionError, match="empty"):
        choose_products("mean", ("t.nwk",), named={"record": ""})
