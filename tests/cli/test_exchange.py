"""The products for other programs, as options of the commands."""

from __future__ import annotations

import json
import zipfile

import pytest

OPTIONS = ("--itol", "x.zip", "--auspice", "x.json", "--node-data", "n.json", "--named-tree", "n.nwk")


@pytest.mark.parametrize("command", [["ancestral"], ["mean"], ["posterior", "--sigma2", "1", "--no-noise"]])
def test_every_analysis_writes_them(hx, here, command):
    done = hx(command[0], "tree.nwk", "traits.csv", *command[1:], *OPTIONS)
    assert done.code == 0
    assert {path.name for path in here.iterdir()} == {"tree.nwk", "traits.csv", "x.zip", "x.json", "n.json", "n.nwk"}
    names = {"n0", "ab", "cd", "A", "B", "C", "D"}
    assert set(json.loads((here / "n.json").read_text())["nodes"]) == names
    assert json.loads((here / "x.json").read_text())["tree"]["name"] == "n0"
    assert (here / "n.nwk").read_text() == "((A:1.0,B:1.0)ab:1.0,(C:1.5,D:0.5)cd:0.5)n0;\n"
    assert zipfile.ZipFile(here / "x.zip").namelist() == ["tree.tree", "1_mass.txt", "2_size.txt"]
    assert "--named-tree" not in done.err


def test_names_that_augur_would_not_find_are_said(hx, here):
    done = hx("ancestral", "tree.nwk", "traits.csv", "--node-data", "-")
    assert done.code == 0
    assert set(json.loads(done.out)["nodes"]) >= {"n0", "ab"}
    assert "'n0' of the node data are no names of the tree's file: give augur the tree that --named-tree" in done.err


def test_a_name_that_one_format_refuses_leaves_no_product(hx, here):
    (here / "tree.nwk").write_text("(('<b>A</b>':1,B:1):1,C:2);")
    (here / "traits.csv").write_text("name,mass\n<b>A</b>,1\nB,2\nC,4\n")
    before = sorted(path.name for path in here.iterdir())
    done = hx("ancestral", "tree.nwk", "traits.csv", "-o", "run", *OPTIONS)
    assert (done.code, done.out) == (2, "")
    assert "hx: iTOL does not show the name of tip '<b>A</b>' as it is: white space and < > " in done.err
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--itol", "-"], "--itol -: the archive for iTOL is not streamed (name a file)"),
        (
            ["--itol", "x.zip.gz"],
            "x.zip.gz: no archive for iTOL is written as '.zip.gz' (use one of .zip; text also with .gz)",
        ),
        (
            ["--auspice", "x.xml"],
            "x.xml: no auspice dataset is written as '.xml' (use one of .json; text also with .gz)",
        ),
        (
            ["--auspice", "x.json", "--node-data", "x.json"],
            "--auspice and --node-data both go to x.json (name two places)",
        ),
    ],
)
def test_places_that_cannot_be_are_refused(hx, here, words, message):
    done = hx("ancestral", "tree.nwk", "traits.csv", *words)
    assert (done.code, done.err) == (2, f"hx: {message}\n")


def test_states_and_numbers_stand_in_every_product(hx, here):
    (here / "s.csv").write_text("name,habitat,mass\nA,sea,1\nB,sea|air,2\nC,air,3\nD,,4\n")
    columns = ("--column", "habitat", "--column", "mass")
    held = ("--model", "er", "--model", "bm", "--set", "q(air,sea)=0.1")
    done = hx("ancestral", "tree.nwk", "s.csv", *columns, *held, *OPTIONS, "--out-tree", "x.xml", "--plot", "x.svg")
    assert done.code == 0, done.err
    files = ["tree.tree", "1_mass.txt", "2_habitat_strip.txt", "2_habitat_pies.txt"]
    assert zipfile.ZipFile(here / "x.zip").namelist() == files
    node = json.loads((here / "n.json").read_text())["nodes"]["ab"]
    assert list(node) == ["mass", "mass_confidence", "habitat", "habitat_confidence", "habitat_entropy"]
    assert node["habitat"] == max(node["habitat_confidence"], key=node["habitat_confidence"].get) == "sea"
    colourings = json.loads((here / "x.json").read_text())["meta"]["colorings"]
    assert [(each["key"], each["type"]) for each in colourings] == [("mass", "continuous"), ("habitat", "categorical")]
    tree = (here / "x.xml").read_text()
    assert 'ref="hx:mass_se"' in tree
    assert 'ref="hx:habitat.prob"' in tree
