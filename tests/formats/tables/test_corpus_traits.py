"""The shared corpus of trait tables: every file read as expected, or refused as expected."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from hxcli.errors import InputError
from hxcli.formats.source import read_source
from hxcli.formats.tables.read import read_table
from hxcli.traits import TraitTable

CORPUS = Path(os.environ.get("HX_SHARED", Path(__file__).parents[4] / "shared")) / "corpus"
BASIC = (("A", "B", "C"), ("mass", "len"), [[1.5, 10], [2.5, 20], [3.5, 30]])
ONE = (("A", "B", "C"), ("mass",), [[1.5], [2.5], [3.5]])

# File -> names, traits and values.
READ = {
    "good_basic.csv": BASIC,
    "good_tab_ext_csv.csv": BASIC,
    "good_spaces_delim.txt": BASIC,
    "good_crlf.csv": BASIC,
    "good_cr_only.csv": BASIC,
    "good_gz.tsv.gz": BASIC,
    "good_no_final_newline.csv": BASIC,
    "good_comments.csv": BASIC,
    "good_pandas_index.csv": ONE,
    "good_1_trait.csv": ONE,
    "good_name_spaces_around.csv": ONE,
    "good_hash_name.csv": (("A#1", "B#2", "C"), ("mass",), [[1.5], [2.5], [3.5]]),
    "good_quoted_specials.csv": (("a,b", "O'Brien", 'say "hi"', "m n"), ("mass",), [[1], [2], [3], [4]]),
    "good_missing_one_trait.csv": (ONE[0], ("mass", "len"), [[1.5, np.nan], [np.nan, 20], [3.5, 30]]),
    "good_missing_tips.csv": (("A", "B"), ("mass",), [[1.5], [2.5]]),
    "good_name_space_vs_underscore.csv": (
        ("A", "B", "C", "Homo sapiens", "Pan_troglodytes"),
        ("mass",),
        [[1], [2], [3], [4], [5]],
    ),
    "good_name_nfd.csv": (("Jose\u0301", "B"), ("mass",), [[1], [2]]),
    "good_name_nbsp.csv": (("Homo\u00a0sapiens", "B"), ("mass",), [[1], [2]]),
    "good_unicode_headers.csv": (("A", "B", "C"), ("masse (g)", "Δt"), [[1, 2], [2, 3], [3, 4]]),
    "bad_no_overlap.csv": (("X", "Y", "Z"), ("mass",), [[1], [2], [3]]),
}
# File -> rows, traits.
SHAPES = {
    "good_50_traits.csv": (5, 50),
    "good_utf8_long.csv": (20000, 1),
    "real_ape__hivtree.table.txt": (192, 1),
    "real_phytools__anole.data.csv": (82, 6),
    "real_phytools__mammal.data.csv": (49, 2),
    "real_phytools__sunfish.data.csv": (28, 2),
    "real_treeio__pa_subs.csv": (27, 1),
}
# File -> part of the message.
REFUSED = {
    "good_semicolon_decimal_comma.csv": r"line 2: '1,5' in column 'mass' is not a number \(decimal comma",
    "good_underscore_number.csv": "line 2: '1_000' in column 'x' is not a number",
    "good_name_col_not_first.csv": "'A' in column 'species' is not a number .*--id-column",
    "good_dates.csv": "line 2: '2020-01-02' in column 'date' is not a number",
    "good_percent_units.csv": "line 2: '5%' in column 'x' is not a number",
    "bad_empty.csv": "empty",
    "bad_header_only.csv": "no rows",
    "bad_whitespace_only.csv": "no table",
    "bad_one_column.csv": "only one column",
    "bad_one_column_wrong_delim.txt": r"unknown delimiter '\|'",
    "bad_ragged_short.csv": "line 3: 2 cells where the header has 3",
    "bad_ragged_long.csv": "line 2: 3 cells where the header has 2",
    "bad_minus_inf.csv": "line 2: '-Infinity' in column 'mass' is not a finite number",
    "bad_overflow.csv": "line 2: '1e400' in column 'mass' is not a finite number",
    "bad_empty_header.csv": "column 2 has no name",
    "bad_utf16.csv": "UTF-16",
    "bad_null.csv": "line 2.*NUL",
    "bad_arabic_digits.csv": "line 2: .* in column 'x' is not a number",
    "bad_hex.csv": "line 2: '0x1F' in column 'x' is not a number",
    # A column of numbers with one `t 132` in it.
    "real_ape__carnivora.csv": "line 6: 't 132' in column 'AM' is not a number",
    "real_pastml__copy_states.tab": "line 2: 'Africa' in column 'Country' is not a number",
    "real_pastml__data.txt": "line 2: 'Africa' in column 'Country' is not a number",
    "real_pastml__locs.tab": "line 2: 'C' in column 'loc' is not a number",
    "tree5.nwk": "this is a tree",
    "tree5_NA.nwk": "this is a tree",
}

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CORPUS.exists(), reason=f"{CORPUS} is not there"),
]


def read(file: str, **options: object) -> TraitTable:
    return read_table(read_source(CORPUS / "traits" / file, parquet=True), **options)[0]  # type: ignore[arg-type]


def test_every_file_has_an_expectation(capsys: pytest.CaptureFixture[str]) -> None:
    with open(CORPUS / "traits_expected.tsv", encoding="utf-8") as stream:
        listed = {row["file"] for row in csv.DictReader(stream, delimiter="\t")}
    assert listed <= READ.keys() | SHAPES.keys() | REFUSED.keys()
    with capsys.disabled():
        print(f"\ntrait tables: {len(READ) + len(SHAPES)} read, {len(REFUSED)} refused, 0 unexplained")  # noqa: T201


@pytest.mark.parametrize("file", READ)
def test_read(file: str) -> None:
    names, traits, values = READ[file]
    table = read(file)
    assert (tuple(table.names), table.traits) == (names, traits)
    np.testing.assert_array_equal(table.values, np.array(values, float))


@pytest.mark.parametrize("file", SHAPES)
def test_shapes(file: str) -> None:
    assert read(file).values.shape == SHAPES[file]


@pytest.mark.parametrize("file", REFUSED)
def test_refused(file: str) -> None:
    with pytest.raises(InputError, match=REFUSED[file]) as caught:
        read(file)
    assert "\n" not in str(caught.value)


def test_what_options_make_readable() -> None:
    assert tuple(read("good_name_col_not_first.csv", id_column="species").names) == ("A", "B", "C")
    assert read("real_ape__carnivora.csv", id_column="Species", columns=["FW", "SB"]).values.shape == (112, 2)
    assert read("real_pastml__data.txt", text_only=True).text_columns == ("Country",)
