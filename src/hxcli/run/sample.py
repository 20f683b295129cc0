"""A sample of trees as a run uses it: which trees, which tips, and the summary tree that the results are told on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.tree_samples.clade_counts import CladeCounts, Counted, Credibility
from hxcli.analyses.tree_samples.clades import CladeKeys, clade_keys, taxon_keys
from hxcli.close_names import counted, listed
from hxcli.errors import InputError, Note
from hxcli.formats.source import read_source
from hxcli.formats.trees.prune import keep_tips
from hxcli.formats.trees.read import pick_tree, read_trees
from hxcli.formats.trees.scanner.whole_statements import Wanted
from hxcli.formats.trees.tree_stream import Selection, TreeStream
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, analysable_tree
from hxcli.run.sample_options import SampleOptions
from hxcli.tree_batch import TreeBatch


@dataclass(eq=False)
class Sample:
    """The trees, with what is known of them before any of them is analysed.

    Attributes:
        stream: The trees.
        names: The tips that count, numbered as in `stream.taxa`; with `prune` those of every tree.
        summary: The summary tree, with the tips that count only.
        notes: What the user should know, a sentence each.
        counts: How many trees have each clade, where that was found out beforehand.
    """

    stream: TreeStream
    options: SampleOptions
    reading: InputOptions
    counts_tip: NDArray[np.bool_]
    summary: Phylogeny
    notes: list[str] = field(default_factory=list)
    counts: Counted | None = None
    total: int = 0

    def __post_init__(self) -> None:
        names = self.stream.taxa.names
        self._keys = taxon_keys(names)
        self._ranks = ranks(names)
        some = np.flatnonzero(self.counts_tip)
        self._tips = len(some)
        # Of all tips together, which is the key of every root where all trees have the same tips.
        self._all = tuple(half[some].sum(dtype=np.uint64) for half in self._keys)

    def batches(self, mine: Wanted | None = None) -> Iterator[TreeBatch]:
        """The trees, or those that are asked for by their place, ready to be analysed.

        Raises:
            InputError: A tree that is refused; file, line and column say where.
        """
        changed = np.zeros(2, np.int64)
        total = unrooted = branching = 0
        for batch in self.stream.batches(mine):
            if self.options.missing_tips is None:
                self._refuse_other_tips(batch)
            total += batch.count
            unrooted += int((batch.rooted == 0).sum())
            if batch.topology.depth > 1:
                branches = batch.topology.child_counts[: batch.count]
                branching += int(((batch.rooted < 0) & (branches > 2)).sum())
            yield self._with_lengths(batch, changed)
        self._note_lengths(changed)
        self._note_roots(total, unrooted, branching)

    def keys(self, batch: TreeBatch) -> CladeKeys:
        """(N,) the clade of every node."""
        return clade_keys(batch.topology, self.counting(batch.taxa), self._keys, chains=not self.pruned)

    def summary_keys(self) -> CladeKeys:
        """(N,) the clade of every node of the summary."""
        taxa = self.summary_taxa()
        return clade_keys(self.summary.topology, taxa, self._keys, chains=not self.pruned)

    def summary_taxa(self) -> NDArray[np.int32]:
        """(N,) the name of every tip of the summary; -1 at internal nodes."""
        taxa = np.full(self.summary.topology.size, -1, np.int32)
        taxa[self.summary.tips] = [self.stream.taxa.number(name) for name in self.summary.tip_names]
        return taxa

    def counting(self, taxa: NDArray[np.int32]) -> NDArray[np.int32]:
        """The names of tips, -1 for those that do not count."""
        return np.where((taxa >= 0) & self.counts_tip[taxa], taxa, -1).astype(np.int32)

    @property
    def pruned(self) -> bool:
        """Whether tips are left out."""
        return self.options.missing_tips == "prune"

    def ranks_of(self, batch: TreeBatch) -> NDArray[np.int32]:
        """(N,) the rank of every tip's name; -1 at internal nodes and tips that do not count."""
        taxa = self.counting(batch.taxa)
        return np.where(taxa >= 0, self._ranks[taxa], -1).astype(np.int32)

    def _refuse_other_tips(self, batch: TreeBatch) -> None:
        taxa = self._keys
        if len(self.stream.taxa) > len(taxa.low):
            taxa = taxon_keys(self.stream.taxa.names)
        tips, count = batch.tips, batch.count
        same = np.bincount(batch.trees[tips], minlength=count) == self._tips
        for half, whole in zip(taxa, self._all, strict=True):
            sums = np.zeros(count, np.uint64)
            np.add.at(sums, batch.trees[tips], half[batch.taxa[tips]])
            same &= sums == whole
        if same.all():
            return
        tree = int((~same).argmax())
        nodes = batch.nodes_of(tree)
        names = self.stream.taxa.names
        here = {names[taxon] for taxon in batch.taxa[nodes] if taxon >= 0}
        wanted = {names[i] for i in np.flatnonzero(self.counts_tip)}
        lacking, more = sorted(wanted - here), sorted(here - wanted)
        said = [f"lacks {counted(len(lacking), 'tip')} of the first ({listed(lacking, 3)})"] if lacking else []
        said += [f"has {counted(len(more), 'tip')} that the first has not ({listed(more, 3)})"] if more else []
        raise batch.refuse(tree, f"the tree {' and '.join(said)}", "give --missing-tips prune or keep")

    def _with_lengths(self, batch: TreeBatch, changed: NDArray[np.int64]) -> TreeBatch:
        below = np.arange(batch.topology.size) >= batch.count
        missing, negative = np.isnan(batch.edge_lengths) & below, (batch.edge_lengths < 0) & below
        if not (missing.any() or negative.any()):
            return batch
        if missing.any() and self.reading.missing_lengths is None:
            raise batch.refuse(
                int(missing.argmax()), "this edge has no length", "give them, or set them with --missing-lengths X"
            )
        if negative.any() and self.reading.negative_lengths is None:
            advice = "mend them, or set them to 0 with --negative-lengths zero"
            raise batch.refuse(int(negative.argmax()), "the length of this edge is negative", advice)
        changed += (int(missing.sum()), int(negative.sum()))
        lengths = np.where(missing, self.reading.missing_lengths or 0.0, np.where(negative, 0.0, batch.edge_lengths))
        return batch.with_lengths(lengths)

    def _note_roots(self, total: int, unrooted: int, branching: int) -> None:
        said = []
        if unrooted:
            said.append(
                Note(f"{unrooted} of {total} trees are marked as unrooted ([&U]); their written roots are used")
            )
        if branching:
            said.append(
                Note(f"{branching} of {total} trees have roots with more than two branches, as unrooted trees have")
            )
        self.notes += [note for note in said if note not in self.notes]

    def _note_lengths(self, changed: NDArray[np.int64]) -> None:
        missing, negative = changed.tolist()
        said = []
        if missing:
            said.append(Note(f"{counted(missing, 'missing edge length')} read as {self.reading.missing_lengths:.15g}"))
        if negative:
            said.append(Note(f"{counted(negative, 'negative edge length')} read as 0"))
        self.notes += [note for note in said if note not in self.notes]


def open_sample(
    options: SampleOptions, reading: InputOptions, progress: Callable[[str], None] = lambda stage: None
) -> Sample:
    """Finds what has to be known of a sample before its trees are analysed: tips, and the summary tree.

    Raises:
        InputError: A file is refused, or the trees differ in their tips.
    """
    stream = TreeStream(options.files, Selection(options.burn_in, options.thin), reading.max_size)
    given = _given_summary(options, reading)
    common: set[str] | None = None
    notes: list[str] = []
    if options.missing_tips is not None:
        progress("looking at the tips of all trees")
        common, everywhere = _survey_tips(stream)
        if not common:
            raise InputError("no tip is in all trees", "use --missing-tips keep", file=options.files[0])
        if given is not None:
            common &= set(given.tip_names)
        if options.missing_tips == "keep":
            common = everywhere
    first = stream.phylogeny(0) if given is None or options.missing_tips is None else given
    if options.missing_tips is None:
        for name in first.tip_names:
            stream.taxa.number(name)
        if given is not None and set(given.tip_names) != set(first.tip_names):
            advice = "name a tree of the same tips, or give --missing-tips prune or keep"
            raise InputError("the summary tree has other tips than the trees", advice, file=options.summary_tree)
    tips = common if common is not None else set(first.tip_names)
    counts_tip = np.array([name in tips for name in stream.taxa.names], bool)
    chosen = given if given is not None else first
    left_out = sorted(set(stream.taxa.names) - tips)
    if left_out:
        notes.append(Note(f"{counted(len(left_out), 'tip')} not in every tree left out: {listed(left_out)}"))

    def made(summary: Phylogeny) -> Phylogeny:
        pruned = keep_tips(summary, tips) if options.missing_tips == "prune" else summary
        return analysable_tree(pruned, options.files[0], reading)

    sample = Sample(stream, options, reading, counts_tip, made(chosen), notes)
    if options.summary_tree == "mcc":
        progress("finding the tree of highest clade credibility")
        counts, credibility = CladeCounts(), Credibility()
        for batch in sample.batches():
            keys = sample.keys(batch)
            counts.add(batch, keys, sample.ranks_of(batch))
            credibility.add(batch, keys)
        sample.counts, sample.total = counts.table(), counts.trees
        best = credibility.best(sample.counts, counts.trees)
        if best:
            sample.summary = made(stream.phylogeny(best))
    return sample


def _given_summary(options: SampleOptions, reading: InputOptions) -> Phylogeny | None:
    if options.summary_tree in ("first", "mcc"):
        return None
    return pick_tree(read_trees(read_source(options.summary_tree, max_size=reading.max_size)), None)


def _survey_tips(stream: TreeStream) -> tuple[set[str], set[str]]:
    """The tips that all trees have, and those that any has."""
    common: NDArray[np.int64] = np.zeros(0, np.int64)
    trees = 0
    for batch in stream.batches():
        here = np.bincount(batch.taxa[batch.tips], minlength=len(stream.taxa))
        here[: len(common)] += common
        common, trees = here, trees + batch.count
    names = stream.taxa.names
    return {name for name, count in zip(names, common, strict=True) if count == trees}, set(names)


def ranks(names: list[str]) -> NDArray[np.int32]:
    """(L,) the place of every name among all in code-point order."""
    found = np.empty(len(names), np.int32)
    found[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names), dtype=np.int32)
    return found
