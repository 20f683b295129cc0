"""The JAX primitive of which every sweep, and every derivative of a sweep, is an instance: the family sweep.

A family is a node with its children. A step function sees one family and writes to it:

    step(which, degree, params, node, children, carried) -> carried, node outputs, child outputs, sums

- params are the same for all families; node values belong to the family's node, child values to its children.
- carried values link families. Going up, a family writes them at its node and reads them at its children;
  going down, it writes them at its children and reads them at its node.
- sums are added up over all families.

The set is closed under JAX's transformations. The tangent of a sweep is a sweep in the same direction that
reads the primal result; the transpose of a linear sweep is a sweep in the other direction in which node
values and node outputs, child values and child outputs, params and sums change places. As every child has
one parent, cotangents are set and never added, so a gradient costs a fixed multiple of the sweep. A batch is
a sweep over wider values. `hxcli.engine.transformation_rules` derives these; `hxcli.engine.traversal` runs a sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import mlir

from hxcli.engine.operand_groups import Groups, Sizes, flat, split
from hxcli.engine.traversal import Layouts, traverse

family_p = Primitive("family_sweep")
family_p.multiple_results = True


@dataclasses.dataclass(frozen=True)
class Form:
    """The static parameters of one family sweep.

    Attributes:
        upwards: Direction: from the leaves to the root, or back.
        inputs: Numbers of params, node, child and carried operands.
        outputs: Numbers of carried, node, child and sum results.
        steps: The step function for every degree class, as a jaxpr without constants.
        initial: For every value of the nodes at which carried values are written (the family's node going up, its
            children going down) the carried operand that is the same array, -1 for none. A family then reads it
            where it is about to write, and the array is not kept a second time.
    """

    upwards: bool
    inputs: Sizes
    outputs: Sizes
    steps: tuple[ClosedJaxpr, ...]
    initial: tuple[int, ...]


def family_sweep(
    layout: Layouts,
    schedule: Any,
    upwards: bool,
    step: Callable[..., Groups],
    params: Sequence[Any],
    nodes: Sequence[Any],
    children: Sequence[Any],
    carried: Sequence[Any],
) -> Groups:
    """Sweeps a step function over all families.

    Args:
        layout: The static part of the schedule.
        schedule: Pytree of its arrays.
        upwards: Direction.
        step: `step(which, degree, params, node, children, carried)` on lists of arrays, for families of the
            degree class `layout.degrees[which]`; node values have shape `(*trailing,)`, child values
            `(k, *trailing)`, of which the first `degree` count. Returns the lists of carried, node, child and
            sum outputs. It may close over tracers.
        params, nodes, children, carried: Arrays; all but params have a leading node axis.

    Returns:
        Lists of arrays: carried values of all nodes (those that no family writes as they came), node outputs
        and child outputs of all nodes (0 where no family writes), and sums.
    """
    inputs = (list(params), list(nodes), list(children), list(carried))
    steps, constants = _trace(layout, upwards, step, inputs)
    if not steps:
        return list(carried), [], [], []
    sizes = tuple(len(group) for group in inputs)
    out_sizes, jaxprs = steps
    initial = tuple(_index(carried, value) for value in (nodes if upwards else children))
    form = Form(upwards, (sizes[0] + len(constants), sizes[1], sizes[2], sizes[3]), out_sizes, jaxprs, initial)
    operands, tree = jax.tree.flatten(schedule)
    results = family_p.bind(
        *operands, *params, *constants, *nodes, *children, *carried, form=form, layout=layout, tree=tree
    )
    return split(results, out_sizes)


def _trace(layout: Layouts, upwards: bool, step: Callable[..., Groups], inputs: Groups) -> tuple[Any, list[Any]]:
    """One jaxpr for every degree class, with the values that the step closes over as further params."""
    sizes = tuple(len(group) for group in inputs)
    out_sizes: list[Sizes] = []

    def flat_step(which: int, degree: Any, *values: Any) -> list[Any]:
        outputs = step(which, degree, *split(values, sizes))
        out_sizes.append(tuple(len(group) for group in outputs))  # type: ignore[arg-type]
        return flat(outputs)

    traced = [
        jax.make_jaxpr(partial(flat_step, which))(*_family_avals(degree, upwards, inputs))
        for which, degree in enumerate(layout.degrees)
    ]
    if not traced:
        return (), []
    # Every class closes over values of its own trace of the step; a param holds each of them once.
    constants: list[Any] = []
    places: list[list[int]] = []
    for closed in traced:
        places.append([_place(constants, value) for value in closed.consts])
    lifted = []
    for closed, where in zip(traced, places, strict=True):

        def run(degree: Any, *values: Any, closed: ClosedJaxpr = closed, where: list[int] = where) -> list[Any]:
            own, rest = values[: sizes[0]], values[sizes[0] + len(constants) :]
            held = [values[sizes[0] + place] for place in where]
            return jaxpr_as_fun(closed.replace(consts=held))(degree, *own, *rest)

        avals = [variable.aval for variable in closed.jaxpr.invars]
        shapes = [jax.typeof(value) for value in constants]
        lifted.append(_closed(run, [*avals[: 1 + sizes[0]], *shapes, *avals[1 + sizes[0] :]]))
    return (out_sizes[0], tuple(lifted)), constants


def _place(constants: list[Any], value: Any) -> int:
    place = _index(constants, value)
    if place < 0:
        constants.append(value)
    return place % len(constants)


def _index(values: Sequence[Any], value: Any) -> int:
    """Where this very object stands in a list; -1 for nowhere."""
    return next((place for place, known in enumerate(values) if known is value), -1)


def _family_avals(degree: int, upwards: bool, inputs: Groups) -> list[Any]:
    """Shapes of a step's arguments in a family of this degree class."""
    params, nodes, children, carried = inputs
    up, down = (carried, []) if upwards else ([], carried)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    return [
        count,
        *(jax.ShapeDtypeStruct(jnp.shape(x), jax.typeof(x).dtype) for x in params),
        *(jax.ShapeDtypeStruct(jnp.shape(x)[1:], jax.typeof(x).dtype) for x in nodes),
        *(jax.ShapeDtypeStruct((degree, *jnp.shape(x)[1:]), jax.typeof(x).dtype) for x in children),
        *(jax.ShapeDtypeStruct(jnp.shape(x)[1:], jax.typeof(x).dtype) for x in down),
        *(jax.ShapeDtypeStruct((degree, *jnp.shape(x)[1:]), jax.typeof(x).dtype) for x in up),
    ]


def _closed(function: Callable[..., Any], avals: Sequence[Any]) -> ClosedJaxpr:
    return jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals))


def separate(operands: Sequence[Any], tree: Any, form: Form) -> tuple[list[Any], Groups]:
    """Separates the schedule's arrays from params, node, child and carried operands."""
    count = tree.num_leaves
    return list(operands[:count]), split(operands[count:], form.inputs)


def _run(*operands: Any, form: Form, layout: Layouts, tree: Any) -> list[Any]:
    schedule, inputs = separate(operands, tree, form)
    steps = [jaxpr_as_fun(closed) for closed in form.steps]
    avals = [closed.out_avals for closed in form.steps]
    arrays = jax.tree.unflatten(tree, schedule)
    groups = traverse(layout, arrays, form.upwards, steps, avals, inputs, form.outputs, form.initial)
    return flat(groups)


def _shapes(*operands: Any, form: Form, layout: Layouts, tree: Any) -> list[Any]:
    _, inputs = separate(operands, tree, form)
    _, nodes, children, sums = split(form.steps[0].out_avals, form.outputs)
    size = (layout.capacity,)
    return [
        *(aval.update(weak_type=False) for aval in inputs[3]),
        *(aval.update(shape=size + aval.shape, weak_type=False) for aval in nodes),
        *(aval.update(shape=size + aval.shape[1:], weak_type=False) for aval in children),
        *(aval.update(weak_type=False) for aval in sums),
    ]


family_p.def_impl(lambda *operands, **static: jax.jit(lambda *xs: _run(*xs, **static))(*operands))
family_p.def_abstract_eval(_shapes)
mlir.register_lowering(family_p, mlir.lower_fun(_run, multiple_results=True))
