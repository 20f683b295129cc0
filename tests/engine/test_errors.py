"""What a method developer can get wrong: each error says where, what and what to do, and nothing compiles."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx
from hxcli.engine.views import Children, Node
from tests import examples
from tests.engine.compile_counts import compilations

EQUAL = hx.Tree.empty(
    examples.example("symmetric").topology, {"value": (), "point": (2,), "count": hx.FieldSpec((), int)}
)
RAGGED = hx.Tree.empty(
    examples.example("ragged").topology, {"value": (), "point": (2,), "count": hx.FieldSpec((), int)}
)


@pytest.fixture(params=[EQUAL, RAGGED], ids=["equal", "ragged"])
def tree(request: pytest.FixtureRequest) -> hx.Tree:
    given: hx.Tree = request.param
    return given


@pytest.fixture(autouse=True)
def nothing_compiles() -> Iterator[None]:
    with compilations() as compiled:
        yield
    # jnp.asarray compiles a copy of a Python number.
    assert [name for name in compiled if name != "jit(stage)"] == []


def upwards(function: Callable[..., Any], **declared: Any) -> hx.Sweep:
    declared = {"reads_children": ("value",), "writes": ("value",), **declared}
    return hx.up(**declared)(function)


def test_a_field_that_was_not_declared(tree: hx.Tree) -> None:
    @hx.up(reads=("count",), reads_children=("value",), writes=("value",))
    def mix(node: Any, children: Any, params: Any) -> Any:
        return {"value": children.value.sum(0) + node.value}

    with pytest.raises(hx.MissingField) as caught:
        mix(tree)
    assert str(caught.value) == (
        "node field 'value' is not available in the function of sweep 'mix': add 'value' to reads=(...); "
        "available here: ['count']"
    )
    # The traceback ends in the user's own function.
    lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == __file__]
    assert lines[-1] == 'return {"value": children.value.sum(0) + node.value}'

    @hx.up(reads_children=("count",), writes=("value",))
    def mix_children(node: Any, children: Any, params: Any) -> Any:
        return {"value": children.value.sum(0)}

    with pytest.raises(
        hx.MissingField, match=r"children field 'value' .* 'mix_children': add 'value' to reads_children="
    ):
        mix_children(tree)

    @hx.down(reads_parent=("count",), writes=("value",))
    def mix_parent(node: Any, parent: Any, params: Any) -> Any:
        return {"value": parent["value"]}

    with pytest.raises(hx.MissingField, match=r"parent field 'value' .* 'mix_parent': add 'value' to reads_parent="):
        mix_parent(tree)


def test_a_field_that_the_tree_does_not_have(tree: hx.Tree) -> None:
    for argument in ("reads", "reads_children", "writes", "writes_children"):
        sweep = upwards(lambda node, children, params: {}, **{argument: ("height",)})
        message = (
            rf"{argument} names 'height', which the tree does not have; .*\['count', 'point', 'value'\]; add it with"
        )
        with pytest.raises(hx.MissingField, match=message):
            sweep(tree)
    sweep = hx.down(reads_parent=("height",), writes=("value",))(lambda node, parent, params: {})
    with pytest.raises(hx.MissingField, match=r"reads_parent names 'height'.*tree\.update\(height=\.\.\.\)"):
        sweep(tree)


def test_the_call_of_the_sweep_is_in_the_traceback(tree: hx.Tree) -> None:
    sweep = upwards(lambda node, children, params: {"value": children.value.sum(0), "count": 1})
    with pytest.raises(hx.SchemaMismatch, match="returned") as caught:
        sweep(tree)  # this line
    lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == __file__]
    assert lines == ["sweep(tree)  # this line"]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda c: {"value": c.value.sum(0), "count": 1}, r"returned \['count'\], not declared: add them to writes="),
        (lambda c: {}, r"declares writes of \['value'\] but did not return them"),
        (lambda c: c.value.sum(0), r"must return a dict with the fields \['value'\], got"),
        (lambda c: None, r"must return a dict with the fields \['value'\], got NoneType"),
        (lambda c: {"value": jnp.zeros(3)}, r"returned 'value' with shape \(3,\), expected \(\)"),
        (lambda c: {"value": 1j}, r"returned 'value' as complex128, but the field is float64: cast with"),
    ],
)
def test_what_is_returned(tree: hx.Tree, returned: Callable[[Any], Any], message: str) -> None:
    def shrink(node: Any, children: Any, params: Any) -> Any:
        return returned(children)

    with pytest.raises(hx.SchemaMismatch, match=r"sweep 'shrink' " + message):
        upwards(shrink)(tree)
    # The same when called inside of a program.
    with pytest.raises(hx.SchemaMismatch, match=message):
        jax.jit(upwards(shrink))(tree)


def test_a_dtype_that_loses_something(tree: hx.Tree) -> None:
    for returned in (lambda children: children.value.sum(0), lambda children: 0.5):
        sweep = upwards(lambda n, c, p, returned=returned: {"count": returned(c)}, writes=("count",))
        with pytest.raises(hx.SchemaMismatch, match=r"'count' as float64, but the field is int64: .*\.astype\(int64\)"):
            sweep(tree)


def test_values_of_all_children_where_the_node_has_one() -> None:
    sweep = upwards(lambda n, c, p: {"value": c.value * 2})
    with pytest.raises(
        hx.SchemaMismatch, match=r"'value' is a value of every child.*\.sum\(0\), or declare .*writes_children"
    ):
        sweep(RAGGED)
    with pytest.raises(hx.SchemaMismatch, match=r"returned 'value' with shape \(2,\), expected \(\)"):
        sweep(EQUAL)


def test_a_value_of_the_node_where_every_child_has_one(tree: hx.Tree) -> None:
    sweep = upwards(lambda n, c, p: {"value": c.value.sum(0)}, writes=(), writes_children=("value",))
    with pytest.raises(hx.SchemaMismatch, match=r"returned 'value' with shape \(\), expected \(\d,\)"):
        sweep(tree)


@pytest.mark.parametrize(
    "use",
    [
        lambda axis: axis[0],
        lambda axis: list(axis),
        len,
        np.asarray,
        jnp.sum,
        np.sin,
        lambda axis: axis.shape,
        lambda axis: axis.std(0),
    ],
    ids=["index", "loop", "len", "numpy", "jax.numpy", "ufunc", "shape", "method"],
)
def test_what_needs_a_fixed_number_of_children(use: Callable[[Any], Any]) -> None:
    sweep = upwards(lambda n, c, p: {"value": use(c.value)})
    message = r"different numbers of them: reduce with .*or use children\.map"
    with pytest.raises(hx.SchemaMismatch, match=message) as caught:
        sweep(RAGGED)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == __file__]
    assert names[1] == "<lambda>"


@pytest.mark.parametrize("reduction", ["sum", "mean", "prod", "max", "min"])
def test_another_axis(reduction: str) -> None:
    sweep = upwards(lambda n, c, p: {"value": getattr(c.point, reduction)(1)}, reads_children=("point",))
    with pytest.raises(hx.SchemaMismatch, match=r"reduced over axis 0.*got axis=1"):
        sweep(RAGGED)


def test_assigning_to_a_view(tree: hx.Tree) -> None:
    def assign(node: Any, children: Any, params: Any) -> Any:
        node.value = children.value.sum(0)

    with pytest.raises(hx.SchemaMismatch, match=r"node fields cannot be assigned: return \{'value': \.\.\.\}"):
        upwards(assign)(tree)


def test_views_say_what_they_hold() -> None:
    node = Node({"value": 1, "map": 2}, "s")
    assert repr(node) == "Node(fields=['map', 'value'])"
    assert list(node) == ["value", "map"]
    assert "value" in node
    assert "count" not in node
    assert not hasattr(node, "count")
    # A name that the view itself uses is read by name.
    assert Children({"map": 5}, "s")["map"] == 5


def test_declarations() -> None:
    def nothing(node: Any, children: Any, params: Any) -> Any:
        return {}

    with pytest.raises(hx.SchemaMismatch, match=r"sweep 'nothing' writes nothing: name at least one field in writes="):
        hx.up(reads_children=("value",))(nothing)
    with pytest.raises(hx.SchemaMismatch, match=r"\['value'\] stands in writes and in writes_children; keep one"):
        hx.up(writes=("value",), writes_children=("value",))(nothing)
    for argument in ("reads", "reads_children", "writes", "writes_children"):
        with pytest.raises(
            hx.SchemaMismatch, match=rf"{argument} takes a tuple .* the string 'value': write \('value',\)"
        ):
            upwards(nothing, **{argument: "value"})
    with pytest.raises(hx.SchemaMismatch, match="reads_parent takes a tuple"):
        hx.down(reads_parent="value", writes=("value",))(nothing)
    assert repr(upwards(nothing)) == "Sweep(up, nothing, writes=('value',))"


def test_a_field_of_the_wrong_length(tree: hx.Tree) -> None:
    sweep = upwards(lambda n, c, p: {"value": c.value.sum(0)})
    size = tree.size
    short = jax.tree.map(lambda x: np.asarray(x)[:3], tree)
    with pytest.raises(hx.SchemaMismatch, match=rf"field 'count' has shape \(3,\), expected \({size},\); for a batch"):
        sweep(short)
    many = jax.tree.map(lambda x: np.stack([x] * 50), tree)
    with pytest.raises(
        hx.SchemaMismatch, match=rf"shape \(50, {size}\), expected \({size},\); for a batch .* jax\.vmap"
    ):
        sweep(many)


def test_fields_of_trees(tree: hx.Tree) -> None:
    size = tree.size
    with pytest.raises(hx.MissingField, match=r"no field 'height'; .*\(use \.update\(height=\.\.\.\) to add a field\)"):
        tree.set(height=1)
    with pytest.raises(hx.MissingField, match=r"no field 'height'; .*use \.update"):
        tree.at[0].set(height=1)
    with pytest.raises(hx.MissingField, match=r"no field 'height'; .*nothing to drop"):
        tree.drop("height")
    with pytest.raises(hx.SchemaMismatch, match=rf"field 'point': expected shape \({size}, 2\), got \({size},\)"):
        tree.set(point=np.zeros(size))
    with pytest.raises(hx.SchemaMismatch, match=r"'value' is there already; use \.set\(value=\.\.\.\)"):
        tree.update(value=None)
    with pytest.raises(
        hx.SchemaMismatch, match=rf"'height': the leading axis must have {size} nodes, got shape \(3,\)"
    ):
        tree.update(height=np.zeros(3))
    with pytest.raises(hx.SchemaMismatch, match=rf"'height': the leading axis must have {size} nodes, got shape \(\)"):
        hx.Tree.from_data(tree.topology, {"height": np.float64(1)})


def test_forests() -> None:
    forest = hx.Forest([EQUAL.topology, RAGGED.topology])
    with pytest.raises(hx.SchemaMismatch, match="the forest has 2 trees, got 1"):
        forest.join([EQUAL])
    with pytest.raises(hx.SchemaMismatch, match="tree 0 does not have the topology that the forest was made with"):
        forest.join([RAGGED, EQUAL])
    with pytest.raises(
        hx.SchemaMismatch, match=r"tree 1 has fields \('count', 'value'\), tree 0 \('count', 'point', 'value'\)"
    ):
        forest.join([EQUAL, RAGGED.drop("point")])
    with pytest.raises(hx.TopologyError, match="at least one tree"):
        hx.Forest([])
