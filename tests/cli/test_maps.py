"""`hx maps`: histories that fit the tips, and whose means are the exact expectations."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Result

Hx = Callable[..., Result]
# Irreversible rates, an edge of length 0, a polytomy, a very short and a long edge.
TREE = "((A:1,B:0):0.5,(C:1e-9,D:2.5):1e-9,E:0.7,F:3);"
TABLE = "name,s\nA,x\nB,y\nC,z\nD,x|y\nE,\nF,z\n"
RATES = {"x,y": 0.9, "x,z": 0.2, "y,x": 0.05, "y,z": 1.1, "z,x": 0.4}
HELD = [f"--set=q({pair})={rate}" for pair, rate in RATES.items()]
MAPS = 2000


@pytest.fixture
def drawn(hx: Hx, here: Path) -> Path:
    (here / "t.nwk").write_text(TREE)
    (here / "t.csv").write_text(TABLE)
    options = ["--column", "s", "--model", "ard", *HELD, "--set=q(z,y)=0.3", "-n", str(MAPS), "--seed", "7"]
    done = hx("maps", "t.nwk", "t.csv", *options, "-o", "m")
    assert done.code == 0, done.err
    return here


def test_means_are_the_exact_expectations_within_their_error(drawn: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((drawn / "m.expected.csv").read_text())))
    assert [row["quantity"] for row in rows] == ["dwell"] * 3 + ["changes"] * 6
    for row in rows:
        error = float(row["sd"]) / np.sqrt(MAPS)
        assert abs(float(row["mean"]) - float(row["expected"])) <= 4 * error
    # All time is spent in some state.
    assert sum(float(row["expected"]) for row in rows[:3]) == pytest.approx(7.7 + 2e-9, rel=1e-9)


def test_every_map_fits_the_tips_and_keeps_the_lengths(drawn: Path) -> None:
    lines = (drawn / "m.maps.nwk").read_text().splitlines()
    assert len(lines) == MAPS
    lengths = {"A": 1, "B": 0, "C": 1e-9, "D": 2.5, "E": 0.7, "F": 3}
    allowed = {"A": "x", "B": "y", "C": "z", "D": "xy", "E": "xyz", "F": "z"}
    changed = 0
    for line in lines[:200]:
        for tip, path in re.findall(r"([A-F]):\{([^}]*)\}", line):
            steps = [step.split(",") for step in path.split(":")]
            assert steps[0][0] in allowed[tip]
            assert sum(float(length) for _, length in steps) == pytest.approx(lengths[tip], abs=1e-12)
            assert all(a != b for (a, _), (b, _) in pairwise(steps))
            changed += len(steps) > 1
    assert changed


def test_the_same_seed_draws_the_same_maps(hx: Hx, here: Path) -> None:
    (here / "s.csv").write_text("name,s\nA,x\nB,x\nC,y\nD,y\n")
    first, again, other = (
        hx("maps", "tree.nwk", "s.csv", "--column", "s", "-n", "20", "--seed", seed, "--out-maps", "-").out
        for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_numbers_and_several_traits_are_refused(hx: Hx, here: Path) -> None:
    assert "draws histories of states" in hx("maps", "tree.nwk", "traits.csv").err
    (here / "s.csv").write_text("name,s,t\nA,x,u\nB,x,v\nC,y,u\nD,y,v\n")
    assert "one trait of states at a time" in hx("maps", "tree.nwk", "s.csv", "--column", "s", "--column", "t").err
