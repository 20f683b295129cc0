"""Traversal of a tree by a family sweep: a loop over chunks of families, or unrolled levels of a symmetric tree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from hxcli.engine.gather_scatter import locate
from hxcli.engine.operand_groups import Groups, Sizes, masked, split
from hxcli.engine.schedule import Layout, Schedule


@dataclasses.dataclass(frozen=True)
class Symmetric:
    """Layout of a tree whose levels are full: the shape is static, and every level is a reshape of the next.

    Attributes:
        depth: Number of edges between the root and every leaf.
        degree: Children of every node above the last level.
    """

    depth: int
    degree: int

    @property
    def capacity(self) -> int:
        """Number of nodes."""
        return sum(self.degree**level for level in range(self.depth + 1))

    @property
    def degrees(self) -> tuple[int, ...]:
        """The one degree class."""
        return (self.degree,) if self.depth else ()

    @property
    def exact(self) -> tuple[bool, ...]:
        """Every family has exactly `degree` children."""
        return (True,) * len(self.degrees)

    @property
    def uniform(self) -> bool:
        """All families have the same number of children."""
        return bool(self.depth)


Layouts: TypeAlias = Layout | Symmetric


def traverse(
    layout: Layouts,
    schedule: Schedule | None,
    upwards: bool,
    steps: Sequence[Callable[..., Any]],
    avals: Sequence[Sequence[Any]],
    inputs: Groups,
    sizes: Sizes,
    initial: Sequence[int],
) -> Groups:
    """Visits all families; see `hxcli.engine.primitive.family_sweep` for the meaning of the groups.

    Args:
        layout, schedule, upwards: As there.
        steps: `step(degree, *params, *node, *children, *carried)` for every degree class, flat.
        avals: Shapes of every step's outputs.
        inputs: Params, node, child and carried arrays.
        sizes: Numbers of carried, node, child and sum outputs.
        initial: See `hxcli.engine.primitive.Form`.
    """
    vmapped = [_over_families(step, inputs) for step in steps]
    if isinstance(layout, Symmetric):
        return _unroll_levels(layout, upwards, vmapped[0], avals[0], inputs, sizes)
    assert schedule is not None
    return _loop_over_chunks(layout, schedule, upwards, vmapped, avals[0], inputs, sizes, initial)


def untouched(layout: Layouts, schedule: Schedule | None, upwards: bool) -> Any:
    """(N,) mask of the nodes whose carried values no family writes: the leaves going up, the roots going down."""
    if isinstance(layout, Symmetric):
        node = jnp.arange(layout.capacity)
        return node >= layout.capacity - layout.degree**layout.depth if upwards else node == 0
    assert schedule is not None
    return ~(schedule.has_children if upwards else schedule.has_parent)


def _over_families(step: Callable[..., Any], inputs: Groups) -> Callable[..., Any]:
    params, nodes, children, carried = (len(group) for group in inputs)
    return jax.vmap(step, in_axes=(0, *[None] * params, *[0] * (nodes + children + carried)))


def _loop_over_chunks(
    layout: Layout,
    schedule: Schedule,
    upwards: bool,
    steps: Sequence[Callable[..., Any]],
    avals: Sequence[Any],
    inputs: Groups,
    sizes: Sizes,
    initial: Sequence[int],
) -> Groups:
    params, nodes, children, carried = inputs
    size = layout.capacity
    _, node_avals, child_avals, sum_avals = split(avals, sizes)
    buffers = (
        list(carried),
        [jnp.zeros((size, *aval.shape), aval.dtype) for aval in node_avals],
        [jnp.zeros((size, *aval.shape[1:]), aval.dtype) for aval in child_avals],
        [jnp.zeros(aval.shape, aval.dtype) for aval in sum_avals],
    )

    def staged_at(places: Any, held: list[Any], values: list[Any]) -> list[Any]:
        return [places.staged(old, value) for old, value in zip(held, values, strict=True)]

    def flush(held: list[Any], staged: tuple[Any, list[Any]]) -> list[Any]:
        places, values = staged
        return [places.put(old, value) for old, value in zip(held, values, strict=True)]

    def replaced(places: Any, arrays: list[Any], values: list[Any]) -> list[Any]:
        return flush(arrays, (places, staged_at(places, arrays, values)))

    def visit(which: int, chunk: Any, state: tuple[Groups, Any]) -> tuple[Groups, Any]:
        # What the last chunk carried is written now, before this one reads, and not when it was computed: XLA keeps
        # a buffer in place only if nothing may still read it when it is written, and it repeats reads at will.
        (held, at_nodes, at_children, sums), staged = state
        held = flush(held, staged)
        places = locate(layout, schedule, which, chunk)
        linked, written = (places.children, places.nodes) if upwards else (places.nodes, places.children)
        # What no family has written yet still has its initial value.
        own = nodes if upwards else children
        own = [x if place < 0 else held[place] for x, place in zip(own, initial, strict=True)]
        flat = steps[which](
            places.counts,
            *params,
            *(places.nodes.take(x) for x in (own if upwards else nodes)),
            *(places.children.take(x) for x in (children if upwards else own)),
            *(linked.take(x) for x in held),
        )
        new = split(flat, sizes)
        at_nodes = replaced(places.nodes, at_nodes, new[1])
        at_children = replaced(places.children, at_children, new[2])
        sums = [old + masked(places.real, value).sum(0) for old, value in zip(sums, new[3], strict=True)]
        return (held, at_nodes, at_children, sums), (written, staged_at(written, held, new[0]))

    def visit_all(which: int, first: Any, last: Any, buffers: Groups) -> Groups:
        """All chunks of one degree class in a range, in order, or from the last to the first going down."""
        nowhere = locate(layout, schedule, which, None)
        places = nowhere.nodes if upwards else nowhere.children
        values = [jnp.zeros((*places.shape, *x.shape[1:]), x.dtype) for x in carried]
        values = staged_at(places, buffers[0], values)
        (held, *rest), staged = lax.fori_loop(
            first,
            last,
            lambda i, state: visit(which, i if upwards else first + last - 1 - i, state),
            (buffers, (places, values)),
        )
        return (flush(held, staged), *rest)

    if len(layout.degrees) == 1:
        return visit_all(0, jnp.int32(0), schedule.steps, buffers)

    def visit_level(i: Any, buffers: Groups) -> Groups:
        bounds = schedule.levels[i if upwards else schedule.steps - 1 - i]
        for which in range(len(layout.degrees)):
            buffers = visit_all(which, bounds[which], bounds[which + 1], buffers)
        return buffers

    return lax.fori_loop(0, schedule.steps, visit_level, buffers)


def _unroll_levels(
    layout: Symmetric,
    upwards: bool,
    step: Callable[..., Any],
    avals: Sequence[Any],
    inputs: Groups,
    sizes: Sizes,
) -> Groups:
    params, nodes, children, carried = inputs
    starts = [0]
    for level in range(layout.depth + 1):
        starts.append(starts[-1] + layout.degree**level)

    def level_of(array: Any, level: int) -> Any:
        return lax.slice_in_dim(array, starts[level], starts[level + 1])

    def by_family(values: Any) -> Any:
        return values.reshape(values.shape[0] // layout.degree, layout.degree, *values.shape[1:])

    def by_node(values: Any) -> Any:
        return values.reshape(values.shape[0] * layout.degree, *values.shape[2:])

    levels = range(layout.depth - 1, -1, -1) if upwards else range(layout.depth)
    edge = layout.depth if upwards else 0
    written = {edge: [level_of(x, edge) for x in carried]}
    at_nodes: dict[int, list[Any]] = {}
    at_children: dict[int, list[Any]] = {}
    _, node_avals, child_avals, sum_avals = split(avals, sizes)
    sums = [jnp.zeros(aval.shape, aval.dtype) for aval in sum_avals]
    for level in levels:
        held = [by_family(x) for x in written[level + 1]] if upwards else written[level]
        flat = step(
            jnp.full((layout.degree**level,), layout.degree, jnp.int32),
            *params,
            *(level_of(x, level) for x in nodes),
            *(by_family(level_of(x, level + 1)) for x in children),
            *held,
        )
        new = split(flat, sizes)
        written[level if upwards else level + 1] = new[0] if upwards else [by_node(x) for x in new[0]]
        at_nodes[level] = new[1]
        at_children[level + 1] = [by_node(x) for x in new[2]]
        sums = [old + value.sum(0, dtype=old.dtype) for old, value in zip(sums, new[3], strict=True)]
    leaves = layout.degree**layout.depth
    at_nodes[layout.depth] = [jnp.zeros((leaves, *aval.shape), aval.dtype) for aval in node_avals]
    at_children[0] = [jnp.zeros((1, *aval.shape[1:]), aval.dtype) for aval in child_avals]
    return _stacked(written), _stacked(at_nodes), _stacked(at_children), sums


def _stacked(by_level: dict[int, list[Any]]) -> list[Any]:
    return [jnp.concatenate(parts) for parts in zip(*(by_level[level] for level in sorted(by_level)), strict=True)]
