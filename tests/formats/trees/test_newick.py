"""Newick: every dialect right, everything else refused, by place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hxcli.errors import InputError, OptionError
from hxcli.formats.source import checked_source
from hxcli.formats.trees import newick
from hxcli.formats.trees.read import TreeFile, analysable, pick_tree, read_trees
from hxcli.formats.trees.scanner import parse_floats
from hxcli.formats.trees.scanner.masking import blank_out
from hxcli.phylogeny import Phylogeny
from tests.formats import oracle
from tests.formats.agreement import differences
from tests.formats.strategies import TreeText, hostile_text, trees
from tests.fuzz.fuzz_trees import outcome


def read(text: str | bytes) -> TreeFile:
    return read_trees(checked_source("f", text if isinstance(text, bytes) else text.encode()))


def one(text: str | bytes) -> Phylogeny:
    return pick_tree(read(text), None)


def test_a_tree_becomes_breadth_first_arrays():
    tree = one("((A:1,B:2)x:0.5,C:3)y:4;")
    assert tree.labels.tolist() == ["y", "x", "C", "A", "B"]
    assert tree.topology.parents.tolist() == [0, 0, 0, 1, 1]
    assert tree.topology.node_depths.tolist() == [0, 1, 1, 2, 2]
    assert tree.edge_lengths.tolist() == [4, 0.5, 3, 1, 2]
    assert tree.topology.parents.dtype == tree.topology.node_depths.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(Homo_sapiens,'A b');", ["Homo_sapiens", "A b"]),
        ("('it''s',it's);", None),
        ("('it''s',A'b''c');", ["it's", "A'b''c'"]),
        ("('(,);:[x]',B);", ["(,);:[x]", "B"]),
        ("(gi|62|gb,A.b-c/d#e@f*g+h);", ["gi|62|gb", "A.b-c/d#e@f*g+h"]),
        ("(50%_x,~z!<w>$&^\\{y});", ["50%_x", "~z!<w>$&^\\{y}"]),
        ("(001,-3,1e5);", ["001", "-3", "1e5"]),
        ("[;(](A[(,],[x[y]z]\r\nB)[)];", ["A", "B"]),
        ("(\u00a0A,a,\U0001f98e);", ["\u00a0A", "a", "\U0001f98e"]),
        ("(\fA\v,\n\tB );", ["A", "B"]),
    ],
)
def test_labels_are_kept(text, names):
    if names is None:
        with pytest.raises(InputError, match="duplicate tip name"):
            read(text)
    else:
        assert one(text).tip_names.tolist() == names


@pytest.mark.parametrize(
    ("text", "support", "labels"),
    [
        ("((A,B)95,C)100;", ["100", "95", ""], ["", "", "C"]),
        ("((A,B)100/0.99,C);", ["", "100/0.99", ""], ["", "", "C"]),
        ("((A,B)95,C)root;", ["", "95", ""], ["root", "", "C"]),
        ("((A,B)98%,(C,D)70/NA)r;", ["", "98%", "70/NA"], ["r", "", ""]),
        ("((A,B)NA,(C,D)-)95;", ["95", "NA", "-"], ["", "", ""]),
        ("((A,B)NA,C)r;", ["", "", ""], ["r", "NA", "C"]),
        ("((A,B)95,(C,D)cd)r;", ["", "", ""], ["r", "95", "cd"]),
        ("((A,B):1[95],C)r;", ["", "95", ""], ["r", "", "C"]),
        ("((A,B)100/0.99/x,C);", ["", "", ""], ["", "100/0.99/x", "C"]),
        ("((A,B):1[95],C);", ["", "95", ""], ["", "", "C"]),
        ("((A,B)[95]:1,C);", ["", "95", ""], ["", "", "C"]),
        ("((A[95],B)[95]:1,C);", ["", "", ""], ["", "", "C"]),
        ("((A,B)x:1[95],C);", ["", "", ""], ["", "x", "C"]),
        ("((A,B)'95',C);", ["", "95", ""], ["", "", "C"]),
        ("((A,B)٩٥,C);", ["", "", ""], ["", "٩٥", "C"]),
    ],
)
def test_numbers_inside_are_support_values(text, support, labels):
    tree = one(text)
    assert tree.support.tolist()[:3] == support
    assert tree.labels.tolist()[:3] == labels


def test_annotations_stay_with_their_nodes():
    tree = one("((A[&a]:[&b]1[&c],[&d]B)[&e][&&NHX:S=x]:1,C)[&f];")
    assert dict(tree.annotations) == {0: ("&f",), 1: ("&e", "&&NHX:S=x"), 3: ("&a", "&b", "&c"), 4: ("&d",)}


@pytest.mark.parametrize(
    ("text", "rooted"), [("[&R](A,B);", True), ("[&W 1/2] [&u](A,B);", False), ("(A,B)[&R];", None), ("(A,B);", None)]
)
def test_a_tree_may_say_that_it_is_rooted(text, rooted):
    assert one(text).rooted is rooted


@pytest.mark.parametrize(
    ("text", "line", "column", "found"),
    [
        ("((A,B);", 1, 1, "1 '\\(' never closed"),
        ("(A,\n(B,C);", 1, 1, "1 '\\(' never closed"),
        ("(A,B));", 1, 6, "unexpected '\\)'"),
        ("(A,B),C;", 1, 6, "',' outside parentheses"),
        ("(A,B); junk", 1, 8, "unexpected text 'junk' beside a tree"),
        ("junk (A,B);", 1, 1, "unexpected text 'junk' before the tree"),
        ("3 1\n(A,B);", 1, 1, "PAML or PHYLIP"),
        ("BEGIN TREES; TREE a = (A,B);", 1, 1, "#NEXUS"),
        ("(A,B)(C,D);", 1, 6, "unexpected '\\('"),
        ("(A,B)x(C,D);", 1, 7, "unexpected '\\(' after label 'x'"),
        ("(A:1(B,C));", 1, 5, "after edge length '1'"),
        ("();", 1, 1, "empty group"),
        ("(A,,B);", 1, 4, "tip without a name"),
        ("(A,B,);", 1, 6, "tip without a name"),
        ("(:1,B);", 1, 2, "tip without a name"),
        ("('',B);", 1, 2, "empty name"),
        ("(A,\r\n B,\r\n A);", 3, 2, "duplicate tip name: 'A' \\(2 times\\)"),
        ("(é,Homo sapiens);", 1, 9, "unexpected text 'sapiens' after label 'Homo'.*quote names"),
        ("('A'x,B);", 1, 5, "unexpected text 'x' after label 'A'"),
        ("('A' 'x',B);", 1, 6, "unexpected text 'x' after label 'A'"),
        ("(A[x]b,B);", 1, 2, "comment inside label 'Ab'"),
        ("('A,B);", 1, 2, "quote ' never closed"),
        ("('A\nC',B);", 1, 2, "line break inside a quoted name"),
        ("([A,B);", 1, 2, "comment '\\[' never closed"),
        ("([A,'B);", 1, 2, "comment '\\[' never closed"),
        ("(A],B);", 1, 3, "unexpected '\\]'"),
        ("(A],'B');", 1, 3, "unexpected '\\]'"),
        ("(A:,B);", 1, 3, "without an edge length"),
        ("(A:1:2,B);", 1, 5, "second ':'"),
        ("(A:1 2,B);", 1, 6, "unexpected text '2' after edge length '1'"),
        ("(A:x,B);", 1, 4, "edge length 'x' is not a number"),
        ("(A:'1',B);", 1, 4, "edge length ''1'' is not a number"),
        ("(A:1_0,B);", 1, 4, "not a number"),
        ("(A:0x1,B);", 1, 4, "not a number"),
        ("(A:1e,B);", 1, 4, "not a number"),
        ("(A:.,B);", 1, 4, "not a number"),
        ("(A:١,B);", 1, 4, "plain digits"),
        ("(A:nan,B);", 1, 4, "not a number.*leave a missing length out"),
        ("(A:-inf,B);", 1, 4, "not finite"),
        ("(A:1e999,B);", 1, 4, "not finite"),
        ("(A:1{0},B);", 1, 4, "jplace"),
        ("((A,(B)#H1),(#H1,C));", 1, 14, "network"),
        ("((A,(B)x#R2),(x#R2,C));", 1, 15, "network"),
        ("(A,B);x;", 1, 7, "unexpected text 'x' beside a tree"),
        ("(A,B);\n(C,", 2, 1, "tree 2: the file ends inside the tree"),
    ],
)
def test_refusals_name_the_place(text, line, column, found):
    with pytest.raises(InputError, match=found) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"f: line {line}, column {column}: ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("[(A,B);]", "everything is inside a \\[comment\\]"),
        (";", "no '\\('"),
        ("hello;", "no '\\('"),
        ("a\tb\nc\td\n", "table"),
        ("a,b\n", "table"),
        ("<html></html>", "HTML"),
        ('{"tree": "(A,B);"}', "JSON"),
        (">A\nACGT", "FASTA"),
        ("<a/>", "neither phyloXML nor NeXML"),
    ],
)
def test_other_files_are_named(text, found):
    with pytest.raises(InputError, match=found):
        read(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(A,B)", "last ';' is missing"),
        ("(A,B):1;", "root's edge"),
        ("[&U](A,B);", "unrooted"),
        ("((A,B),C,D);", "3 branches"),
        ("(A_b,'A b');", "differs from another only by"),
        ("(a,A);", "differs from another only by"),
        ("(José,Jose\u0301);", "differs from another only by"),
        ("(' A',B);", "white space"),
        ("(A\u00a0b,B);", "unusual space"),
        ('("A",B);', "double quotes"),
        ("(A,B);(A,a);", "^tree 2: "),
    ],
)
def test_warnings(text, found):
    (warning,) = read(text).warnings
    with pytest.raises(AssertionError, match=found):
        raise AssertionError(warning)


def test_sound_trees_give_no_warnings():
    assert read("[&R]((A:1,B:1)x:0,C:2):0;\n").warnings == ()


@pytest.mark.parametrize("text", ["(A,B);(A,C)\n;\n;", "(A,B);;(C,D);"])
def test_several_trees(text):
    found = read(text)
    assert len(found.phylogenies) == 2
    assert pick_tree(found, 2) is found.phylogenies[1]
    with pytest.raises(InputError, match=r"holds 2 trees.*--tree-index"):
        pick_tree(found, None)
    for index in (0, 3, -1):
        with pytest.raises(OptionError, match=f"--tree-index {index}: f holds 2 trees"):
            pick_tree(found, index)


def test_a_single_tip():
    assert one("A:1.5;").labels.tolist() == ["A"]
    assert one("(A:1.5);").labels.tolist() == ["", "A"]


def test_missing_lengths_are_refused_or_set():
    tree = one("((A,B:1):2,C);")
    with pytest.raises(
        InputError, match=r"2 of 4 edges have no edge length; the first is that of tip 'C'.*--missing-lengths"
    ):
        analysable(tree, file="f")
    assert analysable(tree, file="f", missing_lengths=0.5).lengths.tolist() == [0, 2, 0.5, 0.5, 1]
    with pytest.raises(InputError, match="1 of 4 edges has no edge length; the first is that of node 'x'"):
        analysable(one("((A:1,B:1)x,C:1);"), file="f")
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(OptionError, match="--missing-lengths"):
            analysable(tree, file="f", missing_lengths=wrong)


def test_negative_lengths_are_refused_or_set():
    tree = one("((A:1,B:-1):-2,C:-0.0):-3;")
    with pytest.raises(InputError, match=r"2 of 4 edges have a negative edge length.*tip 'B'.*--negative-lengths zero"):
        analysable(tree, file="f")
    assert analysable(tree, file="f", negative_lengths="zero").lengths.tolist() == [0, 0, 0, 1, 0]
    sound = one("(A:1,B:0):-1;")
    assert analysable(sound, file="f") is sound


@given(trees())
@settings(max_examples=150, deadline=None)
def test_random_trees_are_read_as_they_were_written(tree: TreeText):
    found = one(tree.text + ";")
    assert found.topology.parents.tolist() == tree.parents
    labels = (found.labels.array + found.support.array).tolist()
    assert labels == tree.labels or [label for label in tree.labels if label] == found.tip_names.tolist()
    lengths = [math.nan if length is None else float(length) for length in tree.lengths]
    assert list(map(repr, found.edge_lengths.tolist())) == list(map(repr, lengths))
    assert differences((found,), oracle.read(tree.text + ";")) == []


@given(st.lists(trees(), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_biopython_and_the_scan_agree(several: list[TreeText]):
    text = ";".join(tree.text for tree in several) + ";"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(newick, "BIOPYTHON_LIMIT", 10**9)
        parsed = read(text)
        patch.setattr(newick, "BIOPYTHON_LIMIT", -1)
        scanned = read(text)
    assert parsed.phylogenies == scanned.phylogenies


@given(hostile_text)
@settings(max_examples=500, deadline=None)
def test_hostile_text_is_refused_or_read_right(text):
    assert outcome(text.encode()) in ("refused", "accepted")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
@settings(deadline=None)
def test_many_numbers_are_parsed_to_the_bits_of_float(values):
    text = "(" + ",".join(f"t{i}:{value!r}" for i, value in enumerate(values)) + ");"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse_floats, "_MANY", 0)
        lengths = one(text).edge_lengths[1:]
    assert lengths.tobytes() == np.array(values).tobytes()


@pytest.mark.parametrize("bad", ["x", "1_0", "1e999", "-", "1e", "", "1 1"])
def test_one_bad_number_among_many(bad, monkeypatch):
    tips = [f"t{i}:{i}" for i in range(3000)]
    tips[2000] = f"t2000:{bad}"
    monkeypatch.setattr(parse_floats, "_MANY", 0)
    with pytest.raises(InputError, match="line 2001, column"):
        read("(" + ",\n".join(tips) + ");")


def test_pieces_of_a_long_text_fit_together():
    from hxcli.formats.trees.scanner import byte_positions, masking, newick_scanner

    text = "((Alpha:12.5,'B b':.5)95:1,(Gamma_3[&x=1],D:4):1e-3):0;"
    whole = one(text)
    with pytest.MonkeyPatch.context() as patch:
        for size in range(1, 20):
            patch.setattr(newick_scanner, "_PIECE", size)
            patch.setattr(newick_scanner, "_TOKENS", size)
            patch.setattr(byte_positions, "_PIECE", size)
            patch.setattr(masking, "_TEXTS", size)
            patch.setattr(masking, "_FEW", size % 3)
            assert one(text) == whole


def test_deep_and_wide_trees():
    depth = 200_000
    deep = one("(" * depth + "a:1" + "".join(f",t{i}:1):1" for i in range(depth)) + ";")
    assert (deep.topology.depth, len(deep.tips)) == (depth, depth + 1)
    assert deep.root_distances.max() == depth
    chain = one("(" * depth + "A" + ")" * depth + ";")
    assert chain.topology.size == depth + 1
    wide = one("(" + ",".join(f"t{i}:.5" for i in range(depth)) + ");")
    assert wide.tip_names[-1] == f"t{depth - 1}"


def test_hostile_sizes_are_refused_or_read():
    with pytest.raises(InputError, match="1000000 '\\(' never closed"):
        read(b"(" * 1_000_000)
    with pytest.raises(InputError, match="comment '\\[' never closed"):
        read(b"[" * 1_000_000)
    with pytest.raises(InputError, match="quote ' never closed"):
        read(b"('" + b"x[" * 1_000_000)
    assert one(b"(A:0." + b"3" * 1_000_000 + b",B:1);").edge_lengths[1] == 1 / 3
    assert len(one(b"(" + b"A" * 1_000_000 + b",B:1);").labels[1]) == 1_000_000
    with pytest.raises(InputError, match="line 1, column 2: a name of 5000000 bytes"):
        read(b"(" + b"A" * 5_000_000 + b",B:1);")
    with pytest.raises(InputError, match="is not a number"):
        read(b"(A:" + b"1" * 1_000_000 + b"x,B:1);")
    assert not parse_floats.is_support("1" * 1_000_000 + "x")
    with pytest.raises(InputError, match="is not a number") as caught:
        read(b"(A:" + b"x" * 1_000_000 + b",B:1);")
    assert len(str(caught.value)) < 500


def test_brackets_and_quotes_are_walked_alike():
    # Without quotes comments are matched by sums, with quotes by a walk.
    text = "(A[x[y]z]:1,[&r]B[[]]:2)[c];"
    plain, quoted = (blank_out(checked_source("f", t.encode())) for t in (text, text + "'q'"))
    assert plain.comment_starts.tolist() == quoted.comment_starts.tolist()
    assert plain.comment_ends.tolist() == quoted.comment_ends.tolist()
    assert plain.blank.tobytes() == quoted.blank.tobytes()[:-3]
