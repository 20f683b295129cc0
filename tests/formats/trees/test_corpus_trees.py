"""The shared corpus of trees: every file read or refused as expected, and both ways of parsing agree."""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from hxcli.errors import InputError
from hxcli.formats.source import read_source
from hxcli.formats.trees import newick
from hxcli.formats.trees.read import TreeFile, analysable, pick_tree, read_trees
from tests.formats import oracle
from tests.formats.agreement import differences
from tests.fuzz.fuzz_trees import run

DATA = Path(__file__).parents[2] / "data" / "trees"
CORPUS = Path(os.environ.get("HX_SHARED", Path(__file__).parents[4] / "shared")) / "corpus"


def rows(name: str) -> list[dict[str, str]]:
    with (CORPUS / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def misreadings(found: TreeFile, row: dict[str, str]) -> list[str]:
    tree = found.phylogenies[0]
    names = "\n".join(sorted(tree.tip_names.tolist()))
    exact = {
        "n_trees": len(found.phylogenies),
        "n_tips": len(tree.tips),
        "n_nodes": tree.topology.size,
        "sha1_sorted_tip_names": hashlib.sha1(names.encode()).hexdigest(),
    }
    close = {"total_length": np.nansum(tree.lengths), "max_root_to_tip": tree.root_distances[tree.tips].max()}
    problems = [f"{key}: {value}, expected {row[key]}" for key, value in exact.items() if str(value) != row[key]]
    problems += [
        f"{key}: {value}, expected {row[key]}"
        for key, value in close.items()
        if not np.isclose(value, float(row[key]), rtol=1e-8, atol=1e-12)
    ]
    return problems


@pytest.mark.shared
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no shared corpus beside the checkout: real files were not read")
def test_every_file_is_read_or_refused_as_expected(capsys):
    misread, wrongly_refused, wrongly_accepted, refusals, count = [], [], [], [], 0
    for row in rows("expected.tsv"):
        count += 1
        folder = CORPUS / "good"
        try:
            problems = misreadings(read_trees(folder / row["file"]), row)
        except InputError as error:
            if row["strictness"] == "must":
                wrongly_refused.append(str(error))
        else:
            misread += [f"{row['file']}: {problem}" for problem in problems]
    for row in rows("bad_expected.tsv"):
        count += 1
        try:
            tree = pick_tree(read_trees(CORPUS / "bad" / row["file"]), None)
            if row["class"] == "refuse_when_lengths_needed":
                analysable(tree, file=row["file"])
        except InputError as error:
            refusals.append(error)
        else:
            if row["class"] in ("must_refuse", "refuse_when_lengths_needed"):
                wrongly_accepted.append(row["file"])
    assert all(error.exit_code == 2 and "\n" not in str(error) for error in refusals)
    with capsys.disabled():
        counts = (
            f"{len(misread)} misread, {len(wrongly_refused)} wrongly refused, {len(wrongly_accepted)} wrongly accepted"
        )
        os.write(1, f"\ncorpus of trees: {count} files, {counts}\n".encode())
    assert (misread, wrongly_refused, wrongly_accepted) == ([], [], [])


def small_files() -> list[Path]:
    folders = [DATA, *([CORPUS / "good", CORPUS / "bad"] if CORPUS.is_dir() else [])]
    return sorted(path for folder in folders for path in folder.iterdir() if path.is_file())


def test_biopython_and_the_scan_agree_on_every_file(monkeypatch):
    compared = 0
    for path in small_files():
        monkeypatch.setattr(newick, "BIOPYTHON_LIMIT", 10**9)
        try:
            parsed = read_trees(path)
        except InputError:
            continue
        monkeypatch.setattr(newick, "BIOPYTHON_LIMIT", -1)
        scanned = read_trees(path)
        assert scanned.phylogenies == parsed.phylogenies, path.name
        assert scanned.warnings == parsed.warnings
        compared += 1
    assert compared >= 8


def test_the_oracle_agrees_on_every_file():
    compared = 0
    for path in small_files():
        try:
            source = read_source(path)
            found = read_trees(source)
        except InputError:
            continue
        if found.format in ("newick", "nexus") and len(source.data) < 200_000:
            assert differences(found.phylogenies, oracle.read(source.text)) == [], path.name
            compared += 1
    assert compared >= 6


def test_mutated_files_are_refused_or_read_right():
    counts, failures = run(1000, seed=1)
    assert failures == []
    assert counts["accepted"] > 50
