"""Lowering of a declared sweep to the family sweep, and back: which field is read and written where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import hxcli.engine.transformation_rules  # noqa: F401  (registers what transformations do with a family sweep)
from hxcli.engine.children_axis import NO_ARRAY, ChildrenAxis
from hxcli.engine.declaration import Declaration
from hxcli.engine.device_topology import device_topology
from hxcli.engine.operand_groups import Groups
from hxcli.engine.primitive import family_sweep
from hxcli.engine.schema import FieldSpec, Schema
from hxcli.engine.topology import Topology
from hxcli.engine.traversal import Layouts, Symmetric, untouched
from hxcli.engine.tree import Tree
from hxcli.engine.views import Children, Node, Parent
from hxcli.errors import SchemaMismatch


def run(sweep: Declaration, tree: Tree, names: set[str], params: Any, key: Any) -> Tree:
    """Runs a sweep on a tree whose topology is a constant or on the device.

    Args:
        sweep: The sweep's declaration.
        tree: The tree.
        names: The fields that the sweep touches; they are checked against the schema.
        params: The user's pytree.
        key: PRNG key or None.
    """
    check_shapes(sweep, tree, names)
    layout, schedule = _layout(tree, names)
    if not layout.degrees:
        return tree
    everything = tree.schema.names
    reads = everything if sweep.reads is None else sweep.reads
    reads_other = everything if sweep.reads_other is None else sweep.reads_other
    if key is not None and "key" in reads:
        raise SchemaMismatch(
            f"sweep {sweep.name!r} is called with key=..., which hides the field 'key': rename the field, or leave it "
            "out of reads=(...)"
        )
    leaves, structure = jax.tree.flatten((params, key))
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    index = [] if key is None else [jnp.arange(tree.size, dtype=jnp.int32)]
    kept = [name for name in reads_other if name not in sweep.writes]
    # One object for every field: by that a family sweep sees that a value read is one about to be written.
    arrays = {name: jnp.asarray(tree.data[name]) for name in names}
    own = [arrays[name] for name in reads] + index
    other = [arrays[name] for name in kept]
    carried = [arrays[name] for name in sweep.writes]
    plan = _up_step if sweep.direction == "up" else _down_step
    if sweep.direction == "down":
        own, other = other, own
    step = plan(sweep, tree.schema, layout, reads, kept, structure, key is not None)
    written, _, at_children, _ = family_sweep(
        layout, schedule, sweep.direction == "up", step, leaves, own, other, carried
    )
    data = dict(tree.data)
    data.update(zip(sweep.writes, written, strict=True))
    if sweep.writes_children:
        roots = untouched(layout, schedule, upwards=False)
        for name, value in zip(sweep.writes_children, at_children, strict=True):
            mask = roots.reshape(roots.shape + (1,) * (value.ndim - 1))
            data[name] = jnp.where(mask, tree.data[name], value)
    return Tree(tree.topology, tree.schema, data)


def _layout(tree: Tree, names: set[str]) -> tuple[Layouts, Any]:
    """How to traverse these fields: the one place that chooses between unrolled levels and the loop over chunks."""
    topology = tree.topology
    if isinstance(topology, Topology):
        if topology.symmetric:
            return Symmetric(topology.depth, topology.max_degree), None
        # A constant of the program that is being traced.
        topology = device_topology(topology, (tree.data[name] for name in names), padded=False)
    return topology.layout, topology.schedule


def _up_step(
    sweep: Declaration, schema: Schema, layout: Layouts, reads: Any, kept: list[str], structure: Any, keyed: bool
) -> Any:
    """The step of an up sweep: node reads are node values, written fields of the children are carried."""
    reads_children = schema.names if sweep.reads_other is None else sweep.reads_other

    def step(which: int, degree: Any, leaves: Any, own: Any, other: Any, carried: Any) -> Groups:
        params, key = jax.tree.unflatten(structure, leaves)
        node = dict(zip(reads, own, strict=False))
        if keyed:
            node["key"] = jax.random.fold_in(key, own[-1])
        seen = {**dict(zip(kept, other, strict=True)), **dict(zip(sweep.writes, carried, strict=True))}
        seen = {name: seen[name] for name in reads_children}
        size, exact = layout.degrees[which], layout.exact[which]
        real = jnp.arange(size) < degree
        if not layout.uniform:
            seen = {name: ChildrenAxis(value, real, exact) for name, value in seen.items()}
        out = _called(sweep, Node(node, sweep.name), Children(seen, sweep.name), params)
        _check_names(sweep, out)
        at_children = [_children_value(sweep, name, out[name], schema[name], size) for name in sweep.writes_children]
        return [_value(sweep, name, out[name], schema[name], ()) for name in sweep.writes], [], at_children, []

    return step


def _called(sweep: Declaration, node: Node, children: Children, params: Any) -> Any:
    """What the function returns; a ChildrenAxis in a place for arrays is explained, on the user's line."""
    try:
        return sweep.function(node, children, params)
    except TypeError as error:
        # jax.numpy and numpy refuse the class by its name; a hook of ours would refuse `array * children.x` as well.
        if ChildrenAxis.__name__ not in str(error):
            raise
        message = f"sweep {sweep.name!r}: a function of arrays was called with children; it {NO_ARRAY}"
        raise SchemaMismatch(message).with_traceback(error.__traceback__) from None


def _down_step(
    sweep: Declaration, schema: Schema, layout: Layouts, reads: Any, kept: list[str], structure: Any, keyed: bool
) -> Any:
    """The step of a down sweep: the function's node is each child of the family, its parent the family's node."""
    reads_parent = schema.names if sweep.reads_other is None else sweep.reads_other

    def step(which: int, degree: Any, leaves: Any, own: Any, other: Any, carried: Any) -> Groups:
        params, key = jax.tree.unflatten(structure, leaves)
        seen = {**dict(zip(kept, own, strict=True)), **dict(zip(sweep.writes, carried, strict=True))}
        parent = Parent({name: seen[name] for name in reads_parent}, sweep.name)

        def one(values: Any) -> list[Any]:
            node = dict(zip(reads, values, strict=False))
            if keyed:
                node["key"] = jax.random.fold_in(key, values[-1])
            out = sweep.function(Node(node, sweep.name), parent, params)
            _check_names(sweep, out)
            return [_value(sweep, name, out[name], schema[name], ()) for name in sweep.writes]

        return jax.vmap(one, axis_size=layout.degrees[which])(list(other)), [], [], []

    return step


def check_shapes(sweep: Declaration, tree: Tree, names: set[str]) -> None:
    """Refuses fields that do not have one row a node, as those of a batch of trees do not."""
    for name in sorted(names):
        expected = (tree.size, *tree.schema[name].shape)
        if tree.data[name].shape != expected:
            raise SchemaMismatch(
                f"sweep {sweep.name!r}: field {name!r} has shape {tree.data[name].shape}, expected {expected}; "
                "for a batch of trees use jax.vmap"
            )


def _check_names(sweep: Declaration, out: Any) -> None:
    if not isinstance(out, Mapping):
        raise SchemaMismatch(
            f"sweep {sweep.name!r} must return a dict with the fields "
            f"{sorted((*sweep.writes, *sweep.writes_children))}, got {type(out).__name__}"
        )
    declared = {*sweep.writes, *sweep.writes_children}
    extra, missing = sorted(set(out) - declared), sorted(declared - set(out))
    if extra:
        raise SchemaMismatch(f"sweep {sweep.name!r} returned {extra}, not declared: add them to writes=(...)")
    if missing:
        raise SchemaMismatch(f"sweep {sweep.name!r} declares writes of {missing} but did not return them")


def _value(sweep: Declaration, name: str, value: Any, spec: FieldSpec, lead: tuple[int, ...]) -> Any:
    """The returned value as an array of exactly the field's shape and dtype."""
    if isinstance(value, ChildrenAxis):
        raise SchemaMismatch(
            f"sweep {sweep.name!r}: {name!r} is a value of every child, expected one of the node: reduce it, for "
            f"example with .sum(0), or declare {name!r} in writes_children=(...)"
        )
    array = jnp.asarray(value)
    expected = (*lead, *spec.shape)
    if array.shape != expected:
        raise SchemaMismatch(f"sweep {sweep.name!r} returned {name!r} with shape {array.shape}, expected {expected}")
    if array.dtype != spec.dtype:
        if not _is_safe(array, spec):
            raise SchemaMismatch(
                f"sweep {sweep.name!r} returned {name!r} as {array.dtype}, but the field is {spec.dtype}: cast with "
                f".astype({spec.dtype}), or declare FieldSpec({spec.shape}, {array.dtype})"
            )
        array = array.astype(spec.dtype)
    return array


def _children_value(sweep: Declaration, name: str, value: Any, spec: FieldSpec, size: int) -> Any:
    if isinstance(value, ChildrenAxis):
        value = value.padded
    return _value(sweep, name, value, spec, (size,))


def _is_safe(array: Any, spec: FieldSpec) -> bool:
    """Whether a cast loses no kind of number: Python scalars and integers widen, floats never become integers."""
    return bool(jnp.result_type(array, spec.dtype) == spec.dtype)
