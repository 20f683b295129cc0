"""`--all-trees` on traits of states, and fits on all trees: what single runs find, pooled by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from hxcli.analyses.ancestral_states import ancestral_states
from hxcli.analyses.fit.fit import fit
from hxcli.formats.source import checked_source
from hxcli.formats.tables.read import read_table
from hxcli.formats.tables.state_columns import StateReading
from hxcli.run.matching import match
from tests.samples import clade_of, phylogenies_of, sample_text

TREES, TIPS = 6, 8
STATES = ["sea", "sea", "land", "land|sea", "", "land", "sea", "sea"]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def sample(here: Path) -> str:
    trees = sample_text(5, TREES, TIPS, polytomies=False)
    (here / "sample.nwk").write_text(trees)
    masses = np.random.default_rng(5).normal(size=TIPS)
    rows = [f"s{i:03d},{masses[i]:.4f},{state}" for i, state in enumerate(STATES)]
    (here / "sample.csv").write_text("tip,mass,habitat\n" + "\n".join(rows) + "\n")
    return trees


ASKED = ("sample.nwk", "sample.csv", "--column", "mass", "--column", "habitat", "--all-trees")


def test_probabilities_are_means_over_the_trees_that_have_the_clade(hx, here: Path, sample: str) -> None:
    hx("ancestral", *ASKED, "-o", "all")
    table, _ = read_table(
        checked_source("sample.csv", (here / "sample.csv").read_bytes()),
        columns=("mass", "habitat"),
        states=StateReading(by_column=True),
    )
    pooled: dict[frozenset[str], list[np.ndarray]] = {}
    trees, rates = phylogenies_of(sample), []
    for phylogeny in trees:
        seen, _, _ = match(phylogeny, table)
        (trait,) = ancestral_states(phylogeny, seen, None).of_states
        rates.append(trait.rates[0][1])
        for clade, shares in zip(clade_of(phylogeny), trait.probabilities, strict=True):
            pooled.setdefault(clade, []).append(shares)
    clades = clade_of(trees[0])
    found = [row for row in _rows(here / "all.csv") if row["trait"] == "habitat"]
    assert len(found) == 2 * len(clades)
    for number, row in enumerate(found):
        shares = np.array(pooled[clades[number // 2]])[:, number % 2]
        assert row["state"] == ("land", "sea")[number % 2]
        assert float(row["probability"]) == pytest.approx(shares.mean(), abs=1e-7)
        assert float(row["se_between"]) == pytest.approx(shares.std(), abs=1e-7)
        assert float(row["frequency"]) == pytest.approx(len(shares) / TREES)
    of_trees = [row for row in _rows(here / "all.trees.csv") if row["parameter"] == "q(land,sea)"]
    np.testing.assert_allclose([float(row["value"]) for row in of_trees], rates, rtol=1e-6)
    # Numbers beside states are what they are alone.
    hx("ancestral", *ASKED[:4], "--all-trees", "-o", "alone")
    beside = [row for row in _rows(here / "all.csv") if row["trait"] == "mass"]
    for row, alone in zip(beside, _rows(here / "alone.csv"), strict=True):
        assert {name: row[name] for name in alone if name != "observed"} == {
            name: value for name, value in alone.items() if name != "observed"
        }


EQUAL = """
import jax.numpy as jnp
from hxcli.model import Rates, log_normal

def model(edge):
    q = log_normal("q", median=0.5, sd=2)
    return Rates(q * (jnp.ones((2, 2)) - 2 * jnp.eye(2)){by_edge})
"""


@pytest.mark.parametrize("by_edge", ["", " * (edge.end > -1)"])
def test_a_file_of_equal_rates_gives_what_er_gives_on_every_tree(hx, here: Path, sample: str, by_edge: str) -> None:
    (here / "own.py").write_text(EQUAL.format(by_edge=by_edge))
    asked = (*ASKED[:2], "--column", "habitat", "--all-trees")
    for model, name in (("own.py", "own"), ("er", "er")):
        assert hx("ancestral", *asked, "--model", model, "-o", name).code == 0
    for product in ("csv", "trees.csv"):
        own, er = (_rows(here / f"{name}.{product}") for name in ("own", "er"))
        if product == "trees.csv":
            # Where rates run to infinity, each is at its own end.
            own, er = ([row for row in rows if row["parameter"] == "log_likelihood"] for rows in (own, er))
        assert len(own) == len(er) >= TREES
        for mine, built_in in zip(own, er, strict=True):
            for name in ("probability", "se_between") if product == "csv" else ("value",):
                assert float(mine[name]) == pytest.approx(float(built_in[name]), rel=1e-5, abs=1e-6), (mine, built_in)


@pytest.mark.parametrize("model", ["er", pytest.param("own.py", marks=pytest.mark.slow)])
def test_posteriors_are_means_of_those_of_the_trees(hx, here: Path, sample: str, model: str) -> None:
    (here / "own.py").write_text(EQUAL.format(by_edge=""))
    asked = ("sample.csv", "--column", "habitat", "--model", model)
    assert hx("posterior", "sample.nwk", *asked, "--all-trees", "-o", "all").code == 0
    root, evidence, rates = [], [], []
    for number in range(TREES):
        assert hx("posterior", "sample.nwk", *asked, "--tree-index", f"{number + 1}", "-o", "one").code == 0
        root.append([float(row["probability"]) for row in _rows(here / "one.csv")[:2]])
        trait = json.loads((here / "one.json").read_text())["results"][0]["traits"][0]
        evidence.append(trait["log_evidence"])
        rates.append(float(_rows(here / "one.params.csv")[0]["mean"]))
    found = [float(row["probability"]) for row in _rows(here / "all.csv")[:2]]
    np.testing.assert_allclose(found, np.mean(root, 0), atol=1e-8)
    of_trees = _rows(here / "all.trees.csv")
    for name, values in (("log_evidence", evidence), ("q" if model == "own.py" else "q(land,sea)", rates)):
        told = [float(row["value"]) for row in of_trees if row["parameter"] == name]
        np.testing.assert_allclose(told, values, rtol=1e-7)
    pooled = json.loads((here / "all.json").read_text())["results"][0]["traits"][0]
    assert pooled["log_evidence"] == pytest.approx(np.mean(evidence), rel=1e-8)


@pytest.mark.parametrize(
    "command",
    [
        ("ancestral",),
        pytest.param(("posterior",), marks=pytest.mark.slow),
        ("fit", "--model", "bm", "--model", "er", "--no-intervals"),
    ],
)
def test_parts_give_the_bytes_of_one_run(hx, here: Path, sample: str, command: tuple[str, ...]) -> None:
    hx(command[0], *ASKED, *command[1:], "-o", "all")
    for part in (2, 1):
        hx(command[0], *ASKED, *command[1:], "--shard", f"{part}/2", "-o", f"part{part}")
    hx("merge", "part1", "part2", "-o", "merged")
    made = [path.name.removeprefix("all.") for path in here.glob("all.*") if path.suffix != ".json"]
    assert len(made) >= 3
    for name in made:
        assert (here / f"all.{name}").read_bytes() == (here / f"merged.{name}").read_bytes(), name


def test_fits_are_means_over_the_trees(hx, here: Path, sample: str) -> None:
    hx("fit", *ASKED[:4], "--all-trees", "--model", "bm", "--model", "white", "-o", "all")
    table, _ = read_table(checked_source("sample.csv", (here / "sample.csv").read_bytes()))
    runs = []
    for phylogeny in phylogenies_of(sample):
        seen, _, _ = match(phylogeny, table)
        runs.append(fit(phylogeny, seen, models=("bm", "white")).tables)
    for row in _rows(here / "all.fits.csv"):
        places = [run["fits table"]["model"].index(row["model"]) for run in runs]
        for name in ("log_likelihood", "aicc", "weight"):
            single = [run["fits table"][name][place] for run, place in zip(runs, places, strict=True)]
            assert float(row[name]) == pytest.approx(np.mean(single), rel=1e-9)
        first = [place == 0 for place in places]
        assert float(row["best_on"]) == pytest.approx(np.mean(first))
    (row,) = [r for r in _rows(here / "all.params.csv") if (r["model"], r["parameter"]) == ("bm", "sigma2")]
    singles = []
    for run in runs:
        parameters = run["parameter table"]
        place = list(zip(parameters["model"], parameters["parameter"], strict=True)).index(("bm", "sigma2"))
        singles.append([parameters[name][place] for name in ("value", "lower", "upper")])
    values, lower, upper = np.array(singles).T
    assert float(row["value"]) == pytest.approx(values.mean(), rel=1e-9)
    assert float(row["se_between"]) == pytest.approx(values.std(), rel=1e-9)
    assert lower.min() <= float(row["lower"]) <= lower.max()
    assert upper.min() <= float(row["upper"]) <= upper.max()
    trees = [r for r in _rows(here / "all.trees.csv") if (r["model"], r["parameter"]) == ("bm", "sigma2")]
    np.testing.assert_allclose([float(r["value"]) for r in trees], values, rtol=1e-9)
