"""State maps: M histories of states on one tree, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray


class Changes(NamedTuple):
    """All changes of M maps on a tree, sorted by map, edge and time.

    Attributes:
        map, edge: (E,) which map, and the node at whose edge.
        time: (E,) from the edge's beginning.
        before, after: (E,) states.
    """

    map: NDArray[np.intp]
    edge: NDArray[np.intp]
    time: FloatArray
    before: NDArray[np.intp]
    after: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class StateMaps:
    """M maps of S states on N nodes.

    Attributes:
        states: (S,) their names.
        nodes: (M, N) states of the nodes.
        changes: Along the edges.
    """

    states: tuple[str, ...]
    nodes: NDArray[np.int16]
    changes: Changes

    def by_map(self) -> Iterator[tuple[Any, Changes]]:
        """The nodes' states and the changes of every map."""
        bounds = np.searchsorted(self.changes.map, np.arange(len(self.nodes) + 1))
        for number, (first, last) in enumerate(pairwise(bounds.tolist())):
            fields: list[Any] = [field[first:last] for field in self.changes]
            yield self.nodes[number], Changes(*fields)

    def dwell_times(self, parents: NDArray[np.integer], lengths: FloatArray) -> FloatArray:
        """(M, S) time that every map spends in every state."""
        maps, count, changes = len(self.nodes), len(self.states), self.changes
        # Every edge in the state of its beginning, then what each change moves to another state.
        begin = self.nodes[:, parents[1:]].astype(np.intp)
        rows = np.repeat(np.arange(maps), len(lengths) - 1)
        flat = np.zeros(maps * count)
        flat += np.bincount(rows * count + begin.ravel(), np.tile(lengths[1:], maps), maps * count)
        rest = lengths[changes.edge] - changes.time
        flat = flat + np.bincount(changes.map * count + changes.after, rest, maps * count)
        flat = flat - np.bincount(changes.map * count + changes.before, rest, maps * count)
        return flat.reshape(maps, count)

    def change_counts(self) -> NDArray[np.intp]:
        """(M, S, S) number of changes of every kind on every map."""
        maps, count, changes = len(self.nodes), len(self.states), self.changes
        kinds = (changes.map * count + changes.before) * count + changes.after
        return np.bincount(kinds, minlength=maps * count * count).reshape(maps, count, count)

    def first_times(self, parents: NDArray[np.integer], distances: FloatArray) -> FloatArray:
        """(M, S) distance from the root at which every map first has every state; inf where it never has it."""
        changes = self.changes
        times = np.full((len(self.nodes), len(self.states)), np.inf)
        times[np.arange(len(self.nodes)), self.nodes[:, 0]] = 0
        np.minimum.at(times, (changes.map, changes.after), distances[parents[changes.edge]] + changes.time)
        return times


@dataclass(frozen=True, eq=False)
class EdgeShares:
    """Probabilities of S states on P pieces of the edges of a tree.

    Attributes:
        nodes: (P,) the node at whose edge.
        starts, ends: (P,) where the piece begins and ends: 0 at the parent, 1 at the node.
        shares: (P, S).
    """

    nodes: NDArray[np.intp]
    starts: FloatArray
    ends: FloatArray
    shares: FloatArray
