"""Trees as containers and as pytrees."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx

TOPOLOGY = hx.from_parents([0, 0, 0, 1, 1])


def tree() -> hx.Tree:
    return hx.Tree.from_data(
        TOPOLOGY, {"value": jnp.arange(5.0), "count": jnp.arange(5, dtype=jnp.int32), "point": jnp.ones((5, 2))}
    )


def test_empty_has_the_declared_shapes_and_dtypes() -> None:
    schema = {
        "value": (),
        "plain": None,
        "point": (2,),
        "matrix": hx.FieldSpec((2, 3), jnp.float32),
        "count": hx.FieldSpec((), int),
        "seen": hx.FieldSpec(dtype=bool),
    }
    empty = hx.Tree.empty(TOPOLOGY, schema)
    found = {name: (value.shape, value.dtype.name) for name, value in empty.data.items()}
    assert found == {
        "count": ((5,), "int64"),
        "matrix": ((5, 2, 3), "float32"),
        "plain": ((5,), "float64"),
        "point": ((5, 2), "float64"),
        "seen": ((5,), "bool"),
        "value": ((5,), "float64"),
    }
    assert not any(value.any() for value in empty.data.values())
    assert hx.Tree.empty(TOPOLOGY, hx.Schema.from_dict(schema)) == empty


def test_printing_names_the_fields() -> None:
    assert repr(tree()) == "Tree(size=5, fields={count: (), point: (2,), value: ()})"
    assert len(tree()) == tree().size == 5


def test_a_schema_does_not_depend_on_the_order_of_its_names() -> None:
    one = hx.Schema.from_dict({"b": (), "a": (2,)})
    other = hx.Schema.from_dict({"a": (2,), "b": None})
    assert one == other
    assert hash(one) == hash(other)
    assert one.names == ("a", "b")
    assert "a" in one
    assert "c" not in one
    assert len(one) == 2
    assert one["a"] == hx.FieldSpec((2,))
    with pytest.raises(TypeError, match="a FieldSpec, a shape tuple or None, got 3"):
        hx.Schema.from_dict({"a": 3})  # type: ignore[dict-item]


def test_set_replaces_casts_and_leaves_the_original() -> None:
    before = tree()
    after = before.set(value=np.ones(5, np.int64), count=np.array([5, 4, 3, 2, 1], np.int64))
    assert after.value.tolist() == [1.0] * 5
    assert after.value.dtype == jnp.float64
    assert after.count.dtype == jnp.int32
    assert before.value.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("halves", [[0.5] * 5, np.full(5, 0.5), jnp.full(5, 0.5), jnp.full(5, 0.5, jnp.float32)])
def test_integers_do_not_lose_fractions(halves: object) -> None:
    before = tree().update(flag=hx.FieldSpec((), bool))
    for name, dtype in (("count", "int32"), ("flag", "bool")):
        told = pytest.raises(hx.SchemaMismatch, match=rf"field '{name}' is {dtype}, and the values are float.*astype")
        with told:
            before.set(**{name: halves})
        with told:
            before.at[:].set(**{name: halves})
        with told:
            jax.jit(lambda values, name=name: before.at[0].add(**{name: values[0]}))(jnp.asarray(halves))
    assert before.set(flag=[1, 0, 1, 0, 0]).flag.tolist() == [True, False, True, False, False]
    assert before.at[0].set(count=True).count.tolist() == [1, 1, 2, 3, 4]


def test_update_adds_fields_of_every_kind() -> None:
    after = tree().update(zero=None, pair=(2,), flag=hx.FieldSpec((), bool), given=jnp.ones((5, 1), jnp.float32))
    assert (
        after.schema.names == tuple(sorted(after.data)) == ("count", "flag", "given", "pair", "point", "value", "zero")
    )
    assert after.pair.shape == (5, 2)
    assert after.flag.dtype == bool
    assert after.schema["given"] == hx.FieldSpec((1,), jnp.float32)


def test_drop_removes_fields() -> None:
    after = tree().drop("value", "point")
    assert after.schema.names == ("count",)
    assert list(after.data) == ["count"]
    assert after.update(value=jnp.arange(5.0), point=jnp.ones((5, 2))) == tree()


def test_at_changes_several_fields_at_mask_slice_and_numbers() -> None:
    start = tree()
    leaf = TOPOLOGY.is_leaf
    assert start.at[leaf].set(value=9, count=7).value.tolist() == [0, 1, 9, 9, 9]
    assert start.at[leaf].set(value=9, count=7).count.tolist() == [0, 1, 7, 7, 7]
    assert start.at[1:3].add(value=jnp.array([10.0, 20.0])).value.tolist() == [0, 11, 22, 3, 4]
    assert start.at[jnp.array([3, 3])].add(count=1).count.tolist() == [0, 1, 2, 5, 4]
    assert start.at[-1].multiply(value=3.0).value.tolist() == [0, 1, 2, 3, 12]
    assert start.at[leaf].min(value=2.5).value.tolist() == [0, 1, 2, 2.5, 2.5]
    assert start.at[leaf].max(value=2.5).value.tolist() == [0, 1, 2.5, 3, 4]
    assert start.at[0].set(point=jnp.array([3.0, 4.0])).point[0].tolist() == [3, 4]
    got = start.at[leaf].get()
    assert {name: value.shape for name, value in got.items()} == {"count": (3,), "point": (3, 2), "value": (3,)}
    assert start == tree()


def test_reading_by_name_where_an_attribute_is_in_the_way() -> None:
    names = ("size", "set", "at", "data", "topology", "schema", "update", "framed")
    collides = hx.Tree.from_data(TOPOLOGY, {name: jnp.full(5, i) for i, name in enumerate(names)})
    assert [int(collides[name][0]) for name in names] == list(range(len(names)))
    assert collides.size == 5
    assert collides.topology is TOPOLOGY
    moved = collides.set(size=jnp.zeros(5, int)).at[0].set(data=9)
    assert moved["size"].tolist() == [0] * 5
    assert moved["data"].tolist() == [9, 3, 3, 3, 3]
    assert jax.tree.map(lambda x: x + 1, collides)["size"].tolist() == [1] * 5


def test_attributes_that_are_not_there() -> None:
    with pytest.raises(hx.MissingField, match="the tree has no field 'height'; its fields are \\['count', 'point'"):
        _ = tree().height
    with pytest.raises(hx.MissingField, match="no field 'height'"):
        tree()["height"]
    # Both of Python's ways to ask.
    assert not hasattr(tree(), "height")
    assert isinstance(hx.MissingField("x"), AttributeError)
    assert isinstance(hx.MissingField("x"), KeyError)


def test_trees_cannot_be_assigned_to_or_hashed() -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        tree().value = 1  # type: ignore[misc]
    with pytest.raises(TypeError, match="unhashable"):
        hash(tree())


def test_equality_compares_topology_schema_and_values() -> None:
    assert tree() == tree()
    assert tree() != tree().at[0].set(value=-1)
    assert tree() != tree().drop("count")
    assert tree() != hx.Tree.from_data(hx.from_parents([0, 0, 0, 2, 2]), tree().data)
    assert tree() != 5


def test_copies() -> None:
    assert copy.copy(tree()) == tree()
    assert copy.deepcopy(tree()) == tree()
    assert pickle.loads(pickle.dumps(tree())) == tree()


def test_pytree_leaves_are_the_fields_in_order_of_their_names() -> None:
    leaves = jax.tree.leaves(tree())
    assert [leaf.shape for leaf in leaves] == [(5,), (5, 2), (5,)]
    flat, structure = jax.tree.flatten(tree())
    assert jax.tree.unflatten(structure, flat) == tree()
    assert structure == jax.tree.structure(tree().at[0].set(value=3))
    assert structure != jax.tree.structure(tree().drop("count"))
    assert hash(structure) == hash(jax.tree.structure(tree()))


def test_key_paths_read_like_attributes() -> None:
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree())]
    assert paths == [".count", ".point", ".value"]


def test_tree_map_over_one_and_several_trees() -> None:
    doubled = jax.tree.map(lambda x: x * 2, tree())
    assert isinstance(doubled, hx.Tree)
    assert doubled.value.tolist() == [0, 2, 4, 6, 8]
    assert jax.tree.map(lambda a, b: a - b, doubled, tree()) == tree()
    assert jax.tree.reduce(lambda total, x: total + x.size, tree(), 0) == 20


def test_transpose_turns_a_tree_of_pairs_inside_out() -> None:
    pairs = jax.tree.map(lambda x: (x, -x), tree())
    inner = jax.tree.structure((0, 0))
    plus, minus = jax.tree.transpose(jax.tree.structure(tree()), inner, pairs)
    assert plus == tree()
    assert minus == jax.tree.map(jnp.negative, tree())


def test_trees_hold_whatever_jax_puts_into_pytrees() -> None:
    shapes = jax.eval_shape(lambda t: t.at[0].set(value=1), tree())
    assert isinstance(shapes, hx.Tree)
    assert shapes.value.shape == (5,)
    none = jax.tree.map(lambda _: None, tree())
    assert jax.tree.leaves(none) == []
    axes = jax.tree.map(lambda _: 0, tree())
    stacked = jax.tree.map(lambda x: jnp.stack([x, x + 1]), tree())
    sums = jax.vmap(lambda t: t.value.sum(), in_axes=(axes,))(stacked)
    assert sums.tolist() == [10, 15]


def test_a_tree_is_a_scan_carry_and_a_scan_output() -> None:
    def body(carry: hx.Tree, step: jax.Array) -> tuple[hx.Tree, hx.Tree]:
        carry = carry.at[0].add(value=step)
        return carry, carry

    last, every = jax.lax.scan(body, tree(), jnp.arange(3.0))
    assert last.value.tolist() == [3, 1, 2, 3, 4]
    assert every.value.shape == (3, 5)
    assert every.value[:, 0].tolist() == [0, 1, 3]


def test_a_tree_passes_through_jit_as_argument_and_result() -> None:
    @jax.jit
    def shift(t: hx.Tree, by: float) -> hx.Tree:
        return t.set(value=t.value + by)

    assert shift(tree(), 1.5) == tree().set(value=jnp.arange(5.0) + 1.5)


def test_framed_trees_are_padded_to_a_size_class_and_pytrees_too() -> None:
    ragged = hx.from_parents([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 5])
    plain = hx.Tree.from_data(ragged, {"value": jnp.arange(11.0)})
    framed = plain.framed()
    assert framed.size > 11
    assert framed.value.tolist() == [*range(11)] + [0] * (framed.size - 11)
    assert framed.framed() is framed
    same = jax.tree.map(lambda x: x, framed)
    assert same.size == framed.size
    assert same.value.tolist() == framed.value.tolist()
    first = jax.tree_util.tree_leaves_with_path(framed)[0][0]
    assert jax.tree_util.keystr(first) == ".value"
