"""Whole runs of the analyses in this process: what is written, what is said, what is left alone."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import pytest

from hxcli import __version__

FILES = ("tree.nwk", "traits.csv")
COMMANDS = {"ancestral": (), "mean": (), "posterior": ("--sigma2", "0.5", "--no-noise")}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(("command", "options"), COMMANDS.items())
def test_writes_table_tree_and_record_beside_each_other(hx, here, command, options):
    done = hx(command, *FILES, *options)
    assert (done.code, done.out) == (0, "")
    extensions = [".csv", ".nex", *[".params.csv"] * (command == "posterior"), ".json"]
    written = [f"tree.{command}{extension}" for extension in extensions]
    assert done.err.splitlines()[-1] == f"wrote {', '.join(written)}"
    assert sorted(path.name for path in here.iterdir()) == sorted([*FILES, *written])
    rows = rows_of((here / written[0]).read_text())
    assert len(rows) == 2 * 7
    record = json.loads((here / written[-1]).read_text())
    root = record["results"][0]["traits"][0]["root"]
    first = next(row for row in rows if not row["parent"] and row["trait"] == "mass")
    assert float(first["estimate"]) == root["estimate"]


def test_the_summary_says_what_was_found(hx):
    lines = hx("ancestral", *FILES, "--estimator", "ml", "--level", "0.9", "--out-table", "x.csv").err.splitlines()
    assert lines[0].endswith("4 tips, 7 nodes; 0.9 CI in brackets")
    assert lines[1].split("  ")[1] == "trait"
    mass, size = lines[2], lines[3]
    assert mass.split()[0] == "mass"
    assert "sigma2 (ML)" in lines[1]
    assert "tau2" not in lines[1]
    assert mass.split()[-2:] == ["4", "0"]
    assert size.split()[-2:] == ["3", "1"]


def test_the_record_says_how(hx, here):
    assert hx("ancestral", *FILES, "-o", "new/run", "--column", "mass", "--device", "cpu").code == 0
    record = json.loads((here / "new" / "run.json").read_text())
    assert record["command"] == "ancestral"
    assert record["version"] == __version__
    assert set(record["libraries"]) == {"jax", "jaxlib", "numpy", "Python"}
    assert record["inputs"]["tree"] == {
        "file": "tree.nwk",
        "sha256": hashlib.sha256((here / "tree.nwk").read_bytes()).hexdigest(),
        "format": "newick",
        "trees": 1,
        "tree_index": 1,
        "tips": 4,
        "nodes": 7,
    }
    assert record["inputs"]["traits"]["sha256"] == hashlib.sha256((here / "traits.csv").read_bytes()).hexdigest()
    assert record["options"]["columns"] == ["mass"]
    assert record["options"]["estimator"] == "REML"
    assert (record["device"], record["precision"], record["seed"]) == ("cpu:0", 64, None)
    (trait,) = record["results"][0]["traits"]
    assert (trait["name"], trait["tips_used"], trait["tips_missing"]) == ("mass", 4, 0)
    assert trait["parameters"]["sigma2"]["how"] == "REML"
    assert trait["parameters"]["tau2"] == {"value": 0.0, "how": "given"}
    assert "likelihood" in trait["parameters"]["log_likelihood"]["how"]
    assert set(record["timings"]["stages"]) >= {"reading the tree", "computing"}
    assert record["timings"]["peak_memory_bytes_so_far"].keys() == record["timings"]["stages"].keys()


def test_the_same_run_gives_the_same_bytes(hx, here):
    contents = []
    for _ in range(2):
        assert hx("ancestral", *FILES, "-o", "run").code == 0
        record = json.loads((here / "run.json").read_text())
        del record["timings"]
        contents.append(((here / "run.csv").read_bytes(), (here / "run.nex").read_bytes(), record))
    assert contents[0] == contents[1]


def test_only_what_is_named_is_written(hx, here):
    done = hx("ancestral", *FILES, "--out-tree", "out.nwk", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert sorted(path.name for path in here.iterdir()) == sorted([*FILES, "out.nwk"])


def test_a_streamed_table_is_all_of_standard_output(hx, here):
    done = hx("mean", *FILES, "--out-table", "-")
    assert done.code == 0
    assert len(rows_of(done.out)) == 14
    assert "wrote" not in done.err
    assert sorted(path.name for path in here.iterdir()) == sorted(FILES)


def test_missing_tips_and_other_rows_are_said(hx, here):
    (here / "traits.csv").write_text("name,mass\nA,1\nB,2\nD,4\nE,5\n")
    done = hx("ancestral", *FILES, "-o", "run")
    assert done.code == 0
    assert "hx: note: 1 of 4 tips without a row in the table: 'C'" in done.err
    assert "hx: note: 1 row without a tip in the tree: 'E'" in done.err
    tips = json.loads((here / "run.json").read_text())["results"][0]["tips"]
    assert (tips["with_data"], tips["without_data"], tips["rows_dropped"]) == (3, 1, 1)
    assert hx("ancestral", *FILES, "--strict").code == 2


def test_lengths_that_are_missing_need_a_word(hx, here):
    (here / "tree.nwk").write_text("((A,B:1):1,C:2,D:-2);\n")
    refused = hx("ancestral", *FILES, "--negative-lengths", "zero")
    assert refused.code == 2
    assert "--missing-lengths" in refused.err
    done = hx("ancestral", *FILES, "--negative-lengths", "zero", "--missing-lengths", "1", "-o", "run")
    assert done.code == 0
    notes = ["1 missing edge length is read as 1", "1 negative edge length is read as 0"]
    assert [line for line in done.err.splitlines() if "edge length" in line] == [f"hx: note: {note}" for note in notes]
    assert json.loads((here / "run.json").read_text())["notes"][-2:] == notes


def test_a_failing_run_leaves_the_older_products(hx, here):
    assert hx("ancestral", *FILES, "-o", "run").code == 0
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    (here / "tree.nwk").write_text("((A:0,B:0):1,(C:1,D:1):1);\n")
    before["tree.nwk"] = (here / "tree.nwk").read_bytes()
    done = hx("ancestral", *FILES, "-o", "run")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_said(hx, here):
    before = sorted(path.name for path in here.iterdir())
    done = hx("ancestral", *FILES, "-o", "traits.csv/run")
    assert done.code == 1
    assert done.err.startswith("hx: traits.csv/run.csv: cannot be written: ")
    assert done.err.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_device_that_is_not_there_names_those_that_are(hx):
    done = hx("ancestral", *FILES, "--device", "gpu:99")
    assert done.code == 2
    assert done.err.startswith("hx: --device gpu:99: not here; JAX sees ")
    assert "cpu:0" in done.err
    assert done.err.count("\n") == 1


def test_a_cache_that_cannot_be_written_costs_a_note(hx, here, monkeypatch):
    monkeypatch.setenv("HX_CACHE_DIR", str(here / "traits.csv" / "cache"))
    done = hx("ancestral", *FILES, "-o", "run")
    assert done.code == 0
    notes = [line for line in done.err.splitlines() if line.startswith("hx: note")]
    assert len(notes) == 1
    assert notes[0].startswith("hx: note: compiled programs are not kept")
    silent = hx("ancestral", *FILES, "-o", "run", "--no-cache")
    assert "hx: note" not in silent.err


def test_verbose_lists_the_stages(hx):
    lines = hx("ancestral", *FILES, "--out-table", "x.csv", "-v").err.splitlines()
    stages = lines[next(i for i, line in enumerate(lines) if line.split()[0] == "stage") + 1 : -1]
    assert [line.split("  ")[1] for line in stages] == [
        "reading the tree",
        "reading the table",
        "matching",
        "starting JAX",
        "computing",
        "writing",
    ]


def test_devices_lists_names_that_device_takes(hx):
    done = hx("devices")
    assert done.code == 0
    names = [line.split("\t")[0] for line in done.out.splitlines()]
    assert "cpu:0" in names
    assert "jaxlib" in done.err
    for name in names:
        assert hx("ancestral", *FILES, "--out-json", "run.json", "--device", name).code == 0


def test_the_record_names_the_column_of_standard_errors(hx, here):
    (here / "traits.csv").write_text("name,x,y,x_se\nA,1,1,0.1\nB,2,3,0.1\nC,3,2,0.1\nD,4,5,0.2\n")
    assert hx("ancestral", *FILES, "--out-json", "run.json").code == 0
    traits = json.loads((here / "run.json").read_text())["results"][0]["traits"]
    assert {trait["name"]: trait["standard_errors_from"] for trait in traits} == {"x": "x_se", "y": None}


def test_a_run_on_an_annotated_tree_replaces_what_it_says_of_the_trait(hx, here):
    assert (
        hx("posterior", *FILES, "--sigma2", "0.5", "--no-noise", "--out-tree", "old.nex", "--column", "mass").code == 0
    )
    again = ("ancestral", "old.nex", "traits.csv", "--column", "mass")
    done = hx(*again, "--level", "0.9", "-o", "new")
    note = "annotations 'mass', 'mass_95%_HPD', 'mass_se' of the tree are replaced by those of trait 'mass'"
    assert f"hx: note: {note}" in done.err
    assert note in json.loads((here / "new.json").read_text())["notes"]
    assert (here / "new.nex").read_text().count("mass_90%_CI") == 7
    assert "HPD" not in (here / "new.nex").read_text()
    assert "replaced" not in hx(*again, "--out-tree", "plain.nwk").err


def test_a_posterior_writes_draws_and_predictions_where_they_are_asked_for(hx, here):
    done = hx("posterior", *FILES, "-o", "run", "--draws", "5", "--seed", "7", "--loo", "--column", "mass")
    assert done.code == 0
    assert "run.loo.csv, run.draws.parquet" in done.err
    assert [row["node"] for row in rows_of((here / "run.loo.csv").read_text())] == ["A", "B", "C", "D"]
    record = json.loads((here / "run.json").read_text())
    assert record["seed"] == 7
    details = record["results"][0]["traits"][0]["posterior"]
    assert details["method"] == "quadrature"
    assert details["priors"]["sigma2"].startswith("lognormal(")
    assert details["leave_one_out"]["tips"] == 4
    assert 0 <= details["error_bound"] < 1e-3
    texts = []
    for _ in range(2):
        assert hx("posterior", *FILES, "--draws", "5", "--draws-out", "d.csv", "--column", "mass").code == 0
        texts.append((here / "d.csv").read_text())
    assert texts[0] == texts[1]
    assert len(rows_of(texts[0])) == 5
    assert not (here / "tree.posterior.csv").exists()


def test_trees_have_the_highest_density_interval_and_tables_both(hx, here):
    assert hx("posterior", *FILES, "-o", "run", "--column", "mass", "--root", "normal:0,1").code == 0
    root = rows_of((here / "run.csv").read_text())[0]
    text = (here / "run.nex").read_text()
    assert f"mass_95%_HPD={{{root['hpd_lower']},{root['hpd_upper']}}}" in text
    assert root["hpd_lower"] != root["lower"]
