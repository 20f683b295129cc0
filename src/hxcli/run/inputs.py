"""Inputs: a tree file and a trait table become phylogenies with observations, ready for any model. Never needs jax."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hxcli.errors import InputError, OptionError
from hxcli.formats.source import DEFAULT_MAX_SIZE, read_source
from hxcli.formats.tables.numeric_columns import MISSING
from hxcli.formats.tables.read import LEFT_OUT, UnreadTable, read_table
from hxcli.formats.tables.state_columns import StateReading
from hxcli.formats.trees.read import TreeFile, analysable, length_notes, pick_tree, read_trees
from hxcli.phylogeny import Phylogeny
from hxcli.run.matching import match, other_reading
from hxcli.run.table_shapes import refuse_long
from hxcli.text_columns import Texts
from hxcli.traits import MatchReport, Observations, TraitTable


@dataclass(frozen=True)
class InputOptions:
    """Which files to read, and how what they leave open is to be taken.

    Attributes:
        tree: Path of the tree file, `-` for standard input.
        traits: Path of the trait table, `-` for standard input, "" for none.
        tree_index: 1-based number of the tree in its file; None for the only one.
        missing_lengths: Edge length to use where the file gives none; None refuses.
        negative_lengths: `zero` to read negative edge lengths as 0; None refuses.
        id_column: Header of the column with the tip names; None for the first.
        columns: Headers of the trait columns; empty for every numeric column.
        se_columns: (trait, header of its known standard errors) pairs; trait "" stands for the only one.
        na: Further texts that mark a missing value.
        replicates: Whether a tip may have several rows, each an observation of its own.
        strict: Whether tips without data and rows without a tip are refused.
        max_size: Largest number of bytes of text that an input may have, once decompressed.
        with_texts: Whether columns of text are of use too.
        with_states: Whether traits of states are read: columns of text that `columns` names, and these two.
        discrete: Headers of columns that are states whatever their cells look like.
        state_columns: (trait, headers of the probabilities of its states) pairs.
        or_all_trees: Whether the command would take all trees of the file, which a refusal says then.
    """

    tree: str
    traits: str = ""
    tree_index: int | None = None
    missing_lengths: float | None = None
    negative_lengths: Literal["zero"] | None = None
    id_column: str | None = None
    columns: tuple[str, ...] = ()
    se_columns: tuple[tuple[str, str], ...] = ()
    na: tuple[str, ...] = ()
    replicates: bool = False
    strict: bool = False
    max_size: int = DEFAULT_MAX_SIZE
    with_texts: bool = False
    with_states: bool = False
    discrete: tuple[str, ...] = ()
    state_columns: tuple[tuple[str, tuple[str, ...]], ...] = ()
    or_all_trees: bool = False

    def __post_init__(self) -> None:
        if self.tree == self.traits == "-":
            raise OptionError("TREE and TRAITS cannot both be standard input (name a file for one of them)")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a model works on, and what the run record says about where it came from.

    Attributes:
        tree_file: The tree file as read.
        table: The trait table as read.
        table_sha256: Hex digest of the table's bytes as they lay on disk.
        phylogenies: The trees to work on, with an edge length everywhere below the root.
        observations: For every phylogeny the trait values at its tips.
        matches: For every phylogeny how its tips and the table's rows met.
        notes: What the user should know, a sentence each.
    """

    tree_file: TreeFile
    table: TraitTable
    table_sha256: str
    phylogenies: tuple[Phylogeny, ...]
    observations: tuple[Observations, ...]
    matches: tuple[MatchReport, ...]
    notes: tuple[str, ...]


def read_inputs(
    options: InputOptions,
    progress: Callable[[str], None] = lambda stage: None,
    use_tree: Callable[[Phylogeny], object] = lambda phylogeny: None,
) -> Inputs:
    """Reads both files, picks the tree and matches its tips to the table's rows.

    Args:
        options: What to read, and how.
        progress: Told the name of every stage when it begins.
        use_tree: Given the tree as soon as it is read.

    Raises:
        InputError: Either file is refused, or they do not belong together.
    """
    # Both at once, because either lets the other run for most of the time; what is wrong with the tree is said first.
    with ThreadPoolExecutor(1) as thread:
        # A pipe has its turn, because whoever fills it may wait to hear of the tree.
        begun = thread.submit(copy_context().run, read_trait_table, options) if os.path.isfile(options.traits) else None
        progress("reading the tree")
        tree_file = read_tree_file(options)
        picked = pick_tree(tree_file, options.tree_index, or_all=options.or_all_trees)
        phylogeny = analysable_tree(picked, tree_file.file, options)
        use_tree(phylogeny)
        if not options.traits:
            return _without_table(tree_file, phylogeny, (*tree_file.warnings, *edge_notes(picked, options)))
        progress("reading the table")
        try:
            table, table_notes, sha256 = begun.result() if begun else read_trait_table(options)
        except UnreadTable as refusal:
            raise explained(refusal, phylogeny) from refusal
    progress("matching")
    observations, report, match_notes = match(
        phylogeny,
        table,
        strict=options.strict,
        replicates=options.replicates,
        texts=missing_texts(options),
    )
    if options.with_texts:
        table_notes = tuple(note for note in table_notes if not note.startswith(LEFT_OUT))
    # Its text has served.
    table = replace(table, cells=None)
    notes = (*tree_file.warnings_of(options.tree_index), *edge_notes(picked, options), *table_notes, *match_notes)
    return Inputs(tree_file, table, sha256, (phylogeny,), (observations,), (report,), notes)


def _without_table(tree_file: TreeFile, phylogeny: Phylogeny, notes: tuple[str, ...]) -> Inputs:
    """The inputs of an analysis that takes no traits."""
    nothing = np.zeros((0, 0))
    table = TraitTable(Texts(()), (), nothing, nothing)
    observations = Observations(np.zeros(0, np.intp), nothing, nothing, ())
    return Inputs(tree_file, table, "", (phylogeny,), (observations,), (MatchReport(0, (), (), (), ()),), notes)


def missing_texts(options: InputOptions) -> tuple[str, ...] | None:
    """What marks a missing value in columns of text; None where these are of no use."""
    return (*MISSING, *options.na) if options.with_texts else None


def explained(refusal: UnreadTable, phylogeny: Phylogeny) -> InputError:
    """A refusal of a table in the light of the tree that it belongs to: it may be of another shape than it was read."""
    try:
        refuse_long(refusal.cells, refusal.file)
    except InputError as error:
        return error
    return other_reading(phylogeny, refusal.cells, refusal.file) or refusal


def read_tree_file(options: InputOptions) -> TreeFile:
    """Reads the tree file.

    Raises:
        InputError: The file is refused.
    """
    return read_trees(read_source(options.tree, max_size=options.max_size))


def analysable_tree(phylogeny: Phylogeny, file: str, options: InputOptions) -> Phylogeny:
    """The tree with the edge lengths that an analysis uses.

    Raises:
        InputError: Missing or negative lengths of which the options do not say how to take them.
    """
    return analysable(
        phylogeny,
        file=file,
        missing_lengths=options.missing_lengths,
        negative_lengths=options.negative_lengths,
    )


def edge_notes(phylogeny: Phylogeny, options: InputOptions) -> tuple[str, ...]:
    """How many edge lengths `analysable_tree` changes, a sentence each."""
    return length_notes(phylogeny, missing_lengths=options.missing_lengths, negative_lengths=options.negative_lengths)


def read_trait_table(options: InputOptions, *, text_only: bool = False) -> tuple[TraitTable, tuple[str, ...], str]:
    """Reads the trait table; returns it with its notes and the hex digest of its bytes.

    Args:
        options: Names the table and its columns.
        text_only: Accept a table without any numeric column.

    Raises:
        InputError: The file is refused.
    """
    source = read_source(options.traits, max_size=options.max_size, parquet=True)
    table, notes = read_table(
        source,
        id_column=options.id_column,
        columns=options.columns,
        na=options.na,
        se_columns=dict(options.se_columns),
        states=StateReading(options.discrete, options.state_columns, bool(options.columns))
        if options.with_states
        else None,
        text_only=text_only or options.with_texts,
    )
    return table, notes, source.sha256
