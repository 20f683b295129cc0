"""What comes back: frames, figures, files, and how it shows itself."""

from __future__ import annotations

import io
import json
import re

import polars as pl
import pytest

import hxcli as hx
from hxcli.cli.app import run
from hxcli.pictures.figure import drawing_style, save

FILES = ("tree.nwk", "traits.csv")


@pytest.fixture
def done(here):
    return hx.mean(*FILES)


def test_it_shows_itself_in_a_line_and_in_a_table(done):
    assert repr(done) == (
        "<hx mean: phylogenetic mean of every clade by pruning, sigma2 by REML; 4 tips, 7 nodes; 0.95 CI in brackets>"
    )
    html = done._repr_html_()
    assert re.findall("<td>(mass|size)</td>", html) == ["mass", "size"]
    hostile = hx.mean("((A:1,B:1):1,(C:1,D:1):1);", {"t": list("ABCD"), "<b>&": [1.0, 2.0, 3.0, 4.0]})
    assert "<td>&lt;b&gt;&amp;</td>" in hostile._repr_html_()


def test_parameters_are_those_of_the_record_or_of_the_commands_table(done, here):
    found = done.parameters()
    assert found.columns == ["trait", "parameter", "value", "how"]
    sigma2 = done.record()["results"][0]["traits"][1]["parameters"]["sigma2"]
    row = found.row(by_predicate=(pl.col("trait") == "size") & (pl.col("parameter") == "sigma2"), named=True)
    assert row == {"trait": "size", "parameter": "sigma2", **sigma2}
    posterior = hx.posterior(*FILES, sigma2=0.5, no_noise=True, column="mass")
    assert posterior.parameters().equals(posterior.table("parameter table"))
    with pytest.raises(hx.HxError, match=r"hx mean has no table 'draws' \(it has table\)"):
        done.table("draws")


@pytest.mark.parametrize("kind", ["contmap", "traitgram", "tree"])
def test_a_picture_is_the_one_of_the_command(done, here, kind):
    figure = hx.ancestral(*FILES).plot(kind, trait="size", colormap="cividis")
    assert run(["plot", *FILES, "-q", "--column", "size", "--kind", kind, "--colormap", "cividis", "-o", "x.png"]) == 0
    stream = io.BytesIO()
    with drawing_style():
        save(figure, stream, "png")
    assert stream.getvalue() == (here / "x.png").read_bytes()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_pictures_refuse_what_the_command_refuses(done):
    for options, message in (
        ({"trait": "no"}, r"there is no trait 'no' \(there are mass, size\)"),
        ({"kind": "pie"}, "Invalid value for '--kind'"),
        ({"kind": "traitgram", "layout": "circular"}, "cannot be circular"),
        ({"colormap": "no"}, "no colour map is called 'no'"),
    ):
        with pytest.raises(hx.HxError, match=message):
            done.plot(**options)


@pytest.mark.parametrize(
    ("path", "begin"),
    [
        ("a.csv", b"node,parent"),
        ("a.nex", b"#NEXUS"),
        ("new/a.nwk", b"(("),
        ("a.json", b"{"),
        ("a.html", b"<!doctype html>"),
        ("a.svg", b"<?xml"),
        ("a.zip", b"PK"),
        ("a.tsv.gz", b"\x1f\x8b"),
        ("a.parquet", b"PAR1"),
    ],
)
def test_the_extension_picks_the_product(done, here, path, begin):
    if path.endswith("svg"):
        with pytest.warns(hx.HxWarning, match="picture: 'mass', the first of 2 traits"):
            done.write(path)
    else:
        done.write(path)
    assert (here / path).read_bytes().startswith(begin)


def test_further_products_and_refusals(done, here):
    posterior = hx.posterior(*FILES, sigma2=0.5, no_noise=True, column="mass", draws=3)
    posterior.write("a.params.csv")
    assert (here / "a.params.csv").read_text().startswith("trait,parameter,prior")
    posterior.write("a.csv", "draws")
    assert len((here / "a.csv").read_text().splitlines()) == 4
    with pytest.warns(hx.HxWarning, match="no names of the tree's file"):
        done.write("a.json", "node data")
    assert "nodes" in json.loads((here / "a.json").read_text())
    done.write("b.csv", wide=True)
    assert (here / "b.csv").read_text().startswith("node,parent,tip_a,tip_b,n_tips,mass,mass_lower")
    with pytest.raises(hx.HxError, match=r"a.doc: no product is written as '.doc' \(use one of .csv"):
        done.write("a.doc")
    with pytest.raises(hx.HxError, match=r"--out-table traits\.csv would replace the input traits\.csv"):
        done.write("traits.csv")


# Few tips determine few rates, which is said.
@pytest.mark.filterwarnings("ignore::hxcli.HxWarning")
def test_states_and_maps_have_pictures_too(here):
    (here / "s.csv").write_text("name,s,mass\nA_a,x,1\nB b,x,2\nC,y,3\nD's,,4\n")
    found = hx.ancestral("tree.nwk", "s.csv", column=["s", "mass"])
    words = [text.get_text() for text in found.plot(trait="s").axes[0].texts]
    assert {"A_a", "D's", "s", "x", "y"} <= set(words)
    assert found.plot().axes
    maps = hx.maps("tree.nwk", "s.csv", column="s", maps=2)
    figure = maps.plot(state="y", layout="circular")
    assert "P(s = y)" in {axes.get_xlabel() for axes in figure.axes}
    maps.write("m.svg")
    assert (here / "m.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(hx.HxError, match="there is no state 'z'"):
        maps.plot(state="z")
