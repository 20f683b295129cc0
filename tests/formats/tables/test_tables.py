"""Trait tables: every dialect read right, everything else refused with its line."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hxcli.errors import InputError
from hxcli.formats.source import Source, checked_source, read_source
from hxcli.formats.tables import delimited
from hxcli.formats.tables.numeric_columns import MISSING, NUMBER
from hxcli.formats.tables.read import read_table
from hxcli.formats.trees.scanner import byte_positions
from hxcli.traits import TraitTable
from tests.fuzz.fuzz_tables import run

DATA = Path(__file__).parents[2] / "data" / "traits"


def table_of(text: str | bytes, **options: object) -> TraitTable:
    return read(text, **options)[0]


def read(text: str | bytes, **options: object) -> tuple[TraitTable, tuple[str, ...]]:
    data = text.encode() if isinstance(text, str) else text
    return read_table(checked_source("t.csv", data), **options)  # type: ignore[arg-type]


def read_parquet(frame: pl.DataFrame, **options: object) -> TraitTable:
    stream = io.BytesIO()
    frame.write_parquet(stream)
    return read_table(Source("t.parquet", stream.getvalue(), ""), **options)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("final", [True, False])
def test_delimiters_and_line_ends(delimiter: str, end: str, final: bool) -> None:
    rows = [["species", "mass", "len"], ["A", "1.5", "10"], ["B", "-2", "NA"]]
    text = end.join(delimiter.join(row) for row in rows) + end * final
    for mark in ("", "\ufeff"):
        table = table_of(mark + text)
        assert tuple(table.names) == ("A", "B")
        assert table.traits == ("mass", "len")
        np.testing.assert_array_equal(table.values, [[1.5, 10], [-2, np.nan]])
        np.testing.assert_array_equal(table.standard_errors, np.zeros((2, 2)))
        assert table.lines is not None
        assert table.lines.tolist() == [2, 3]


def test_names_are_always_text() -> None:
    names = ["NA", "001", "1e5", "nan", "TRUE", "-", "?", "A#1", "#5", "null"]
    table = table_of("species,x\n" + "".join(f"{name},1\n" for name in names))
    assert tuple(table.names) == tuple(names)


def test_quotes_hide_delimiters_line_ends_and_quotes() -> None:
    table, notes = read('"species","x"\n"a,b",1\n"two\nlines",2\n"say ""hi""",3\nO\'Brien,4\n')
    assert tuple(table.names) == ("a,b", "two\nlines", 'say "hi"', "O'Brien")
    assert table.lines is not None
    assert table.lines.tolist() == [2, 3, 5, 6]
    assert notes == ()


def test_rows_without_content_and_comments_are_skipped_and_said() -> None:
    text = "# made by x, 2024\n\n# g\nspecies,mass,len\nA,1,2\n\n# mid comment\n   \nB,3,4\n,,\n"
    table, notes = read(text)
    assert tuple(table.names) == ("A", "B")
    assert notes == (
        "2 comment lines above the header were skipped",
        "1 comment line between the rows was skipped",
        "1 row without any content was skipped",
    )


def test_a_header_may_begin_with_a_hash() -> None:
    table = table_of("# from a pipeline\n#OTU ID\ta\tb\nx\t1\t2\n")
    assert (tuple(table.names), table.traits) == (("x",), ("a", "b"))


def test_white_space_around_is_stripped_and_said() -> None:
    table, notes = read("species, mass \n A , 1.5\n\u00a0B,2\n")
    assert (tuple(table.names), table.traits, table.values.tolist()) == (("A", "B"), ("mass",), [[1.5], [2.0]])
    assert notes == ("white space around cells was stripped",)


def test_white_space_inside_names_stays() -> None:
    assert tuple(table_of("species,x\nHomo\u00a0sapiens,1\nPan  paniscus,2\n").names) == (
        "Homo\u00a0sapiens",
        "Pan  paniscus",
    )


def test_an_unnamed_first_column_holds_names_or_is_left_out() -> None:
    assert tuple(table_of('"","x"\n"a",1\n').names) == ("a",)
    table, notes = read('"","species","x"\n"1","a",2.5\n', id_column="species")
    assert (tuple(table.names), table.traits) == (("a",), ("x",))
    assert "no name" in notes[0]


def test_text_columns_are_left_out_with_a_note() -> None:
    table, notes = read("species,diet,x,date,none\nA,meat,1,2020-01-02,\nB,NA,2,2021-01-02,NA\n")
    assert table.traits == ("x",)
    assert table.text_columns == ("diet", "date", "none")
    assert notes == ("left out, because no cell is a number: 'diet', 'date', 'none'",)


def test_a_table_of_text_is_read_only_when_asked() -> None:
    with pytest.raises(InputError, match=r"t\.csv: line 2: 'x' in column 'diet' is not a number \(.*no column holds"):
        read("species,diet\nA,x\n")
    assert table_of("species,diet\nA,x\n", text_only=True).text_columns == ("diet",)


@pytest.mark.parametrize("mark", [*MISSING, " NA ", '""'])
def test_missing_marks(mark: str) -> None:
    table = table_of(f"species,x,y\nA,{mark},1\nB,2,2\n")
    assert table.traits == ("x", "y")
    assert math.isnan(table.values[0, 0])


def test_further_missing_marks() -> None:
    assert math.isnan(table_of("s,x\nA,-999\nB,2\n", na=["-999"]).values[0, 0])
    with pytest.raises(InputError, match=r"'#N/A' in column 'x'.*--na"):
        read("s,x\nA,#N/A\nB,2\n")


@pytest.mark.parametrize(
    "cell",
    [
        "1_000",
        "0x1F",
        "inf",
        "-Infinity",
        "1e400",
        "+nan",
        "１２",
        "١٢",
        "1e",
        "1.2.3",
        "--1",
        "5%",
        "1 000",
        "1d5",
        "TRUE",
        "−1",
    ],
)
def test_what_is_no_number_is_refused_with_its_line(cell: str) -> None:
    with pytest.raises(InputError, match=r"line 4: '.*' in column 'x' is not a"):
        read(f'species,diet,x\nA,"b\nc",2\nC,,{cell}\n')


def test_decimal_commas_are_refused() -> None:
    for text in ("s;x\nA;1,5\nB;2,5\n", "s;x;y\nA;1,5;2\nB;2,5;3\n", "s;x\nA;1,5\nB;2\n"):
        with pytest.raises(InputError, match=r"line 2: '1,5' in column 'x' is not a number \(decimal comma\?"):
            read(text)


def test_chosen_columns() -> None:
    text = "species,diet,x,mixed\nA,meat,1,2\nB,meat,2,two\n"
    assert table_of(text, columns=["x"]).traits == ("x",)
    with pytest.raises(InputError, match="line 3: 'two' in column 'mixed' is not a number"):
        read(text)
    with pytest.raises(InputError, match="line 2: 'meat' in column 'diet' is not a number"):
        read(text, columns=["diet"])
    with pytest.raises(InputError, match=r"no column 'Mixde' \(did you mean 'mixed'\?\)"):
        read(text, columns=["Mixde"])
    with pytest.raises(InputError, match=r"no column 'species name' \(columns: 'species', 'diet', 'x', 'mixed'\)"):
        read(text, id_column="species name")
    with pytest.raises(InputError, match="column 'species' holds the tip names"):
        read(text, columns=["species"])


def test_another_id_column() -> None:
    table = table_of("mass,species\n1.5,A\n2.5,B\n", id_column="species")
    assert (tuple(table.names), table.traits) == (("A", "B"), ("mass",))


def test_standard_errors_beside_their_trait() -> None:
    table, notes = read("s,x,x_se,y\nA,1,0.5,2\nB,NA,,3\nC,2,0,4\n")
    assert table.traits == ("x", "y")
    np.testing.assert_array_equal(table.standard_errors, [[0.5, 0], [0, 0], [0, 0]])
    assert notes == ("known standard errors of 'x': column 'x_se'",)


def test_standard_errors_by_name() -> None:
    text = "s,x,sd,y\nA,1,0.5,2\nB,3,0.25,3\n"
    for given_as in ({"x": "sd"}, {" x ": " sd "}):
        table = table_of(text, se_columns=given_as)
        assert table.traits == ("x", "y")
        assert table.standard_errors[:, 0].tolist() == [0.5, 0.25]
    assert table_of(text, columns=["x"], se_columns={"": "sd"}).standard_errors.tolist() == [[0.5], [0.25]]
    with pytest.raises(InputError, match=r"does not say which of 2 traits .*TRAIT=sd"):
        read(text, se_columns={"": "sd"})
    with pytest.raises(InputError, match="given for 'z', which is not a trait in use"):
        read(text, se_columns={"z": "sd"})
    with pytest.raises(InputError, match=r"no column 'sdd' \(did you mean 'sd'|no column 'sdd'"):
        read(text, se_columns={"x": "sdd"})


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("-0.1", "line 3: a negative standard error, -0.1"),
        ("", "line 3: the standard error in column 'x_se' is missing"),
        ("high", "line 3: 'high' in column 'x_se' is not a number"),
    ],
)
def test_standard_errors_that_are_none(cell: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(f"s,x,x_se\nA,1,0.5\nB,2,{cell}\n")


def test_a_column_named_as_a_trait_is_one() -> None:
    table, notes = read("s,x,x_se\nA,1,0.5\n", columns=["x", "x_se"])
    assert table.traits == ("x", "x_se")
    assert notes == ("column 'x_se' is a trait, as asked, and not the standard errors of 'x'",)
    assert not table.standard_errors.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n \n\t\n", "holds no table"),
        ("# only\n# comments\n", "holds no table"),
        ("species,mass\n", "line 1: a header and no rows"),
        ("species,mass\n,\n", "line 1: a header and no rows"),
        ("species\nA\n", "line 1: only one column, 'species'"),
        (
            "# by Excel\nsep=;\nspecies;mass\nA;1\n",
            "line 2, column 1: a line for Excel, 'sep=', above the header .delete",
        ),
        ('"sep=,"\nspecies,mass\nA,1\n', "line 1, column 1: a line for Excel"),
        ("species\nHomo sapiens\n", "line 1: only one column, 'species'"),
        (
            '"mass"\n"A" 1.5\n"B" 2\n',
            r"line 1: the header has one cell, '\"mass\"', where the rows have 2 .*col\.names = NA",
        ),
        ("species|mass\nA|1\n", r"unknown delimiter '\|'"),
        ("species,mass,len\nA,1,2\n\nB,2\n", "line 4: 2 cells where the header has 3: 'B,2'"),
        ("species,mass\nA,1,10\nB,2\n", "line 2: 3 cells where the header has 2"),
        ("mass,len\nA,1,10\nB,2,20\n", r"line 2: 3 cells .*col\.names = NA"),
        ("species,,len\nA,1,2\n", "line 1: column 2 has no name"),
        ("species,x,x\nA,1,2\n", r"line 1: the header 'x' stands twice \(columns 2 and 3\)"),
        ("species,x\n,1\n", "line 2: row 1 has no name"),
        ('species,x\n"A,1\nB,2\n', "line 2: a quotation mark that is never closed"),
        ('species,x\nA "b" c,1\n', "line 2: a quotation mark inside a cell"),
        ('species,x\n"a\\"b",1\n', "line 2: a quotation mark inside a cell"),
        ("((A:1,B:1):1,C:2);", "this is a tree, not a table"),
        ("#NEXUS\nbegin trees;\n", "this is a NEXUS tree"),
        ("<html><table>", "this is HTML or XML"),
        ('{"A": 1}', "this is JSON"),
        (">A\nACGT\n", "this is FASTA"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text)


def test_parquet_gives_the_same_table() -> None:
    frame = pl.DataFrame(
        {"species": ["A", "B"], "x": [1.5, None], "n": [1, 2], "text": ["1e-3", "NA"], "ok": ["a", "b"]}
    )
    table = read_parquet(frame)
    assert (tuple(table.names), table.traits, table.text_columns) == (("A", "B"), ("x", "n", "text"), ("ok",))
    np.testing.assert_array_equal(table.values, [[1.5, 1, 1e-3], [np.nan, 2, np.nan]])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"s": ["A"], "x": [math.inf]}), "row 1: 'inf' in column 'x' is not a finite number"),
        (pl.DataFrame({"s": ["A", "B"], "x": ["1", "b"]}), "row 2: 'b' in column 'x' is not a number"),
        (pl.DataFrame({"s": ["A"]}), "only one column"),
        (pl.DataFrame({"s": ["A"], "x": [[1.0]]}).clear(), "a header and no rows"),
        (pl.DataFrame({"s": [b"A"], "x": [1.0]}), "t.parquet"),
    ],
)
def test_parquet_refusals(frame: pl.DataFrame, message: str) -> None:
    if message == "t.parquet":
        assert tuple(read_parquet(frame).names) == ("A",)
        return
    with pytest.raises(InputError, match=message):
        read_parquet(frame)


def test_damaged_parquet_is_refused() -> None:
    with pytest.raises(InputError, match="the Parquet file cannot be read"):
        read_table(Source("t.parquet", b"PAR1" + b"\x00" * 50 + b"PAR1", ""))


@pytest.mark.parametrize(
    ("file", "traits"),
    [
        ("basic.csv", ("mass", "len")),
        ("semicolons.csv", ("gape width",)),
        ("errors.tsv", ("mass",)),
        ("white_space.txt", ("size",)),
    ],
)
def test_files(file: str, traits: tuple[str, ...]) -> None:
    assert read_table(read_source(DATA / file, parquet=True))[0].traits == traits


HAIRY = (
    b'# made up\n"name, full";x;x_se;"y"" z";note\nD;1;2;3;d\n A  ;1.5;0.1;NA;"a\n;b"\n\n# between\n'
    b'"B;1";-2;0;?;\n;;;;\n"C";1e3;.5;7;"q"\n'
)


@pytest.mark.parametrize(
    "data",
    [
        *((DATA / name).read_bytes() for name in ("basic.csv", "errors.tsv", "r_header.txt", "white_space.txt")),
        HAIRY,
        HAIRY.replace(b"\nD;", b"\n;"),
        HAIRY.replace(b"1e3", b"1x3"),
    ],
    ids=["basic", "errors", "R", "white space", "hairy", "without a name", "no number"],
)
def test_a_few_cells_at_a_time_give_the_same_table(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> object:
        try:
            table, notes = read(data, na=["7"])
        except InputError as error:
            return str(error)
        values = table.values.tobytes(), table.standard_errors.tobytes(), table.lines.tolist()
        return tuple(table.names), table.traits, table.text_columns, values, notes

    whole = outcome()
    if data is HAIRY:
        assert whole[:2] == (("D", "A", "B;1", "C"), ("x", 'y" z'))
    monkeypatch.setattr(delimited, "_BLOCK", 3)
    monkeypatch.setattr(delimited, "_CUT", 2)
    monkeypatch.setattr(byte_positions, "_PIECE", 32)
    assert outcome() == whole


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(
        r"[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?",
        fullmatch=True,
        alphabet=st.characters(codec="ascii"),
    ),
)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_numbers_are_those_of_python(cells: list[str]) -> None:
    expected = [float(cell) for cell in cells]
    text = "s,x\n" + "".join(f"t{i},{cell}\n" for i, cell in enumerate(cells))
    if not all(map(math.isfinite, expected)):
        with pytest.raises(InputError, match="not a finite number"):
            read(text)
    else:
        assert table_of(text).values.tobytes() == np.array(expected).tobytes()


@given(st.text(alphabet="0123456789+-.eE_xnaif ,١１", min_size=1, max_size=8))
def test_only_the_grammar_makes_a_number(cell: str) -> None:
    is_number = pl.Series([cell.strip()]).str.contains(NUMBER).item()
    quoted = f'"{cell}"'
    if cell.strip() in MISSING:
        assert math.isnan(table_of(f"s,x\nA,{quoted}\nB,1\n").values[0, 0])
    elif is_number and math.isfinite(float(cell)):
        assert table_of(f"s,x\nA,{quoted}\nB,1\n").values[0, 0] == float(cell)
    else:
        with pytest.raises(InputError, match=r"line 2: .* in column 'x' is not a"):
            read(f"s,x\nA,{quoted}\nB,1\n")


names_in_cells = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters=["\n", "\t"]), min_size=1, max_size=12
).filter(lambda name: name.strip() == name)


@given(st.lists(names_in_cells, min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_hostile_names_come_back(names: list[str], delimiter: str) -> None:
    rows = ["species" + delimiter + "x"]
    for i, name in enumerate(names):
        doubled = name.replace('"', '""')
        rows.append(f'"{doubled}"{delimiter}{i}')
    table = table_of("\n".join(rows))
    assert tuple(table.names) == tuple(names)
    assert table.values[:, 0].tolist() == list(range(len(names)))


def test_mutated_tables_are_read_right_or_refused() -> None:
    counts = run(count=400, seed=1)
    assert counts["read"] > 20
    assert counts["refused"] > 20


@pytest.mark.parametrize("text", ["A,1\nB,2\n", "A\t1.5\t-2e3\nB\t2\t3\n", "# made by hand\nA 1\nB 2\n"])
def test_a_table_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"the header holds numbers \(is the header missing\? add a line with column"):
        table_of(text)


def test_some_numbers_among_the_headers_are_names() -> None:
    assert table_of("species,2001,mass\nA,1,2\n").traits == ("2001", "mass")
    assert read_parquet(pl.DataFrame({"A": ["B"], "1": [2.0]})).traits == ("1",)


def test_the_header_of_the_names_is_kept() -> None:
    assert table_of("species,x\nA,1\n").id_header == "species"
    assert table_of("x,species\n1,A\n", id_column="species").id_header == "species"


def test_marks_of_missing_values_are_compared_as_numbers_too() -> None:
    text = "species,x,y\nA,-999.00,1\nB,2,-9.99e2\nC,-999,-998.9\n"
    table, notes = read(text, na=["-999"])
    np.testing.assert_array_equal(table.values, [[np.nan, 1], [2, np.nan], [np.nan, -998.9]])
    assert notes == ()
    frame = pl.DataFrame({"species": ["A", "B"], "x": [-999.0, 1], "y": [3, -999], "z": ["-999.0", "1"]})
    np.testing.assert_array_equal(read_parquet(frame, na=["-999"]).values, [[np.nan, 3, np.nan], [1, np.nan, 1]])


def test_a_mark_of_missing_values_that_no_cell_holds_is_said() -> None:
    table, notes = read("species,x\n-999,1\nB,none\n", na=["none", "-999", "absent"])
    np.testing.assert_array_equal(table.values, [[1], [np.nan]])
    assert notes == ("--na '-999' matched no cell", "--na 'absent' matched no cell")


def test_the_column_of_standard_errors_is_kept() -> None:
    table = table_of("species,x,x_se,y\nA,1,0.5,2\n")
    assert (table.traits, table.error_columns) == (("x", "y"), ("x_se", ""))


@pytest.mark.parametrize(("text", "pair"), [("species,x,y\nA,1,2\n", {"x": "x"}), ("species,x\nA,1\n", {"": "x"})])
def test_a_trait_is_not_its_own_standard_error(text: str, pair: dict[str, str]) -> None:
    with pytest.raises(InputError, match="line 1: column 'x' is the trait itself, not its standard errors"):
        table_of(text, se_columns=pair)
