"""Many traits and many devices, as a user asks for them."""

from __future__ import annotations

import csv
import io
import json
import os

import polars as pl
import pytest

TRAITS = ("a", "b", "c", "d", "e")


@pytest.fixture
def wide(here):
    rows = [["name", *TRAITS], *([tip, *(f"{i + j * j / 7:.3f}" for j in range(5))] for i, tip in enumerate("ABCD"))]
    rows[2][3] = "NA"
    (here / "wide.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return here


def numbers(text: str) -> list[float]:
    return [float(row["estimate"] or "nan") for row in csv.DictReader(io.StringIO(text))]


def test_traits_in_chunks(hx, wide):
    whole = hx("ancestral", "tree.nwk", "wide.csv", "--out-table", "-", "-q")
    parts = hx("ancestral", "tree.nwk", "wide.csv", "--out-table", "-", "-q", "--chunk-traits", "2")
    assert (parts.code, parts.err) == (0, "")
    assert numbers(parts.out) == pytest.approx(numbers(whole.out), rel=1e-12, nan_ok=True)
    assert len(numbers(parts.out)) == 7 * len(TRAITS)


@pytest.mark.parametrize("option", [("--chunk-traits", "2"), ("--device", "all")])
def test_a_model_of_all_traits_takes_no_part_of_them(hx, wide, option):
    done = hx("posterior", "tree.nwk", "wide.csv", "--sigma2", "1", *option)
    assert done.code == 2
    assert f"hx: {option[0]}" in done.err
    assert "hx posterior computes all traits together" in done.err


def test_a_chunk_has_at_least_one_trait(hx, wide):
    assert hx("ancestral", "tree.nwk", "wide.csv", "--chunk-traits", "0").code == 2


def test_the_wide_table_has_one_row_a_node(hx, wide):
    long = hx("ancestral", "tree.nwk", "wide.csv", "--out-table", "long.csv", "-q")
    assert long.code == 0
    for end in ("csv", "tsv", "parquet"):
        assert hx("ancestral", "tree.nwk", "wide.csv", "--wide", "--out-table", f"w.{end}", "-q").code == 0
    separators = {"csv": ",", "tsv": "\t"}
    frames = [pl.read_csv(wide / f"w.{end}", separator=separator) for end, separator in separators.items()]
    frames.append(pl.read_parquet(wide / "w.parquet"))
    about = ["node", "parent", "tip_a", "tip_b", "n_tips"]
    rows = pl.read_csv(wide / "long.csv")
    for frame in frames:
        assert frame.columns == [*about, *(f"{trait}{end}" for trait in TRAITS for end in ("", "_lower", "_upper"))]
        for trait in TRAITS:
            of_trait = rows.filter(pl.col("trait") == trait)
            assert frame.select(about).equals(of_trait.select(about))
            for column, figure in {"": "estimate", "_lower": "lower", "_upper": "upper"}.items():
                assert frame[trait + column].to_list() == of_trait[figure].to_list()


def test_wide_columns_of_one_name_are_refused(hx, here):
    (here / "traits.csv").write_text("name,mass,mass_lower\nA,1,1\nB,2,2\nC,3,4\nD,5,5\n")
    done = hx("ancestral", "tree.nwk", "traits.csv", "--wide", "--out-table", "w.csv")
    assert done.code == 2
    assert "--wide: two columns would have the name 'mass_lower'" in done.err
    assert not (here / "w.csv").exists()


@pytest.mark.slow
def test_traits_spread_over_eight_devices_give_the_same_numbers(hx, hx_process, wide):
    eight = {"XLA_FLAGS": f"--xla_force_host_platform_device_count=8 {os.environ.get('XLA_FLAGS', '')}"}
    (wide / "errors.csv").write_text("name,a,a_se,b\nA,1,0.1,2\nB,2,0.2,5\nC,4,0.1,3\nD,5,0.1,1\n")
    for command, table in (("ancestral", "wide.csv"), ("ancestral", "errors.csv"), ("mean", "wide.csv")):
        one = hx(command, "tree.nwk", table, "-q", "--out-table", "-", "--device", "cpu:0")
        all_ = hx_process(
            command, "tree.nwk", table, "-q", "--out-table", "-", "--out-json", "run.json", "--device", "all", **eight
        )
        assert (one.code, one.err) == (0, "")
        assert (all_.code, all_.err) == (0, "")
        assert numbers(all_.out) == pytest.approx(numbers(one.out), rel=1e-12, nan_ok=True)
        assert json.loads((wide / "run.json").read_text())["device"].split(", ") == [f"cpu:{i}" for i in range(8)]
