"""How many trees have each clade, whatever the number of trees; and which tree has the most credible clades."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.tree_samples.clades import CladeIndex, CladeKeys, Words, families_of_levels
from hxcli.tree_batch import TreeBatch

# New clades that wait to be counted together.
_WAITING = 1 << 18


class Counted(NamedTuple):
    """Distinct clades with what is told of them, ascending by key.

    Attributes:
        keys: Their keys.
        counts: How many trees have them.
        tips: How many tips they have.
        pairs: (n, 2) two tips whose most recent common ancestor they are, as ranks of names.
    """

    keys: CladeKeys
    counts: NDArray[np.int64]
    tips: NDArray[np.int64]
    pairs: NDArray[np.int32]


@dataclass(eq=False)
class CladeCounts:
    """Counts the clades of trees that come batch by batch.

    Those that were met before are looked up; new ones wait until there are enough of them to be sorted in.
    """

    trees: int = 0
    _table: Counted | None = None
    # Of the table's clades: where they are, and their pairs as one number each.
    _index: CladeIndex | None = None
    _least: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _waiting: list[Counted] = field(default_factory=list)
    _waits: int = 0

    def add(
        self, batch: TreeBatch, keys: CladeKeys, ranks: NDArray[np.int32], among: NDArray[np.bool_] | None = None
    ) -> None:
        """Counts the clades of two and more tips, each once in a tree.

        Args:
            batch: The trees.
            keys: (N,) the keys of their nodes, one-child nodes apart from what is below them.
            ranks: (N,) rank of the name of every tip.
            among: (N,) the nodes that count; None for all.
        """
        counted = batch.topology.child_counts > 1
        nodes = np.flatnonzero(counted if among is None else counted & among)
        pairs = smallest_pairs(batch, ranks)
        self.trees += batch.count
        if self._table is not None and self._index is not None:
            places = self._index.places(keys.at(nodes))
            known = places >= 0
            self._again(self._table, places[known], _as_one(pairs[nodes[known]]))
            nodes = nodes[~known]
        ones = np.ones(len(nodes), np.int64)
        self._waiting.append(Counted(keys.at(nodes), ones, batch.tip_counts[nodes], pairs[nodes]))
        self._waits += len(nodes)
        if self._waits > max(_WAITING, 0 if self._table is None else len(self._table.counts)):
            self._table = self.table()
            self._index, self._least = CladeIndex(self._table.keys), _as_one(self._table.pairs)
            self._waiting, self._waits = [], 0

    def _again(self, table: Counted, places: NDArray[np.intp], pairs: NDArray[np.int64]) -> None:
        """Counts clades of the table once more."""
        np.add.at(table.counts, places, 1)
        smaller = pairs < self._least[places]
        np.minimum.at(self._least, places[smaller], pairs[smaller])

    def take(self, counted: Counted) -> None:
        """Takes clades that were counted elsewhere in other trees."""
        self._waiting.append(counted)

    def table(self) -> Counted:
        """All clades that were counted."""
        known = [] if self._table is None else [self._table._replace(pairs=_as_two(self._least))]
        parts = [*known, *self._waiting]
        low = np.concatenate([part.keys.low for part in parts])
        high = np.concatenate([part.keys.high for part in parts])
        # Not a stable sort, which takes several times as long: what is made of equal ones does not hang on their order.
        order = np.argsort(low)
        # Equal lower halves of different clades: one in 2^64, and still not mistaken for each other.
        if ((low[order][1:] == low[order][:-1]) & (high[order][1:] != high[order][:-1])).any():
            order = np.lexsort((high, low))
        low, high = low[order], high[order]
        new = np.ones(len(low), bool)
        new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        starts = np.flatnonzero(new)
        counts, tips = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        # The smallest pair, so that the order of the trees does not matter.
        both = _as_one(np.concatenate([part.pairs for part in parts]))[order]
        both = np.minimum.reduceat(both, starts) if len(starts) else both
        return Counted(
            CladeKeys(low[starts], high[starts]),
            np.add.reduceat(counts[order], starts) if len(starts) else counts,
            tips[order[starts]],
            _as_two(both),
        )


def _as_one(pairs: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) pairs of ranks (n, 2) as numbers of the same order."""
    return (pairs[:, 0].astype(np.int64) << 32) + pairs[:, 1]


def _as_two(numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """(n, 2) the pairs that `_as_one` has made one number each."""
    return np.stack([numbers >> 32, numbers & 0xFFFFFFFF], 1).astype(np.int32)


def smallest_pairs(batch: TreeBatch, ranks: NDArray[np.int32]) -> NDArray[np.int32]:
    """(N, 2) of every child's smallest tip the two smallest; of no meaning at nodes with fewer than two children."""
    beyond = np.int32(np.iinfo(np.int32).max)
    smallest = np.where(ranks >= 0, ranks, beyond).astype(np.int32)
    second = np.full(len(smallest), beyond, np.int32)
    for children, parents, families in families_of_levels(batch.topology):
        mine = smallest[children]
        least = np.minimum.reduceat(mine, families)
        smallest[parents] = np.minimum(smallest[parents], least)
        # Tips have different names: one child has the smallest.
        others = np.where(mine == np.repeat(least, np.diff(np.append(families, len(mine)))), beyond, mine)
        second[parents] = np.minimum.reduceat(others, families)
    return np.stack([smallest, second], 1)


class Credibility:
    """Finds the tree whose clades' log frequencies sum highest, once all trees are counted.

    The keys of all clades wait in an unnamed temporary file, 16 bytes each.
    """

    def __init__(self) -> None:
        self._kept = tempfile.TemporaryFile()  # noqa: SIM115
        finalize(self, self._kept.close)
        self._sizes: list[tuple[int, int]] = []

    def add(self, batch: TreeBatch, keys: CladeKeys) -> None:
        """Keeps the clades of two and more tips."""
        nodes = np.flatnonzero(batch.topology.child_counts > 1)
        for array in (keys.low[nodes], keys.high[nodes], batch.trees[nodes].astype(np.int32)):
            self._kept.write(np.ascontiguousarray(array).tobytes())
        self._sizes.append((len(nodes), batch.count))

    def best(self, counted: Counted, trees: int) -> int:
        """The place of the best tree among all that were added, the first of several; to be asked once."""
        self._kept.seek(0)
        logs = np.log(counted.counts / trees)
        scores = []
        for size, count in self._sizes:
            low: Words = np.frombuffer(self._kept.read(8 * size), np.uint64)
            high: Words = np.frombuffer(self._kept.read(8 * size), np.uint64)
            tree = np.frombuffer(self._kept.read(4 * size), np.int32)
            scores.append(np.bincount(tree, logs[_find(counted.keys, low, high)], count))
        self._kept.close()
        total = np.concatenate(scores)
        # Sums of the same logarithms in another order differ in their last digits.
        return int(np.argmax(total >= total.max() - 1e-9 * max(1.0, abs(total.max()))))


def _find(keys: CladeKeys, low: Words, high: Words) -> NDArray[np.intp]:
    """Places of keys in a table that has them all."""
    at = np.searchsorted(keys.low, low)
    while (wrong := np.flatnonzero(keys.high[at] != high)).size:
        at[wrong] += 1
    return at
