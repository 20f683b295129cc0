"""Texts as strings and as a polars column: the same either way."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from hxcli import text_columns as texts_module
from hxcli.errors import InputError
from hxcli.formats.source import checked_source
from hxcli.formats.trees.read import TreeFile, read_trees
from hxcli.formats.trees.scanner import labels, masking
from hxcli.formats.trees.scanner.labels import all_distinct, all_support
from hxcli.text_columns import Texts
from tests.formats.agreement import as_large

SOME = ["b", "", "Ærø's", "a b", "b"]


def forms() -> list[Texts]:
    array = np.empty(len(SOME), object)
    array[:] = SOME
    return [Texts(SOME), Texts(tuple(SOME)), Texts(array), Texts(pl.Series(SOME))]


@pytest.mark.parametrize("texts", forms())
def test_both_forms_hold_the_same_texts(texts: Texts) -> None:
    assert (len(texts), list(texts), texts.tolist(), texts.array.tolist()) == (5, SOME, SOME, SOME)
    assert texts.column.to_list() == SOME
    assert texts == Texts(SOME)
    assert texts != Texts([*SOME[:-1], "c"])
    assert texts != Texts(SOME[:-1])


@pytest.mark.parametrize("texts", forms())
def test_places_slices_and_searches(texts: Texts) -> None:
    was_column = texts.is_column
    assert (texts[2], texts[np.int32(0)], texts[-1]) == ("Ærø's", "b", "b")
    assert texts[1:3].tolist() == ["", "Ærø's"]
    assert texts[np.array([3, 0, 0])].tolist() == ["a b", "b", "b"]
    assert "a b" in texts
    assert "a" not in texts
    assert texts.any()
    assert not texts[1:2].any()
    assert texts.lines() == "\n".join(SOME)
    assert repr(texts[:1]) == "Texts(['b'])"
    # Nothing of this has made a million strings of a column.
    assert texts.is_column == was_column


def test_texts_do_not_change() -> None:
    texts = Texts(SOME)
    with pytest.raises(ValueError, match="read-only"):
        texts.array[0] = "c"
    assert texts.column is texts.column


@pytest.mark.parametrize("count", [0, 3])
def test_blank_texts(count: int) -> None:
    assert not Texts.blank(count).any()
    assert Texts.blank(count).array.tolist() == Texts.blank(count).column.to_list() == [""] * count
    assert Texts.blank(count) == Texts([""] * count)
    assert "" not in Texts.blank(0)


def test_joined_texts() -> None:
    strings, column = Texts(["a"]), Texts(pl.Series("of a name", ["b", "c"]))
    assert Texts.joined(strings, strings).tolist() == ["a", "a"]
    assert Texts.joined(column, strings, Texts([])).tolist() == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["95", "", "100/0.99", "1e-3", ".5", "5.", "+1"], True),
        ([], True),
        (["95", "x"], False),
        (["95/"], False),
        (["1.2.3"], False),
        (["٣"], False),
        (["inf"], False),
        (["95 "], False),
    ],
)
def test_support_values_are_told_apart_in_both_forms(labels: list[str], expected: bool) -> None:
    assert all_support(Texts(labels)) is expected
    assert all_support(Texts(pl.Series(labels, dtype=pl.String))) is expected


def assert_same_as_large(text: str) -> None:
    """A text is read, or refused, as it is as a large one."""

    def read() -> TreeFile | str:
        try:
            return read_trees(checked_source("tree", text.encode()))
        except InputError as error:
            return str(error)

    before = read()
    with as_large():
        assert read() == before


@pytest.mark.parametrize(
    "text",
    [
        "((a,b)95:1,(c_1:2,Ærø:.5)100/0.9:1e-3)r:7;",
        "((a,b)95:1,(c:2,d:.5)[66]:1)98;",
        "((a,b)x,(c,d)):1;",
        "((a,b):1[95],(c,d):2[&r=1][80]);",
        "((a,b),(c,(d,e)));",
        "(a[95],(b,c)[80]);",
        '((a"b,"c"),(-,NA));',
        "(\ufeffa,\ufeff:1);",
        "((a#1,b),(#c,d)x);",
        "(('a b','it''s'),(c,''));(a,(b,c)f);",
        "[&R] ((A_b:1,A_B:1):1,[x]b_c:2);",
    ],
)
def test_trees_are_the_same_with_columns_and_with_strings(text: str) -> None:
    assert_same_as_large(text)


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN TREES; TRANSLATE 1 a, 2 b_c, 3 d; TREE t = ((1,2),3); END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b, 1 d; TREE t = ((1,2),3); END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b 3 d; TREE t = ((1,2),3); END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b, 3; TREE t = ((1,2),3); END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b, 3 c, 4 r; TREE t = ((1,2)4,3); END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b, 3 c; TREE t = ((1,2)95,3)100; END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b, 3 c; TREE t = ((1,2),4); END;",
        "BEGIN TREES; TRANSLATE 1 a, 2 b, 3 c; TREE t = ((1,2),x); TREE u = ((3,2),1); END;",
        "BEGIN TAXA; TAXLABELS a b c; END; BEGIN TREES; TRANSLATE 1 a, 2 b, 3 d; TREE t = ((1,2),3); END;",
        "BEGIN TAXA; TAXLABELS a b c; END; BEGIN TREES; TREE t = ((1,2),3); TREE u = ((A,b),d); END;",
        "BEGIN TAXA; TAXLABELS a b c; END; BEGIN TREES; TREE t = ((1,2),4); END;",
        "BEGIN TAXA; TAXLABELS a 3 2; END; BEGIN TREES; TREE t = ((1,2),3); END;",
        "BEGIN TAXA; TAXLABELS a b; END; BEGIN TAXA; TAXLABELS a c; END; BEGIN TREES; TREE t = (1,2); END;",
        "BEGIN TAXA; TAXLABELS 'a b' c; END; BEGIN TREES; TREE t = ('a b',c); TREE u = (a_b,c); END;",
    ],
)
def test_nexus_names_are_the_same_with_columns_and_with_strings(text: str) -> None:
    assert_same_as_large(f"#NEXUS\n{text}")


@pytest.mark.parametrize("texts", forms())
def test_places_among_others(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    others = Texts(["x", "a b", "", "b"])
    expected = [3, 2, -1, 1, 3]
    assert texts.places_among(others).tolist() == expected
    assert texts[:0].places_among(others).tolist() == []
    assert texts.places_among(Texts(())).tolist() == [-1] * 5
    assert texts.containing("b").tolist() == [0, 3, 4]
    monkeypatch.setattr(texts_module, "MANY", 0)
    assert texts.places_among(others).tolist() == expected
    assert texts.places_among(Texts(())).tolist() == [-1] * 5


def test_large_trees_have_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "MANY", 3)
    monkeypatch.setattr("hxcli.formats.trees.newick.BIOPYTHON_LIMIT", 0)
    plain, quoted = (read_trees(checked_source("t", text)).phylogenies[0] for text in (b"(a,b,c);", b"(a,b,'c');"))
    assert plain.labels.is_column
    assert not quoted.labels.is_column
    assert plain == quoted


def test_all_distinct_in_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MANY", 0)
    assert all_distinct(Texts(SOME[:-1]))
    assert not all_distinct(Texts(SOME))
