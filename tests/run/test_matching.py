"""Rows meet tips: exactly, by underscore, by Unicode form, each only one to one."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hxcli.close_names import closest_name, edit_distance
from hxcli.engine.topology import from_parents
from hxcli.errors import InputError
from hxcli.phylogeny import Phylogeny
from hxcli.run.matching import match
from hxcli.text_columns import Texts
from hxcli.traits import TraitTable


def star(*tips: str) -> Phylogeny:
    size = len(tips) + 1
    return Phylogeny(from_parents([0] * size), np.ones(size), Texts(["", *tips]), Texts.blank(size))


def table(*names: str) -> TraitTable:
    values = np.arange(len(names), dtype=float)[:, None]
    lines = np.arange(2, len(names) + 2)
    return TraitTable(Texts(names), ("x",), values, values / 10, file="t.csv", lines=lines)


def test_exact_names_in_any_order() -> None:
    observations, report, notes = match(star("A", "B", "C"), table("C", "A", "B"))
    assert observations.nodes.tolist() == [1, 2, 3]
    assert observations.values[:, 0].tolist() == [1, 2, 0]
    assert observations.standard_errors[:, 0].tolist() == [0.1, 0.2, 0]
    assert (report.exact, report.tips_without_data, report.rows_without_tip, notes) == (3, (), (), ())


def test_underscore_is_a_space_in_both_directions() -> None:
    _, report, notes = match(star("Homo_sapiens", "Pan troglodytes"), table("Homo sapiens", "Pan_troglodytes"))
    assert report.exact == 0
    assert report.by_underscore == (("Homo sapiens", "Homo_sapiens"), ("Pan_troglodytes", "Pan troglodytes"))
    assert notes == ("2 names matched only once `_` is read as a space, such as 'Homo sapiens' and 'Homo_sapiens'",)


def test_loose_matches_only_one_to_one() -> None:
    _, report, _ = match(star("a_b", "a b", "c d e"), table("a b", "c_d e", "c d_e"))
    assert report.exact == 1
    assert report.by_underscore == ()
    assert report.tips_without_data == ("a_b", "c d e")
    assert report.rows_without_tip == ("c_d e", "c d_e")


def test_unicode_forms_meet() -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    _, report, notes = match(star(composed, "B c"), table(decomposed, "B c"))
    assert report.by_unicode == ((decomposed, composed),)
    assert "NFC" in notes[0]
    _, report, _ = match(star(composed + "_x"), table(decomposed + " x"))
    assert report.by_unicode == ((decomposed + " x", composed + "_x"),)


def test_what_does_not_meet_is_counted_and_named() -> None:
    tips = ["Homo_sapiens", *(f"t{i}x" for i in range(7))]
    _, report, notes = match(star(*tips), table("t0x", "homo sapien", "zzzzzzz"))
    assert len(report.tips_without_data) == 7
    assert notes == (
        "7 of 8 tips without a row in the table: 'Homo_sapiens', 't1x', 't2x', 't3x', 't4x' and 2 more",
        "2 rows without a tip in the tree: 'homo sapien', 'zzzzzzz'; 'homo sapien' may be 'Homo_sapiens'",
    )


def test_two_spellings_of_one_tip_are_said() -> None:
    for tip, spelt in (("Homo_sapiens", "Homo sapiens"), ("Homo sapiens", "Homo_sapiens")):
        _, report, notes = match(star(tip, "B"), table(spelt, tip, "B"))
        assert (report.exact, report.rows_without_tip) == (2, (spelt,))
        assert notes == (
            f"1 row without a tip in the tree: {spelt!r}; {spelt!r} and {tip!r} may be one species in two rows",
        )


def test_strict_refuses_both_sides() -> None:
    match(star("A", "B"), table("A", "B"), strict=True)
    with pytest.raises(InputError, match="1 of 2 tips without a row in the table: 'B'"):
        match(star("A", "B"), table("A"), strict=True)
    with pytest.raises(InputError, match="1 row without a tip in the tree: 'C'"):
        match(star("A", "B"), table("A", "B", "C"), strict=True)


def test_no_overlap_is_refused_with_both_sides() -> None:
    found = r"no name of the table is a tip: the table has 'X', 'Y', the tree 'A', 'B', 'C' and 1 more"
    with pytest.raises(InputError, match=found):
        match(star("A", "B", "C", "D"), table("X", "Y"))
    with pytest.raises(InputError, match=r"is 'homosapiens' the tip 'Homo_sapiens'\?.*--id-column"):
        match(star("Homo_sapiens", "B"), table("homosapiens"))


def test_repeated_names() -> None:
    with pytest.raises(
        InputError, match=r"2 rows for 'A' on lines 2, 4; 1 further name repeated: 'B' \(.*--replicates"
    ):
        match(star("A", "B"), table("A", "B", "A", "B"))
    observations, report, _ = match(star("A", "B"), table("B", "A", "B", "C", "C"), replicates=True)
    assert observations.nodes.tolist() == [1, 2, 2]
    assert observations.values[:, 0].tolist() == [1, 0, 2]
    assert report.exact == 2


def test_repeated_names_that_meet_loosely() -> None:
    observations, report, _ = match(star("a_b"), table("a b", "a b"), replicates=True)
    assert observations.nodes.tolist() == [1, 1]
    assert report.by_underscore == (("a b", "a_b"),)
    with pytest.raises(InputError, match="2 rows for 'a_b'"):
        match(star("a_b"), table("a b", "a b"))


name = st.text("aA_ é\u0301b", min_size=1, max_size=4)


@given(st.lists(name, min_size=1, max_size=6, unique=True), st.lists(name, min_size=1, max_size=6, unique=True))
def test_every_name_meets_at_most_one(tips: list[str], rows: list[str]) -> None:
    try:
        observations, report, _ = match(star(*tips), table(*rows))
    except InputError:
        assert not set(tips) & set(rows)
        return
    met = {(row, row) for row in set(tips) & set(rows)} | {*report.by_underscore, *report.by_unicode}
    assert len({row for row, _ in met}) == len({tip for _, tip in met}) == len(met) == len(observations.nodes)
    assert {row for row, _ in met} | set(report.rows_without_tip) == set(rows)
    assert {tip for _, tip in met} | set(report.tips_without_data) == set(tips)

    def key(text: str) -> str:
        return unicodedata.normalize("NFC", text.replace("_", " "))

    assert all(key(row) == key(tip) for row, tip in met)
    for node, value in zip(observations.nodes.tolist(), observations.values[:, 0].tolist(), strict=True):
        assert (rows[int(value)], tips[node - 1]) in met


@pytest.mark.parametrize(
    ("asked", "names", "found"),
    [
        ("Homo sapiens", ["Pan", "homo_sapiens"], "homo_sapiens"),
        ("Homo_sapeins", ["Homo_sapiens", "Pan"], "Homo_sapiens"),
        ("Jose", ["Jos\u00e9"], "Jos\u00e9"),
        ("mas", ["mass", "length"], "mass"),
        ("A", ["B", "C"], None),
        ("Gorilla", ["Pan", "Homo"], None),
        ("", ["A"], None),
        ("x", [], None),
    ],
)
def test_closest_name(asked: str, names: list[str], found: str | None) -> None:
    assert closest_name(asked, names) == found


def test_edit_distance() -> None:
    assert [edit_distance("abc", other) for other in ("abc", "acb", "ab", "xbc", "", "cab")] == [0, 1, 1, 1, 3, 2]


@pytest.mark.parametrize("header", ["C_c", "C c"])
def test_a_header_that_is_a_tip_without_a_row_is_refused(header: str) -> None:
    values, errors = np.ones((2, 1)), np.zeros((2, 1))
    read = TraitTable(Texts(("A", "B")), ("x",), values, errors, id_header=header)
    with pytest.raises(InputError, match=rf"the header '{header}', which is a tip that has no row"):
        match(star("A", "B", "C_c"), read)
    with_row = TraitTable(Texts(("A", "C_c")), ("x",), values, errors, id_header=header)
    assert match(star("A", "B", "C_c"), with_row)[1].tips_without_data == ("B",)
