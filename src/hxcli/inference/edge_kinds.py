"""Kinds of edges: which edges of a tree a diffusion is the same on, and on which it is only faster or slower."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.errors import ModelError
from hxcli.model import Edge, Sde, evaluate
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel, Coordinate
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import AXES

# Shares of the largest numbers of a diffusion up to which a factor between two of them is rounding.
_SAME = 1e-9
# States, and further sets of parameters, at which diffusions are compared.
_STATES, _SETS = 33, 3
# Groups of edges that differ by more than a factor: each needs a walk of its own.
_MOST_GROUPS = 256


class EdgeKinds(NamedTuple):
    """C kinds of edges in G groups; in a group, diffusions differ by a factor of time alone.

    Attributes:
        fields: Field -> (C, ...) of an edge of every kind, of the fields on which the diffusion depends.
        of_edge: (N,) the kind of every edge; the root has none, and the first stands there.
        group: (C,) the group of every kind.
        first: (G,) the kind that stands for a group.
    """

    fields: Mapping[str, Any]
    of_edge: NDArray[np.intp]
    group: NDArray[np.intp]
    first: NDArray[np.intp]


def fields_that_matter(function: Callable[[Any], Any], columns: Mapping[str, Any]) -> list[str]:
    """The fields of an edge on which what a function returns may depend, whatever the numbers.

    Args:
        function: Of one `Edge`, to be called while tracing; returns arrays.
        columns: Field -> (N, ...), and the tree's own.
    """
    own = {name: jnp.asarray(value) for name, value in columns.items() if name not in OF_THE_TREE}
    of_tree = {name: value for name, value in columns.items() if name in OF_THE_TREE}

    def depends(name: str) -> bool:
        def one(value: Any) -> Any:
            return function(Edge({**of_tree, **{field: each[0] for field, each in own.items()}, name: value}))

        try:
            # What does not depend on an argument has no axis of its values.
            jax.eval_shape(jax.vmap(one, out_axes=None), own[name])
        except ValueError as error:
            if "out_axes" not in str(error):
                raise
            return True
        return False

    return [name for name in sorted(own) if depends(name)]


def kinds_of(names: Sequence[str], columns: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[np.intp]]:
    """Field -> (C, ...) of the kinds of edges that some fields tell apart, and (N,) the kind of every edge."""
    size = len(np.asarray(columns["length"]))
    rows = [np.asarray(columns[name], float).reshape(size, -1)[1:] for name in names]
    if not names:
        return {}, np.zeros(size, np.intp)
    # As bytes of numbers, where nan is nan; and 0 is 0, whatever its sign.
    told = np.concatenate(rows, 1) + 0.0
    _, first, kind = np.unique(told, axis=0, return_index=True, return_inverse=True, equal_nan=True)
    # In the order of the tree: what is asked of the first edge is what was asked of it alone.
    order = np.argsort(first, kind="stable")
    place = np.argsort(order, kind="stable")
    of_edge = np.concatenate([[0], place[kind.ravel()]])
    return {name: np.asarray(columns[name])[1:][first[order]] for name in names}, of_edge


def grouped(tables: Sequence[FloatArray]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(C,) the group of every kind, and (G,) a kind of every group: of those that a factor tells apart.

    Args:
        tables: (C, ...) of every kind, what is proportional to the speed of a diffusion, at some sets of parameters.
    """
    scaled = []
    for table in tables:
        flat = np.asarray(table, float).reshape(len(table), -1)
        largest = abs(flat).max(1, keepdims=True)
        scaled.append(flat / np.where(largest > 0, largest, 1.0))
    rows = np.concatenate(scaled, 1)
    group, first = np.full(len(rows), -1), list[int]()
    while (group < 0).any():
        one = int(np.flatnonzero(group < 0)[0])
        alike = (group < 0) & (abs(rows - rows[one]) <= _SAME).all(1)
        alike[one] = True
        group[alike] = len(first)
        first.append(one)
    return group, np.array(first, np.intp)


def kinds_of_edges(
    bound: BoundModel,
    usual: Mapping[str, Any],
    coordinates: Sequence[Coordinate],
    sde: Sde,
    span: tuple[float, float],
) -> EdgeKinds:
    """Which edges the diffusion of a model is the same on, whatever its parameters.

    Args:
        bound: The model on its tree.
        usual: Every parameter's usual or given value.
        coordinates: What is searched for.
        sde: The diffusion on any edge at the usual values.
        span: Ends of the grid, where it has none.

    Raises:
        ModelError: They are too many.
    """
    random, sets = np.random.default_rng(0), [usual]
    for _ in range(_SETS):
        values = {name: np.array(each) for name, each in usual.items()}
        for each in coordinates:
            low, high = (float(each.to_search(end)) for end in (each.low, each.high))
            moved = float(each.to_search(each.start)) + (1.0 if each.log else each.spread) * random.normal()
            values[each.parameter].reshape(-1)[each.entry] = each.from_search(np.clip(moved, low, high))
        sets.append(values)
    to_coordinate, to_state = AXES[sde.axis]
    low, high = (
        float(to_coordinate(jnp.asarray(own if end is None else float(end))))
        for own, end in zip(span, (sde.low, sde.high), strict=True)
    )
    states = to_state(low + (jnp.arange(_STATES) + 0.5) * (high - low) / _STATES)
    kinds = edge_kinds(bound.model.edge, sets, bound.fields.columns, states)
    refuse_many_groups(bound.name, len(kinds.first))
    return kinds


def edge_kinds(
    function: Callable[[Any], Sde], values: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], states: Any
) -> EdgeKinds:
    """The kinds of a tree's edges under a diffusion.

    Args:
        function: Of one `Edge`.
        values: Sets of all parameters, at which a factor between kinds must be one; the first is the usual one.
        columns: Field -> (N, ...), and the tree's own.
        states: (M,) at which drift and squared diffusion are compared.
    """
    fields, of_edge = distinct_edges(function, values[0], columns)
    tables = [table_of(function, given, columns, fields, states) for given in values]
    group, first = grouped(tables)
    return EdgeKinds(fields, of_edge, group, first)


def distinct_edges(
    function: Callable[[Any], Sde], values: Mapping[str, Any], columns: Mapping[str, Any]
) -> tuple[dict[str, Any], NDArray[np.intp]]:
    """Field -> (C, ...) of the edges on which a diffusion may differ, and (N,) which of them every edge is."""

    def at_some_state(edge: Edge) -> Any:
        return evaluate(lambda edge: tabulated(function(edge), jnp.ones(1)), values, edge).returned

    return kinds_of(fields_that_matter(at_some_state, columns), columns)


def table_of(
    function: Callable[[Any], Sde],
    values: Mapping[str, Any],
    columns: Mapping[str, Any],
    fields: Mapping[str, Any],
    states: Any,
) -> FloatArray:
    """(C, 2, M) drift and squared diffusion at M states, on edges of C kinds.

    Args:
        function: Of one `Edge`.
        values: All parameters.
        columns: Of all edges; those that `fields` lacks are of no account.
        fields: Field -> (C, ...); with none, there is one kind.
        states: (M,).
    """
    any_edge = {name: value if name in OF_THE_TREE else jnp.asarray(value)[-1] for name, value in columns.items()}

    def one(given: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
        edge = Edge({**any_edge, **own})
        return evaluate(lambda edge: tabulated(function(edge), states), given, edge).returned

    if not fields:
        return np.asarray(jax.jit(one)(dict(values), {}), float)[None]
    return np.asarray(jax.jit(jax.vmap(one, in_axes=(None, 0)))(dict(values), dict(fields)), float)


def refuse_many_groups(name: str, count: int) -> None:
    """Raises ModelError where the diffusion of a model differs between too many edges."""
    if count > _MOST_GROUPS:
        raise ModelError(
            f"model {name}: its drift and diffusion differ by more than a factor between {count} kinds of edges, and a "
            f"grid takes {_MOST_GROUPS} (round the numbers of the edge that they depend on, or return a Gaussian)"
        )


def tabulated(sde: Sde, states: Any) -> Any:
    """(2, M) drift and squared diffusion at M states; while tracing, where the diffusion is evaluated."""
    drift, factor = (
        jnp.broadcast_to(jax.vmap(part)(states) if callable(part) else jnp.asarray(part, float), states.shape)
        for part in (sde.drift, sde.diffusion)
    )
    return jnp.stack([drift, factor**2])
