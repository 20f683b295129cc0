"""Checking: what a tree file and a trait table hold, and whether an analysis could use them.

Without jax, but for numbers so extreme that only the computation tells.
"""

from __future__ import annotations

import hashlib

import numpy as np

from hxcli import analyses
from hxcli.errors import HxError, InputError, ModelError
from hxcli.formats.tables.numeric_columns import MISSING
from hxcli.formats.tables.read import UnreadTable
from hxcli.formats.trees.read import TreeFile, pick_tree
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import refuse_contradictions
from hxcli.prebuilt.tip_states import seen_states
from hxcli.run.checkup import Checkup, ColumnFacts, TreeFacts
from hxcli.run.inputs import InputOptions, analysable_tree, edge_notes, explained, read_trait_table, read_tree_file
from hxcli.run.matching import match
from hxcli.run.runtime import RuntimeOptions, started
from hxcli.text_columns import Texts
from hxcli.traits import Observations, StateColumn, TraitTable

# Lengths are often written with six digits.
ULTRAMETRIC_TOLERANCE = 1e-6
_SMALL = 1e-70
# More different texts than this in a column are not taken for states.
_MOST_STATES = 64


def check(options: InputOptions) -> Checkup:
    """Reads the tree, and the table if one is named, and says what is in them.

    Missing and negative edge lengths are reported, not refused; of several trees the first is looked at unless
    `options.tree_index` names another.

    Raises:
        InputError: The tree file is refused. A refused table, and values that no model can explain, are the result's
            `obstacle`.
    """
    tree_file = read_tree_file(options)
    phylogeny = pick_tree(tree_file, options.tree_index or 1)
    facts = tree_facts(phylogeny)
    notes: tuple[str, ...] = (*tree_file.warnings_of(options.tree_index), *edge_notes(phylogeny, options))
    table, report = None, None
    obstacle: HxError | None = None
    if options.traits:
        try:
            try:
                table, table_notes, _ = read_trait_table(options, text_only=True)
            except UnreadTable as refusal:
                raise explained(refusal, phylogeny) from refusal
            notes += table_notes
            seen, report, match_notes = match(phylogeny, table, strict=options.strict, replicates=options.replicates)
            notes += match_notes
            _refuse_unanswerable(phylogeny, seen, tree_file.file, options)
        except (InputError, ModelError) as error:
            obstacle = error
    return Checkup(
        file=tree_file.file,
        format=tree_file.format,
        trees=len(tree_file.phylogenies),
        tree_names=tuple(each.name for each in tree_file.phylogenies),
        tree=facts,
        table=table,
        columns=column_facts(table) if table is not None else {},
        states=state_counts(table) if table is not None else {},
        match=report,
        notes=notes,
        needs=(*_needs(tree_file, facts, options), *_needs_of_table(table)),
        obstacle=obstacle,
    )


def _needs_of_table(table: TraitTable | None) -> tuple[str, ...]:
    if table is None or table.traits or table.states:
        return ()
    return ("--column NAME of hx ancestral, because no column holds a number: a column of text is a trait of states",)


def tree_facts(phylogeny: Phylogeny) -> TreeFacts:
    """Counts and measures one tree."""
    topology = phylogeny.topology
    degrees = topology.child_counts[~topology.is_leaf]
    to_tips = phylogeny.root_distances[phylogeny.tips]
    names = "\n".join(sorted(phylogeny.tip_names.tolist()))
    missing = phylogeny.missing_lengths
    return TreeFacts(
        tips=len(phylogeny.tips),
        nodes=topology.size,
        total_edge_length=float(np.nansum(phylogeny.lengths)),
        max_root_to_tip=float(to_tips.max()),
        tip_names_sha1=hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest(),
        rooted=phylogeny.rooted if phylogeny.rooted is not None else int(topology.child_counts[0]) <= 2,
        rooted_stated=phylogeny.rooted is not None,
        binary=bool(np.all(degrees == 2)),
        ultrametric=None if missing else _ultrametric(to_tips),
        polytomies=int((degrees > 2).sum()),
        one_child_nodes=int((degrees == 1).sum()),
        missing_lengths=missing,
        zero_lengths=phylogeny.zero_lengths,
        negative_lengths=phylogeny.negative_lengths,
        depth=topology.depth,
    )


def column_facts(table: TraitTable) -> dict[str, ColumnFacts]:
    """Trait -> figures of its column; every column of a TraitTable holds at least one number."""
    values = table.values
    known = ~np.isnan(values)
    lowest = np.where(known, values, np.inf).min(axis=0)
    highest = np.where(known, values, -np.inf).max(axis=0)
    return {
        name: ColumnFacts(int(count), len(values) - int(count), float(low), float(high))
        for name, count, low, high in zip(table.traits, known.sum(axis=0), lowest, highest, strict=True)
    }


def state_counts(table: TraitTable) -> dict[str, dict[str, int]]:
    """Trait of states -> state -> number of rows; columns of text that repeat their texts are there as well."""
    found = {column.name: column.counts() for column in table.states}
    for name in table.text_columns:
        if table.cells is None:
            continue
        texts = table.cells.column(table.cells.header.index(name))
        column = StateColumn(name, Texts(["" if text in MISSING else text for text in texts.tolist()]))
        counts = column.counts()
        if 1 < len(counts) <= max(2, len(texts) // 2) and len(counts) <= _MOST_STATES:
            found[name] = counts
    return found


def _refuse_unanswerable(phylogeny: Phylogeny, seen: Observations, file: str, options: InputOptions) -> None:
    """Raises where no analysis has an answer, as far as the edge lengths are known."""
    try:
        phylogeny = analysable_tree(phylogeny, file, options)
    except InputError:
        # What the user has to say about lengths first stands among the needs.
        return
    refuse_contradictions(phylogeny, seen, ~np.isnan(seen.values) & (seen.standard_errors == 0))
    for column in seen.states:
        seen_states(phylogeny, seen.nodes, column)
    if _is_extreme(phylogeny.lengths) or _is_extreme(seen.values):
        # Whether the results are doubles only the computation tells.
        with started(RuntimeOptions()):
            analyses.load("ancestral")(phylogeny, seen)


def _is_extreme(values: FloatArray) -> bool:
    """Whether a number is so large or small that its square may be no double."""
    sizes = np.abs(values[~np.isnan(values) & (values != 0)])
    return bool(sizes.size) and not (sizes.min() > _SMALL and sizes.max() < 1 / _SMALL)


def _ultrametric(to_tips: FloatArray) -> bool:
    return bool(np.ptp(to_tips) <= ULTRAMETRIC_TOLERANCE * np.abs(to_tips).max())


def _needs(tree_file: TreeFile, facts: TreeFacts, options: InputOptions) -> tuple[str, ...]:
    trees = len(tree_file.phylogenies)
    needs = []
    if trees > 1 and options.tree_index is None:
        needs.append(f"--tree-index K or --all-trees, because the file holds {trees} trees (the first is shown here)")
    if facts.missing_lengths and options.missing_lengths is None:
        needs.append(f"--missing-lengths X, because {facts.missing_lengths} of {facts.nodes - 1} edges lack a length")
    if facts.negative_lengths and options.negative_lengths is None:
        needs.append(
            f"--negative-lengths zero, because {facts.negative_lengths} of {facts.nodes - 1} edges are negative"
        )
    return tuple(needs)
