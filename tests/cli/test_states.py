"""`hx ancestral` on traits of states: tables, trees, records, refusals."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.conftest import reference_models

Hx = Callable[..., Result]
TIPS = "name,habitat,mass,p_air,p_sea,n\nA,sea,1,0,1,0\nB,sea|air,2,0.5,0.5,1\nC,air,3,1,0,1\nD,NA,5,,,\n"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def tips(here: Path) -> None:
    (here / "tips.csv").write_text(TIPS)


@pytest.mark.usefixtures("tips")
def test_a_column_of_text_that_is_named_is_a_trait_of_states(hx: Hx, here: Path) -> None:
    done = hx("ancestral", "tree.nwk", "tips.csv", "--column", "habitat", "--joint", "--mppa", "-o", "out")
    assert done.code == 0, done.err
    table = rows((here / "out.csv").read_text())
    header = "node parent tip_a tip_b n_tips trait observed state probability best joint mppa"
    assert list(table[0]) == header.split()
    assert len(table) == 2 * 7
    by_node: dict[str, dict[str, dict[str, str]]] = {}
    for row in table:
        by_node.setdefault(row["node"], {})[row["state"]] = row
    for states in by_node.values():
        assert sum(float(row["probability"]) for row in states.values()) == pytest.approx(1, abs=1e-12)
        assert sum(int(row["best"]) for row in states.values()) <= 1
        assert sum(int(row["joint"]) for row in states.values()) == 1
    assert by_node["A"]["sea"]["probability"] == "1.0"
    assert by_node["B"]["air"]["observed"] == "sea|air"
    assert by_node["D"]["air"]["observed"] == ""
    record = json.loads((here / "out.json").read_text())["results"][0]["traits"][0]
    assert record["k"] == 1
    assert record["log_likelihood"] == record["parameters"]["log_likelihood"]["value"]
    assert record["certificate"]["gradient"] < 1e-5
    params = rows((here / "out.params.csv").read_text())
    assert [row["parameter"] for row in params] == ["q(air,sea)", "q(sea,air)"]
    tree = (here / "out.nex").read_text()
    assert 'A[&habitat="sea",habitat.prob=1.0,habitat.set={"sea"},habitat.set.prob={1.0}]:1.0' in tree


@pytest.mark.usefixtures("tips")
def test_numbers_and_states_stand_in_one_table(hx: Hx, here: Path) -> None:
    done = hx("ancestral", "tree.nwk", "tips.csv", "--column", "mass", "--column", "habitat", "-o", "both")
    assert done.code == 0, done.err
    table = rows((here / "both.csv").read_text())
    numbers = [row for row in table if row["trait"] == "mass"]
    states = [row for row in table if row["trait"] == "habitat"]
    assert (len(numbers), len(states)) == (7, 14)
    assert numbers[1]["estimate"]
    assert not numbers[1]["state"]
    assert not states[0]["estimate"]
    assert "mass_se=" in (here / "both.nex").read_text()
    alone = hx("ancestral", "tree.nwk", "tips.csv", "--column", "mass", "--out-table", "-")
    assert [row["estimate"] for row in rows(alone.out)] == [row["estimate"] for row in numbers]
    assert not (here / "tree.ancestral.params.csv").exists()


@pytest.mark.usefixtures("tips")
def test_probabilities_and_numbers_can_be_states(hx: Hx) -> None:
    done = hx("ancestral", "tree.nwk", "tips.csv", "--state-columns", "habitat=p_air,p_sea", "--out-table", "-")
    texts = hx("ancestral", "tree.nwk", "tips.csv", "--column", "habitat", "--out-table", "-")
    assert done.code == 0, done.err
    by_columns = [row["probability"] for row in rows(done.out) if row["trait"] == "habitat"]
    # An ambiguous tip and one with equal probabilities say the same.
    expected = [float(row["probability"]) for row in rows(texts.out)]
    assert [float(value) for value in by_columns] == pytest.approx(expected, abs=1e-6)
    named = hx("ancestral", "tree.nwk", "tips.csv", "--discrete", "n", "--column", "n", "--out-table", "-")
    assert {row["state"] for row in rows(named.out)} == {"0", "1"}


def test_a_given_prior_of_the_root_enters_once(hx: Hx, here: Path) -> None:
    (here / "cherry.nwk").write_text("(A:1,B:1);")
    (here / "cherry.csv").write_text("name,state\nA,0\nB,1\n")
    (here / "prior.csv").write_text("state,probability\n0,0.7\n1,0.3\n")
    prior = ["--root-prior", "./prior.csv"]
    done = hx("ancestral", "cherry.nwk", "cherry.csv", "--discrete", "state", *prior, "--out-table", "-")
    assert rows(done.out)[0]["probability"] == "0.7"


def test_a_model_can_be_a_table(hx: Hx, here: Path) -> None:
    (here / "tips.csv").write_text("name,s\nA,a\nB,a\nC,b\nD,c\n")
    (here / "model.csv").write_text(",a,b,c\na,,gain,0\nb,loss,,gain\nc,0,loss,\n")
    options = ["--model", "./model.csv", "--set", "q(b,a)=0.1", "-o", "t"]
    done = hx("ancestral", "tree.nwk", "tips.csv", "--column", "s", *options)
    assert done.code == 0, done.err
    params = {row["parameter"]: row for row in rows((here / "t.params.csv").read_text())}
    assert params["q(a,b)"]["value"] == params["q(b,c)"]["value"]
    assert (params["q(c,b)"]["value"], params["q(c,b)"]["how"]) == ("0.1", "given")


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("A,x\nB,y\nC,x\nD,x\n", ["--model", "adr"], "use ard, or one of er"),
        ("A,x\nB,x\nC,x\nD,x\n", [], "all tips have the state 'x'"),
        ("A,x\nB,y\nC,x\nD,x\n", ["--states", "x,z"], "--states leaves out 'y'"),
        ("A,x\nB,|y\nC,x\nD,x\n", [], "line 3: '|y' in column 's': a state is missing"),
        ("A,x\nB,y\nC,x\nD,x\n", ["--root-prior", "flatt"], "use flat, stationary, fitzjohn"),
        ("A,x\nB,y\nC,x\nD,x\n", ["--set", "q(x,z)=1"], "no such rate"),
        ("A,x\nB,y\nC,x\nD,x\n", ["--wide"], "--wide: traits of states have one row for every state"),
    ],
)
def test_what_cannot_be_answered_is_refused(hx: Hx, here: Path, table: str, options: list[str], message: str) -> None:
    (here / "s.csv").write_text("name,s\n" + table)
    done = hx("ancestral", "tree.nwk", "s.csv", "--column", "s", *options)
    assert done.code == 2
    assert message in done.err


def test_different_states_without_distance_are_refused_by_name(hx: Hx, here: Path) -> None:
    (here / "zero.nwk").write_text("((A:0,B:0):1,(C:1,D:1):1);")
    (here / "s.csv").write_text("name,s\nA,x\nB,y\nC,x\nD,x\n")
    done = hx("ancestral", "zero.nwk", "s.csv", "--column", "s")
    assert done.code == 2
    assert "tips 'A' (x) and 'B' (y), joined by edges of length 0, have different states (write a|b" in done.err
    assert "tips 'A' (x) and 'B' (y)" in hx("check", "zero.nwk", "s.csv", "--column", "s").err


@pytest.mark.usefixtures("tips")
def test_check_counts_states(hx: Hx) -> None:
    found = hx("check", "tree.nwk", "tips.csv").err
    assert "states   habitat: air 2, sea 2 (--column habitat takes it as states)" in found
    assert "states   habitat: air 2, sea 2\n" in hx("check", "tree.nwk", "tips.csv", "--column", "habitat").err


@pytest.mark.shared
@pytest.mark.slow
def test_albania_has_the_values_of_pastml(hx: Hx, here: Path) -> None:
    folder = reference_models("albania")
    values = {}
    for row in csv.DictReader(io.StringIO((folder / "values.tsv").read_text()), delimiter="\t"):
        values[row["model"], row["root"], row["quantity"]] = float(row["value"]), float(row["tolerance"])
    tree, table = str(folder / "tree.nwk"), str(folder / "traits.csv")
    for model, root in {key[:2] for key in values}:
        options = ["--model", model, "--root-prior", root, "-o", "al"]
        assert hx("ancestral", tree, table, "--replicates", "--column", "Country", *options).code == 0
        trait = json.loads((here / "al.json").read_text())["results"][0]["traits"][0]
        for (of_model, of_root, quantity), (value, tolerance) in values.items():
            if (of_model, of_root) != (model, root):
                continue
            if quantity == "log_likelihood_at_least":
                assert trait["log_likelihood"] >= value - tolerance
            else:
                share = trait["root"]["probabilities"][quantity.partition(":")[2]]
                assert share == pytest.approx(value, abs=tolerance)


def test_fit_compares_models_of_states_beside_those_of_numbers(hx: Hx, here: Path) -> None:
    (here / "s.csv").write_text("name,s,mass\nA,x,1\nB,x,2\nC,y,4\nD,y,3\n")
    options = ["--model", "bm", "--no-intervals", "-o", "f"]
    done = hx("fit", "tree.nwk", "s.csv", "--column", "s", "--column", "mass", *options)
    assert done.code == 0, done.err
    fits = rows((here / "f.fits.csv").read_text())
    assert (fits[0]["trait"], fits[0]["model"], fits[0]["k"]) == ("mass", "bm", "2")
    # Of two states sym is er, and f81 is ard.
    of_states = {row["model"]: row for row in fits if row["trait"] == "s"}
    assert {name: row["k"] for name, row in of_states.items()} == {"er": "1", "ard": "2"}
    assert float(of_states["ard"]["log_likelihood"]) >= float(of_states["er"]["log_likelihood"]) - 1e-9
    assert hx("fit", "tree.nwk", "s.csv", "--column", "s", "--model", "bm").code == 2
