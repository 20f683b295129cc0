"""What the library owes to the pages that it grew from: a test for each of their behaviours, with the printed values.

Numbered as these pages are read: 1 to 14 the quickstart (single precision, as there), 15 to 19 a course on pytrees, 32
to 35 patterns of NumPyro and JAX, 36 to 42 an autodiff engine built from nothing. Where a page shows its own toy code,
the same values come out of sweeps over trees. 20 to 31, models declared where they are used: `test_seeds_models`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx

TOPOLOGY = hx.symmetric_topology(depth=3, degree=2)
RAGGED = hx.from_parents([0, 0, 0, 1, 1, 1])
LEAVES = jnp.arange(8, dtype=jnp.float32)


@pytest.fixture
def single() -> Iterator[None]:
    """Single precision and the random numbers of a recent JAX, as on the pages."""
    with jax.enable_x64(False), jax.threefry_partitionable(True):
        yield


@hx.up(reads_children=("value",), writes=("value",))
def mean(node: Any, children: Any, params: Any) -> Any:
    return {"value": children.value.mean(0)}


@hx.up(reads_children=("value",), writes=("value",))
def total(node: Any, children: Any, params: Any) -> Any:
    return {"value": children.value.sum(0)}


@hx.down(reads=("noise",), reads_parent=("value",), writes=("value",))
def propagate(node: Any, parent: Any, params: Any) -> Any:
    return {"value": parent.value + node.noise}


def seeded(topology: hx.Topology = TOPOLOGY, leaves: Any = LEAVES) -> hx.Tree:
    return hx.Tree.empty(topology, {"value": ()}).at[topology.is_leaf].set(value=leaves)


def chain(length: int) -> hx.Topology:
    """A root with one descendant a level: a sweep over it is a function applied over and over."""
    return hx.from_parents([0, *range(length)])


# The quickstart.


def test_01_topology() -> None:
    assert str(TOPOLOGY) == "Topology(size=15, depth=3, equal_degree=True, max_degree=2)"


def test_02_what_a_topology_says() -> None:
    assert (TOPOLOGY.size, TOPOLOGY.depth, int(TOPOLOGY.is_leaf.sum()), TOPOLOGY.equal_degree) == (15, 3, 8, True)
    assert TOPOLOGY.parents.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_03_topologies_are_numpy_and_static() -> None:
    arrays = TOPOLOGY.parents, TOPOLOGY.level_starts, TOPOLOGY.is_leaf, TOPOLOGY.is_root
    assert all(isinstance(array, np.ndarray) for array in arrays)
    leaves, structure = jax.tree.flatten(TOPOLOGY)
    assert leaves == []
    assert jax.tree.unflatten(structure, []) == TOPOLOGY
    assert jax.tree.structure(seeded()) == jax.tree.structure(seeded(hx.symmetric_topology(3, 2)))


def test_04_empty_tree(single: None) -> None:
    tree = hx.Tree.empty(TOPOLOGY, {"value": ()})
    assert str(tree) == "Tree(size=15, fields={value: ()})"
    assert str(tree.value) == "[0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0.]"
    assert (tree.value.shape, tree.value.dtype) == ((15,), jnp.float32)


def test_05_at(single: None) -> None:
    leaf = TOPOLOGY.is_leaf
    tree = hx.Tree.empty(TOPOLOGY, {"value": (), "count": ()})
    demo = tree.at[leaf].set(value=LEAVES, count=jnp.ones(8))
    assert not tree.value.any()
    assert demo.at[leaf].add(value=jnp.full(8, 10.0)).value[leaf].tolist() == [10, 11, 12, 13, 14, 15, 16, 17]
    assert demo.at[leaf].multiply(count=jnp.full(8, 7.0)).count[leaf].tolist() == [7] * 8
    clipped = demo.at[leaf].max(value=jnp.full(8, 2.0)).at[leaf].min(value=jnp.full(8, 5.0))
    assert clipped.value[leaf].tolist() == [2, 2, 2, 3, 4, 5, 5, 5]
    assert demo.at[jnp.array([7, 14])].set(value=9.0).value[7:].tolist() == [9, 1, 2, 3, 4, 5, 6, 9]
    assert str({name: x.shape for name, x in demo.at[leaf].get().items()}) == "{'count': (8,), 'value': (8,)}"


def test_06_set_update_drop_and_reserved_names() -> None:
    tree = hx.Tree.empty(RAGGED, {"value": ()}).set(value=jnp.arange(6.0)).update(size=jnp.ones(6), x=(2,))
    assert tree.size == len(tree) == 6
    assert tree["size"].tolist() == [1] * 6
    assert tree.value is tree["value"]
    assert tree.drop("x", "size").schema.names == ("value",)
    assert tree.x.shape == (6, 2)


def test_07_up(single: None) -> None:
    swept = mean(seeded())
    assert float(swept.value[0]) == 3.5
    assert str(np.asarray(swept.value)) == "[3.5 1.5 5.5 0.5 2.5 4.5 6.5 0.  1.  2.  3.  4.  5.  6.  7. ]"


def test_08_children_are_an_array_where_their_number_is_one(single: None) -> None:
    @hx.up(reads_children=("value",), writes=("value",))
    def weighted(node: Any, children: Any, params: Any) -> Any:
        weights = jnp.array([1.0, 2.0])
        return {"value": (children.value * weights).sum(0) + children.value[0] + children.value[1:].sum()}

    assert weighted(seeded()).value[3].tolist() == 0 * 1 + 1 * 2 + 0 + 1
    ragged = seeded(RAGGED, jnp.array([10.0, 1.0, 2.0, 3.0]))
    assert mean(ragged).value.tolist() == [6, 2, 10, 1, 2, 3]
    with pytest.raises(hx.SchemaMismatch, match="needs an array of all children"):
        weighted(ragged)


def test_09_what_was_not_declared() -> None:
    @hx.up(reads_children=("value",), writes=("value",))
    def undeclared(node: Any, children: Any, params: Any) -> Any:
        return {"value": children.value.mean(0) + node.noise}

    @hx.up(reads_children=("value",), writes=("value",))
    def other(node: Any, children: Any, params: Any) -> Any:
        return {"valve": children.value.mean(0)}

    @hx.up(reads_children=("value",), writes=("value",))
    def nothing(node: Any, children: Any, params: Any) -> Any:
        return {}

    with pytest.raises(AttributeError, match=r"add 'noise' to reads="):
        undeclared(seeded())
    with pytest.raises(hx.SchemaMismatch, match="'valve'"):
        other(seeded())
    with pytest.raises(hx.SchemaMismatch, match="'value'"):
        nothing(seeded())


def test_10_down(single: None) -> None:
    tree = hx.Tree.empty(TOPOLOGY, {"value": (), "noise": ()}).at[TOPOLOGY.is_root].set(value=jnp.array([1.0]))
    swept = propagate(tree.set(noise=jax.random.normal(jax.random.PRNGKey(42), (15,), dtype=jnp.float32)))
    assert float(swept.value[0]) == 1.0
    assert str(np.asarray(swept.value[1:3])) == "[1.4671319 1.2957029]"
    np.testing.assert_allclose(swept.value[-1], -0.20146927, rtol=0, atol=3e-7)


def test_11_a_second_call_compiles_nothing() -> None:
    jitted = jax.jit(mean)
    for _ in range(2):
        jitted(seeded())
    assert jitted._cache_size() == 1


def test_12_scan_in_jit(single: None) -> None:
    topology = hx.symmetric_topology(10, 2)

    @jax.jit
    def thousand(tree: hx.Tree) -> hx.Tree:
        return jax.lax.scan(lambda tree, _: (mean(tree), None), tree, xs=None, length=1000)[0]

    assert topology.size == 2047
    assert thousand(seeded(topology, jnp.ones(1024))).value.tolist() == [1.0] * 2047


def test_13_grad(single: None) -> None:
    slopes = jax.grad(lambda leaves: mean(seeded(leaves=leaves)).value[0])(LEAVES)
    assert str(np.asarray(slopes)) == "[0.125 0.125 0.125 0.125 0.125 0.125 0.125 0.125]"


def test_14_names_params_and_schemas() -> None:
    @hx.up(reads_children=("value",), writes=("value",))
    def scaled(node: Any, children: Any, params: Any) -> Any:
        return {"value": params["by"]["factor"] * children.value.sum(0) + params["plus"][0]}

    tree = seeded(hx.Topology.from_parents([0, 0, 0]), jnp.array([1.0, 2.0]))
    swept = scaled(tree, params={"by": {"factor": 2.0}, "plus": [0.5]})
    assert swept["value"].tolist() == [6.5, 1.0, 2.0]
    schema = tree.schema.with_added(noise=(2,), count=hx.FieldSpec((), int))
    assert schema.names == ("count", "noise", "value")
    assert schema.without("noise", "value").names == ("count",)
    with pytest.raises(ValueError, match="there already"):
        schema.with_added(value=())
    with pytest.raises(hx.MissingField, match="'valve'"):
        schema.without("valve")


# Pytrees.


def test_15_leaves_and_structure() -> None:
    nested = [3.0, (1, {"a": 2, "b": "val1"}), ("val2", ["val3"])]
    assert jax.tree.leaves(nested) == [3.0, 1, 2, "val1", "val2", "val3"]
    tree, other = seeded().update(noise=(2,)), seeded(RAGGED, jnp.arange(4.0))
    examples = [[1, 2, "a"], (1, (2, 3), 4, ()), jnp.zeros(3), tree, {"a": tree, "b": [other, (other, {"c": 1}, 2)]}]
    assert [len(jax.tree.leaves(example)) for example in examples] == [3, 4, 1, 2, 6]
    for example in (tree, {"a": tree, "b": (other, [tree])}):
        leaves, structure = jax.tree.flatten(example)
        again = jax.tree.unflatten(structure, leaves)
        assert jax.tree.structure(again) == structure
        assert jax.tree.all(jax.tree.map(jnp.array_equal, again, example))


def test_16_key_paths_can_be_read() -> None:
    tree = seeded().update(noise=(2,))
    found, _ = jax.tree_util.tree_flatten_with_path({"trees": [tree, seeded(RAGGED, jnp.ones(4)).framed()]})
    paths = [jax.tree_util.keystr(path) for path, _ in found]
    assert paths[:3] == ["['trees'][0].noise", "['trees'][0].value", "['trees'][1].value"]
    assert all(path.startswith("['trees'][1].topology.schedule.") for path in paths[3:])


def test_17_map_over_trees() -> None:
    found = jax.tree.map(lambda *x: sum(x), *({"key1": 1.0 * k, "key2": 8.0 + k, "key3": 17.0 + k} for k in (0, 1)))
    assert found == {"key1": 1.0, "key2": 17.0, "key3": 35.0}
    one, other = seeded(RAGGED, jnp.arange(4.0)), seeded(RAGGED, jnp.array([10.0, 18.0, 27.0, 0.0]))
    assert jax.tree.map(jnp.add, one, other).value.tolist() == [0, 0, 10, 19, 29, 3]
    assert jax.tree.map(lambda x: 2 * x, {"a": [one]})["a"][0].value.tolist() == [0, 0, 0, 2, 4, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Of the same size, depth and degrees.
        (lambda tree: seeded(hx.from_parents([0, 0, 0, 2, 2, 2]), jnp.ones(4)), r"tree\.topology\n.*\n.*Topology"),
        (lambda tree: tree.update(noise=()), r"\n    noise$"),
        (lambda tree: tree.drop("value").update(other=()), "'other'"),
        (lambda tree: tree.framed(), r"tree\.topology\n"),
        (lambda tree: {"value": tree.value}, "dict"),
    ],
)
def test_17_a_mismatch_names_what_differs(change: Any, message: str) -> None:
    tree = seeded(RAGGED, jnp.ones(4))
    with pytest.raises(ValueError, match=message) as caught:
        jax.tree.map(jnp.add, tree, change(tree))
    assert "[0 0 0" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_18_a_list_of_trees_is_a_tree_of_lists() -> None:
    trees = [seeded(leaves=LEAVES + shift) for shift in (0.0, 1.0, 2.0)]
    lists = jax.tree.transpose(jax.tree.structure([0] * 3), jax.tree.structure(trees[0]), trees)
    assert isinstance(lists, hx.Tree)
    assert [float(x) for x in jax.tree.map(lambda x: x[-1], lists.value)] == [7, 8, 9]
    # Of one topology: one tree with a further axis, swept by vmap.
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *trees)
    assert jax.vmap(mean)(stacked).value[:, 0].tolist() == [3.5, 4.5, 5.5]
    # Of several: a forest.
    mixed = [trees[0], seeded(RAGGED, jnp.array([10.0, 1.0, 2.0, 3.0])), trees[1]]
    forest = hx.Forest([tree.topology for tree in mixed])
    assert mean(forest.join(mixed)).value[forest.roots].tolist() == [3.5, 6.0, 4.5]


def test_19_descent_over_nested_parameters() -> None:
    @hx.up(reads_children=("value",), writes=("value",))
    def layer(node: Any, children: Any, params: Any) -> Any:
        return {"value": sum(p["weights"] * children.value.sum(0) + p["biases"] for p in params)}

    tree = seeded(RAGGED, jnp.array([0.5, 0.1, 0.2, 0.3]))

    def loss(params: Any) -> Any:
        return (layer(tree, params=params).value[0] - 2.0) ** 2

    @jax.jit
    def descend(params: Any) -> Any:
        def step(params: Any, _: Any) -> Any:
            return jax.tree.map(lambda p, slope: p - 0.01 * slope, params, jax.grad(loss)(params)), None

        return jax.lax.scan(step, params, length=1000)[0]

    keys = jax.random.split(jax.random.key(0), 4)
    start = [{"weights": jax.random.normal(keys[i]), "biases": jnp.zeros(())} for i in (0, 1)]
    params = descend(start)
    assert jax.tree.map(jnp.shape, params) == [{"biases": (), "weights": ()}] * 2
    assert loss(params) < 1e-12 < loss(start)


# NumPyro and JAX.


def test_32_at_set_and_add() -> None:
    tree = hx.Tree.empty(RAGGED, {"value": ()}).at[jnp.array([1, 1, 4])].add(value=jnp.array([1.0, 2.0, 3.0]))
    assert tree.value.tolist() == [0, 3, 0, 0, 3, 0]
    assert tree.at[1:3].set(value=7.0).value.tolist() == [0, 7, 7, 0, 3, 0]


def test_33_vmap_and_in_axes(single: None) -> None:
    star = hx.from_parents([0, 0, 0, 0])

    def summed(leaves: Any, scale: Any = 1.0) -> Any:
        return scale * total(seeded(star, leaves)).value[0]

    assert str(jax.vmap(summed)(jnp.ones((5, 3)))) == "[3. 3. 3. 3. 3.]"
    columns = jnp.array([[1.0, 2.0], [1.0, 3.0], [3.0, 5.0]])
    assert jax.vmap(summed, in_axes=1)(columns).tolist() == [5, 10]
    outer = jax.vmap(jax.vmap(summed, in_axes=(None, 0)), in_axes=(0, None))
    rows = jnp.array([[1.0, 2.0, 2.0], [1.0, 3.0, 3.0], [3.0, 3.0, 3.0]])
    assert outer(rows, jnp.array([2.0, 3.0, 4.0])).tolist() == [[10, 15, 20], [14, 21, 28], [18, 27, 36]]

    @hx.up(reads_children=("point",), writes=("distance",))
    def distance(node: Any, children: Any, params: Any) -> Any:
        return {"distance": jnp.sqrt(((children.point[0] - children.point[1]) ** 2).sum())}

    def between(trees: dict[str, hx.Tree]) -> Any:
        return distance(trees["pair"]).distance[0]

    cherry = hx.Tree.empty(hx.from_parents([0, 0, 0]), {"point": (2,), "distance": ()})
    points = jnp.array([[[1.0, 2.0], [4.0, 7.0]], [[1.0, 2.0], [2.0, 3.0]], [[0.0, 3.0], [5.0, 0.0]]])
    stack = {"pair": jax.vmap(lambda pair: cherry.at[1:].set(point=pair))(points)}
    assert str(jax.vmap(between)(stack)) == "[5.8309517 1.4142135 5.8309517]"
    # A tree of the same fields says along which axes to map.
    shared = {"pair": dataclasses.replace(cherry, data={"distance": cherry.distance, "point": stack["pair"].point})}
    axes = {"pair": dataclasses.replace(cherry, data={"distance": None, "point": 0})}
    assert str(jax.vmap(between, in_axes=(axes,))(shared)) == "[5.8309517 1.4142135 5.8309517]"


def test_34_scan(single: None) -> None:
    def step(tree: hx.Tree, x: Any) -> tuple[hx.Tree, Any]:
        tree = tree.at[1].set(value=tree.value[0]).at[2].set(value=x)
        tree = total(tree)
        return tree, tree.value[0]

    cherry = seeded(hx.from_parents([0, 0, 0]), jnp.zeros(2))
    carried, outputs = jax.lax.scan(step, cherry, jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert carried.value[0] == 15
    assert outputs.tolist() == [1, 3, 6, 10, 15]

    @hx.up(reads_children=("value",), writes=("value",))
    def blend(node: Any, children: Any, params: Any) -> Any:
        return {"value": (children.value * params).sum(0)}

    def average(tree: hx.Tree, x: Any) -> tuple[hx.Tree, Any]:
        tree = tree.at[1:].set(value=jnp.stack([tree.value[0], x]))
        tree = blend(tree, params=jnp.array([2.0, 1.0]) / 3)
        return tree, tree.value[0]

    _, averages = jax.lax.scan(average, cherry, jnp.array([10.0, 12.0, 14.0, 16.0, 18.0]))
    np.testing.assert_allclose(averages, [3.3333335, 6.222223, 8.8148155, 11.209877, 13.473251], rtol=2e-7)


def test_35_keys() -> None:
    @hx.down(reads=(), reads_parent=("value",), writes=("value",))
    def walk(node: Any, parent: Any, params: Any) -> Any:
        return {"value": parent.value + jax.random.normal(node.key)}

    tree = hx.Tree.empty(RAGGED, {"value": ()})
    first, second = jax.random.split(jax.random.key(7))
    assert walk(tree, key=first) == walk(tree, key=first)
    assert walk(tree, key=first) != walk(tree, key=second)
    draws = jax.vmap(lambda key: walk(tree, key=key).value)(jax.random.split(first, num=5))
    assert len(np.unique(draws[:, 1:])) == draws[:, 1:].size
    np.testing.assert_array_equal(draws[3], walk(tree, key=jax.random.split(first, num=5)[3]).value)


# Autodiff from nothing.


def along(f: Any, x: Any, depth: int = 1) -> Any:
    """f applied `depth` times, by a sweep up a chain."""

    @hx.up(reads_children=("value",), writes=("value",))
    def applied(node: Any, children: Any, params: Any) -> Any:
        return {"value": f(children.value.sum(0))}

    topology = chain(depth)
    return applied(hx.Tree.empty(topology, {"value": ()}).at[depth].set(value=x)).value[0]


def test_36_values_through_nested_transformations(single: None) -> None:
    both = partial(along, lambda x: jnp.exp(x) + jnp.sin(x))
    np.testing.assert_allclose(jax.jvp(both, (3.14,), (1.0,)), (23.1054595, 22.1038681), rtol=2e-7)
    value, pull = jax.vjp(both, 3.14)
    np.testing.assert_allclose((value, *pull(1.0)), (23.1054595, 22.1038681), rtol=2e-7)
    sine = partial(along, jnp.sin)
    np.testing.assert_allclose(jax.grad(sine)(3.14), -0.99999873, rtol=2e-7)
    np.testing.assert_allclose(jax.jit(jax.grad(jax.grad(sine)))(3.14), -0.00159265, rtol=0, atol=2e-7)


def test_37_derivatives_of_any_order() -> None:
    cubic = partial(along, lambda x: 3 * x**3 + 2 * x**2 + 2 * x)
    assert jax.jit(jax.grad(cubic))(2.0) == 46
    assert jax.jit(jax.grad(jax.grad(cubic)))(2.0) == 40
    derivative = partial(along, lambda x: x * jnp.sin(x))
    for order in range(4):
        derivative = jax.grad(derivative) if order % 2 else jax.jacfwd(derivative)
    x = 1.3
    np.testing.assert_allclose(jax.jit(derivative)(x), x * np.sin(x) - 4 * np.cos(x), rtol=1e-13)


def test_38_forward_over_reverse_is_reverse_over_forward() -> None:
    def f(x: Any) -> Any:
        return along(lambda x: x * jnp.tanh(x) + jnp.exp(0.1 * x), x, depth=3)

    slope = jax.jit(jax.grad(f))
    forward_over_reverse = jax.jit(lambda x: jax.jvp(jax.grad(f), (x,), (1.0,))[1])(1.2)
    reverse_over_forward = jax.jit(jax.grad(lambda x: jax.jvp(f, (x,), (1.0,))[1]))(1.2)
    np.testing.assert_allclose(forward_over_reverse, reverse_over_forward, rtol=1e-14)
    step = 1e-5
    np.testing.assert_allclose(forward_over_reverse, (slope(1.2 + step) - slope(1.2 - step)) / (2 * step), rtol=1e-8)


def test_39_a_tangent_and_a_transpose_are_sweeps() -> None:
    def root(value: Any) -> Any:
        return total(seeded(RAGGED, value)).value[0] ** 2

    def primitives(jaxpr: Any) -> list[str]:
        """Names of the primitives that are no calls, those inside of calls among them."""
        found = []
        for equation in jaxpr.eqns:
            inner = [value.jaxpr for value in equation.params.values() if hasattr(value, "jaxpr")]
            found += [name for each in inner for name in primitives(each)] or [equation.primitive.name]
        return found

    tangent = lambda x: jax.jvp(root, (x,), (x,))  # noqa: E731
    tangent_of_transpose = lambda x: jax.jvp(jax.grad(root), (x,), (x,))  # noqa: E731
    for function in (jax.grad(root), tangent, tangent_of_transpose):
        names = primitives(jax.make_jaxpr(function)(jnp.ones(4)).jaxpr)
        assert names.count("family_sweep") >= 2
        assert not {"while", "scan"} & set(names)


def test_40_round_trip_with_sorted_keys() -> None:
    nested = [1, (2, {"b": 4, "a": 3}, 5), [6, 7]]
    leaves, structure = jax.tree.flatten(nested)
    assert leaves == [1, 2, 3, 4, 5, 6, 7]
    assert jax.tree.unflatten(structure, leaves) == nested
    tree = hx.Tree.from_data(RAGGED, {"b": jnp.ones(6), "a": jnp.zeros(6)})
    assert [float(x[0]) for x in jax.tree.leaves(tree)] == [0, 1]


def test_41_argnums_and_nested_state() -> None:
    @hx.up(reads_children=("x",), writes=("out",))
    def linear(node: Any, children: Any, params: Any) -> Any:
        return {"out": (children.x[0] * params["weights"]).sum() + params["bias"]}

    tree = hx.Tree.empty(hx.from_parents([0, 0]), {"x": (3,), "out": ()})

    def output(state: Any, x: Any) -> Any:
        return linear(tree.at[1].set(x=x), params=state).out[0]

    state, x = {"weights": jnp.array([1.0, 2.0, 3.0]), "bias": jnp.array(1.0)}, jnp.array([0.3, 0.5, 0.7])
    value, slopes = jax.value_and_grad(output)(state, x)
    assert float(value) == pytest.approx(4.3999999999999995, abs=1e-15)
    assert jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), slopes) == {"bias": 1.0, "weights": [0.3, 0.5, 0.7]}
    by_state, by_x = jax.grad(output, argnums=(0, 1))(state, x)
    assert by_state.keys() == state.keys()
    assert by_x.tolist() == [1, 2, 3]

    def containers(x: Any, names: Any) -> Any:
        swept = linear(tree.at[1].set(x=x), params=state)
        return {" lets": swept.out[0] * names["f*in"], "go!": [swept.out[0], names["f*in"]]}

    found = jax.jacrev(containers, argnums=1)(x, {"f*in": 2.0})
    assert float(found[" lets"]["f*in"]) == pytest.approx(4.4)
    assert [float(each["f*in"]) for each in found["go!"]] == [0.0, 1.0]


def test_42_a_batch_and_a_recording_give_what_single_calls_give() -> None:
    leaves = jnp.stack([jnp.arange(4.0), jnp.ones(4), jnp.array([3.0, 1.0, 4.0, 1.0])])

    def root(leaves: Any) -> Any:
        return mean(seeded(RAGGED, leaves)).value[0]

    singly = np.array([root(each) for each in leaves])
    np.testing.assert_array_equal(jax.vmap(root)(leaves), singly)
    np.testing.assert_array_equal(jax.jit(jax.vmap(root))(leaves), singly)
    recorded = jax.make_jaxpr(root)(leaves[0])
    assert jax.core.eval_jaxpr(recorded.jaxpr, recorded.consts, leaves[0])[0] == singly[0]
