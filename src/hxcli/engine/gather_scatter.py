"""Gathers and scatters of one chunk: where its families lie in the arrays of a tree, read and written there."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from hxcli.engine.schedule import Layout, Schedule


class ScatteredRows(NamedTuple):
    """Nodes in any order.

    Attributes:
        index: Node numbers, of any shape.
        target: The same with every place that is not to be written beyond the end of the arrays, all distinct.
    """

    index: Any
    target: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the node numbers."""
        return self.index.shape

    def take(self, array: Any) -> Any:
        """The rows of the nodes."""
        return array.at[self.index].get(mode="promise_in_bounds", wrap_negative_indices=False)

    def staged(self, array: Any, values: Any) -> Any:
        """What to `put` so that these values take their places: all of them, as places beyond the end are dropped."""
        return values

    def put(self, array: Any, staged: Any) -> Any:
        """The array with the rows replaced; the scatter may assume distinct places and drops those beyond."""
        return array.at[self.target].set(staged, mode="drop", unique_indices=True, wrap_negative_indices=False)


class ContiguousRows(NamedTuple):
    """Consecutive nodes, family by family.

    Attributes:
        start: Number of the first.
        real: (rows, degree) mask of the children of families that belong to the chunk.
    """

    start: Any
    real: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Families and children of each."""
        return self.real.shape

    def take(self, array: Any) -> Any:
        """The rows of the nodes, `(rows, degree, *trailing)`."""
        rows = lax.dynamic_slice_in_dim(array, self.start, self.real.size)
        return rows.reshape(*self.shape, *array.shape[1:])

    def staged(self, array: Any, values: Any) -> Any:
        """What to `put` so that these values take their places: the rows of other families stay as they are."""
        mask = self.real.reshape(self.shape + (1,) * (values.ndim - 2))
        return jnp.where(mask, values, self.take(array))

    def put(self, array: Any, staged: Any) -> Any:
        """The array with all rows replaced."""
        return lax.dynamic_update_slice_in_dim(array, staged.reshape(-1, *array.shape[1:]), self.start, 0)


class Chunk(NamedTuple):
    """The families that one step of the loop handles.

    Attributes:
        real: (rows,) mask of the families that belong to the chunk; the others compute what is thrown away.
        counts: (rows,) number of children.
        nodes: Places of the families' nodes, (rows,).
        children: Places of their children, (rows, degree).
    """

    real: Any
    counts: Any
    nodes: ScatteredRows
    children: ScatteredRows | ContiguousRows


def locate(layout: Layout, schedule: Schedule, which: int, chunk: Any) -> Chunk:
    """Finds the families of a chunk of the degree class `layout.degrees[which]`; none of them if chunk is None."""
    degree = layout.degrees[which]
    lanes = jnp.arange(layout.rows(degree), dtype=jnp.int32)
    first, length = schedule.chunks[0 if chunk is None else chunk]
    if chunk is None:
        length = jnp.int32(0)
    real = lanes < length
    if layout.consecutive:
        # Families by which the chunk begins early, so that its children end within the arrays.
        over = schedule.starts[first] + len(lanes) * degree - layout.capacity
        early = jnp.maximum(0, (over + degree - 1) // degree)
        real = (lanes >= early) & (lanes < early + length)
        nodes = lax.dynamic_slice_in_dim(schedule.nodes, first - early, len(lanes))
        counts = jnp.full(lanes.shape, degree, jnp.int32)
        spots = ScatteredRows(nodes, jnp.where(real, nodes, layout.capacity + lanes))
        inside = jnp.broadcast_to(real[:, None], (len(lanes), degree))
        return Chunk(real, counts, spots, ContiguousRows(schedule.starts[first] - early * degree, inside))
    # Rows past the end repeat the last family, and slots past a family's last child repeat that child, so that
    # no step ever sees a value that is not the tree's.
    last = first + jnp.maximum(length - 1, 0)
    nodes, starts, counts = (
        jnp.where(real, lax.dynamic_slice_in_dim(x, first, len(lanes)), x[last])
        for x in (schedule.nodes, schedule.starts, schedule.counts)
    )
    slots = jnp.arange(degree, dtype=jnp.int32)[None]
    inside = real[:, None] & (slots < counts[:, None])
    children = starts[:, None] + (slots if layout.exact[which] else jnp.minimum(slots, counts[:, None] - 1))
    if not layout.grouped:
        children = ScatteredRows(children, None).take(schedule.children)
    beyond = layout.capacity + jnp.arange(children.size, dtype=jnp.int32).reshape(children.shape)
    return Chunk(
        real,
        counts,
        ScatteredRows(nodes, jnp.where(real, nodes, layout.capacity + lanes)),
        ScatteredRows(children, jnp.where(inside, children, beyond)),
    )
