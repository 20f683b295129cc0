"""Whether a Phylogeny says what the oracle says of the same text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hxcli import text_columns
from hxcli.formats.trees import newick
from hxcli.formats.trees.scanner import byte_positions, labels, masking, newick_scanner, parse_floats
from hxcli.phylogeny import Phylogeny
from tests.formats import oracle

# What tells a large text from a small one, and how much is looked at together: so every text is a large one.
_SIZES = [
    *((module, "MANY", 1) for module in (masking, labels, text_columns)),
    (parse_floats, "_MANY", 0),
    (newick, "BIOPYTHON_LIMIT", 0),
    (masking, "_FEW", 0),
    (masking, "_TEXTS", 3),
    (newick_scanner, "_PIECE", 5),
    (newick_scanner, "_TOKENS", 4),
    (byte_positions, "_PIECE", 7),
]


@contextmanager
def as_large() -> Iterator[None]:
    """Within it every tree file is read as one of a million tips is."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, size in _SIZES:
            patch.setattr(module, name, size)
        yield


def differences(phylogenies: tuple[Phylogeny, ...], trees: list[oracle.Tree]) -> list[str]:
    """What differs between hxcli's reading and the oracle's; empty where they agree."""
    if len(phylogenies) != len(trees):
        return [f"{len(phylogenies)} trees, the oracle says {len(trees)}"]
    return [
        f"tree {number}: {problem}"
        for number, (phylogeny, tree) in enumerate(zip(phylogenies, trees, strict=True), 1)
        for problem in _tree_differences(phylogeny, tree)
    ]


def _tree_differences(phylogeny: Phylogeny, tree: oracle.Tree) -> list[str]:
    walk = tree.root.walk()
    nodes = [node for node, _ in walk]
    lengths = [math.nan if node.length is None else float(node.length) for node in nodes]
    annotations = {
        i: tuple(comment for comment in node.comments if comment.startswith("&")) for i, node in enumerate(nodes)
    }
    pairs = {
        "parents": (phylogeny.topology.parents.tolist(), [parent for _, parent in walk]),
        "labels": (phylogeny.labels.tolist(), [node.label for node in nodes]),
        "support": (phylogeny.support.tolist(), [node.support for node in nodes]),
        "lengths": ([repr(x) for x in phylogeny.edge_lengths.tolist()], [repr(x) for x in lengths]),
        "annotations": (dict(phylogeny.annotations), {i: texts for i, texts in annotations.items() if texts}),
        "rooted": (phylogeny.rooted, tree.rooted),
    }
    if tree.name:
        pairs["name"] = (phylogeny.name, tree.name)
    found = [
        f"{what}: {ours!r}, the oracle says {theirs!r}" for what, (ours, theirs) in pairs.items() if ours != theirs
    ]
    names = phylogeny.tip_names.tolist()
    if len(set(names)) < len(names) or "" in names:
        found.append("tips that are not named, each by its own name")
    return found
