"""The shipped data: trees and tables agree, times are consistent, and the simulated set is what its script makes."""

import csv
import io
import itertools
import math
import subprocess
import sys
from pathlib import Path

import dendropy
import pytest
from Bio import Phylo

DATA = Path(__file__).resolve().parent.parent / "data"


def read_tree(name: str) -> dendropy.Tree:
    return dendropy.Tree.get(
        path=DATA / f"{name}.nwk", schema="newick", preserve_underscores=True, rooting="force-rooted"
    )


def read_rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tip_names(tree: dendropy.Tree) -> list[str]:
    return [tip.taxon.label for tip in tree.leaf_node_iter()]


@pytest.mark.parametrize(("name", "id_column", "tips"), [("primates", "species", 40), ("simulated", "tip", 1_000)])
def test_tips_and_rows_are_the_same_names(name: str, id_column: str, tips: int) -> None:
    names = tip_names(read_tree(name))
    rows = [row[id_column] for row in read_rows(f"{name}.csv")]
    assert len(set(names)) == len(names) == tips
    assert sorted(rows) == sorted(names)


@pytest.mark.parametrize(("name", "age"), [("primates", 73.0), ("simulated", 100.0)])
def test_trees_are_binary_and_ultrametric_with_positive_edges(name: str, age: float) -> None:
    rounding = 1e-9
    tree = read_tree(name)
    for node in tree.preorder_node_iter():
        assert len(node.child_nodes()) in (0, 2)
        if node.parent_node is None:
            assert node.edge_length is None
            node.age = age
        else:
            assert node.edge_length > 0
            node.age = node.parent_node.age - node.edge_length
        assert node.age == pytest.approx(0, abs=rounding) if node.is_leaf() else node.age > rounding


def test_biopython_reads_the_same_primates() -> None:
    tree = Phylo.read(DATA / "primates.nwk", "newick")
    assert sorted(tip.name for tip in tree.get_terminals()) == sorted(tip_names(read_tree("primates")))
    assert tree.total_branch_length() == pytest.approx(read_tree("primates").length())


def test_primate_clades_have_their_members_and_ages() -> None:
    tree = read_tree("primates")
    tree.calc_node_ages(ultrametricity_precision=1e-9)
    clades = {node.label: node for node in tree.preorder_internal_node_iter() if node.label}
    assert len(clades) == sum(bool(node.label) for node in tree.preorder_internal_node_iter())
    assert {tip.taxon.label for tip in clades["Hominidae"].leaf_iter()} == {
        "Homo_sapiens",
        "Pan_troglodytes",
        "Gorilla_gorilla",
        "Pongo_pygmaeus",
    }
    ages = {"Primates": 73.0, "Strepsirrhini": 62.7, "Simiiformes": 46.8, "Catarrhini": 30.0, "Platyrrhini": 22.7}
    ages |= {"Hominoidea": 19.6, "Hominidae": 15.1, "Papionini": 12.9, "Hominini": 6.2}
    assert {name: clades[name].age for name in ages} == pytest.approx(ages)


def test_primate_traits_are_the_logarithms_of_the_sources() -> None:
    sources = {row["species"]: row for row in read_rows("primates_sources.csv")}
    rows = read_rows("primates.csv")
    assert [row["species"] for row in rows] == list(sources)
    for row, (trait, published) in itertools.product(
        rows, [("ln_body_mass", "body_mass_g"), ("ln_brain_volume", "brain_volume_cm3")]
    ):
        value = sources[row["species"]][published]
        assert row[trait] == (f"{math.log(float(value)):.4f}" if value else "")
    missing = {
        trait: {row["species"] for row in rows if not row[trait]} for trait in ("ln_body_mass", "ln_brain_volume")
    }
    assert missing["ln_body_mass"] == {"Saguinus_imperator", "Chlorocebus_pygerythrus", "Miopithecus_talapoin"}
    assert missing["ln_brain_volume"] == {"Homo_sapiens", "Miopithecus_talapoin"}


def test_brains_are_lighter_than_a_tenth_of_their_bodies() -> None:
    for row in read_rows("primates_sources.csv"):
        if row["brain_volume_cm3"] and row["body_mass_g"]:
            assert 0.002 < float(row["brain_volume_cm3"]) / float(row["body_mass_g"]) < 0.1


def test_the_script_makes_the_simulated_set_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATA / "make_simulated.py", tmp_path], check=True)
    for name in ("simulated.nwk", "simulated.csv"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


def test_simulated_traits_have_the_gaps_that_the_readme_states() -> None:
    rows = read_rows("simulated.csv")
    assert list(rows[0]) == ["tip", "slow", "fast", "noisy", "sparse"]
    missing = {trait: sum(not row[trait] for row in rows) for trait in rows[0]}
    assert missing.pop("sparse") == pytest.approx(300, abs=60)
    assert set(missing.values()) == {0}


@pytest.mark.parametrize(
    "name", ["primates.csv", "primates_sources.csv", "primates.nwk", "simulated.csv", "simulated.nwk"]
)
def test_files_are_plain_text_with_unix_line_ends(name: str) -> None:
    text = (DATA / name).read_bytes()
    assert text.isascii()
    assert text.endswith(b"\n")
    assert b"\r" not in text
    if name.endswith(".csv"):
        lengths = {len(row) for row in csv.reader(io.StringIO(text.decode()))}
        assert len(lengths) == 1
