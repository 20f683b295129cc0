"""The zoo: small trees of every kind, by name. They are few and share sizes, because every shape compiles anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hxcli.engine.topology import Topology, from_parents, symmetric_topology


@dataclass(frozen=True)
class Example:
    """One tree.

    Attributes:
        name: What it is called in test ids.
        topology: N nodes.
        lengths: (N,) edge lengths, 0 at the root.
        values: (N,) a number for every node.
    """

    name: str
    topology: Topology
    lengths: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def parents(self) -> list[int]:
        """Parent of every node, for the oracles."""
        return self.topology.parents.tolist()

    @property
    def leaves(self) -> NDArray[np.intp]:
        """Numbers of the nodes without children."""
        return np.flatnonzero(self.topology.is_leaf)


def caterpillar(levels: int) -> NDArray[np.int64]:
    """Every inner node has a tip and the next inner node; 2 * levels + 1 nodes."""
    return np.maximum(2 * ((np.arange(2 * levels + 1) - 1) // 2), 0)


def ladder(levels: int) -> NDArray[np.int64]:
    """Every inner node has two tips and the next inner node, which comes first; 3 * levels + 1 nodes."""
    return np.maximum(3 * ((np.arange(3 * levels + 1) - 1) // 3) - 2, 0)


def star(tips: int) -> NDArray[np.int64]:
    """A root and its tips."""
    return np.zeros(tips + 1, np.int64)


def chain(nodes: int) -> NDArray[np.int64]:
    """Every node but the last has one child."""
    return np.maximum(np.arange(nodes) - 1, 0)


def by_levels(degrees: list[list[int]]) -> NDArray[np.int64]:
    """The tree whose nodes have, level by level and in order, the given numbers of children."""
    parents = [0]
    first = 0
    for level in degrees:
        if len(level) != len(parents) - first:
            raise ValueError(f"a level of {len(parents) - first} nodes was given {len(level)} degrees")
        last = len(parents)
        for node, degree in zip(range(first, last), level, strict=True):
            parents += [node] * degree
        first = last
    return np.array(parents)


def random_binary(tips: int, seed: int = 0) -> NDArray[np.int64]:
    """Starts with a cherry and splits random tips."""
    rng = np.random.default_rng(seed)
    kids: list[list[int]] = [[]]
    tip_nodes = [0]
    while len(tip_nodes) < tips:
        node = tip_nodes.pop(rng.integers(len(tip_nodes)))
        kids[node] = [len(kids), len(kids) + 1]
        kids += [[], []]
        tip_nodes += kids[node]
    return breadth_first(kids)


def random_ragged(nodes: int, degrees: tuple[int, ...], seed: int = 0) -> NDArray[np.int64]:
    """Every node gets a random degree of the given ones, 0 among them, until there are enough nodes."""
    rng = np.random.default_rng(seed)
    parents, node = [0], 0
    while len(parents) < nodes:
        degree = int(rng.choice(degrees))
        if node == len(parents) - 1:
            degree = max(degree, 1)
        parents += [node] * degree
        node += 1
    return np.array(parents)


def breadth_first(kids: list[list[int]]) -> NDArray[np.int64]:
    """Parents in breadth-first order, from lists of children; node 0 is the root."""
    order, parents = [0], [0]
    for place, node in enumerate(order):
        order += kids[node]
        parents += [place] * len(kids[node])
    return np.array(parents)


def ungrouped(parents: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """The same tree with the nodes of every level shuffled, so that siblings are apart."""
    rng = np.random.default_rng(seed)
    depths = from_parents(parents).node_depths
    order = np.lexsort([rng.permutation(len(parents)), depths])
    place = np.argsort(order)
    return place[parents[order]]


# Trees whose nodes have like degrees share compiled programs: the binary ones, the ragged ones up to degree 4.
PARENTS = {
    "single": np.zeros(1, np.int64),
    "cherry": star(2),
    "star": star(9),
    "chain": chain(6),
    "symmetric": symmetric_topology(3, 2).parents,
    "ungrouped symmetric": np.array([0, 0, 0, 1, 2, 1, 2, 3, 4, 5, 6, 4, 3, 6, 5]),
    "caterpillar": caterpillar(7),
    "ladder": ladder(4),
    "ragged": by_levels([[3], [0, 2, 0]]),
    "polytomies": by_levels([[4], [0, 3, 0, 4], [0, 0, 1, 0, 3, 0, 4]]),
    "mixed degrees": by_levels([[3], [1, 4, 2], [2, 0, 1, 3, 0, 0, 1]]),
    "ungrouped": ungrouped(by_levels([[3], [1, 2, 4], [3, *[0] * 5, 1]])),
    "large polytomy": by_levels([[3], [1, 20, 2], [2, *[0] * 8, 3, *[0] * 13]]),
    "random binary": random_binary(8),
    "zero edges": random_binary(8, seed=1),
}
NAMES = tuple(PARENTS)


@cache
def example(name: str) -> Example:
    """One tree of the zoo."""
    return make(name, PARENTS[name])


def make(name: str, parents: NDArray[np.integer], seed: int = 0) -> Example:
    """A tree with random lengths and values, read-only as tests share it; a third of the lengths are 0 by name."""
    rng = np.random.default_rng(seed + len(parents))
    size = len(parents)
    lengths = rng.uniform(0.1, 2.0, size)
    if "zero" in name:
        lengths[rng.permutation(size)[: size // 3]] = 0.0
    lengths[0] = 0.0
    values = rng.normal(size=size)
    lengths.flags.writeable = values.flags.writeable = False
    return Example(name, from_parents(parents), lengths, values)


@st.composite
def parent_arrays(draw: st.DrawFn, size: int = 12) -> NDArray[np.int64]:
    """Any tree of exactly `size` nodes in breadth-first order, siblings together or not."""
    depths, parents = [0], [0]
    for node in range(1, size):
        # A parent on the deepest level, or on the one above it, keeps levels together.
        deepest = depths[-1]
        allowed = [i for i in range(node) if depths[i] in (deepest, deepest - 1)]
        parent = draw(st.sampled_from(allowed))
        parents.append(parent)
        depths.append(depths[parent] + 1)
    return np.array(parents)
