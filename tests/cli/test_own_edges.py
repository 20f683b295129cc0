"""Values of every edge at the command line: their columns, draws, and what the order of tips and rows changes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

CLOCK = (
    "from hxcli.model import Gaussian, log_normal, record\n"
    "def model(edge):\n"
    "    rate = log_normal('rate', median=1, sd=0.5, per='edge')\n"
    "    record('grown', rate * edge.length)\n"
    "    return Gaussian(variance=log_normal('sigma2', median=1, sd=0.5) * rate * edge.length)\n"
)
# The tree and table of `here`, in another order.
TREE = "((D:0.5,C:1.5)cd:0.5,(B:1,A:1)ab:1);\n"
TABLE = "name,size,mass\nD,40,5.5\nB,20,2.5\nC,,3.5\nA,10,1.5\n"


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open() as stream:
        return {row["node"]: row for row in csv.DictReader(stream)}


@pytest.mark.slow
def test_columns_and_draws_are_of_every_edge_and_the_order_changes_chance_only(hx, here) -> None:
    (here / "clock.py").write_text(CLOCK)
    (here / "other.nwk").write_text(TREE)
    (here / "other.csv").write_text(TABLE)
    options = ("--column", "mass", "--model", "clock.py", "--no-noise", "--draws", "200")
    done = hx("posterior", "tree.nwk", "traits.csv", *options, "--draws-out", "d.csv", "-o", "one")
    assert done.code == 0, done.err
    assert "rate ~ log_normal(median=1, sd=0.5) on every edge" in done.err
    assert hx("posterior", "tree.nwk", "traits.csv", *options, "--draws-out", "e.csv", "-o", "again").code == 0
    assert (here / "one.csv").read_bytes() == (here / "again.csv").read_bytes()
    assert (here / "d.csv").read_bytes() == (here / "e.csv").read_bytes()
    assert hx("posterior", "other.nwk", "other.csv", *options, "--seed", "7", "-o", "swapped").code == 0
    one, other = rows(here / "one.csv"), rows(here / "swapped.csv")
    root = next(node for node, row in one.items() if not row["parent"])
    assert {one[root][f"rate{ending}"] for ending in ("", "_se", "_lower", "_median", "_upper")} == {""}
    assert one[root]["grown"] == ""
    lengths = {"A": 1, "B": 1, "C": 1.5, "D": 0.5, "ab": 1, "cd": 0.5}
    for node, length in lengths.items():
        mean, sd = float(one[node]["rate"]), float(one[node]["rate_se"])
        assert float(other[node]["rate"]) == pytest.approx(mean, abs=0.12 * sd)
        assert float(other[node]["estimate"]) == pytest.approx(float(one[node]["estimate"]), abs=0.1)
        assert float(one[node]["grown"]) == pytest.approx(mean * length, rel=1e-9)
        assert float(one[node]["rate_lower"]) < float(one[node]["rate_median"]) < float(one[node]["rate_upper"])
    header = (here / "d.csv").read_text().splitlines()[0].split(",")
    assert {f"rate({node})" for node in lengths} <= set(header)
    assert f"rate({root})" not in header
    about = json.loads((here / "one.json").read_text())["results"][0]["traits"][0]["posterior"]
    assert about["method"] == "nuts"
    assert about["log_evidence"] is None
    assert set(about["diagnostics"]) == {"sigma2", "rate (the worst edge)"}


@pytest.mark.slow
def test_too_few_draws_are_doubted_by_the_worst_edge(hx, here) -> None:
    (here / "clock.py").write_text(CLOCK)
    options = ("--column", "mass", "--model", "clock.py", "--no-noise", "--samples", "100", "--chains", "2")
    done = hx("posterior", "tree.nwk", "traits.csv", *options, "-o", "few")
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    assert "the sampler has not converged" in lines[0]
    assert "effective sample size of rate (the worst edge) is" in lines[0]


def test_check_lists_what_every_edge_has(hx, here) -> None:
    (here / "clock.py").write_text(CLOCK)
    done = hx("check", "tree.nwk", "traits.csv", "--column", "mass", "--model", "clock.py")
    assert done.code == 0, done.err
    assert "param    rate: one of every edge, 0 to inf, prior log_normal(median=1, sd=0.5), value 1" in done.err
    assert "gradient agrees with differences" in done.err
