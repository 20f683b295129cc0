"""The workflow, run by the real snakemake: to its end, cut off half way, refused."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ROOT, RUNS, TRAIT, lay_out, products

# Slow: Snakemake starts a process for every run of every test.
pytestmark = pytest.mark.slow

Finished = Callable[..., subprocess.CompletedProcess[str]]
TWO_CORES = ("--cores", "2", "--config", "samples=runs.tsv")
ANALYSES = tuple(yaml.safe_load((ROOT / "workflow" / "config.yaml").read_text())["analyses"])
ENDS = ("csv", "nex", "json", "html")
MADE = {f"{run}/{analysis}.{end}" for run in RUNS for analysis in ANALYSES for end in ENDS}


def test_every_run_is_done_and_merged(whole: Path, snakemake: Any) -> None:
    results = whole / "results"
    assert set(products(results)) == {*MADE, "all.csv", "report.html"}
    with (results / "all.csv").open(encoding="utf-8", newline="") as stream:
        merged = list(csv.DictReader(stream))
    expected = []
    for run in RUNS:
        for analysis in ANALYSES:
            with (results / run / f"{analysis}.csv").open(encoding="utf-8", newline="") as stream:
                expected += [{"run": run, "analysis": analysis, **row} for row in csv.DictReader(stream)]
    assert [{key: row[key] for key in one} for row, one in zip(merged, expected, strict=True)] == expected
    assert all(not row[key] for row, one in zip(merged, expected, strict=True) for key in set(row) - set(one))
    assert {row["trait"] for row in merged if row["run"] == "brains"} == {"ln_brain_volume"}
    # Jobs that ran at the same time have left one cache of whole programs.
    programs = snakemake.programs
    assert any(path.name.endswith(("-cache", "-program")) for path in programs.rglob("*"))
    assert not list(programs.rglob("session-*"))


class Page(HTMLParser):
    """The cells of the tables and the names of all elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.elements: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_the_report_has_every_run_and_names_are_text(whole: Path) -> None:
    text = (whole / "results" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    rows = [[cell.strip() for cell in page.cells[i : i + 8]] for i in range(0, len(page.cells), 8)]
    names = [(row[0], row[1], row[2]) for row in rows]
    assert ("named.by-strangers", "ancestral", TRAIT) in names
    assert {name[:2] for name in names} == {(run, analysis) for run in RUNS for analysis in ANALYSES}
    (brain,) = [row for row in rows if row[:2] == ["brains", "ancestral"]]
    # What the README shows.
    assert brain[2:7] == ["ln_brain_volume", "38", "2", "2.91493 [1.76291, 4.06696]", "0.025647"]
    assert not page.elements & {"img", "script", "link", "iframe"}
    assert "http" not in text


def end_group(process: subprocess.Popen[str], number: int) -> None:
    """Ends all processes of a run as schedulers do: by a signal, and those that are left ten seconds later for good."""
    os.killpg(process.pid, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_cut_off_half_way_and_run_again(
    whole: Path, snakemake: Any, finished: Finished, tmp_path: Path, number: int
) -> None:
    expected = products(whole / "results")
    folder = lay_out(tmp_path)
    process = snakemake(folder, *TWO_CORES)
    deadline = time.monotonic() + 300
    # Two are at work: when the third of eight has written, one at least has been done.
    while len(list((folder / "results").glob("*/*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    end_group(process, number)
    half = {name: content for name, content in products(folder / "results").items() if Path(name).name[0] != "."}
    assert 3 <= len(half) < len(expected)
    assert half == {name: expected[name] for name in half}
    locked = finished(folder, *TWO_CORES)
    if locked.returncode:
        # Nobody was left to take the lock away; snakemake says how.
        assert "--unlock" in locked.stderr
        assert finished(folder, *TWO_CORES, "--unlock").returncode == 0
    again = finished(folder, *TWO_CORES)
    assert again.returncode == 0, again.stderr
    assert products(folder / "results") == expected


def test_what_is_refused_is_said_however_quiet_and_stops_nothing_else(finished: Finished, tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    (folder / "broken.nwk").write_text("(A:1,B:1;")
    rows = ["name\ttree\ttraits", "broken\tbroken.nwk\ttable.csv", "good\tdata/primates.nwk\tdata/primates.csv"]
    (folder / "runs.tsv").write_text("\n".join(rows))
    message = "hx: broken.nwk: line 1, column 1: unbalanced parentheses"
    silent = finished(folder, *TWO_CORES, "--quiet", "all")
    assert silent.returncode == 1
    assert silent.stderr.count(message) == len(ANALYSES)
    quiet = finished(folder, *TWO_CORES, "--quiet")
    assert quiet.returncode == 1
    assert message in quiet.stderr
    assert "returned non-zero exit status 2" in quiet.stderr
    made = products(folder / "results")
    assert set(made) == {f"good/{analysis}.{end}" for analysis in ANALYSES for end in ENDS}
    for analysis in ANALYSES:
        assert message in (folder / "results" / "logs" / f"broken.{analysis}.log").read_text()


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("name\ttree\ttraits\n../x\tt\tt\n", "runs.tsv: row 2: name: '../x' does not match"),
        ("name\ttree\na\tt\n", "runs.tsv: row 2: 'traits' is a required property"),
        ("name\ttree\ttraits\tcolour\na\tt\tt\tred\n", "row 2: Additional properties are not allowed ('colour' was"),
        ("name\ttree\ttraits\na\tt\tt\tx\n", "runs.tsv: row 2: more cells than the header has"),
        (
            "name\ttree\ttraits\na\tworkflow/Snakefile\tworkflow/Snakefile\n\na\tworkflow/Snakefile\tworkflow/Snakefile\n",
            "a second run named 'a' (rename one)",
        ),
        ("name\ttree\ttraits\na\tno tree.nwk \tdata/primates.csv\n", "row 2: tree: no such file: 'no tree.nwk'"),
        (
            "name;tree;traits\na;t;t\n",
            "runs.tsv: row 1: semicolons between the cells, where the sample sheet needs tabs",
        ),
        ("name,tree,traits\na,t,t\n", "runs.tsv: row 1: commas between the cells"),
        ("\ufeffname\ttree\ttraits\n", "runs.tsv: no runs"),
        ("name\ttree\ttraits\n", "runs.tsv: no runs (add a row with name, tree and traits)"),
    ],
)
def test_sample_sheets_are_checked(finished: Finished, tmp_path: Path, sheet: str, message: str) -> None:
    folder = lay_out(tmp_path)
    (folder / "runs.tsv").write_text(sheet)
    done = finished(folder, *TWO_CORES, "--dry-run")
    assert done.returncode == 1
    assert message in done.stdout


def test_a_sheet_in_utf_16_is_named(finished: Finished, tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    (folder / "runs.tsv").write_text("name\ttree\ttraits\n", encoding="utf-16")
    done = finished(folder, *TWO_CORES, "--dry-run")
    assert done.returncode == 1
    assert "runs.tsv: the sample sheet is UTF-16" in done.stdout


def test_blanks_and_homes_in_a_sheet(finished: Finished, tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    (folder / "runs.tsv").write_text("name \ttree\ttraits\t\t\na\t data/primates.nwk \tdata/primates.csv \t\t\n")
    done = finished(folder, *TWO_CORES, "results=~/mine", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(Path.home() / "mine" / "all.csv") in done.stdout
    assert not (folder / "~").exists()


def test_the_configuration_is_checked(finished: Finished, tmp_path: Path) -> None:
    done = finished(lay_out(tmp_path), *TWO_CORES, "threads=0", "--dry-run")
    assert done.returncode == 1
    assert "config: threads: 0 is less than the minimum of 1 (see workflow/schemas/config.schema.yaml)" in done.stdout


def test_it_plans_and_lints(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    (tmp_path / "data").symlink_to(ROOT / "data")
    plan = finished(tmp_path, "--cores", "2", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.count("rule analyse:") == 2 * len(ANALYSES)
    assert not (tmp_path / "results").exists()
    lint = finished(tmp_path, "--lint")
    assert (lint.returncode, "in a good condition" in lint.stderr) == (0, True)


def test_the_profile_for_slurm_is_what_snakemake_understands(finished: Finished, tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    plan = finished(folder, "--profile", "workflow/profiles/slurm", "--config", "samples=runs.tsv", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    # One job of the scheduler for all, because fifty fit into it.
    assert "analyse" in plan.stdout


def test_trees_scatter_over_parts_and_come_together(snakemake: Any, finished: Finished, tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    sheet = "name\ttree\ttraits\tshards\nsample\tdata/sample.trees\tdata/primates.csv\t4\n"
    (folder / "runs.tsv").write_text(sheet)
    # The posterior of every tree by itself takes longer, and no other way.
    run = ("results/sample/ancestral.csv", *TWO_CORES, "--rerun-incomplete")
    process = snakemake(folder, *run)
    deadline = time.monotonic() + 300
    while not list((folder / "results").glob("sample/*.part")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    end_group(process, signal.SIGTERM)
    assert not (folder / "results" / "sample" / "ancestral.csv").exists()
    again = finished(folder, *run)
    if again.returncode:
        assert "--unlock" in again.stderr
        assert finished(folder, *run, "--unlock").returncode == 0
        again = finished(folder, *run)
    assert again.returncode == 0, again.stderr
    whole = [sys.executable, "-m", "hxcli", "ancestral", "data/sample.trees", "data/primates.csv", "--all-trees"]
    subprocess.run([*whole, "-q", "-o", "whole"], cwd=folder, check=True)
    for end in ("csv", "nex", "trees.csv"):
        made = folder / "results" / "sample" / f"ancestral.{end}"
        assert made.read_bytes() == (folder / f"whole.{end}").read_bytes()
    assert not list((folder / "results").rglob("*.part"))
