"""Sweeps against loops over nodes: the five patterns on the zoo and on any tree, and all that a function may do."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import hxcli as hx
from tests import examples, reference
from tests.engine import example_sweeps
from tests.examples import Example

# Levels that take several chunks, and siblings apart.
WIDE = examples.make("wide", examples.random_ragged(3000, (0, 1, 2, 3, 9), seed=3))
SCATTERED = examples.make("scattered", examples.ungrouped(examples.random_ragged(700, (0, 0, 1, 2, 3), seed=4)))
DEEP = examples.make("deep", examples.caterpillar(900))
ZOO = [*(examples.example(name) for name in examples.NAMES), WIDE, SCATTERED, DEEP]


def example_id(example: Example) -> str:
    return example.name


def agree(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def check_subtree_size(example: Example) -> None:
    tree = hx.Tree.from_data(example.topology, {"count": jnp.ones(example.topology.size, int)})
    found = example_sweeps.subtree_size(tree).count
    assert found.dtype == jnp.int64
    ones = {"count": np.ones(example.topology.size, int)}
    wanted = reference.up(example.parents, ones, lambda node, kids: {"count": sum(k["count"] for k in kids) + 1})
    np.testing.assert_array_equal(found, wanted["count"])
    assert found[0] == example.topology.size


def check_depth(example: Example) -> None:
    fields = {"length": example.lengths, "depth": np.zeros(example.topology.size)}
    found = example_sweeps.depth(hx.Tree.from_data(example.topology, fields)).depth
    wanted = reference.down(example.parents, fields, lambda node, parent: {"depth": parent["depth"] + node["length"]})
    agree(found, wanted["depth"])
    agree(found, np.diag(reference.shared_paths(example.parents, example.lengths)))


def check_weighted_mean(example: Example) -> None:
    fields = {"value": example.values, "weight": example.lengths + 0.5}
    found = example_sweeps.weighted_mean(hx.Tree.from_data(example.topology, fields))

    def mean(node: Any, kids: Any) -> Any:
        total = sum(k["weight"] for k in kids)
        return {"value": sum(k["value"] * k["weight"] for k in kids) / total, "weight": total}

    wanted = reference.up(example.parents, fields, mean)
    agree(found.value, wanted["value"])
    agree(found.weight, wanted["weight"])
    leaves = example.leaves
    agree(found.value[0], np.average(example.values[leaves], weights=fields["weight"][leaves]))


def check_maximum(example: Example) -> None:
    fields = {"value": example.values}
    found = example_sweeps.maximum(hx.Tree.from_data(example.topology, fields)).value
    wanted = reference.up(
        example.parents, fields, lambda node, kids: {"value": max(node["value"], *(k["value"] for k in kids))}
    )
    np.testing.assert_array_equal(found, wanted["value"])
    assert found[0] == example.values.max()


@pytest.mark.parametrize("check", [check_subtree_size, check_depth, check_weighted_mean, check_maximum])
@pytest.mark.parametrize("example", ZOO, ids=example_id)
def test_pattern(example: Example, check: Any) -> None:
    check(example)


@pytest.mark.parametrize("name", ["single", "chain", "symmetric", "zero edges", "mixed degrees"])
def test_message_passing_is_conditioning(name: str) -> None:
    example = examples.example(name)
    params = {"rate": 0.8, "noise": 0.3, "root": 2.0}
    observed = example.values[example.leaves]
    density, tree = example_sweeps.condition(example.topology, observed, example.lengths, params)
    lengths = example.lengths * params["rate"]
    wanted = reference.gaussian(example.parents, example.leaves, lengths, observed, params["root"], params["noise"])
    agree(density, wanted[0])
    agree(tree.mean, wanted[1])
    agree(tree.variance, wanted[2])


@given(examples.parent_arrays())
@settings(max_examples=10, deadline=None)
def test_patterns_on_any_tree(parents: NDArray[np.int64]) -> None:
    example = examples.make("drawn", parents)
    check_subtree_size(example)
    check_depth(example)
    check_maximum(example)


@pytest.mark.parametrize("name", ["ungrouped", "caterpillar"])
def test_order_of_the_nodes_of_a_level_is_irrelevant(name: str) -> None:
    example = examples.example(name)
    depths = example.topology.node_depths
    order = np.lexsort([np.random.default_rng(1).permutation(len(depths)), depths])
    place = np.argsort(order)
    shuffled = hx.from_parents(place[example.topology.parents[order]])
    fields = {"value": example.values, "weight": example.lengths + 0.5}
    found = example_sweeps.weighted_mean(hx.Tree.from_data(example.topology, fields))
    other = example_sweeps.weighted_mean(hx.Tree.from_data(shuffled, {k: v[order] for k, v in fields.items()}))
    agree(other.value[place], found.value)


def test_a_node_with_one_child_changes_nothing() -> None:
    # An edge cut in two, and a root above the root.
    plain, lengths = hx.from_parents([0, 0, 0, 0]), np.array([0, 1.0, 2.0, 3.0])
    cut, cut_lengths = hx.from_parents([0, 0, 1, 1, 1, 4]), np.array([0, 0.0, 1.0, 2.0, 1.8, 1.2])
    observed = np.array([0.3, -1.0, 2.0])
    params = {"rate": 1.0, "noise": 0.1, "root": 5.0}
    one, first = example_sweeps.condition(plain, observed, lengths, params)
    two, second = example_sweeps.condition(cut, observed, cut_lengths, params)
    agree(one, two)
    agree(second.mean[np.array([1, 2, 3, 5])], first.mean)
    agree(second.variance[np.array([1, 2, 3, 5])], first.variance)


@pytest.mark.parametrize("name", ["symmetric", "ragged"])
def test_map_and_writes_children(name: str) -> None:
    @hx.up(reads=("scale",), reads_children=("value", "share"), writes=("value",), writes_children=("share",))
    def divide(node: Any, children: Any, params: Any) -> Any:
        squares = children.map(
            lambda child: {"value": child.value**2 + child["share"], "three": jnp.stack([child.value] * 3)}
        )
        total = squares.value.sum(0)
        return {"value": total + squares.three.max(0)[0], "share": squares.value / total * node.scale}

    example = examples.example(name)
    scale = np.random.default_rng(0).normal(size=example.topology.size)
    fields = {"value": example.values, "share": np.full(example.topology.size, 0.5), "scale": scale}
    found = divide(hx.Tree.from_data(example.topology, fields))

    value, share = example.values.copy(), fields["share"].copy()
    for node, kids in reversed(list(enumerate(reference.children_of(example.parents)))):
        if kids:
            squares = np.array([value[kid] ** 2 + 0.5 for kid in kids])
            value[node] = squares.sum() + max(value[kid] for kid in kids)
            share[kids] = squares / squares.sum() * scale[node]
    agree(found.value, value)
    # The root is nobody's child and keeps its share.
    agree(found.share, share)


@pytest.mark.parametrize("name", ["symmetric", "ragged"])
def test_reductions_have_the_values_and_dtypes_of_numpy(name: str) -> None:
    example = examples.example(name)
    size = example.topology.size
    rng = np.random.default_rng(0)
    given = {
        "number": rng.normal(size=(size, 2)),
        "small": rng.normal(size=size).astype(np.float32),
        "count": rng.integers(-5, 5, size),
        "short": rng.integers(-5, 5, size).astype(np.int32),
        "flag": rng.integers(0, 2, size).astype(bool),
    }
    methods = ("sum", "prod", "mean", "max", "min")
    results: dict[str, Any] = {}

    @hx.up(reads=(), reads_children=tuple(given), writes=("out",))
    def reduce(node: Any, children: Any, params: Any) -> Any:
        parts = []
        for field in given:
            for method in methods:
                value = getattr(children[field], method)(0)
                results[f"{field}.{method}"] = value.dtype
                parts.append(jnp.ravel(value).astype(float))
        return {"out": jnp.concatenate(parts)}

    tree = hx.Tree.from_data(example.topology, {**given, "out": np.zeros((size, 30))})
    found = np.asarray(reduce(tree).out)
    for node, kids in enumerate(reference.children_of(example.parents)):
        if kids:
            wanted = [np.ravel(getattr(np, m)(given[f][kids], axis=0)).astype(float) for f in given for m in methods]
            np.testing.assert_allclose(found[node], np.concatenate(wanted), rtol=1e-6, atol=1e-6)
    expected = {f"{f}.{m}": getattr(jnp.asarray(v[:2]), m)(0).dtype for f, v in given.items() for m in methods}
    assert results == expected


@pytest.mark.parametrize("name", ["symmetric", "ragged"])
def test_arithmetic_on_children(name: str) -> None:
    @hx.up(reads=("one",), reads_children=("value",), writes=("out",))
    def arithmetic(node: Any, children: Any, params: Any) -> Any:
        v, three = children.value, np.float64(3)
        parts = [v + 1, 1 + v, v - 2, 2 - v, v * node.one, node.one * v, v / 3, three / v, v**2, -v, v * v, v + v / v]
        return {"out": jnp.stack([part.sum(0) for part in parts])}

    example = examples.example(name)
    size = example.topology.size
    fields = {"value": example.values, "one": np.full(size, 1.5), "out": np.zeros((size, 12))}
    found = arithmetic(hx.Tree.from_data(example.topology, fields)).out
    for node, kids in enumerate(reference.children_of(example.parents)):
        if kids:
            v = example.values[kids]
            parts = [v + 1, v + 1, v - 2, 2 - v, v * 1.5, v * 1.5, v / 3, 3 / v, v**2, -v, v * v, v + 1]
            np.testing.assert_allclose(found[node], [part.sum() for part in parts], rtol=1e-12)


def test_children_of_an_equal_degree_tree_are_an_array() -> None:
    shapes = []

    @hx.up(reads_children=("value", "matrix"), writes=("value",))
    def slices(node: Any, children: Any, params: Any) -> Any:
        shapes.append((children.value.shape, children.matrix.shape))
        first, last = children.value[0], children.value[-1]
        return {"value": jnp.where(first > last, first - last, jnp.sort(children.value)[1]) + children.matrix[0, 0, 1]}

    for name in ("symmetric", "caterpillar", "ungrouped symmetric"):
        example = examples.example(name)
        size = example.topology.size
        matrix = np.arange(size * 6.0).reshape(size, 2, 3)
        found = slices(hx.Tree.from_data(example.topology, {"value": example.values, "matrix": matrix})).value

        def sliced(node: Any, kids: Any) -> Any:
            first, last = kids[0]["value"], kids[-1]["value"]
            return {"value": (first - last if first > last else max(first, last)) + kids[0]["matrix"][0, 1]}

        wanted = reference.up(example.parents, {"value": example.values, "matrix": matrix}, sliced)
        agree(found, wanted["value"])
    assert set(shapes) == {((2,), (2, 2, 3))}


@pytest.mark.parametrize("name", ["symmetric", "ragged"])
def test_vectors_matrices_and_params(name: str) -> None:
    @hx.down(reads=("step",), reads_parent=("state",), writes=("state",))
    def rotate(node: Any, parent: Any, params: Any) -> Any:
        matrix, (shift, nothing) = params["by"]["matrix"], params["shift"]
        assert nothing is None
        return {"state": matrix @ parent.state + node.step[0] * shift}

    example = examples.example(name)
    size = example.topology.size
    rng = np.random.default_rng(0)
    fields = {"state": rng.normal(size=(size, 3)), "step": rng.normal(size=(size, 2))}
    matrix, shift = rng.normal(size=(3, 3)) / 2, np.array([1.0, 2.0, 3.0])
    found = rotate(
        hx.Tree.from_data(example.topology, fields), params={"by": {"matrix": matrix}, "shift": (shift, None)}
    )
    wanted = reference.down(example.parents, fields, lambda n, p: {"state": matrix @ p["state"] + n["step"][0] * shift})
    agree(found.state, wanted["state"])


def test_fields_without_floats() -> None:
    @hx.up(reads_children=("alive", "count"), writes=("alive", "count"))
    def alive(node: Any, children: Any, params: Any) -> Any:
        return {"alive": children.alive.max(0), "count": children.count.max(0) + 1}

    for name in ("symmetric", "ragged"):
        example = examples.example(name)
        fields = {"alive": example.values > 0.5, "count": np.arange(example.topology.size, dtype=np.int32)}
        found = alive(hx.Tree.from_data(example.topology, fields))
        wanted = reference.up(
            example.parents,
            fields,
            lambda n, kids: {"alive": any(k["alive"] for k in kids), "count": max(k["count"] for k in kids) + 1},
        )
        assert found.alive.dtype == bool
        assert found.count.dtype == jnp.int32
        np.testing.assert_array_equal(found.alive, wanted["alive"])
        np.testing.assert_array_equal(found.count, wanted["count"])


def test_a_sweep_reads_all_fields_unless_it_says_which() -> None:
    @hx.up(writes=("value",))
    def everything(node: Any, children: Any, params: Any) -> Any:
        assert sorted(node) == sorted(children) == ["other", "value"]
        return {"value": children.value.sum(0) + children.other.sum(0) + node.other}

    example = examples.example("ragged")
    fields = {"value": example.values, "other": example.lengths}
    found = everything(hx.Tree.from_data(example.topology, fields)).value
    wanted = reference.up(
        example.parents,
        fields,
        lambda node, kids: {"value": sum(k["value"] + k["other"] for k in kids) + node["other"]},
    )
    agree(found, wanted["value"])


def test_a_sweep_may_close_over_arrays_and_tracers() -> None:
    example = examples.example("ragged")
    tree = hx.Tree.from_data(example.topology, {"value": example.values})
    table = jnp.array([2.0, 3.0])

    def root(scale: Any) -> Any:
        @hx.up(reads_children=("value",), writes=("value",))
        def scaled(node: Any, children: Any, params: Any) -> Any:
            return {"value": children.value.sum(0) * scale * table[1]}

        return scaled(tree).value[0]

    fields = {"value": example.values}
    wanted = reference.up(example.parents, fields, lambda n, kids: {"value": sum(k["value"] for k in kids) * 6.0})
    agree(root(2.0), wanted["value"][0])
    agree(jax.jit(root)(2.0), wanted["value"][0])
    agree(jax.vmap(root)(jnp.array([2.0, 0.0])), [wanted["value"][0], 0.0])
    step = 1e-6
    slope = (root(2.0 + step) - root(2.0 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(root)(2.0), slope, rtol=1e-8)


def test_only_written_fields_change() -> None:
    example = examples.example("ragged")
    tree = hx.Tree.from_data(
        example.topology, {"value": example.values, "weight": example.lengths, "other": np.ones(6)}
    )
    after = example_sweeps.maximum(tree)
    assert after.other is tree.other
    assert after.weight is tree.weight
    assert after.topology is tree.topology
    assert after.schema == tree.schema
    np.testing.assert_array_equal(tree.value, example.values)


def test_a_sweep_without_compilation() -> None:
    example = examples.example("ragged")
    tree = hx.Tree.from_data(example.topology, {"value": example.values})
    wanted = example_sweeps.maximum(tree)
    with jax.disable_jit():
        assert example_sweeps.maximum(tree) == wanted
