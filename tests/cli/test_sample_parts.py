"""Parts of a sample and processes that share it: what they make together is what one run makes."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import HX
from tests.samples import sample_text, trait_text

ENDS = (".csv", ".trees.csv", ".ages.csv", ".nex")
TREES, TIPS = 12, 9


@pytest.fixture
def sample(here: Path) -> None:
    (here / "sample.nwk").write_text(sample_text(3, TREES, TIPS))
    (here / "sample.csv").write_text(trait_text(3, TIPS))


def _products(folder: Path, prefix: str) -> dict[str, bytes]:
    return {end: (folder / f"{prefix}{end}").read_bytes() for end in ENDS}


def test_parts_merge_to_the_bytes_of_one_run(here, hx, sample):
    run = ("ancestral", "sample.nwk", "sample.csv", "--all-trees", "--burn-in", "2")
    assert hx(*run, "-o", "whole").code == 0
    prefixes = [f"part{number}" for number in (1, 2, 3)]
    for number, prefix in enumerate(prefixes, 1):
        done = hx(*run, "--shard", f"{number}/3", "-o", prefix)
        assert done.code == 0, done.err
        first = (here / f"{prefix}.part").read_bytes()
        assert sorted(path.name for path in here.glob(f"{prefix}*")) == [f"{prefix}.part"]
    assert hx(*run, "--shard", "3/3", "-o", "part3").code == 0
    assert (here / "part3.part").read_bytes() == first
    random.Random(1).shuffle(prefixes)
    done = hx("merge", *prefixes, "-o", "merged")
    assert done.code == 0, done.err
    assert _products(here, "merged") == _products(here, "whole")
    other = hx("ancestral", "sample.nwk", "sample.csv", "--all-trees", "--shard", "3/3", "-o", "foreign")
    assert other.code == 0
    for parts, said in (
        (["part1", "part3"], "1 part missing: '2/3'"),
        (["part1", "part2", "part2"], "part 2 of 3, as part2.part is"),
        (["part1", "part2", "foreign"], "foreign.part: a part of another run than part1.part: the options differs"),
    ):
        done = hx("merge", *parts, "-o", "nothing")
        assert done.code == 2
        assert said in done.err
    assert not list(here.glob("nothing*"))


def test_the_tree_of_highest_clade_credibility(here, hx):
    common, rare = "((A:1,B:1):1,(C:1,D:1):1);", "((A:1,C:1):1,(B:1,D:1):1);"
    (here / "t.nwk").write_text("\n".join([rare, common, common, rare, common]) + "\n")
    (here / "t.csv").write_text("tip,x\nA,1\nB,2\nC,4\nD,8\n")
    assert hx("ancestral", "t.nwk", "t.csv", "--all-trees", "--out-table", "first.csv").code == 0
    done = hx("ancestral", "t.nwk", "t.csv", "--all-trees", "--summary-tree", "mcc", "--out-table", "mcc.csv")
    assert done.code == 0, done.err

    def inner(name: str) -> list[list[str]]:
        rows = [line.split(",") for line in (here / name).read_text().splitlines()[1:]]
        return [[row[2], row[3], row[11]] for row in rows if row[4] == "2"]

    assert inner("first.csv") == [["A", "C", "0.4"], ["B", "D", "0.4"]]
    assert inner("mcc.csv") == [["A", "B", "0.6"], ["C", "D", "0.6"]]
    (here / "one.nwk").write_text(common + "\n")
    done = hx("ancestral", "t.nwk", "t.csv", "--all-trees", "--summary-tree", "one.nwk", "--out-table", "file.csv")
    assert inner("file.csv") == inner("mcc.csv")


def test_trees_that_differ_in_their_tips(here, hx):
    (here / "t.nwk").write_text("((A:1,B:1):1,(C:1,D:1):1);\n((A:1,B:1):1,C:2);\n((A:1,D:2):1,(C:1,E:1):1);\n")
    (here / "t.csv").write_text("tip,x\nA,1\nB,2\nC,4\nD,8\nE,3\n")
    done = hx("ancestral", "t.nwk", "t.csv", "--all-trees", "-o", "x")
    assert done.code == 2
    assert "line 2, column 17: tree 2: the tree lacks 1 tip of the first ('D')" in done.err

    def table(how: str) -> dict[str, list[str]]:
        run = ("ancestral", "t.nwk", "t.csv", "--all-trees", "--missing-tips", how, "--out-table", f"{how}.csv")
        assert hx(*run).code == 0
        rows = [line.split(",") for line in (here / f"{how}.csv").read_text().splitlines()[1:]]
        return {f"{row[2]}-{row[3]}": row for row in rows}

    # Two tips are in all trees; at their common ancestor, 1 and 4 at distance 2 each.
    pruned = table("prune")
    assert sorted(pruned) == ["A-A", "A-C", "C-C"]
    assert float(pruned["A-C"][7]) == pytest.approx(2.5)
    kept = table("keep")
    assert [kept[name][11] for name in ("A-C", "A-B", "C-D")] == [
        "0.3333333333333333",
        "0.6666666666666666",
        "0.3333333333333333",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_that_share_the_trees_make_what_one_makes(here, hx_process, sample, count):
    run = ("ancestral", "sample.nwk", "sample.csv", "--all-trees", "-q")
    assert hx_process(*run, "-o", "one").code == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [*HX, *run, "--distributed", "-o", "all"],
            env=os.environ
            | {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(number),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in processes:
        # Standard output is for data, and whatever connects the processes keeps to itself.
        assert process.communicate(timeout=300) == ("", "")
        assert process.returncode == 0
    assert _products(here, "all") == _products(here, "one")


@pytest.mark.slow
def test_killed_at_any_moment_nothing_partial_stays(here, hx_process, sample):
    lines = (here / "sample.nwk").read_text() * 400
    (here / "long.nwk").write_text(lines)
    run = ("ancestral", "long.nwk", "sample.csv", "--all-trees", "-q", "-o", "out")
    for delay in (0.5, 1.5, 3.0):
        process = subprocess.Popen([*HX, *run])
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        if process.returncode != 0:
            assert not list(here.glob("out*"))
    assert hx_process(*run).code == 0
