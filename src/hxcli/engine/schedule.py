"""Schedule: the order in which a sweep visits the families of a tree, as arrays of a few sizes (pure numpy).

A family is a node together with its children. Families of one level do not depend on each other, so they
are cut into chunks that one compiled body handles; deeper levels come first. Within a level, families are
grouped by degree class, so that a node with many children pads only its like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology

# Children handled by one chunk of a large, a middling, a small and a deep tree: measured on a CPU, where a chunk this
# wide hides the cost of a step, and a wider one would be mostly empty in the levels of such a tree. With many numbers
# at every node `_SMALL` hides it too.
_WIDE, _MIDDLE, _SMALL, _NARROW = 2048, 512, 128, 16
_USUAL_CLASSES = 2
# Up to here a second loop in every level costs more than the room that small families leave in a class of up to 8.
_FEW_NODES = 2048
# Below this mean number of families in a level, a wide chunk would mostly compute what is thrown away.
_DEEP = 8


@dataclass(frozen=True)
class Layout:
    """What a compiled sweep depends on: trees with equal layouts share one executable.

    Attributes:
        capacity: Nodes that the arrays have room for.
        chunk_capacity, level_capacity: Rows of the chunk and level tables.
        degrees: Degree classes, ascending: a family of class d has at most d children.
        exact: For every class, whether its families have exactly d children.
        width: Children that a chunk holds; a chunk of class d has `rows(d)` families.
        grouped: Whether the children of a node have consecutive numbers.
        uniform: Whether all families have the same number of children, known when a sweep is traced.
        consecutive: Whether the children of a whole chunk have consecutive numbers.
    """

    capacity: int
    chunk_capacity: int
    level_capacity: int
    degrees: tuple[int, ...]
    exact: tuple[bool, ...]
    width: int
    grouped: bool
    uniform: bool
    consecutive: bool

    def rows(self, degree: int) -> int:
        """Families in a chunk of this degree class."""
        return max(1, self.width // degree)


@dataclass(frozen=True, eq=False)
class Schedule:
    """A topology in the form that a compiled sweep reads.

    Attributes:
        layout: The static part.
        nodes: Families in the order of their visit, by node number, with room around them for a whole chunk.
        starts: likewise, where the family's children begin (a node number, or a place in `children`).
        counts: likewise, number of children; (0,) if the layout is consecutive.
        chunks: (chunk_capacity, 2) first row and number of rows of every chunk.
        levels: (level_capacity, classes + 1) where the chunks of every class begin in a level.
        steps: () number of chunks if there is one degree class, else number of levels.
        children: (capacity,) non-root nodes grouped by parent; (0,) if the layout is grouped.
        has_children, has_parent: (capacity,) masks; false on padding.
    """

    layout: Layout
    nodes: Any
    starts: Any
    counts: Any
    chunks: Any
    levels: Any
    steps: Any
    children: Any
    has_children: Any
    has_parent: Any


def size_class(size: int) -> int:
    """The smallest of four steps an octave, from 64 on, that is at least `size`."""
    size = max(size, 64)
    step = 1 << ((size - 1).bit_length() - 3)
    return -(-size // step) * step


def chunk_width(capacity: int, columns: int) -> int:
    """Children that a chunk holds in a tree that is not deep; a power of two.

    Args:
        capacity: Nodes that the arrays have room for.
        columns: Numbers that a node's largest field holds.
    """
    usual = _WIDE if capacity > 8192 else _MIDDLE if capacity > 1024 else _SMALL
    wanted = max(_SMALL, usual // max(columns, 1))
    return min(1 << (wanted.bit_length() - 1), 1 << max(capacity.bit_length() - 2, 0))


def build_schedule(topology: Topology, capacity: int, width: int) -> Schedule:
    """Cuts a topology into chunks.

    Args:
        topology: N nodes.
        capacity: Nodes that the arrays have room for, at least N.
        width: Children that a chunk holds, a power of two; fewer where the tree is deep.
    """
    families = np.flatnonzero(~topology.is_leaf)
    counts = topology.child_counts[families]
    classes, exact, of_class = _degree_classes(counts, topology, capacity)
    many = len(classes) > 1
    # Deepest level first, then by class; families of one level and class keep their order.
    key = (topology.depth - 1 - topology.node_depths[families]).astype(np.int64) * max(len(classes), 1) + of_class
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    group_starts = np.flatnonzero(np.diff(sorted_key, prepend=-1))
    groups, group_sizes = sorted_key[group_starts], np.diff(group_starts, append=len(order))

    if capacity > 1024 and len(order) < _DEEP * len(groups):
        width = _NARROW
    rows = np.maximum(1, width // np.asarray(classes or [1]))
    rows_of_group = rows[groups % max(len(classes), 1)]
    chunks_in_group = -(-group_sizes // rows_of_group)
    chunks = _chunk_table(group_starts, group_sizes, rows_of_group, chunks_in_group)
    # Where the chunks of every (level, class) begin: a running count over all pairs, empty ones included.
    per_pair = np.zeros(topology.depth * len(classes), np.int64)
    per_pair[groups] = chunks_in_group
    offsets = np.concatenate([[0], np.cumsum(per_pair)])
    levels = offsets[np.arange(topology.depth)[:, None] * len(classes) + np.arange(len(classes) + 1)]

    grouped = bool(np.all(np.diff(topology.children) == 1))
    consecutive = topology.equal_degree and grouped
    # A chunk near the end of the tree begins before its first family, so that it ends within the arrays.
    front = int(rows[0]) if consecutive else 0
    chunks[:, 0] += front
    floor = max(capacity // 64, 16)
    layout = Layout(
        capacity=capacity,
        chunk_capacity=max(floor, size_class(len(chunks))),
        level_capacity=max(floor, size_class(topology.depth)) if many else 1,
        degrees=classes,
        exact=exact,
        width=width,
        grouped=grouped,
        uniform=topology.equal_degree,
        consecutive=consecutive,
    )
    starts = topology.first_child[families[order]]
    if grouped and len(topology.children):
        starts = starts + topology.children[0]
    around = (front, capacity - len(order) + int(rows.max()))
    return Schedule(
        layout=layout,
        nodes=np.pad(families[order].astype(np.int32), around),
        starts=np.pad(starts.astype(np.int32), around),
        counts=np.zeros(0, np.int32) if consecutive else np.pad(counts[order], around),
        chunks=_padded(chunks, layout.chunk_capacity),
        levels=_padded(levels, layout.level_capacity) if many else np.zeros((1, 1), np.int32),
        steps=np.int32(topology.depth if many else len(chunks)),
        children=_padded(topology.children, 0 if grouped else capacity),
        has_children=np.pad(~topology.is_leaf, (0, capacity - topology.size)),
        has_parent=np.pad(~topology.is_root, (0, capacity - topology.size)),
    )


def _degree_classes(
    counts: NDArray[np.int32], topology: Topology, capacity: int
) -> tuple[tuple[int, ...], tuple[bool, ...], NDArray[np.int64]]:
    """Degree classes, whether each is exact, and the class of every family."""
    if topology.equal_degree:
        return (int(counts[0]),), (True,), np.zeros(len(counts), np.int64)
    largest = int(counts.max(initial=0))
    ladder = [2 * 4**step for step in range(1 + largest.bit_length() // 2)]
    if capacity <= _FEW_NODES and 2 < largest <= 8:
        ladder = [8]
    of_class = np.searchsorted(ladder, counts)
    # The small classes are always there up to the largest, so that most trees with polytomies share one program.
    present = sorted({*np.unique(of_class).tolist(), *range(min(int(of_class.max(initial=-1)) + 1, _USUAL_CLASSES))})
    return (
        tuple(ladder[step] for step in present),
        (False,) * len(present),
        np.searchsorted(present, of_class).astype(np.int64),
    )


def _chunk_table(
    starts: NDArray[np.int64], sizes: NDArray[np.int64], rows: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(C, 2) first row and length of the chunks of consecutive groups."""
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    skip = within * np.repeat(rows, counts)
    return np.stack(
        [np.repeat(starts, counts) + skip, np.minimum(np.repeat(sizes, counts) - skip, np.repeat(rows, counts))], 1
    )


def _padded(values: NDArray[Any], size: int) -> NDArray[np.int32]:
    """`size` rows of 32-bit integers; 0 rows for what the layout does not read."""
    if size == 0:
        return np.zeros((0, *values.shape[1:]), np.int32)
    room = [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values.astype(np.int32), room)
