"""Rules of the sweep primitive for JVP, transposition and batching: each states a step and sweeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun
from jax.interpreters import ad, batching

from hxcli.engine.operand_groups import Groups, Sizes, flat, masked, split
from hxcli.engine.primitive import Form, family_p, family_sweep, separate
from hxcli.engine.traversal import Layouts, untouched


def _is_float(value: Any) -> bool:
    return jnp.issubdtype(jax.typeof(value).dtype, jnp.inexact)


def _zero(value: Any) -> ad.Zero:
    return ad.Zero(jax.typeof(value).to_tangent_aval())


def _chosen(groups: Sequence[Sequence[Any]], flags: Sequence[Sequence[bool]]) -> list[list[Any]]:
    """Of every group, the values whose flag is set."""
    return [
        [value for value, on in zip(group, marks, strict=True) if on]
        for group, marks in zip(groups, flags, strict=True)
    ]


def _merged(flags: Sequence[Sequence[bool]], on: Sequence[Sequence[Any]], off: Sequence[Sequence[Any]]) -> list[Any]:
    """Flat values: those with a flag from `on`, the others from `off`, in order."""
    yes, no = iter(flat(on)), iter(flat(off))
    return [next(yes) if mark else next(no) for marks in flags for mark in marks]


def _not(flags: Sequence[Sequence[bool]]) -> list[list[bool]]:
    return [[not mark for mark in marks] for marks in flags]


def _differentiate(primals: Any, tangents: Any, *, form: Form, layout: Layouts, tree: Any) -> tuple[Any, Any]:
    """The tangent sweep: same direction, carrying tangents, reading the carried values of the primal sweep."""
    results = family_p.bind(*primals, form=form, layout=layout, tree=tree)
    schedule, inputs = separate(primals, tree, form)
    _, dots = separate(tangents, tree, form)
    moving = [[type(dot) is not ad.Zero for dot in group] for group in dots]
    if not any(flat(moving)):
        return results, [_zero(value) for value in results]
    # Carried values move as soon as anything does: their tangents are what links the families.
    moving[3] = [_is_float(value) for value in inputs[3]]
    active = [[ad.instantiate_zeros(dot) for dot in group] for group in _chosen(dots, moving)]
    carried = split(results, form.outputs)[0]
    floats = split([_is_float(value) for value in results], form.outputs)
    counts = form.inputs
    # Carried values are read at the children going up and at the node going down.
    where = 2 if form.upwards else 1

    def step(which: int, degree: Any, *values: list[Any]) -> Groups:
        groups = [list(group) for group in values[:3]]
        groups[where], primal_carried = (
            groups[where][: -counts[3] or None],
            groups[where][len(groups[where]) - counts[3] :],
        )
        primal = [group[:count] for group, count in zip(groups, counts[:3], strict=True)] + [primal_carried]
        tangent = [group[count:] for group, count in zip(groups, counts[:3], strict=True)] + [values[3]]
        fixed = _chosen(primal, _not(moving))

        def along(*given: Any) -> list[Any]:
            out = jaxpr_as_fun(form.steps[which])(degree, *_merged(moving, [given], fixed))
            return flat(_chosen(split(out, form.outputs), floats))

        _, out = jax.jvp(along, flat(_chosen(primal, moving)), flat(tangent))
        return split(out, _sizes(floats))

    operands = [[*whole, *dot] for whole, dot in zip(inputs[:3], active[:3], strict=True)]
    operands[where] += carried
    params, nodes, children = operands
    arrays = jax.tree.unflatten(tree, schedule)
    out = family_sweep(layout, arrays, form.upwards, step, params, nodes, children, active[3])
    zeros = [_zero(value) for value in results]
    return results, _merged(floats, out, _chosen(split(zeros, form.outputs), _not(floats)))


def _sizes(flags: Sequence[Sequence[bool]]) -> Sizes:
    return tuple(sum(marks) for marks in flags)  # type: ignore[return-value]


def _transpose(cotangents: Any, *operands: Any, form: Form, layout: Layouts, tree: Any) -> list[Any]:
    """The transpose of a linear sweep: the other direction, with the roles of inputs and outputs exchanged."""
    schedule, inputs = separate(operands, tree, form)
    linear = [[ad.is_undefined_primal(value) for value in group] for group in inputs]
    # All carried values are linear, those given as constants (zeros) too.
    wanted_carried = linear[3]
    linear[3] = [True] * len(inputs[3])
    fixed = _chosen(inputs, _not(linear))
    given = split(list(cotangents), form.outputs)
    present = [[type(ct) is not ad.Zero for ct in group] for group in given]
    arriving = _chosen(given, present)
    fixed_counts = [len(group) for group in fixed]
    # Where the cotangents of carried results arrive: at the node going up, at the children going down.
    where = 1 if form.upwards else 2

    def step(which: int, degree: Any, *values: list[Any]) -> Groups:
        groups = [list(group[count:]) for group, count in zip(values[:3], fixed_counts, strict=False)]
        known = [list(group[:count]) for group, count in zip(values[:3], fixed_counts, strict=False)]
        ct_sums, ct_nodes, ct_children = groups[0], groups[1], groups[2]
        source = ct_nodes if form.upwards else ct_children
        split_at = len(source) - sum(present[0])
        ct_carried = source[split_at:]
        del source[split_at:]
        out_avals = split(form.steps[which].out_avals, form.outputs)
        full = [
            _filled(marks, cts, avals)
            for marks, cts, avals in zip(present, [ct_carried, ct_nodes, ct_children, ct_sums], out_avals, strict=True)
        ]
        full[0] = [ct + more for ct, more in zip(full[0], values[3], strict=True)]
        if not layout.exact[which]:
            # Values beyond the node's own children repeat the last one and must not count.
            real = jnp.arange(layout.degrees[which]) < degree
            for role in (2,) if form.upwards else (0, 2):
                full[role] = [masked(real, ct) for ct in full[role]]
        in_avals = split(form.steps[which].in_avals[1:], form.inputs)

        def forward(*given: Any) -> list[Any]:
            return list(jaxpr_as_fun(form.steps[which])(degree, *_merged(linear, [given], known)))

        avals = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in flat(_chosen(in_avals, linear))]
        back = jax.linear_transpose(forward, *avals)(flat(full))
        to_params, to_nodes, to_children, to_carried = split(list(back), _sizes(linear))
        return to_carried, to_nodes, to_children, to_params

    operands_back = [[*fixed[0], *arriving[3]], [*fixed[1], *arriving[1]], [*fixed[2], *arriving[2]]]
    operands_back[where] += arriving[0]
    start = [jnp.zeros(_aval(value).shape, _aval(value).dtype) for value in inputs[3]]
    arrays = jax.tree.unflatten(tree, schedule)
    params, nodes, children = operands_back
    to_carried, to_nodes, to_children, to_params = family_sweep(
        layout, arrays, not form.upwards, step, params, nodes, children, start
    )
    # A value that no family wrote passes through: its cotangent is what its reader and its result send.
    passed = untouched(layout, arrays, form.upwards)
    totals = [
        masked(passed, read if type(ct) is ad.Zero else read + ct)
        for read, ct in zip(to_carried, given[0], strict=True)
    ]
    back = _merged(linear, [to_params, to_nodes, to_children, totals], [[None] * len(flat(fixed))])
    for place, wanted in enumerate(wanted_carried):
        if not wanted:
            back[len(back) - len(wanted_carried) + place] = None
    return [None] * len(schedule) + back


def _aval(value: Any) -> Any:
    return value.aval if ad.is_undefined_primal(value) else jax.typeof(value)


def _filled(marks: Sequence[bool], values: Sequence[Any], avals: Sequence[Any]) -> list[Any]:
    given = iter(values)
    return [next(given) if on else jnp.zeros(aval.shape, aval.dtype) for on, aval in zip(marks, avals, strict=True)]


def _batch(operands: Any, dims: Any, *, form: Form, layout: Layouts, tree: Any) -> tuple[list[Any], list[int]]:
    """A batch of sweeps over one topology is one sweep over wider values."""
    schedule, inputs = separate(operands, tree, form)
    schedule_dims, axes = separate(dims, tree, form)
    if any(axis is not None for axis in schedule_dims):
        return _one_by_one(operands, dims, form, layout, tree)
    size = next(x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None)
    batched = [[axis is not None for axis in group] for group in axes]
    # Carried results are wide as soon as anything is, and the loop keeps one shape.
    batched[3] = [True] * len(inputs[3])
    wide = [
        [_with_batch(x, axis, size, behind) if on else x for x, axis, on in zip(group, group_axes, marks, strict=True)]
        for behind, group, group_axes, marks in zip((0, 1, 1, 1), inputs, axes, batched, strict=True)
    ]
    read, write = (1, 0) if form.upwards else (0, 1)
    inner = [[front if on else None for on in marks] for front, marks in zip((0, 0, 1, read), batched, strict=True)]
    outer = flat([[front] * count for front, count in zip((write, 0, 1, 0), form.outputs, strict=True)])

    def step(which: int, degree: Any, *values: list[Any]) -> Groups:
        one = jaxpr_as_fun(form.steps[which])
        many = jax.vmap(one, in_axes=(None, *flat(inner)), out_axes=outer, axis_size=size)
        return split(many(degree, *flat(values)), form.outputs)

    out = family_sweep(layout, jax.tree.unflatten(tree, schedule), form.upwards, step, *wide)
    return flat(out), flat([[1] * len(out[0]), [1] * len(out[1]), [1] * len(out[2]), [0] * len(out[3])])


def _with_batch(value: Any, axis: Any, size: int, place: int) -> Any:
    """Moves the batch axis to `place`, adding it where there is none."""
    if axis is None:
        shape = (*value.shape[:place], size, *value.shape[place:])
        return jnp.broadcast_to(jnp.expand_dims(value, place), shape)
    return jnp.moveaxis(value, axis, place)


def _one_by_one(operands: Any, dims: Any, form: Form, layout: Layouts, tree: Any) -> tuple[list[Any], list[int]]:
    """Different topologies in one batch have no common chunks; `hx.Forest` merges them, this runs them in turn."""
    mapped = [d is not None for d in dims]
    over = [jnp.moveaxis(x, d, 0) for x, d, on in zip(operands, dims, mapped, strict=True) if on]

    def one(values: Any) -> list[Any]:
        given = iter(values)
        full = [next(given) if on else x for x, on in zip(operands, mapped, strict=True)]
        return family_p.bind(*full, form=form, layout=layout, tree=tree)

    out = jax.lax.map(one, over)
    return out, [0] * len(out)


ad.primitive_jvps[family_p] = _differentiate
ad.primitive_transposes[family_p] = _transpose
batching.primitive_batchers[family_p] = _batch
