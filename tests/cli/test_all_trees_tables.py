"""`--all-trees` on analyses whose answer is tables: what single runs find, pooled by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import hxcli
from hxcli.analyses.regress.regress import regress
from hxcli.formats.source import checked_source
from hxcli.formats.tables.read import read_table
from hxcli.run.matching import match
from tests.samples import mixture_quantile, phylogenies_of, sample_text

TREES, TIPS = 4, 9


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def sample(here: Path) -> str:
    trees = sample_text(5, TREES, TIPS, polytomies=False)
    (here / "sample.nwk").write_text(trees)
    values = np.random.default_rng(5).normal(size=(TIPS, 2))
    rows = [f"s{i:03d},{a:.4f},{b:.4f},{'sea' if i % 3 else 'land'}" for i, (a, b) in enumerate(values)]
    (here / "sample.csv").write_text("tip,mass,wing,habitat\n" + "\n".join(rows) + "\n")
    return trees


def test_coefficients_are_pooled_as_states_are(hx, here: Path, sample: str) -> None:
    asked = ("regress", "sample.nwk", "sample.csv", "mass ~ wing + habitat", "--all-trees")
    assert hx(*asked, "-o", "all").code == 0
    table, _ = read_table(checked_source("sample.csv", (here / "sample.csv").read_bytes()))
    found, sigma2 = [], []
    for phylogeny in phylogenies_of(sample):
        seen, _, _ = match(phylogeny, table, texts=("",))
        one = regress(phylogeny, seen, formula="mass ~ wing + habitat")
        coefficients = one.tables["coefficients table"]
        found.append([coefficients["estimate"], coefficients["se"]])
        sigma2.append(one.tables["regression table"]["sigma2"][0])
    estimates, errors = np.array(found).transpose(1, 2, 0)
    rows = _rows(here / "all.coefficients.csv")
    assert [row["term"] for row in rows] == ["Intercept", "wing", "habitat[T.sea]"]
    for row, each, error in zip(rows, estimates, errors, strict=True):
        within, between = np.sqrt((error**2).mean()), each.std()
        figures = [each.mean(), np.hypot(within, between), within, between]
        told = [float(row[name]) for name in ("estimate", "se", "se_within", "se_between")]
        np.testing.assert_allclose(told, figures, rtol=1e-9)
        for name, share in (("lower", 0.025), ("upper", 0.975)):
            np.testing.assert_allclose(float(row[name]), mixture_quantile(each, error, share), rtol=1e-6)
        assert row["trees"] == str(TREES)
    (row,) = (row for row in _rows(here / "all.regression.csv") if row["figure"] == "sigma2")
    np.testing.assert_allclose([float(row["mean"]), float(row["sd"])], [np.mean(sigma2), np.std(sigma2)], rtol=1e-9)
    of_trees = [row for row in _rows(here / "all.trees.csv") if row["parameter"] == "wing"]
    assert [row["trait"] for row in of_trees] == ["mass"] * TREES
    np.testing.assert_allclose([float(row["value"]) for row in of_trees], estimates[1], rtol=1e-12)


def test_parts_of_signal_make_the_bytes_of_one_run(hx, here: Path, sample: str) -> None:
    asked = ("signal", "sample.nwk", "sample.csv", "--permutations", "19", "--all-trees")
    hx(*asked, "-o", "all")
    for part in (2, 1):
        hx(*asked, "--shard", f"{part}/2", "-o", f"part{part}")
    hx("merge", "part2", "part1", "-o", "whole")
    for kind in ("signal", "trees"):
        assert (here / f"whole.{kind}.csv").read_bytes() == (here / f"all.{kind}.csv").read_bytes()
    of_trees = _rows(here / "all.trees.csv")
    for row in _rows(here / "all.signal.csv"):
        values = [
            float(each["value"])
            for each in of_trees
            if (each["trait"], each["parameter"]) == (row["trait"], row["figure"]) and each["value"]
        ]
        assert row["trees"] == str(len(values))
        if values:
            np.testing.assert_allclose(float(row["mean"]), np.mean(values), rtol=1e-12)
            np.testing.assert_allclose(float(row["upper"]), np.quantile(values, 0.975), rtol=1e-9)


def test_several_files_are_one_sample(hx, here: Path, sample: str) -> None:
    lines = sample.strip().splitlines()
    (here / "begin.nwk").write_text("\n".join(lines[:1]) + "\n")
    (here / "end.nwk").write_text("\n".join(lines[1:]) + "\n")
    files = ("begin.nwk", "end.nwk", "sample.csv")
    for command, more in (("regress", ("mass ~ wing",)), ("signal", ())):
        options = ("--all-trees", *(("--permutations", "19") if command == "signal" else ()))
        assert hx(command, "sample.nwk", "sample.csv", *more, *options, "-o", "all").code == 0
        done = hx(command, *files, *more, *options, "-o", "parts")
        assert done.code == 0, done.err
        kinds = ("signal", "trees") if command == "signal" else ("coefficients", "regression", "trees")
        for kind in kinds:
            assert (here / f"parts.{kind}.csv").read_bytes() == (here / f"all.{kind}.csv").read_bytes()
    # Every file loses its own beginning.
    done = hx("regress", *files, "mass ~ wing", "--all-trees", "--burn-in", "1", "--out-trees", "burnt.csv")
    assert done.code == 2 or {row["tree"] for row in _rows(here / "burnt.csv")} == {"3", "4"}
    assert "summary tree" not in done.err
    done = hx("signal", *files)
    assert (
        "3 files, where a tree and a table are expected (several tree files need --all-trees; join tables into one)"
        in done.err
    )
    assert hx("regress", *files, "mass ~ wing").code == 2
    done = hx("signal", "begin.nwk", "sample.csv", "sample.csv", "--all-trees")
    assert "sample.csv: not a tree file: it looks like a table" in done.err


def test_python_takes_several_files_too(hx, here: Path, sample: str) -> None:
    lines = sample.strip().splitlines()
    for number, part in enumerate((lines[:2], lines[2:])):
        (here / f"run{number}.nwk").write_text("\n".join(part) + "\n")
    found = hxcli.regress(["run0.nwk", "run1.nwk"], "sample.csv", "mass ~ wing", all_trees=True)
    assert hx("regress", "sample.nwk", "sample.csv", "mass ~ wing", "--all-trees", "-o", "all").code == 0
    told = [float(row["estimate"]) for row in _rows(here / "all.coefficients.csv")]
    np.testing.assert_array_equal(found.table("coefficients table")["estimate"].to_numpy(), told)


def test_what_one_tree_alone_has_is_refused(hx, here: Path, sample: str) -> None:
    asked = ("regress", "sample.nwk", "sample.csv", "mass ~ wing", "--all-trees")
    done = hx(*asked, "--against", "mass ~ 1")
    assert done.code == 2
    assert "--against does not go with --all-trees" in done.err
    done = hx(*asked, "--out-residuals", "r.csv")
    assert "--out-residuals does not go with --all-trees" in done.err
    done = hx("signal", "sample.nwk", "sample.csv", "--burn-in", "1")
    assert "--burn-in is about many trees" in done.err
