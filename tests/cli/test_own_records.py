"""What a model in a file records: columns of the table of nodes, and in the record what is of no edge."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

HEAD = "import jax.numpy as jnp\nfrom hxcli.model import Gaussian, Rates, Sde, fixed, log_normal, normal, record\n"
# Lengths of the edges of the tree of these tests by the node below; the root has none.
LENGTHS = {"A": 1, "B": 1, "C": 1.5, "D": 0.5, "ab": 1, "cd": 0.5}
STATES = "name,habitat\nA,sea\nB,sea\nC,air\nD,air\n"
RECORDS = (
    "    record('kept', jnp.exp(-a * edge.length))\n"
    "    record('both', jnp.stack([a * edge.length, b + edge.length]))\n"
    "    record('half', jnp.log(2) / a)\n"
)
KINDS = {
    "rates": "    return Rates(a * jnp.array([[-b, b], [1, -1]]))\n",
    "sde": "    return Sde(lambda x: -a * (x - 3), b)\n",
    "gaussian": (
        "    variance = b * -jnp.expm1(-2 * a * edge.length) / (2 * a)\n"
        "    return Gaussian(jnp.exp(-a * edge.length), 3 * -jnp.expm1(-a * edge.length), variance)\n"
        "def root():\n    record('double', 2 * log_normal('b', median=1, sd=0.3))\n"
        "    return Gaussian(mean=3.0, variance=1.0)\n"
    ),
    "plane": (
        "    return Gaussian(variance=b * edge.length ** fixed('p', 1.0) * jnp.exp(-a * edge.length))\nRATES = ('b',)\n"
    ),
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def model(kind: str) -> str:
    declared = "    a, b = log_normal('a', median=0.5, sd=0.3), log_normal('b', median=1, sd=0.3)\n"
    return HEAD + "def model(edge):\n" + declared + RECORDS + KINDS[kind]


def check(here: Path, name: str, a: float, b: float) -> dict[str, Any]:
    """Compares the columns with their formulas, and gives what the record has."""
    for row in rows(here / f"{name}.csv"):
        if (length := LENGTHS.get(row["node"])) is not None:
            assert float(row["kept"]) == pytest.approx(math.exp(-a * length), rel=1e-9)
            assert float(row["both(1)"]) == pytest.approx(a * length, rel=1e-9)
            assert float(row["both(2)"]) == pytest.approx(b + length, rel=1e-9)
        assert "half" not in row
    told: dict[str, Any] = json.loads((here / f"{name}.json").read_text())["results"][0]["traits"][0]["recorded"]
    assert told["half"] == pytest.approx(math.log(2) / a, rel=1e-9)
    return told


def figures(here: Path, name: str, column: str) -> dict[str, float]:
    return {row["parameter"]: float(row[column]) for row in rows(here / f"{name}.params.csv") if row[column]}


@pytest.mark.parametrize(
    ("kind", "commands"),
    [
        ("rates", ("ancestral",)),
        *(pytest.param(kind, ("ancestral", "posterior"), marks=pytest.mark.slow) for kind in KINDS if kind != "plane"),
    ],
)
def test_every_kind_of_file_records_at_given_parameters(hx, here, kind: str, commands: tuple[str, ...]) -> None:
    (here / "mine.py").write_text(model(kind))
    (here / "states.csv").write_text(STATES)
    table = ("states.csv", "--column", "habitat") if kind == "rates" else ("traits.csv", "--column", "mass")
    held = ("--set", "a=0.7", "--set", "b=1.2")
    for command in commands:
        more = ("--no-noise",) if command == "posterior" and kind != "rates" else ()
        done = hx(command, "tree.nwk", *table, "--model", "mine.py", *held, *more, "-o", command)
        assert done.code == 0, done.err
        told = check(here, command, 0.7, 1.2)
        assert told.get("double") == (pytest.approx(2.4) if kind == "gaussian" else None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_records_are_at_the_estimates_and_at_the_posterior_means(hx, here, kind: str) -> None:
    (here / "mine.py").write_text(model(kind))
    (here / "states.csv").write_text(STATES)
    table = ("states.csv", "--column", "habitat") if kind == "rates" else ("traits.csv", "--column", "mass")
    given = ("tree.nwk", *table, "--model", "mine.py")
    done = hx("ancestral", *given, "--set", "a=0.7", "-o", "found")
    assert done.code == 0, done.err
    if kind == "rates":
        b = figures(here, "found", "value")["b"]
    else:
        of_trait = json.loads((here / "found.json").read_text())["results"][0]["traits"][0]
        b = of_trait["parameters"]["b"]["value"]
    check(here, "found", 0.7, b)
    done = hx("posterior", *given, *(() if kind == "rates" else ("--no-noise",)), "-o", "averaged")
    assert done.code == 0, done.err
    means = figures(here, "averaged", "mean")
    check(here, "averaged", means["a"], means["b"])


@pytest.mark.slow
def test_traits_together_record_matrices_and_what_is_of_no_edge(hx, here) -> None:
    (here / "mine.py").write_text(
        HEAD + "def model(edge):\n    s = log_normal('s')\n"
        "    v = record('v', s * edge.length * jnp.array([[1.0, 0.2], [0.2, 3.0]]))\n"
        "    record('twice', 2 * s)\n    return Gaussian(variance=v)\n"
    )
    done = hx("ancestral", "tree.nwk", "traits.csv", "--together", "--model", "mine.py", "-o", "both")
    assert done.code == 0, done.err
    s = figures(here, "both", "value")["s"]
    row = next(each for each in rows(here / "both.csv") if each["node"] == "C")
    assert [float(row[f"v({place})"]) for place in (1, 2, 3, 4)] == pytest.approx(
        [1.5 * s, 0.3 * s, 0.3 * s, 4.5 * s], rel=1e-9
    )
    told = json.loads((here / "both.json").read_text())["results"][0]
    assert told["recorded"]["twice"] == pytest.approx(2 * s, rel=1e-9)


def test_a_column_of_the_table_is_no_name_for_a_record(hx, here) -> None:
    (here / "mine.py").write_text(
        HEAD + "def model(edge):\n    return Gaussian(variance=record('se', edge.length * log_normal('s')))\n"
    )
    done = hx("fit", "tree.nwk", "traits.csv", "--column", "mass", "--model", "mine.py")
    assert done.code == 2
    assert "mine.py: line 4: 'se' is a column of the table already (give it another name)" in done.err


@pytest.mark.slow
def test_a_posterior_of_traits_together_records_at_the_posterior_means(hx, here) -> None:
    (here / "mine.py").write_text(
        HEAD + "def model(edge):\n    s = log_normal('s', median=1, sd=0.5)\n"
        "    record('grown', s * edge.length)\n    record('twice', 2 * s)\n"
        "    return Gaussian(variance=s * edge.length * jnp.array([[1.0, 0.2], [0.2, 3.0]]))\n"
    )
    done = hx("posterior", "tree.nwk", "traits.csv", "--together", "--model", "mine.py", "-o", "both")
    assert done.code == 0, done.err
    s = figures(here, "both", "mean")["s"]
    row = next(each for each in rows(here / "both.csv") if each["node"] == "C")
    assert float(row["grown"]) == pytest.approx(1.5 * s, rel=1e-9)
    told = json.loads((here / "both.json").read_text())["results"][0]
    assert told["recorded"]["twice"] == pytest.approx(2 * s, rel=1e-9)
