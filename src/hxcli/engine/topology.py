"""Topology: which node is whose parent, in breadth-first order, as plain numpy arrays.

numpy only, so that reading and checking a tree never imports jax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hxcli.errors import TopologyError

IntArray = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class Topology:
    """The shape of one tree, or of several trees whose levels are merged.

    Nodes are numbered in breadth-first order: a root is its own parent, every other node comes after its
    parent, and the nodes of one level are consecutive. All arrays are read-only. Build one with
    `from_parents`, `symmetric_topology` or `merge_topologies`, which validate.

    Attributes:
        parents: (N,) the parent of every node; `parents[root] == root`.
        node_depths: (N,) number of edges between a node and its root.
    """

    parents: IntArray
    node_depths: IntArray

    def __post_init__(self) -> None:
        # Read-only, so that derived arrays and the hash stay true.
        self.parents.setflags(write=False)
        self.node_depths.setflags(write=False)

    @staticmethod
    def from_parents(parents: ArrayLike) -> Topology:
        """`from_parents`, by the name of the class."""
        return from_parents(parents)

    @property
    def size(self) -> int:
        """Number of nodes N."""
        return len(self.parents)

    @property
    def depth(self) -> int:
        """Number of edges between the root and the deepest node."""
        return int(self.node_depths[-1])

    @cached_property
    def level_starts(self) -> IntArray:
        """(depth + 2,) level d is the nodes `level_starts[d]` to `level_starts[d + 1]`."""
        return _frozen(np.searchsorted(self.node_depths, np.arange(self.depth + 2)))

    @cached_property
    def child_counts(self) -> IntArray:
        """(N,) number of children of every node."""
        children = self.parents[~self.is_root]
        return _frozen(np.bincount(children, minlength=self.size))

    @cached_property
    def is_root(self) -> BoolArray:
        """(N,) true where a node is its own parent."""
        mask = self.parents == np.arange(self.size)
        mask.setflags(write=False)
        return mask

    @cached_property
    def is_leaf(self) -> BoolArray:
        """(N,) true where a node has no children."""
        mask = self.child_counts == 0
        mask.setflags(write=False)
        return mask

    @cached_property
    def is_inner(self) -> BoolArray:
        """(N,) true where a node has children and is not a root."""
        mask = ~self.is_leaf & ~self.is_root
        mask.setflags(write=False)
        return mask

    @cached_property
    def children(self) -> IntArray:
        """(N - roots,) all non-root nodes, grouped by parent: node i's are `first_child[i]` onwards."""
        nodes = np.flatnonzero(~self.is_root)
        of = self.parents[nodes]
        if np.any(of[1:] < of[:-1]):
            nodes = nodes[np.argsort(of, kind="stable")]
        return _frozen(nodes)

    @cached_property
    def first_child(self) -> IntArray:
        """(N,) where a node's children begin in `children`; of no meaning at leaves."""
        starts = np.zeros(self.size, np.int32)
        np.cumsum(self.child_counts[:-1], out=starts[1:])
        return _frozen(starts)

    @cached_property
    def max_degree(self) -> int:
        """Largest number of children of any node."""
        return int(self.child_counts.max())

    @cached_property
    def equal_degree(self) -> bool:
        """True when all nodes that have children have the same number of them (and there is one)."""
        degrees = self.child_counts[~self.is_leaf]
        return bool(degrees.size) and bool(np.all(degrees == degrees[0]))

    @cached_property
    def symmetric(self) -> bool:
        """True when the tree is the one that `symmetric_topology` makes, in its order of nodes.

        Such a tree is a reshape away from its levels, unless it is a chain, which has as many levels as nodes.
        """
        # A full tree has at least 2**depth nodes; powers of the degree up to the depth of a caterpillar take minutes.
        if not self.equal_degree or self.max_degree == 1 or self.depth >= self.size.bit_length():
            return False
        if self.size != sum(self.max_degree**level for level in range(self.depth + 1)):
            return False
        # Full levels are not enough: siblings may be apart, and several roots may add up to the same size.
        return bool(np.array_equal(self.parents[1:], np.arange(self.size - 1) // self.max_degree))

    @cached_property
    def _hash(self) -> int:
        return hash(self.parents.tobytes())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Topology) and np.array_equal(self.parents, other.parents)

    def __repr__(self) -> str:
        return (
            f"Topology(size={self.size}, depth={self.depth}, "
            f"equal_degree={self.equal_degree}, max_degree={self.max_degree})"
        )


def from_parents(parents: ArrayLike) -> Topology:
    """Builds the topology of one tree from its parent pointers.

    Args:
        parents: (N,) integers in breadth-first order; `parents[0] == 0` and `parents[i] < i` elsewhere.

    Raises:
        TopologyError: Not a 1-D array of integers, empty, the root is not its own parent, a second root,
            a parent that does not come before its child, or levels that are not consecutive.
    """
    given = np.asarray(parents)
    if given.ndim != 1 or given.size == 0:
        raise TopologyError(f"parents must be a non-empty 1-D array, got shape {given.shape}")
    if given.dtype.kind not in "iu":
        raise TopologyError(f"parents must be integers, got dtype {given.dtype}")
    if given.size > np.iinfo(np.int32).max // 4:
        raise TopologyError(f"a tree of {given.size} nodes is too large: nodes are numbered with 32 bits")
    if given[0] != 0:
        raise TopologyError(f"the root must be its own parent: expected parents[0] == 0, got {given[0]}")
    late = np.flatnonzero(given[1:] >= np.arange(1, given.size)) + 1
    if late.size:
        i = late[0]
        what = "a second root" if given[i] == i else f"parent {given[i]} does not come before its child"
        raise TopologyError(f"parents[{i}] = {given[i]}: {what}; nodes are numbered in breadth-first order")
    if given.min() < 0:
        raise TopologyError(f"parents[{int(given.argmin())}] = {given.min()} is negative")
    table = given.astype(np.int32)
    depths = depths_of(table)
    early = np.flatnonzero(depths[1:] < depths[:-1]) + 1
    if early.size:
        i = early[0]
        raise TopologyError(
            f"node {i} (depth {depths[i]}) comes after a deeper node (depth {depths[i - 1]}): nodes of one level "
            "must be consecutive; renumber the nodes in breadth-first order"
        )
    return Topology(table, depths)


def symmetric_topology(depth: int, degree: int) -> Topology:
    """The tree in which every node above the last level has `degree` children.

    Args:
        depth: Number of edges from the root to every leaf, 0 for a single node.
        degree: Number of children, at least 1.

    Raises:
        TopologyError: A negative depth or a degree below 1.
    """
    if depth < 0:
        raise TopologyError(f"depth must not be negative, got {depth}")
    if degree < 1:
        raise TopologyError(f"degree must be at least 1, got {degree}")
    sizes = [degree**level for level in range(depth + 1)]
    parents = np.maximum((np.arange(sum(sizes)) - 1) // degree, 0).astype(np.int32)
    return Topology(parents, np.repeat(np.arange(depth + 1, dtype=np.int32), sizes))


def merge_topologies(topologies: Sequence[Topology]) -> tuple[Topology, list[IntArray]]:
    """Puts several trees side by side as one topology with several roots and common levels.

    Returns:
        The merged topology, and for every tree the (N_b,) indices of its nodes in it.

    Raises:
        TopologyError: No topology was given.
    """
    if not topologies:
        raise TopologyError("a forest needs at least one tree")
    sizes = np.array([t.size for t in topologies])
    offsets = np.repeat(np.cumsum(sizes) - sizes, sizes)
    depths = np.concatenate([t.node_depths for t in topologies])
    parents = np.concatenate([t.parents for t in topologies]) + offsets
    order = np.argsort(depths, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    merged = Topology(place[parents[order]], depths[order])
    return merged, np.split(place, np.cumsum(sizes)[:-1])


def depths_of(parents: IntArray) -> IntArray:
    """(N,) depths by pointer doubling: log2(depth) passes over the nodes, whatever the shape of the tree.

    Needs `parents[i] < i` for every node but a root, which is its own parent.
    """
    ancestor = parents
    depths = (parents != np.arange(len(parents))).astype(np.int32)
    while True:
        step = depths[ancestor]
        if not step.any():
            return depths
        depths = depths + step
        ancestor = ancestor[ancestor]


def _frozen(values: NDArray[np.integer]) -> IntArray:
    array = values.astype(np.int32, copy=False)
    array.setflags(write=False)
    return array
