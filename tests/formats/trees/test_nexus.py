"""NEXUS: blocks, TRANSLATE, TAXLABELS, and what must not go missing."""

import math

import pytest
from hypothesis import given, settings

from hxcli.errors import InputError
from hxcli.formats.source import checked_source
from hxcli.formats.trees import newick
from hxcli.formats.trees.read import TreeFile, read_trees
from tests.formats import oracle
from tests.formats.agreement import differences
from tests.formats.strategies import TreeText, hostile_nexus, trees
from tests.fuzz.fuzz_trees import outcome

TAXA = "BEGIN TAXA; TITLE x; DIMENSIONS NTAX=3; TAXLABELS A 'B b' C_c; END;\n"


def read(text: str) -> TreeFile:
    return read_trees(checked_source("f", ("#NEXUS\n" + text).encode()))


def names(text: str) -> list[list[str]]:
    return [tree.tip_names.tolist() for tree in read(text).phylogenies]


def trees_block(*commands: str) -> str:
    return "BEGIN TREES;\n" + "".join(f"{command};\n" for command in commands) + "END;\n"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (trees_block("TREE t = (A,B)"), ["A", "B"]),
        ("begin trees;tree t=[&R](A,B);endblock;", ["A", "B"]),
        (trees_block("TRANSLATE 1 A, 2 'B b',", "TREE t = (1,2)"), ["A", "B b"]),
        (trees_block("TRANSLATE [0] k *A-1, [1] 'l l' 'it''s'", "TREE t = (k,'l l')"), ["*A-1", "it's"]),
        (trees_block("TRANSLATE 1 2, 2 1", "TREE t = (1,2)"), ["2", "1"]),
        (trees_block("TRANSLATE 1 A, 2 B", "TREE t = (1,B)"), ["A", "B"]),
        (TAXA + trees_block("TREE t = (1,2,3)"), ["A", "B b", "C_c"]),
        (TAXA + trees_block("TREE t = (1,'B b',3)"), ["A", "B b", "C_c"]),
        (trees_block("TREE t = (1,2,3)"), ["1", "2", "3"]),
        ("BEGIN TAXA; TAXLABELS 2 1; END;" + trees_block("TREE t = (1,2)"), ["1", "2"]),
        (
            "BEGIN DATA; MATRIX A AC(GT) 'B' A; [begin trees; tree x=(q,r);] END;" + trees_block("TREE t = (A,B)"),
            ["A", "B"],
        ),
        (
            'BEGIN private; it\'s = "a(b"; END;' + trees_block("TITLE 'x y'", "LINK Taxa = x", "TREE t = (A,B)"),
            ["A", "B"],
        ),
    ],
)
def test_tips_are_named(block, expected):
    assert names(block) == [expected]


def test_every_block_has_its_own_translation():
    text = trees_block("TRANSLATE 1 A, 2 B", "TREE a = (1,2)") + trees_block("TRANSLATE 1 X, 2 Y", "TREE b = (1,2)")
    assert names(text) == [["A", "B"], ["X", "Y"]]


def test_links_choose_among_taxa_blocks():
    taxa = "BEGIN TAXA; TITLE one; TAXLABELS A B; END; BEGIN TAXA; TITLE 'two'; TAXLABELS C D; END;"
    assert names(taxa + trees_block("LINK TAXA = Two", "TREE t = (1,2)")) == [["C", "D"]]
    with pytest.raises(InputError, match="tip '1' could be of several TAXA blocks"):
        read(taxa + trees_block("TREE t = (1,2)"))


def test_numbers_inside_are_names_only_where_they_can_be():
    translate = "TRANSLATE 1 A, 2 B, 3 C, 4 AB"
    (named,) = read(trees_block(translate, "TREE t = ((1,2)4,3)")).phylogenies
    assert named.labels.tolist() == ["", "AB", "C", "A", "B"]
    for text in ("((1,2)3,3)", "((1,2)4,(3)4)", "((1,2)4,(3)99)"):
        (support,) = read(trees_block(translate, f"TREE t = {text}")).phylogenies
        assert support.support[1] in ("3", "4")


def test_trees_have_names_and_say_whether_they_are_rooted():
    text = trees_block(
        "TREE * 'a b' [&lnP=-1] = [&W 1] [&R] (A,B)", "UTREE u = (A,B)", "UTREE = [&R] (A,B)", "TREE x=(A,B)"
    )
    found = read(text)
    assert [(tree.name, tree.rooted) for tree in found.phylogenies] == [
        ("a b", True),
        ("u", False),
        ("", True),
        ("x", None),
    ]
    assert not any(tree.annotations for tree in found.phylogenies)


def test_beast_trees():
    text = trees_block(
        "TRANSLATE 1 A,2 B", "tree STATE_0 [&lnP=-3] = [&R] (1[&rate=1]:1,2:[&rate=.2]2.0)[&x={1,2}]:0.0"
    )
    (tree,) = read(text).phylogenies
    assert dict(tree.annotations) == {0: ("&x={1,2}",), 1: ("&rate=1",), 2: ("&rate=.2",)}
    assert tree.edge_lengths.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no TREES block"),
        (TAXA, "no TREES block"),
        (trees_block(), "holds no tree"),
        ("BEGIN TREES; TREE t = (A,B);", "line 2, column 1: the TREES block is not closed by END;"),
        ("BEGIN TREES; TREE t = (A,B); END", "END without ';'"),
        ("BEGIN TREES; TREE t = (A,B); ;", "not closed by END;"),
        ("BEGIN TREES; TRANSLATE 1 A, 2", "the file ends inside 'TRANSLATE'"),
        ("BEGIN TREES; TREE t = (A,B); BEGIN TAXA; END;", "not closed by END; before the next BEGIN"),
        ("BEGIN TREES; TREE t = (A,B); END x;", "unexpected text behind END"),
        ("BEGIN DATA; MATRIX A C", "the DATA block is not closed"),
        ("TREE t = (A,B);", "outside of any block"),
        (trees_block("TREE t = (A,B)") + "junk", "outside of any block"),
        ("BEGIN ;", "BEGIN without a block name"),
        (trees_block("TREE t (A,B)"), "line 3, column 8: TREE: expected '='"),
        (trees_block("TREE t"), "expected '='"),
        (trees_block("TREE t = "), "tree 't': nothing behind '='"),
        (trees_block("TREE my tree = (A,B)"), "more than one word: 'my tree'"),
        (trees_block("TREE 'a'b = (A,B)"), "unexpected text 'b' after label 'a'"),
        (
            trees_block("TREE t = (A,B)\nTREE u = (A,B)"),
            "line 4, column 1: tree 't': unexpected text 'TREE' after the tree",
        ),
        (trees_block("TREE t = (A,B)x y"), "tree 't': unexpected text 'y' after label 'x'"),
        (trees_block("TREE t = (A,A)"), "tree 't': duplicate tip name"),
        (trees_block("TRE t = (A,B)", "TREE u = (A,B)"), "unknown command 'TRE' in the TREES block"),
        (
            trees_block("TRANSLATE 1 A, 2 B", "TREE t = (1,3)"),
            "line 4, column 13: tree 't': tip '3' is not in TRANSLATE",
        ),
        (trees_block("TRANSLATE 1 A, 1 B", "TREE t = (1,2)"), "line 3, column 16: TRANSLATE: key '1' is given twice"),
        (trees_block("TRANSLATE 1 A, 2 A", "TREE t = (1,2)"), "duplicate tip name: 'A'"),
        (trees_block("TRANSLATE 1 Homo sapiens, 2 A", "TREE t = (1,2)"), "TRANSLATE: unexpected 'sapiens'"),
        (trees_block("TRANSLATE 1 A, 2 B\nTREE t = (1,2)"), "line 4, column 1: TRANSLATE: unexpected 'TREE'"),
        (trees_block("TRANSLATE 1, 2 B"), "TRANSLATE: unexpected ','"),
        (trees_block("TRANSLATE 1 A, 2"), "key '2' without a name"),
        (trees_block("TRANSLATE 1 A", "TRANSLATE 2 B"), "a second TRANSLATE"),
        (TAXA + trees_block("TREE t = (1,4)"), "tip '4': TAXLABELS has 3 names"),
        (TAXA + trees_block("TREE t = (1,0)"), "tip '0': TAXLABELS has 3 names"),
        ("BEGIN TAXA; TAXLABELS A; TAXLABELS B; END;" + trees_block("TREE t = (A,B)"), "a second TAXLABELS"),
        ("BEGIN TAXA; TAXLABELS a[x]c d; END;" + trees_block("TREE t = (A,B)"), "comment inside a label"),
        ("BEGIN TAXA; TAXLABELS a,'b'c d; END;" + trees_block("TREE t = (A,B)"), "a quote inside a label"),
        ("[never closed\n" + trees_block("TREE t = (A,B)"), "line 2, column 1: comment '\\[' never closed"),
        ("BEGIN TREES; =x; END;", "a command begins with a word"),
    ],
)
def test_refusals(text, found):
    with pytest.raises(InputError, match=found):
        read(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TAXA + trees_block("TREE t = [&R] (A,D)"), "1 tip name is not in TAXLABELS: 'D'"),
        (trees_block("TRANSLATE 1 A", "TREE t = [&R] (1,D)"), "1 tip name is not in TRANSLATE: 'D'"),
        ("BEGIN TAXA; abun; END;" + trees_block("TREE t = (A,B)"), "no TAXLABELS"),
        (TAXA + TAXA + trees_block("TREE t = (A,C_c)"), "several blocks with TAXLABELS"),
        (trees_block("BLOCKID x", "TREE t = (A,B)"), "unknown command 'BLOCKID' in the TREES block is ignored"),
    ],
)
def test_warnings(text, found):
    assert [warning for warning in read(text).warnings if found in warning]


def test_names_are_in_taxlabels_whatever_their_underscores_and_case():
    assert read(TAXA + trees_block("TREE t = [&R] (a,(B_b,'C c'))")).warnings == ()


def test_comments_may_come_first():
    text = "[one] [two]\n#nexus[three]" + trees_block("TREE t = (A,B)")
    assert read_trees(checked_source("f", text.encode())).format == "nexus"


def test_carriage_returns_end_lines():
    text = "#NEXUS\rBEGIN TREES;\r\nTREE t = (A,\rB,,C);END;"
    with pytest.raises(InputError, match="line 4, column 3: tree 't': tip without a name"):
        read_trees(checked_source("f", text.encode()))


@given(trees())
@settings(max_examples=100, deadline=None)
def test_trees_in_nexus_are_the_trees_in_newick(tree: TreeText):
    text = "#NEXUS\n" + trees_block(f"TREE t ={tree.text}")
    (found,) = read_trees(checked_source("f", text.encode())).phylogenies
    assert differences((found,), oracle.read(text)) == []
    lengths = [math.nan if length is None else float(length) for length in tree.lengths]
    assert list(map(repr, found.edge_lengths.tolist())) == list(map(repr, lengths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newick, "BIOPYTHON_LIMIT", -1)
        assert read_trees(checked_source("f", text.encode())).phylogenies == (found,)


@given(hostile_nexus)
@settings(max_examples=400, deadline=None)
def test_hostile_blocks_are_refused_or_read_right(text):
    assert outcome(text.encode()) in ("refused", "accepted")


def test_nexus_inside_a_nested_comment_is_a_comment() -> None:
    (tree,) = read_trees(checked_source("t", b"[made of [1] #NEXUS file] (A:1,B:2);")).phylogenies
    assert tree.tip_names.tolist() == ["A", "B"]
    with pytest.raises(InputError, match=r"unbalanced|'\)'|unexpected"):
        read_trees(checked_source("t", b"[&R] [&W[&R] #NEXUS\n/3] ((A:1,B:1):1,C:2);\n[&W 2/3] _(A:1,C:1):1,B:2);\n"))
