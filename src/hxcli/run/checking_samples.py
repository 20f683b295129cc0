"""Checking a sample of trees: how many there are, what they have in common, and what differs. Never needs jax."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.tree_samples.clades import CladeKeys, clade_keys, taxon_keys
from hxcli.analyses.tree_samples.observed_names import star_of
from hxcli.close_names import counted, listed
from hxcli.errors import HxError, InputError, ModelError, Note
from hxcli.formats.tables.read import UnreadTable
from hxcli.formats.trees.tree_stream import Selection, TreeStream
from hxcli.run.checking import ULTRAMETRIC_TOLERANCE, column_facts
from hxcli.run.checkup import ColumnFacts, table_lines
from hxcli.run.inputs import InputOptions, explained, read_trait_table
from hxcli.run.matching import match
from hxcli.run.sample_options import SampleOptions
from hxcli.traits import MatchReport, TraitTable
from hxcli.tree_batch import TreeBatch


@dataclass(frozen=True)
class SampleFacts:
    """A sample of trees in figures.

    Attributes:
        files: (file, format, number of trees) of every file.
        trees: Number of trees that are kept.
        tips_in_all, tips_in_any: Number of tips that all trees have, and that any has.
        topologies: Number of different trees, edge lengths aside.
        clades: Number of different clades of two and more tips.
        stated_rooted, stated_unrooted: Number of trees that say so.
        forked_roots: Number of trees whose root has at most two children.
        binary: Number of trees whose nodes with children have two.
        ultrametric: Number of trees whose tips are equally far from the root.
        missing_lengths, negative_lengths: Numbers of such edges in all trees.
        lowest, highest: Smallest and largest distance of the farthest tip from the root.
    """

    files: tuple[tuple[str, str, int], ...]
    trees: int
    tips_in_all: int
    tips_in_any: int
    topologies: int
    clades: int
    stated_rooted: int
    stated_unrooted: int
    forked_roots: int
    binary: int
    ultrametric: int
    missing_lengths: int
    negative_lengths: int
    lowest: float
    highest: float


@dataclass(frozen=True, eq=False)
class SampleCheckup:
    """What was found in the files.

    Attributes:
        sample: Figures of the trees.
        table: The table; None without one, or where it was refused.
        columns: Trait -> figures.
        match: How the tips of all trees and the rows met; None where that is not known.
        notes: What the user should know, a sentence each.
        needs: What `--all-trees` asks for before it uses these files, a sentence each.
        obstacle: The refusal that stands in the way; None without one.
    """

    sample: SampleFacts
    table: TraitTable | None
    columns: dict[str, ColumnFacts]
    match: MatchReport | None
    notes: tuple[str, ...]
    needs: tuple[str, ...]
    obstacle: HxError | None

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        facts = asdict(self.sample)
        facts["files"] = [dict(zip(("file", "format", "trees"), each, strict=True)) for each in self.sample.files]
        found: dict[str, Any] = {"sample": facts, "ready": self.obstacle is None}
        if self.table is not None:
            columns = {name: asdict(each) for name, each in self.columns.items()}
            found["traits"] = {"file": self.table.file, "rows": len(self.table.names), "columns": columns}
        if self.match is not None:
            found["traits"] |= {
                "tips_without_data": len(self.match.tips_without_data),
                "rows_without_tip": len(self.match.rows_without_tip),
            }
        found["notes"], found["needs"] = list(self.notes), list(self.needs)
        if self.obstacle is not None:
            found["obstacle"] = str(self.obstacle)
        return found

    def __str__(self) -> str:
        """The report for a person."""
        facts = self.sample

        def share(number: int, what: str) -> str:
            return what if number == facts.trees else f"{number} of {facts.trees} {what}"

        rooted = f"{facts.stated_rooted} stated as rooted, {facts.stated_unrooted} as unrooted"
        if not facts.stated_rooted and not facts.stated_unrooted:
            rooted = share(facts.forked_roots, "rooted by their shape")
        more = "" if facts.tips_in_any == facts.tips_in_all else f", {facts.tips_in_any} in any"
        topologies, clades = counted(facts.topologies, "topology", "topologies"), counted(facts.clades, "clade")
        lines = [f"trees    {file}: {form}, {counted(number, 'tree')}" for file, form, number in facts.files]
        lines += [
            f"kept     {counted(facts.trees, 'tree')}",
            f"tips     {counted(facts.tips_in_all, 'tip')} in all trees{more}",
            f"shape    {share(facts.binary, 'binary')}, {rooted}, {share(facts.ultrametric, 'ultrametric')}",
            f"differ   {topologies}, {clades}; {facts.lowest:.6g} to {facts.highest:.6g} to the farthest tip",
            f"lengths  {facts.missing_lengths} missing, {facts.negative_lengths} negative",
        ]
        if self.table is not None:
            lines += table_lines(self.table, self.columns, self.match, facts.tips_in_any)
        lines += [f"note     {note}" for note in self.notes]
        lines += [f"needs    {need}" for need in self.needs]
        if self.obstacle is None:
            lines.append("ready" if not self.needs else "ready, with the options that are needed")
        return "\n".join(lines)


def check_sample(options: InputOptions, sample: SampleOptions) -> SampleCheckup:
    """Reads all trees, and the table if one is named, and says what is in them.

    Raises:
        InputError: A file of trees is refused; file, line and column say where.
    """
    stream = TreeStream(sample.files, Selection(sample.burn_in, sample.thin), options.max_size)
    survey = _Survey()
    for batch in stream.batches():
        survey.add(batch, stream.taxa.names)
    names = stream.taxa.names
    files = tuple((file, stream.formats[file], stream.counts[file]) for file in stream.files)
    facts = replace(survey.facts(), files=files)
    notes = [*stream.warnings]
    lacking = [name for name, count in zip(names, survey.having, strict=True) if count < facts.trees]
    if lacking:
        notes.append(Note(f"{counted(len(lacking), 'tip')} not in every tree: {listed(sorted(lacking))}"))
    table, report = None, None
    obstacle: HxError | None = None
    if options.traits:
        try:
            star = star_of(names, 1.0)
            try:
                table, table_notes, _ = read_trait_table(options)
            except UnreadTable as refusal:
                raise explained(refusal, star) from refusal
            _, report, match_notes = match(star, table, strict=options.strict, replicates=options.replicates)
            notes += [*table_notes, *match_notes]
        except (InputError, ModelError) as error:
            obstacle = error
    return SampleCheckup(
        sample=facts,
        table=table,
        columns=column_facts(table) if table is not None else {},
        match=report,
        notes=tuple(notes),
        needs=tuple(_needs(facts, options, sample)),
        obstacle=obstacle,
    )


class _Survey:
    """Counts over batches of trees."""

    def __init__(self) -> None:
        self.having: NDArray[np.int64] = np.zeros(0, np.int64)
        self._shapes: set[int] = set()
        self._clades: list[NDArray[np.uint64]] = []
        self._waiting = 0
        self._numbers = dict.fromkeys(
            ("trees", "stated_rooted", "stated_unrooted", "forked_roots", "binary", "ultrametric"), 0
        )
        self._edges = {"missing_lengths": 0, "negative_lengths": 0}
        self._heights = [np.inf, -np.inf]

    def add(self, batch: TreeBatch, names: list[str]) -> None:
        count, trees = batch.count, batch.trees
        here = np.bincount(batch.taxa[batch.tips], minlength=len(names))
        here[: len(self.having)] += self.having
        self.having = here
        keys = clade_keys(batch.topology, batch.taxa, taxon_keys(names))
        self._count_clades(batch, keys)
        inner = batch.topology.child_counts
        odd = np.bincount(trees[(inner > 0) & (inner != 2)], minlength=count)
        tips = batch.tips
        distances = batch.root_distances[tips]
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, trees[tips], distances)
        np.maximum.at(high, trees[tips], distances)
        below = np.arange(len(trees)) >= count
        missing = np.isnan(batch.edge_lengths) & below
        complete = np.bincount(trees[missing], minlength=count) == 0
        found = {
            "trees": count,
            "stated_rooted": int((batch.rooted == 1).sum()),
            "stated_unrooted": int((batch.rooted == 0).sum()),
            "forked_roots": int((inner[:count] <= 2).sum()),
            "binary": int((odd == 0).sum()),
            "ultrametric": int((complete & (high - low <= ULTRAMETRIC_TOLERANCE * np.abs(high))).sum()),
        }
        for name, number in found.items():
            self._numbers[name] += number
        self._edges["missing_lengths"] += int(missing.sum())
        self._edges["negative_lengths"] += int(((batch.edge_lengths < 0) & below).sum())
        self._heights = [min(self._heights[0], float(high.min())), max(self._heights[1], float(high.max()))]

    def _count_clades(self, batch: TreeBatch, keys: CladeKeys) -> None:
        inner = np.flatnonzero(batch.topology.child_counts > 1)
        mixed = _mixed(keys.low[inner] ^ _mixed(keys.high[inner]))
        shapes = np.zeros(batch.count, np.uint64)
        np.add.at(shapes, batch.trees[inner], mixed)
        self._shapes.update(shapes.tolist())
        self._clades.append(np.unique(keys.low[inner]))
        self._waiting += len(self._clades[-1])
        if self._waiting > 2 * len(self._clades[0]) + (1 << 20):
            self._clades = [np.unique(np.concatenate(self._clades))]
            self._waiting = 0

    def facts(self) -> SampleFacts:
        return SampleFacts(
            files=(),
            tips_in_all=int((self.having == self._numbers["trees"]).sum()),
            tips_in_any=len(self.having),
            topologies=len(self._shapes),
            clades=len(np.unique(np.concatenate(self._clades))),
            lowest=self._heights[0],
            highest=self._heights[1],
            **self._numbers,
            **self._edges,
        )


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of every value spread over all bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _needs(facts: SampleFacts, options: InputOptions, sample: SampleOptions) -> list[str]:
    needs = []
    if facts.tips_in_all < facts.tips_in_any and sample.missing_tips is None:
        needs.append("--missing-tips prune or keep: the trees differ in their tips")
    if facts.missing_lengths and options.missing_lengths is None:
        needs.append(f"--missing-lengths X: {counted(facts.missing_lengths, 'edge length')} missing")
    if facts.negative_lengths and options.negative_lengths is None:
        needs.append(f"--negative-lengths zero: {counted(facts.negative_lengths, 'negative edge length')}")
    return needs
