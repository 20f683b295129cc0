"""Some of the trees of a stream are those that all of it has, with their places, whatever the others look like."""

from __future__ import annotations

import gzip
import random

import numpy as np
import pytest

from hxcli.errors import InputError
from hxcli.formats import text_stream
from hxcli.formats.trees.tree_stream import Selection, TreeStream
from tests.samples import random_tree

# In front of a tree, behind it, and how its tips are called: what a reader must not take for the end of a tree.
_ODD = (
    ("", "", "{}"),
    ("[a ; in a comment]", "", "{}"),
    ("[one [two] ; don't]", "", "{}"),
    ("", "", "'{} it''s; [x'"),
    ("", "", "'{}'[&a={{1;2}}]"),
    ("", "", "{}'s"),
    ("[&R] ", "", "{}[&x=1,y={{2,3}}]"),
    ("", "[behind]", "'{}'"),
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    # So that a part may be as small as is asked for.
    monkeypatch.setattr(text_stream, "_BLOCK", 100)


def _trees(seed: int, count: int) -> list[tuple[str, str, str]]:
    """What stands in front of every tree, the tree, and what stands behind it up to its `;`."""
    rng, choice = np.random.default_rng(seed), random.Random(seed)
    found = []
    for _ in range(count):
        # Mostly plain ones: a run of them is what is passed over.
        before, behind, label = choice.choice(_ODD) if choice.random() < 0.3 else _ODD[0]
        text = random_tree(rng, [f"t{i}" for i in range(choice.randint(2, 6))])
        for i in range(6, -1, -1):
            text = text.replace(f"t{i}", label.format(f"s{i}"))
        found.append((before, text[:-1], behind))
    return found


def _newick(trees):
    return "".join(
        f"{a}{tree}{b};" + (" ;\n" if i == 3 else ("\n", "\r\n", "")[i % 3]) for i, (a, tree, b) in enumerate(trees)
    )


def _nexus(trees):
    half = len(trees) // 2
    first = [
        f"TREE {a}* 'n;{i}' = {tree}{b};\n" if i % 5 == 0 else f"{a}utree n{i}={tree}{b};"
        for i, (a, tree, b) in enumerate(trees[:half])
    ]
    second = [f"  Tree m_{i} = {a}{tree}{b};\r\n" for i, (a, tree, b) in enumerate(trees[half:])]
    other = "BEGIN OTHER;\n" + "TREE none = (a,b);\n" * 9 + "END;\n"
    return f"#NEXUS\n{other}BEGIN TREES;\n{''.join(first)}END;\n{other}begin trees;\n{''.join(second)}end;\n{other}"


def _log(trees):
    rows = [f"{i}\t{-i / 7}\t{tree}{b};\tx\t{i}\n" for i, (_, tree, b) in enumerate(trees)]
    return "Iteration\tPosterior\ttree\tk\tl\n" + "".join(rows)


def _read(stream, mine, size):
    """Place -> what was read of every tree."""
    found = {}
    for batch in stream.batches(mine, size=size):
        for tree, number in enumerate(batch.numbers.tolist()):
            nodes = batch.nodes_of(tree)
            names = [stream.taxa.names[i] if i >= 0 else "" for i in batch.taxa[nodes].tolist()]
            place = batch.refuse(int(nodes[-1]), "x", "y")
            lengths = batch.lengths[nodes].tolist()
            found[number] = (
                names,
                lengths,
                batch.names[tree],
                int(batch.rooted[tree]),
                place.line,
                place.column,
                str(place),
            )
    return found


@pytest.mark.parametrize("form", [_newick, _nexus, _log])
@pytest.mark.parametrize("size", [200, 1 << 22])
@pytest.mark.parametrize(("selection", "skipped"), [(Selection(), 0), (Selection(0.31, 2), 12), (Selection(4, 3), 4)])
def test_some_of_the_trees_are_those_among_all(tmp_path, form, size, selection, skipped):
    files, places = [], list(range(1, 81))
    for seed in (1, 2):
        text = form(_trees(seed, 40))
        path = tmp_path / f"{seed}.trees"
        path.write_bytes(gzip.compress(text.encode()) if seed == 2 else text.encode())
        files.append(str(path))
    every = TreeStream(files)
    expected = _read(every, None, size)
    assert list(expected) == places
    kept = [place for part in (places[:40], places[40:]) for place in part[skipped :: selection.thin]]
    for of in (1, 2, 5):
        union = {}
        for number in range(of):
            stream = TreeStream(files, selection)
            some = _read(stream, None if of == 1 else lambda place: place % of == number, size)  # noqa: B023
            assert list(some) == kept[number::of]
            assert stream.counts == every.counts
            assert stream.sha256 == every.sha256
            union |= some
        assert union == {place: expected[place] for place in kept}
    for rank in (0, 7):
        assert TreeStream(files, selection).phylogeny(rank).topology.size == len(expected[kept[rank]][0])


def _refusal(path, mine):
    try:
        _read(TreeStream([str(path)]), mine, 300)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("form", [_newick, _nexus, _log])
@pytest.mark.parametrize(
    ("spoilt", "by_all"),
    [
        ("(s1:x,s2:1)", False),
        ("(s1:1,s1:1)", False),
        ("(s1:1,(s2:1)", False),
        ("(s1:1,s2\x01:1)", False),
        # Where such a tree ends, its brackets and quotes do not tell.
        ("(s1:1],s2:1)", True),
        ("(s1:1[,s2:1)", True),
        ("(s1:1,'s2:1)", True),
    ],
)
def test_a_tree_that_is_not_sound_is_refused_by_whoever_reads_it(tmp_path, form, spoilt, by_all):
    trees = [("", f"(s1:{i}.5,(s2:1,s3:2):3)", "") for i in range(200)]
    trees[160] = ("", spoilt, "")
    path = tmp_path / "t.trees"
    path.write_text(form(trees))
    whole, owner, *others = (_refusal(path, mine) for mine in (None, *(_every_fourth(number) for number in range(4))))
    assert "line " in whole
    assert owner == whole
    assert set(others) == ({whole} if by_all else {""})


def _every_fourth(number):
    return lambda place: place % 4 == number


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(A:1,B:2);\ne\n", "line 2, column 1: unexpected text 'e' beside a tree"),
        ("A:1.5;(A:1,B:2);", "line 1, column 1: unexpected text 'A' beside a tree"),
        ("species,mass\nA,1\n", "not a tree file: it looks like a table"),
        ("A", "not a tree file: it has no '('"),
        ("((A:1,B:1)'x,C:1'2,D:1);", "line 1, column 18: unexpected text '2' after label 'x,C:1'"),
        ("((A:1,B:1)'x\ny':1,D:1);", "line 1, column 11: line break inside a quoted name"),
        ("((A:1,B:1)'x'':1,D:1);", "line 1, column 11: "),
        ("('')2;", "tip with an empty name"),
    ],
)
@pytest.mark.parametrize("size", [9, 1 << 20])
def test_what_is_refused_alone_is_refused_in_a_sample(tmp_path, text, found, size):
    path = tmp_path / "trees.nwk"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        list(TreeStream([str(path)]).batches(size=size))
    assert found in str(refused.value)
