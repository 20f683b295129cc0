"""`hx check`: the report, its JSON, and what it exits with."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest

from ..conftest import SHARED

CORPUS = SHARED / "corpus"


def test_says_what_was_read_and_ends_with_ready(hx):
    done = hx("check", "tree.nwk", "traits.csv")
    assert done.code == 0
    assert done.out == ""
    assert done.err.splitlines() == [
        "tree     tree.nwk: newick, 1 tree",
        "nodes    4 tips, 7 nodes, 2 levels deep",
        "shape    binary, rooted by its shape, not ultrametric",
        "lengths  5.5 in total, 2 to the farthest tip; 0 missing, 0 zero, 0 negative",
        "table    traits.csv: 4 rows",
        "trait    mass: 4 values, 0 missing, 1.5 to 5.5",
        "trait    size: 3 values, 1 missing, 10 to 40",
        "match    4 of 4 tips (4 exactly); 0 tips without data, 0 rows without a tip",
        "ready",
    ]


def test_json_holds_the_same_figures(hx):
    done = hx("check", "tree.nwk", "traits.csv", "--json", "-")
    assert done.code == 0
    assert done.err == ""
    found = json.loads(done.out)
    assert found["trees"] == 1
    assert found["tree"] == {
        "tips": 4,
        "nodes": 7,
        "total_edge_length": 5.5,
        "max_root_to_tip": 2.0,
        "tip_names_sha1": hashlib.sha1(b"A\nB\nC\nD").hexdigest(),
        "rooted": True,
        "rooted_stated": False,
        "binary": True,
        "ultrametric": False,
        "polytomies": 0,
        "one_child_nodes": 0,
        "missing_lengths": 0,
        "zero_lengths": 0,
        "negative_lengths": 0,
        "depth": 2,
    }
    assert found["traits"]["columns"]["size"] == {"n": 3, "missing": 1, "min": 10.0, "max": 40.0}
    assert found["traits"]["matched"] == 4
    assert (found["traits"]["tips_without_data"], found["traits"]["rows_without_tip"]) == (0, 0)
    assert found["ready"]


def test_missing_and_negative_lengths_are_reported_not_refused(hx, here):
    (here / "gaps.nwk").write_text("((A,B:-1):2,C:0,D:1);\n((A:1,B:1):1,C:2);\n")
    done = hx("check", "gaps.nwk")
    assert done.code == 0
    assert "1 missing, 1 zero, 1 negative" in done.err
    assert "needs    --tree-index K or --all-trees, because the file holds 2 trees" in done.err
    assert "needs    --missing-lengths X, because 1 of 5 edges lack a length" in done.err
    assert "needs    --negative-lengths zero, because 1 of 5 edges are negative" in done.err
    assert done.err.splitlines()[-1] == "ready, with the options that are needed"
    second = hx("check", "gaps.nwk", "--tree-index", "2")
    assert "3 tips, 5 nodes" in second.err
    assert second.err.splitlines()[-1] == "ready"


def test_a_table_of_other_names_stands_in_the_way(hx, here):
    (here / "other.csv").write_text("name,mass\nX,1\nY,2\n")
    done = hx("check", "tree.nwk", "other.csv")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("hx: other.csv: no name of the table is a tip")
    done = hx("check", "tree.nwk", "other.csv", "--json", "report.json")
    report = json.loads((here / "report.json").read_text())
    assert done.code == 2
    assert not report["ready"]
    assert report["obstacle"].startswith("other.csv: no name of the table is a tip")
    assert report["traits"]["columns"]["mass"]["n"] == 2


def test_the_report_may_not_replace_an_input(hx, here):
    before = (here / "tree.nwk").read_bytes()
    done = hx("check", "tree.nwk", "--json", "tree.nwk")
    assert (done.code, done.err) == (
        2,
        "hx: --out-json tree.nwk would replace the input tree.nwk (name another file)\n",
    )
    assert (here / "tree.nwk").read_bytes() == before


@pytest.mark.shared
def test_figures_of_the_corpus():
    if not CORPUS.is_dir():
        pytest.skip(f"{CORPUS} is not there")
    from hxcli.errors import HxError
    from hxcli.run.checking import check
    from hxcli.run.inputs import InputOptions

    wrong = []
    lines = (CORPUS / "expected.tsv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    for row in rows:
        try:
            found = check(InputOptions(str(CORPUS / "good" / row["file"])))
        except HxError as error:
            if row["strictness"] == "must":
                wrong.append((row["file"], str(error)))
            continue
        tree = found.tree
        same = (found.trees, tree.tips, tree.nodes, tree.tip_names_sha1) == (
            *(int(row[name]) for name in ("n_trees", "n_tips", "n_nodes")),
            row["sha1_sorted_tip_names"],
        )
        lengths = (tree.total_edge_length, tree.max_root_to_tip)
        expected = (float(row["total_length"]), float(row["max_root_to_tip"]))
        if not same or lengths != pytest.approx(expected, rel=1e-9):
            wrong.append((row["file"], str(tree)))
    assert wrong == []
    assert len(rows) > 100


def test_values_that_no_model_can_explain_stand_in_the_way(hx, here):
    (here / "tree.nwk").write_text("(A:0,B:0,C:2);\n")
    (here / "traits.csv").write_text("name,x\nA,1\nB,2\nC,3\n")
    done = hx("check", "tree.nwk", "traits.csv")
    refusal = done.err.splitlines()[-1]
    assert done.code == 2
    assert refusal.startswith("hx: trait 'x': tips 'A' and 'B', joined by edges of length 0, have different values 1 ")
    assert "ready" not in done.err
    assert hx("ancestral", "tree.nwk", "traits.csv").err == f"{refusal}\n"
    (here / "traits.csv").write_text("name,x,x_se\nA,1,1\nB,2,0\nC,3,0\n")
    assert hx("check", "tree.nwk", "traits.csv").code == 0


def test_lengths_that_are_not_known_yet_contradict_nothing(hx, here):
    (here / "tree.nwk").write_text("(A,B,C:2);\n")
    (here / "traits.csv").write_text("name,x\nA,1\nB,2\nC,3\n")
    assert hx("check", "tree.nwk", "traits.csv").code == 0
    done = hx("check", "tree.nwk", "traits.csv", "--missing-lengths", "0")
    assert done.code == 2
    assert "note     2 missing edge lengths are read as 0" in done.err
    assert "joined by edges of length 0" in done.err
