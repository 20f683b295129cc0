"""Checking: what a tree file and a trait table hold, and whether an analysis could use them.

Without jax, but for numbers so extreme that only the computation tells.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hxcli import analyses
from hxcli.errors import HxError, InputError, ModelError
from hxcli.formats.tables.read import UnreadTable
from hxcli.formats.trees.read import TreeFile, pick_tree
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import refuse_contradictions
from hxcli.run.inputs import InputOptions, analysable_tree, edge_notes, explained, read_trait_table, read_tree_file
from hxcli.run.matching import match
from hxcli.run.runtime import RuntimeOptions, started
from hxcli.traits import MatchReport, Observations, TraitTable

# Lengths are often written with six digits.
ULTRAMETRIC_TOLERANCE = 1e-6
_SMALL = 1e-70


@dataclass(frozen=True)
class TreeFacts:
    """One tree in figures.

    Attributes:
        tips: Number of tips.
        nodes: Number of nodes, tips and root included.
        total_edge_length: Sum of all edge lengths but the root's; missing ones count as 0.
        max_root_to_tip: Largest sum of edge lengths between root and tip, likewise.
        tip_names_sha1: SHA-1 of the tip names, sorted by code point and joined by line feeds, in UTF-8.
        rooted: What the file states, else whether the root has at most two children.
        rooted_stated: Whether the file states it.
        binary: Whether every node that has children has two.
        ultrametric: Whether all tips are equally far from the root, up to `ULTRAMETRIC_TOLERANCE` of the distance;
            None where lengths are missing.
        polytomies: Number of nodes with more than two children.
        one_child_nodes: Number of nodes with one child.
        missing_lengths, zero_lengths, negative_lengths: Numbers of such edges, the root's left out.
        depth: Number of edges between the root and the deepest node.
    """

    tips: int
    nodes: int
    total_edge_length: float
    max_root_to_tip: float
    tip_names_sha1: str
    rooted: bool
    rooted_stated: bool
    binary: bool
    ultrametric: bool | None
    polytomies: int
    one_child_nodes: int
    missing_lengths: int
    zero_lengths: int
    negative_lengths: int
    depth: int


@dataclass(frozen=True)
class ColumnFacts:
    """One trait column in figures.

    Attributes:
        n: Number of rows with a value.
        missing: Number of rows without one.
        min, max: Smallest and largest value.
    """

    n: int
    missing: int
    min: float
    max: float


@dataclass(frozen=True, eq=False)
class Checkup:
    """What was found in the files.

    Attributes:
        file: Path of the tree file.
        format: Its format.
        trees: Number of trees in it.
        tree_names: Their names, "" for one without.
        tree: Figures of the tree that was looked at.
        table: The table; None without one, or where it was refused.
        columns: Trait -> figures, in the table's order.
        match: How tips and rows met; None where that is not known.
        notes: What the user should know, a sentence each.
        needs: What the analyses ask for before they use these files, a sentence each.
        obstacle: The refusal that stands in the way of any analysis; None without one.
    """

    file: str
    format: str
    trees: int
    tree_names: tuple[str, ...]
    tree: TreeFacts
    table: TraitTable | None
    columns: dict[str, ColumnFacts]
    match: MatchReport | None
    notes: tuple[str, ...]
    needs: tuple[str, ...]
    obstacle: HxError | None

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON values; `traits` only where a table was read."""
        found: dict[str, Any] = {
            "file": self.file,
            "format": self.format,
            "trees": self.trees,
            "tree_names": list(self.tree_names),
            "tree": asdict(self.tree),
        }
        if self.table is not None:
            found["traits"] = {
                "file": self.table.file,
                "rows": len(self.table.names),
                "columns": {name: asdict(facts) for name, facts in self.columns.items()},
                "text_columns": list(self.table.text_columns),
            }
        if self.match is not None:
            report = self.match
            found["traits"] |= {
                "matched": report.exact + len(report.by_underscore) + len(report.by_unicode),
                "matched_exactly": report.exact,
                "matched_by_underscore": len(report.by_underscore),
                "matched_by_unicode": len(report.by_unicode),
                "tips_without_data": len(report.tips_without_data),
                "rows_without_tip": len(report.rows_without_tip),
            }
        found["ready"] = self.obstacle is None
        found["notes"], found["needs"] = list(self.notes), list(self.needs)
        if self.obstacle is not None:
            found["obstacle"] = str(self.obstacle)
        return found


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
    notes: tuple[str, ...] = (*tree_file.warnings, *edge_notes(phylogeny, options))
    table, report = None, None
    obstacle: HxError | None = None
    if options.traits:
        try:
            try:
                table, table_notes, _ = read_trait_table(options)
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
        match=report,
        notes=notes,
        needs=_needs(tree_file, facts, options),
        obstacle=obstacle,
    )


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


def _refuse_unanswerable(phylogeny: Phylogeny, seen: Observations, file: str, options: InputOptions) -> None:
    """Raises where no analysis has an answer, as far as the edge lengths are known."""
    try:
        phylogeny = analysable_tree(phylogeny, file, options)
    except InputError:
        # What the user has to say about lengths first stands among the needs.
        return
    refuse_contradictions(phylogeny, seen, ~np.isnan(seen.values) & (seen.standard_errors == 0))
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
        needs.append(f"--tree-index K, because the file holds {trees} trees (the first is shown here)")
    if facts.missing_lengths and options.missing_lengths is None:
        needs.append(f"--missing-lengths X, because {facts.missing_lengths} of {facts.nodes - 1} edges lack a length")
    if facts.negative_lengths and options.negative_lengths is None:
        needs.append(
            f"--negative-lengths zero, because {facts.negative_lengths} of {facts.nodes - 1} edges are negative"
        )
    return tuple(needs)
