"""`--all-trees`: what it finds is what single runs find, pooled by hand; how the trees come changes nothing."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hxcli.analyses.ancestral import ancestral
from hxcli.analyses.mean import mean
from hxcli.formats.source import checked_source
from hxcli.formats.tables.read import read_table
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.run.matching import match
from tests.samples import clade_of, phylogenies_of, pooled_by_hand, sample_text, trait_text

TREES, TIPS = 12, 9


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def _runner(
    analysis: Callable[..., Reconstruction], table: str, **options: object
) -> Callable[[Phylogeny], Reconstruction]:
    traits, _ = read_table(checked_source("traits", table.encode()))

    def run(phylogeny: Phylogeny) -> Reconstruction:
        observations, _, _ = match(phylogeny, traits)
        return analysis(phylogeny, observations, **options)

    return run


def _number(text: str) -> float:
    return float(text) if text else np.nan


@pytest.fixture
def sample(here: Path) -> tuple[str, str]:
    trees, table = sample_text(3, TREES, TIPS), trait_text(3, TIPS)
    (here / "sample.nwk").write_text(trees)
    (here / "sample.csv").write_text(table)
    return trees, table


@pytest.mark.parametrize(
    ("command", "analysis", "errors"),
    [("ancestral", ancestral, False), ("mean", mean, False), ("ancestral", ancestral, True)],
)
def test_what_all_trees_say_is_what_single_runs_say_pooled_by_hand(here, hx, command, analysis, errors):
    text, table = sample_text(3, TREES, TIPS), trait_text(3, TIPS, errors=errors)
    (here / "sample.nwk").write_text(text)
    (here / "sample.csv").write_text(table)
    done = hx(command, "sample.nwk", "sample.csv", "--all-trees", "-o", "all")
    assert done.code == 0, done.err
    phylogenies = phylogenies_of(text)
    expected = pooled_by_hand(phylogenies, _runner(analysis, table), phylogenies[0])
    rows = _rows(here / "all.csv")
    for name in ("estimate", "se", "se_within", "se_between", "lower", "upper", "frequency"):
        found = np.array([_number(row[name]) for row in rows]).reshape(expected[name].shape)
        np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
    parameters = _rows(here / "all.trees.csv")
    for row in parameters:
        single = expected["runs"][int(row["tree"]) - 1].parameters[row["trait"]][row["parameter"]].value
        np.testing.assert_allclose(_number(row["value"]), single, rtol=1e-9, atol=1e-9)
    assert {int(row["tree"]) for row in parameters} == set(range(1, TREES + 1))


def test_ages_are_those_of_the_trees(here, hx, sample):
    assert hx("ancestral", "sample.nwk", "sample.csv", "--all-trees", "-o", "all").code == 0
    phylogenies = phylogenies_of(sample[0])
    ages: dict[frozenset[str], list[float]] = {}
    for phylogeny in phylogenies:
        distances = phylogeny.root_distances
        height = distances[phylogeny.tips].max()
        for node, clade in enumerate(clade_of(phylogeny)):
            ages.setdefault(clade, []).append(height - distances[node])
    inner = [clade for node, clade in enumerate(clade_of(phylogenies[0])) if not phylogenies[0].topology.is_leaf[node]]
    for row, clade in zip(_rows(here / "all.ages.csv"), inner, strict=True):
        np.testing.assert_allclose(float(row["age"]), np.mean(ages[clade]), rtol=1e-9, atol=1e-12)
        ends = np.quantile(ages[clade], [0.025, 0.975])
        np.testing.assert_allclose([float(row["lower"]), float(row["upper"])], ends, rtol=1e-9, atol=1e-12)


def _products(folder: Path, prefix: str) -> dict[str, bytes]:
    return {end: (folder / f"{prefix}{end}").read_bytes() for end in (".csv", ".trees.csv", ".ages.csv", ".nex")}


def test_how_the_trees_come_changes_nothing(here, hx, sample):
    assert hx("ancestral", "sample.nwk", "sample.csv", "--all-trees", "-o", "all").code == 0
    whole = _products(here, "all")
    lines = sample[0].splitlines()
    (here / "a.nwk").write_text("\n".join(lines[:5]))
    (here / "sample.nwk.gz").write_bytes(gzip.compress(sample[0].encode()))
    names = [f"s{i:03d}" for i in range(TIPS)]
    translated = []
    for number, line in enumerate(lines):
        for i, name in enumerate(names):
            line = line.replace(name + ":", f"{i + 1}[&rate={i}.5]:")
        translated.append(f"  tree STATE_{number} [&lnP=-{number}] = [&R] {line}")
    keys = ",\n".join(f"    {i + 1} {name}" for i, name in enumerate(names))
    nexus = "#NEXUS\nBegin trees;\n  Translate\n" + keys + ";\n" + "\n".join(translated) + "\nEnd;\n"
    (here / "beast.trees").write_text(nexus)
    log = "Iteration\tPosterior\tpsi\n" + "".join(f"{i}\t-1.5\t{line}\n" for i, line in enumerate(lines))
    (here / "revbayes.trees").write_text(log)
    for file in ("sample.nwk.gz", "beast.trees", "revbayes.trees"):
        done = hx("ancestral", file, "sample.csv", "--all-trees", "-o", "again")
        assert done.code == 0, done.err
        again = _products(here, "again")
        for end in (".csv", ".trees.csv", ".ages.csv"):
            assert again[end] == whole[end], (file, end)
    (here / "b.nwk").write_text("\n".join(lines[5:]))
    assert hx("ancestral", "a.nwk", "b.nwk", "sample.csv", "--all-trees", "-o", "two").code == 0
    assert _products(here, "two") == whole
    record = json.loads((here / "two.json").read_text())
    assert [file["trees"] for file in record["sample"]["files"]] == [5, TREES - 5]


@pytest.mark.slow
def test_standard_input_and_parts_of_the_text_change_nothing(here, hx_process, sample):
    outputs = [
        hx_process("ancestral", *trees, "sample.csv", "--all-trees", "--out-table", "-", stdin=sample[0])
        for trees in (("sample.nwk",), ("-",))
    ]
    assert outputs[0].code == 0, outputs[0].err
    assert outputs[0].out == outputs[1].out


def test_the_order_of_the_trees_changes_no_figure(here, hx, sample):
    first, *rest = sample[0].splitlines()
    (here / "turned.nwk").write_text("\n".join([first, *reversed(rest)]))
    assert hx("ancestral", "sample.nwk", "sample.csv", "--all-trees", "-o", "all").code == 0
    assert hx("ancestral", "turned.nwk", "sample.csv", "--all-trees", "-o", "turned").code == 0
    for row, other in zip(_rows(here / "all.csv"), _rows(here / "turned.csv"), strict=True):
        for name in ("estimate", "se", "lower", "upper", "frequency"):
            np.testing.assert_allclose(_number(row[name]), _number(other[name]), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("--burn-in", "0.25"), [4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (("--burn-in", "5", "--thin", "3"), [6, 9, 12]),
        (("--thin", "5"), [1, 6, 11]),
    ],
)
def test_burn_in_and_thinning(here, hx, sample, options, kept):
    done = hx("ancestral", "sample.nwk", "sample.csv", "--all-trees", "-o", "all", *options)
    assert done.code == 0, done.err
    assert sorted({int(row["tree"]) for row in _rows(here / "all.trees.csv")}) == kept
