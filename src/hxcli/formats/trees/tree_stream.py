"""A sample of trees from files that may be longer than memory: batch after batch, as strictly as one tree is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import numpy as np

from hxcli.engine.topology import merge_topologies
from hxcli.errors import InputError, Note
from hxcli.formats.source import DEFAULT_MAX_SIZE, looks_like
from hxcli.formats.source_extract import LeaveOut
from hxcli.formats.text_stream import PART, TextStream
from hxcli.formats.trees.newick_statements import newick_statements
from hxcli.formats.trees.nexus_reader import NEXUS_LABEL_BREAKS, NexusReader
from hxcli.formats.trees.nexus_tip_names import Translation
from hxcli.formats.trees.read import format_of
from hxcli.formats.trees.revbayes import is_tree_log, tree_log_statements
from hxcli.formats.trees.scanner.batch_scanner import ScannedBatch, scan_batch
from hxcli.formats.trees.scanner.labels import Header
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.scanner.whole_statements import Wanted
from hxcli.formats.trees.statements import TreeStatement
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.tree_batch import TaxonNames, TreeBatch

# Bytes before a tree in which `[&R]` and `[&U]` are looked for.
_SHORT = 12
_ROOTED = re.compile(rb"\[\s*&([RU])\s*\]", re.IGNORECASE)
_CLOCK_RATE = re.compile(rb"\[&[^\]]*clock.?rate", re.IGNORECASE)
_FORMATS = "give Newick, NEXUS or a tree log of RevBayes"


@dataclass(frozen=True)
class Selection:
    """Which trees of a file are used.

    Attributes:
        burn_in: What is left out of the beginning of every file: below 1 a share, rounded down, else a number of trees.
        thin: Of the rest every so many-th is kept, the first among them.
    """

    burn_in: float = 0.0
    thin: int = 1

    @property
    def needs_count(self) -> bool:
        """Whether it depends on the number of trees in a file."""
        return 0 < self.burn_in < 1

    @property
    def is_all(self) -> bool:
        """Whether every tree is kept."""
        return self.burn_in == 0 and self.thin == 1

    def rank(self, place: int, count: int | None) -> int | None:
        """How many trees of a file are kept before one; None where it is not kept itself.

        Args:
            place: Its place in the file, from 0.
            count: Number of trees in the file; None where `needs_count` is false.
        """
        behind = place - self._skipped(count)
        return behind // self.thin if behind >= 0 and behind % self.thin == 0 else None

    def kept(self, count: int) -> int:
        """How many of the trees of a file are kept."""
        return max(0, -((self._skipped(count) - count) // self.thin))

    def _skipped(self, count: int | None) -> int:
        return int(self.burn_in * count) if self.needs_count and count is not None else int(self.burn_in)


@dataclass(eq=False)
class TreeStream:
    """The trees of one or several files; to be gone through as often as is asked for.

    Attributes:
        files: Paths, `-` for standard input.
        selection: Which of their trees are used.
        max_size: Largest number of bytes that one tree may have.
        taxa: The names of the tips that were met so far.
        warnings: What a reader of the files should know, a sentence each.
        counts: Number of trees in every file, known when it has been gone through.
        formats: The files' formats, likewise.
    """

    files: Sequence[str]
    selection: Selection = field(default_factory=Selection)
    max_size: int = DEFAULT_MAX_SIZE
    taxa: TaxonNames = field(default_factory=TaxonNames)
    warnings: dict[str, None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    _texts: dict[str, TextStream] = field(default_factory=dict)
    _numbers: dict[Translation | None, tuple[Texts, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in self.files:
            self._texts[file] = TextStream(file, max_size=self.max_size)

    @property
    def sha256(self) -> tuple[str, ...]:
        """Digests of the files' bytes as they lie on disk, once they have been gone through."""
        return tuple(self._texts[file].sha256 for file in self.files)

    def batches(self, mine: Wanted | None = None, *, size: int = PART) -> Iterator[TreeBatch]:
        """The trees that are kept, batch by batch.

        Args:
            mine: Which of them, by their place among those that are kept, from 0; None for all. Of the others nothing
                is looked at but where they end.
            size: Bytes of text for a batch, about.

        Raises:
            InputError: A file is refused; file, line and column say where.
        """
        before = kept = 0
        for file in self.files:
            chosen = self._chosen(file, kept, mine, size)
            for _, part in groupby(chosen, key=lambda each: (each.blanked, each.translation)):
                statements = list(part)
                yield self._batch(statements, np.array([before + each.place + 1 for each in statements]))
            before += self.counts[file]
            kept += self.selection.kept(self.counts[file])
        if not kept:
            found = f"none of {before} trees is left after the burn-in"
            raise InputError(found, "leave fewer of them out", file=self.files[0])

    def phylogeny(self, kept: int) -> Phylogeny:
        """One of the trees that are kept, with its labels and annotations, by its place among them, from 0."""
        before = 0
        for file in self.files:
            for statement in self._chosen(file, before, lambda place: place == kept, 1 << 16 if kept == 0 else PART):
                return _read(statement)
            before += self.selection.kept(self.counts[file])
        raise InputError("no tree is left after the burn-in", "leave fewer of them out", file=self.files[0])

    def _chosen(self, file: str, before: int, mine: Wanted | None, size: int) -> Iterator[TreeStatement]:
        """The trees of a file that are kept and asked for, unread.

        Args:
            file: The file.
            before: Number of trees that are kept of the files before it.
            mine: Which are asked for, by their place among all that are kept; None for all.
            size: Bytes of text for a part, about.
        """
        count = None
        if self.selection.needs_count:
            if file not in self.counts:
                for _ in self._statements(file, PART, lambda place: False):
                    pass
            count = self.counts[file]

        def wanted(place: int) -> bool:
            rank = self.selection.rank(place, count)
            return rank is not None and (mine is None or mine(before + rank))

        every = self.selection.is_all and mine is None
        statements = self._statements(file, size, None if every else wanted)
        yield from statements if every else (each for each in statements if wanted(each.place))

    def _statements(self, file: str, size: int, wanted: Wanted | None) -> Iterator[TreeStatement]:
        """The trees of a file, unread: all that are wanted, by their place, and maybe others."""
        text = self._texts[file]
        beginning = text.beginning()
        if not beginning.data.strip():
            raise beginning.error("the file contains no tree: it is empty", _FORMATS)
        if (other := looks_like(beginning)) is not None:
            raise beginning.error(f"not a tree file: this looks like {other}", _FORMATS)
        parts = partial(text.parts, size=size)
        if is_tree_log(beginning):
            self.formats[file], found = "RevBayes tree log", tree_log_statements(parts, beginning, wanted)
        else:
            self.formats[file] = format_of(beginning)
            if self.formats[file] == "nexus":
                found = self._nexus(partial(parts, label_breaks=NEXUS_LABEL_BREAKS), wanted)
            elif self.formats[file] == "newick":
                found = newick_statements(parts, self.warnings, wanted)
            else:
                raise beginning.error(f"several trees are not read from {self.formats[file]}", _FORMATS)
        number = yield from found
        if not number:
            raise beginning.error("the file contains no tree", _FORMATS)
        self.counts[file] = number

    def _nexus(
        self, parts: Callable[[LeaveOut | None], Iterator[Blanked]], wanted: Wanted | None
    ) -> Generator[TreeStatement, None, int]:
        reader = NexusReader(parts, wanted)
        yield from reader.statements()
        self.warnings.update(dict.fromkeys(reader.warnings))
        return reader.count

    def _batch(self, statements: Sequence[TreeStatement], numbers: np.ndarray) -> TreeBatch:
        blanked, translation = statements[0].blanked, statements[0].translation
        if _has_clock_rate(statements[0]):
            self.warnings[Note("the trees' clock rates are not used: edge lengths are taken as they are")] = None
        starts, ends = [each.start for each in statements], [each.end for each in statements]
        if all(each.terminated for each in statements):
            scanned = scan_batch(blanked, starts, ends)
            if scanned is not None:
                batch = self._named(scanned, statements, numbers, translation)
                if batch is not None:
                    return batch
        return self._one_by_one(statements, numbers)

    def _named(
        self,
        scanned: ScannedBatch,
        statements: Sequence[TreeStatement],
        numbers: np.ndarray,
        translation: Translation | None,
    ) -> TreeBatch | None:
        """The batch with its tips named; None where names are to be looked at tree by tree."""
        blanked = statements[0].blanked
        blanked.check_labels(scanned.inner_starts, scanned.inner_ends)
        labels = blanked.texts(scanned.label_starts, scanned.label_ends)
        if b"#" in blanked.source.data and len(labels.containing("#")):
            return None
        taxa = np.full(scanned.topology.size, -1, np.int32)
        trees_of_tips = scanned.trees[scanned.tips]

        def refuse(i: int, found: str, advice: str) -> InputError:
            prefix = statements[trees_of_tips[i]].header.tree
            return blanked.source.error(f"{prefix}: {found}" if prefix else found, advice, int(scanned.label_starts[i]))

        found = self._taxa_of(labels, translation, refuse)
        if found is None:
            return None
        taxa[scanned.tips] = found
        if _repeated(trees_of_tips, taxa[scanned.tips], len(self.taxa)):
            return None
        rooted = np.array([_stated(each) for each in statements], np.int8)
        headers, offsets = [each.header for each in statements], scanned.offsets

        def refuse_node(node: int, found: str, advice: str) -> InputError:
            return _error(blanked, headers[scanned.trees[node]], found, advice, int(offsets[node]))

        return TreeBatch(
            topology=scanned.topology,
            edge_lengths=scanned.edge_lengths,
            trees=scanned.trees,
            taxa=taxa,
            numbers=numbers,
            names=[each.header.name for each in statements],
            rooted=rooted,
            refuse=refuse_node,
        )

    def _taxa_of(
        self, labels: Texts, translation: Translation | None, refuse: Callable[[int, str, str], InputError]
    ) -> np.ndarray | None:
        """(L,) numbers of the names that labels stand for, None where one is empty; each is looked up once."""
        known, numbers = self._numbers.get(translation, (Texts(()), np.zeros(0, np.int32)))
        places = labels.places_among(known)
        new = np.flatnonzero(places < 0)
        if len(new):
            texts = labels[new].tolist()
            first = dict(zip(reversed(texts), reversed(new.tolist()), strict=True))
            fresh = Texts(list(first))
            names = fresh
            if translation is not None:
                at = list(first.values())
                names, _ = translation.rename(fresh, Texts(()), lambda i, found, advice: refuse(at[i], found, advice))
            if "" in names:
                return None
            more = np.array([self.taxa.number(name) for name in names], np.int32)
            known, numbers = Texts.joined(known, fresh), np.concatenate([numbers, more])
            self._numbers[translation] = known, numbers
            places = labels.places_among(known)
        return numbers[places]

    def _one_by_one(self, statements: Sequence[TreeStatement], numbers: np.ndarray) -> TreeBatch:
        phylogenies = [_read(statement) for statement in statements]
        topology, places = merge_topologies([each.topology for each in phylogenies])
        size = topology.size
        lengths, trees, taxa = np.empty(size), np.empty(size, np.int32), np.full(size, -1, np.int32)
        for tree, (phylogeny, place) in enumerate(zip(phylogenies, places, strict=True)):
            lengths[place], trees[place] = phylogeny.edge_lengths, tree
            taxa[place[phylogeny.tips]] = [self.taxa.number(name) for name in phylogeny.tip_names]

        def refuse(node: int, found: str, advice: str) -> InputError:
            statement = statements[trees[node]]
            return _error(statement.blanked, statement.header, found, advice, statement.start)

        return TreeBatch(
            topology=topology,
            edge_lengths=lengths,
            trees=trees,
            taxa=taxa,
            numbers=numbers,
            names=[each.name for each in phylogenies],
            rooted=np.array([-1 if each.rooted is None else int(each.rooted) for each in phylogenies], np.int8),
            refuse=refuse,
        )


def _read(statement: TreeStatement) -> Phylogeny:
    phylogeny = statement.read()
    if phylogeny is None:
        raise statement.blanked.source.error("there is no tree before ';'", "remove it", statement.end)
    return phylogeny


def _error(blanked: Blanked, header: Header, found: str, advice: str, offset: int) -> InputError:
    return blanked.source.error(f"{header.tree}: {found}" if header.tree else found, advice, offset)


def _repeated(trees: np.ndarray, taxa: np.ndarray, count: int) -> bool:
    """Whether a tip's name occurs twice in one tree, or is empty."""
    keys = trees.astype(np.int64) * count + taxa
    if len(keys) * 4 > (int(trees.max(initial=0)) + 1) * count:
        return bool(np.bincount(keys).max(initial=0) > 1)
    keys.sort()
    return bool((keys[1:] == keys[:-1]).any())


def _stated(statement: TreeStatement) -> int:
    """Whether a tree says that it is rooted: 1, that it is not: 0, or nothing: -1."""
    data, start = statement.blanked.source.data, statement.header.start
    end = data.find(b"(", statement.start, statement.end)
    rooted = statement.header.rooted
    comments = statement.blanked.comment_starts
    first, last = np.searchsorted(comments, (start, end)) if len(comments) else (0, 0)
    for offset in comments[first:last].tolist():
        found = _ROOTED.match(data, offset, offset + _SHORT)
        if found:
            rooted = found[1] in b"Rr"
    return -1 if rooted is None else int(rooted)


def _has_clock_rate(statement: TreeStatement) -> bool:
    """Whether there is a clock rate in front of a tree, as MrBayes writes it."""
    data, start = statement.blanked.source.data, statement.header.start
    end = data.find(b"(", statement.start, statement.end)
    return _CLOCK_RATE.search(data, start, end) is not None
