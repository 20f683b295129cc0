"""Hypothesis strategies for trees with hostile labels, as text and as what the text means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import strategies as st

# All that an unquoted label may hold without being anything else.
UNQUOTED = 'aZ09_.-+*/|#@<>~!$%^&\\"`?{}=éß北\U0001f98e\u00a0'
QUOTABLE = UNQUOTED + " '()[],:;\t"
SPACES = ("", "", " ", "\n", "\r\n", "\t", "[a comment, (of; sorts):]", " [nested [']] ")

lengths = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"\A[+-]?([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?\Z"),
    st.sampled_from(["0", "-0", "1.", ".5", "+1", "1e-400", "5E0", "007", "1.7976931348623157e308", "5e-324"]),
)
unquoted_labels = st.text(UNQUOTED, min_size=1, max_size=6).filter(lambda text: not text[0].isspace())
# Two labels that end like `#1` would make a network.
labels = st.one_of(unquoted_labels, st.text(QUOTABLE, min_size=1, max_size=6).map(lambda text: "\0" + text)).filter(
    lambda text: not re.search("#[0-9]+$", text)
)
supports = st.sampled_from(["95", "0.98", "100/0.99", "1e2", "87.5/0.9/3"])
annotations = st.sampled_from(["", "", "", "[&r=0.1]", '[&a="x[1]",b={1,2}]', "[&&NHX:S=a:B=9]", "[plain]", "[95]"])


@dataclass
class TreeText:
    """A tree as it is written, and what it says.

    Attributes:
        text: Newick, without the `;`.
        parents: The parent of every node in breadth-first order.
        labels: Their labels.
        lengths: Their lengths as texts; None for none.
    """

    text: str
    parents: list[int]
    labels: list[str]
    lengths: list[str | None]


def _written(label: str) -> str:
    return "'" + label[1:].replace("'", "''") + "'" if label.startswith("\0") else label


@st.composite
def trees(draw: st.DrawFn, *, notes: bool = True) -> TreeText:
    """Trees of up to some 20 nodes: polytomies, nodes with one child, hostile labels, any white space."""
    size = draw(st.integers(2, 20))
    # A node's parent comes before it; numbering by parents makes the list breadth-first.
    parents = sorted([0] + [draw(st.integers(0, i - 1)) for i in range(1, size)])
    parents = [min(parent, max(i - 1, 0)) for i, parent in enumerate(parents)]
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if node:
            children[parent].append(node)
    names: list[str] = []
    taken: set[str] = set()
    inner_kind = draw(st.sampled_from(["none", "support", "labels"]))
    for node in range(size):
        if children[node]:
            kind = {"none": st.just(""), "support": supports, "labels": st.one_of(st.just(""), labels)}[inner_kind]
            names.append(draw(kind))
            continue
        name = draw(labels)
        while name.lstrip("\0") in taken or name == "\0":
            name += "x"
        taken.add(name.lstrip("\0"))
        names.append(name)
    edges = [draw(lengths) for _ in range(size)]
    pieces = ["" for _ in range(size)]
    for node in reversed(range(size)):
        space = draw(st.sampled_from(SPACES))
        inside = ",".join(pieces[child] for child in children[node])
        group = f"{space}({inside}{draw(st.sampled_from(SPACES))})" if children[node] else draw(st.sampled_from(SPACES))
        note = draw(annotations) if notes else ""
        edge = "" if edges[node] is None else f":{draw(st.sampled_from(SPACES))}{edges[node]}"
        pieces[node] = f"{group}{_written(names[node])}{note}{edge}{draw(annotations) if notes else ''}"
    return TreeText(pieces[0], parents, [name.removeprefix("\0") for name in names], edges)


hostile_text = st.text("()[],:;'=&# \n\tAB19.eE-+_/" + "é\u00a0", max_size=60)
nexus_pieces = st.lists(
    st.sampled_from(
        [
            "#NEXUS\n",
            "BEGIN TAXA;",
            "BEGIN TREES;",
            "begin private;",
            "END;",
            "endblock ;",
            "TAXLABELS A 'B b' C_c;",
            "DIMENSIONS NTAX=3;",
            "TITLE x;",
            "LINK Taxa = x;",
            "TRANSLATE 1 A, 2 'B b', 3 C_c;",
            "translate k A,;",
            "TREE t = [&R] ((1:1,2:2)90:.5,3);",
            "UTREE * 'a b' [&lnP=1] = (A,B,(C,D));",
            "tree = (k,(2)1);",
            "junk it's;",
            "[a comment; with (things)]",
            "\r",
        ]
    ),
    max_size=14,
)
hostile_nexus = nexus_pieces.map(lambda pieces: "#NEXUS " + " ".join(pieces))
