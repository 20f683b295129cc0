"""`hx maps`: histories that fit the tips, and whose means are the exact expectations."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

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


class History(NamedTuple):
    """A map as `phytools::read.simmap` gives it.

    Attributes:
        parents: Number of every node -> that of its parent; nodes are numbered as they end in the text.
        paths: Number of a node -> (state, length) pairs along its edge, from the parent on.
        names: Number of a tip -> its name.
    """

    parents: dict[int, int]
    paths: dict[int, list[tuple[str, float]]]
    names: dict[int, str]


def read_simmap(line: str) -> History:
    """Reads a line of SIMMAP Newick, version 1.0: `{state,length:state,length}` behind a colon, the tip's end first."""
    history, open_, numbers = History({}, {}, {}), [[]], count()
    last = -1
    for token, name, path in re.findall(r"([(),;])|([^(),;:{}]+)|:\{([^}]*)\}", line.strip()):
        if token == "(":
            open_.append([])
        elif token == ")":
            last = next(numbers)
            history.parents.update(dict.fromkeys(open_.pop(), last))
            open_[-1].append(last)
        elif name:
            last = next(numbers)
            history.names[last] = name
            open_[-1].append(last)
        elif path:
            steps = [step.split(",") for step in path.split(":")]
            history.paths[last] = [(state, float(length)) for state, length in reversed(steps)]
    return history


def figures_of(history: History) -> tuple[dict[str, float], dict[tuple[str, str], int], dict[str, float]]:
    """Time in every state, changes of every kind, and distance from the root at which every state is first there."""
    dwell, changes, firsts = Counter(), Counter(), {}
    distances = {next(parent for parent in history.parents.values() if parent not in history.parents): 0.0}
    for node in sorted(history.paths, key=lambda node: depth_of(history, node)):
        time = distances[history.parents[node]]
        for (state, length), after in zip(history.paths[node], [*history.paths[node][1:], None], strict=True):
            dwell[state] += length
            firsts[state] = min(firsts.get(state, np.inf), time)
            if after:
                changes[state, after[0]] += 1
            time += length
        distances[node] = time
    return dwell, changes, firsts


def depth_of(history: History, node: int) -> int:
    depth = 0
    while node in history.parents:
        node, depth = history.parents[node], depth + 1
    return depth


def test_a_reader_as_that_of_phytools_finds_the_times_and_changes_of_the_tables(drawn: Path) -> None:
    histories = [read_simmap(line) for line in (drawn / "m.maps.nwk").read_text().splitlines()]
    for history in histories[:50]:
        assert sorted(history.names.values()) == list("ABCDEF")
        for node, path in history.paths.items():
            if history.parents[node] in history.paths:
                # An edge begins in the state in which that of its parent ends.
                assert path[0][0] == history.paths[history.parents[node]][-1][0]
    found = [figures_of(history) for history in histories]
    for row in csv.DictReader(io.StringIO((drawn / "m.expected.csv").read_text())):
        which, key = (0, row["state"]) if row["quantity"] == "dwell" else (1, (row["state"], row["to"]))
        values = np.array([figures[which].get(key, 0) for figures in found])
        assert float(row["mean"]) == pytest.approx(values.mean())
        assert float(row["sd"]) == pytest.approx(values.std(ddof=1))
        # The error of a variance, from the fourth moment.
        error = np.sqrt((((values - values.mean()) ** 4).mean() - values.var() ** 2) / MAPS)
        assert abs(values.var(ddof=1) - float(row["expected_sd"]) ** 2) <= 4 * error
    for row in csv.DictReader(io.StringIO((drawn / "m.first.csv").read_text())):
        times = np.array([figures[2][row["state"]] for figures in found if row["state"] in figures[2]])
        assert float(row["reached"]) == len(times) / MAPS
        assert float(row["mean"]) == pytest.approx(times.mean())
        assert float(row["upper"]) == pytest.approx(np.quantile(times, 0.975))
        share = float(row["expected_reached"])
        assert abs(len(times) / MAPS - share) <= 4 * np.sqrt(share * (1 - share) / MAPS) + 1e-12
        assert abs(times.mean() - float(row["expected"])) <= 4 * times.std() / np.sqrt(len(times)) + 1e-12
        error = np.sqrt((((times - times.mean()) ** 4).mean() - times.var() ** 2) / len(times))
        assert abs(times.var() - float(row["expected_sd"]) ** 2) <= 4 * error + 1e-12


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


def test_a_picture_shows_the_states_along_the_edges(hx: Hx, here: Path) -> None:
    (here / "s.csv").write_text("name,s\nA,x\nB,x\nC,y\nD,\n")
    files = ("tree.nwk", "s.csv", "--column", "s", "--set", "q(x,y)=0.2", "-n", "2")
    assert hx("maps", *files, "-o", "m", "--plot", "m.svg").code == 0
    assert hx("maps", *files, "-o", "m", "--plot", "y.svg", "--plot-state", "y", "--layout", "circular").code == 0
    words = {"".join(text.itertext()) for text in ElementTree.parse(here / "m.svg").iter() if "text" in text.tag}
    assert {"A", "B", "C", "D", "s", "x", "y"} <= words
    words = {"".join(text.itertext()) for text in ElementTree.parse(here / "y.svg").iter() if "text" in text.tag}
    assert {"P(s = y)", "0.0", "1.0"} <= words
    done = hx("maps", *files, "--plot", "z.svg", "--plot-state", "z")
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "hx: --plot-state: there is no state 'z' (there are 'x', 'y')",
    )
    assert "--plot-state says how --plot looks (give both)" in hx("maps", *files, "--plot-state", "y").err
