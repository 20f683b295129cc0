"""Trees from any file: the format is told by the content, never by the name."""

from __future__ import annotations

import importlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from hxcli.errors import InputError, Note, OptionError
from hxcli.formats.source import DEFAULT_MAX_SIZE, Source, looks_like, read_source
from hxcli.formats.trees.reading_notes import tree_warnings
from hxcli.phylogeny import Phylogeny, relabel

Reader = Callable[[Source], tuple[list[Phylogeny], list[str]]]
# Atomic, so that a hostile prolog is not tried in every possible way.
_BEFORE_ROOT = rb"\s*(?>(?:<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE\b[^\[>]*(?:\[.*?\]\s*)?>\s*)*)<"
_PROLOG, _PROLOG_AND_NAME = _BEFORE_ROOT + rb"(?:[\w.-]+:)?", _BEFORE_ROOT + rb"([\w.:-]{1,80})"
# Format -> what its text begins with, and its reader, imported on use; the first that fits is taken. Newick fits all
# that is left.
_FORMATS: dict[str, tuple[re.Pattern[bytes], str]] = {
    "nexus": (re.compile(rb"\s*(?:\[[^\[\]]*\]\s*)*#nexus(?![^\s\[;])", re.IGNORECASE), "nexus_reader:read_nexus"),
    "phyloxml": (re.compile(_PROLOG + rb"phyloxml\b", re.DOTALL | re.IGNORECASE), "phyloxml:read_phyloxml"),
    "nexml": (re.compile(_PROLOG + rb"nexml\b", re.DOTALL | re.IGNORECASE), "nexml:read_nexml"),
    "newick": (re.compile(rb""), "newick:read_newick"),
}


@dataclass(frozen=True)
class TreeFile:
    """The trees of one input.

    Attributes:
        file: Path as the user gave it, `-` for standard input.
        format: `newick`, `nexus`, `phyloxml` or `nexml`.
        phylogenies: All trees, in the file's order; at least one.
        warnings: What a reader of the file should know, one sentence each.
        sha256: Hex digest of the bytes as they lay on disk.
        about_file: Those of the warnings that are about no tree by itself.
    """

    file: str
    format: str
    phylogenies: tuple[Phylogeny, ...]
    warnings: tuple[str, ...]
    sha256: str
    about_file: tuple[str, ...] = ()

    def warnings_of(self, index: int | None) -> tuple[str, ...]:
        """The warnings that concern a reader of the tree of that 1-based index; with None those of all trees."""
        if index is None or len(self.phylogenies) == 1:
            return self.warnings
        return (*self.about_file, *tree_warnings([self.phylogenies[index - 1]]))


class ParsedTrees(Source):
    """Trees that are at hand as records, for `held_files`: a source that needs no reading.

    Args:
        tree_file: The trees.
    """

    def __init__(self, tree_file: TreeFile) -> None:
        about = {"file": tree_file.file, "sha256": tree_file.sha256, "is_ascii": False, "tree_file": tree_file}
        self.__dict__.update(about)

    @cached_property
    def data(self) -> bytes:
        """The trees as Newick, for those who read a stream of them."""
        from hxcli.formats.trees.newick import write_newick

        stream = io.BytesIO()
        for phylogeny in self.__dict__["tree_file"].phylogenies:
            write_newick(stream, phylogeny)
        return stream.getvalue()


def read_trees(source: Source | str | os.PathLike[str], *, max_size: int = DEFAULT_MAX_SIZE) -> TreeFile:
    """Reads every tree of a file, `-` for standard input, or of a source that was read before.

    Raises:
        InputError: The file cannot be read, is no tree file, or is not sound; line and column say where.
    """
    if not isinstance(source, Source):
        source = read_source(source, max_size=max_size)
    if isinstance(source, ParsedTrees):
        known: TreeFile = source.__dict__["tree_file"]
        return known
    if not source.data.strip():
        raise source.error("the file contains no tree: it is empty", "give a Newick, NEXUS, phyloXML or NeXML file")
    other = looks_like(source)
    if other is not None:
        raise source.error(f"not a tree file: this looks like {other}", "give a Newick, NEXUS, phyloXML or NeXML file")
    kind = format_of(source)
    phylogenies, about_file = _reader(_FORMATS[kind][1])(source)
    warnings = (*about_file, *tree_warnings(phylogenies))
    return TreeFile(source.file, kind, tuple(phylogenies), warnings, source.sha256, tuple(about_file))


def format_of(source: Source) -> str:
    """`newick`, `nexus`, `phyloxml` or `nexml`, by what the text begins with.

    Raises:
        InputError: XML of another kind.
    """
    head = source.data[:65536]
    kind = next(name for name, (beginning, _) in _FORMATS.items() if beginning.match(head))
    if kind == "newick" and re.match(rb"\s*<(\?xml|\w+[\s>:/])", head):
        root = re.match(_PROLOG_AND_NAME, head, re.DOTALL)
        name = f", its root element is <{root[1].decode('utf-8', 'replace')}>" if root else ""
        found = f"not a tree file: XML that is neither phyloXML nor NeXML{name}"
        raise source.error(found, "export it as one of them")
    return kind


def _reader(place: str) -> Reader:
    module, name = place.split(":")
    reader: Reader = getattr(importlib.import_module(f"hxcli.formats.trees.{module}"), name)
    return reader


def pick_tree(tree_file: TreeFile, index: int | None, *, or_all: bool = False) -> Phylogeny:
    """The tree of that 1-based index; with None the only one.

    Args:
        tree_file: The file.
        index: The index.
        or_all: Whether `--all-trees` would take all of them.

    Raises:
        InputError: Several trees and no index.
        OptionError: No tree of that index.
    """
    count = len(tree_file.phylogenies)
    if index is None:
        if count > 1:
            advice = "pick one with --tree-index" + (", or take all with --all-trees" if or_all else "")
            raise InputError(f"the file holds {count} trees", advice, file=tree_file.file)
        return tree_file.phylogenies[0]
    if not 1 <= index <= count:
        trees = "1 tree" if count == 1 else f"{count} trees"
        raise OptionError(f"--tree-index {index}: {tree_file.file} holds {trees}; indices begin at 1")
    return tree_file.phylogenies[index - 1]


def analysable(
    phylogeny: Phylogeny,
    *,
    file: str,
    missing_lengths: float | None = None,
    negative_lengths: Literal["zero"] | None = None,
) -> Phylogeny:
    """The tree with an edge length of at least 0 for every node but the root, or a refusal.

    Args:
        phylogeny: The tree as its file tells it.
        file: Its file, for messages.
        missing_lengths: Length for the edges that have none; None refuses them.
        negative_lengths: `zero` sets negative lengths to 0; None refuses them.

    Raises:
        InputError: Missing or negative lengths, where they are refused.
        OptionError: `missing_lengths` is negative or not finite.
    """
    if missing_lengths is not None and not 0 <= missing_lengths < np.inf:
        raise OptionError(f"--missing-lengths {missing_lengths}: a length is a finite number of at least 0")
    lengths = phylogeny.edge_lengths.copy()
    missing = np.isnan(lengths) & ~phylogeny.topology.is_root
    if missing.any():
        if missing_lengths is None:
            found = _count(phylogeny, missing, "no edge length")
            raise InputError(found, "give them, or set them with --missing-lengths X", file=file)
        lengths[missing] = missing_lengths
    negative = (lengths < 0) & ~phylogeny.topology.is_root
    if negative.any():
        if negative_lengths is None:
            found = _count(phylogeny, negative, "a negative edge length")
            raise InputError(found, "mend them, or set them to 0 with --negative-lengths zero", file=file)
        lengths[negative] = 0.0
    return phylogeny if not (missing.any() or negative.any()) else relabel(phylogeny, edge_lengths=lengths)


def length_notes(
    phylogeny: Phylogeny, *, missing_lengths: float | None = None, negative_lengths: Literal["zero"] | None = None
) -> tuple[str, ...]:
    """What `analysable` changes on a tree that it accepts, a sentence each."""
    notes = []
    if (missing := phylogeny.missing_lengths) and missing_lengths is not None:
        notes.append(Note(f"{_edges(missing, 'missing')} read as {missing_lengths:.15g}"))
    if (negative := phylogeny.negative_lengths) and negative_lengths is not None:
        notes.append(Note(f"{_edges(negative, 'negative')} read as 0"))
    return tuple(notes)


def _edges(number: int, what: str) -> str:
    return f"1 {what} edge length is" if number == 1 else f"{number} {what} edge lengths are"


def _count(phylogeny: Phylogeny, which: np.ndarray, what: str) -> str:
    nodes = np.flatnonzero(which)
    tips = nodes[phylogeny.topology.is_leaf[nodes]]
    first = tips[0] if len(tips) else nodes[0]
    label = phylogeny.labels[first]
    described = f"tip '{label}'" if len(tips) else f"node '{label}'" if label else f"node n{first}"
    have = "has" if len(nodes) == 1 else "have"
    total = phylogeny.topology.size - 1
    return f"{len(nodes)} of {total} edges {have} {what}; the first is that of {described}"
