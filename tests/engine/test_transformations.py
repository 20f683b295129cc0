"""Every transformation of JAX on every kind of tree, against loops and dense matrices differentiated otherwise.

One program for each tree holds all of its transformations, because a program takes longer to compile than to check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import hxcli as hx
from tests import examples, reference
from tests.engine.example_sweeps import as_one_argument
from tests.examples import Example

# Only for the time it takes: results agree to rounding.
QUICK: dict[str, bool | int | str] = {"xla_backend_optimization_level": 0}


# A program has one body for every power of two up to the largest degree.
SMALL = [
    # Equal degrees of 1, 2 and 3 are those of other trees.
    pytest.param(name, marks=pytest.mark.slow) if name in ("star", "chain", "ladder", "ungrouped symmetric") else name
    for name in examples.NAMES
    if name != "large polytomy"
]


@hx.up(reads=("offset",), reads_children=("value", "length"), writes=("value",))
def bend(node: Any, children: Any, params: Any) -> Any:
    total = (children.value * (1 + children.length)).sum(0)
    return {"value": jnp.sin(params["slope"] * total) + node.offset}


@hx.down(reads=("value", "length"), reads_parent=("level",), writes=("level",))
def unbend(node: Any, parent: Any, params: Any) -> Any:
    return {"level": node.value * parent.level + params["shift"][1] * node.length**2}


@dataclass(frozen=True)
class Case:
    """A scalar of an up and a down sweep as a function of three fields and two params in one vector.

    Attributes:
        tree: The tree, framed or not; fields `value`, `offset`, `length`, and a fixed `weight`.
        twin: The same of loops, on complex numbers too.
        point, direction: Vectors for the tree; where the tree is framed, with room for its padding.
        real: Which entries belong to nodes and params, not to padding.
    """

    tree: hx.Tree
    twin: Callable[[Any], Any]
    point: Any
    direction: Any
    real: Any


def unpacked(vector: Any, size: int) -> Any:
    return [vector[i * size : (i + 1) * size] for i in range(3)], vector[3 * size], vector[3 * size + 1 :]


def curve(tree: hx.Tree, vector: Any) -> Any:
    (value, offset, length), slope, shift = unpacked(vector, tree.size)
    params = {"slope": slope, "shift": shift}
    tree = bend(tree.set(value=value, offset=offset, length=length), params=params)
    tree = tree.update(level=jnp.ones(tree.size)).at[0].set(level=tree.value[0])
    return unbend(tree, params=params).level @ tree.weight


@cache
def case(name: str, framed: bool) -> Case:
    example = examples.example(name)
    size = example.topology.size
    rng = np.random.default_rng(size)
    weights = rng.normal(size=size)

    def twin(vector: Any) -> Any:
        (value, offset, length), slope, shift = unpacked(vector, size)
        fields = {"value": value, "offset": offset, "length": length}

        def bent(node: Any, kids: Any) -> Any:
            return {"value": np.sin(slope * sum(k["value"] * (1 + k["length"]) for k in kids)) + node["offset"]}

        def unbent(node: Any, parent: Any) -> Any:
            return {"level": node["value"] * parent["level"] + shift[1] * node["length"] ** 2}

        fields = reference.up(example.parents, fields, bent)
        fields["level"] = np.full(size, fields["value"][0])
        return reference.down(example.parents, fields, unbent)["level"] @ weights

    zero = dict.fromkeys(("value", "offset", "length"), jnp.zeros(size))
    tree = hx.Tree.from_data(example.topology, {**zero, "weight": weights})
    tree = tree.framed() if framed else tree
    real = np.append(np.tile(np.arange(tree.size) < size, 3), [True] * 3)
    point, direction = np.zeros(len(real)), np.zeros(len(real))
    point[real] = np.concatenate([example.values, rng.normal(size=size), example.lengths, [0.7, 0.3, -0.4]])
    direction[real] = rng.normal(size=real.sum())
    return Case(tree, twin, point, direction, real)


# The topology is an argument, so that trees of one layout share the program.
@partial(jax.jit, compiler_options=QUICK)
def everything(tree: hx.Tree, point: Any, direction: Any) -> dict[str, Any]:
    def function(x: Any) -> Any:
        return curve(tree, x)

    def along(x: Any) -> Any:
        return jax.jvp(function, (x,), (direction,))[1]

    first, second = jax.jvp(jax.value_and_grad(function), (point,), (direction,))
    again, third = jax.value_and_grad(along)(point)
    values, gradients = jax.vmap(jax.value_and_grad(function))(jnp.stack([point, point + direction]))
    return {
        "value": first[0],
        "grad": first[1],
        "jvp": second[0],
        "jvp of grad": second[1],
        "jvp again": again,
        "grad of jvp": third,
        "vmap": values,
        "vmap of grad": gradients,
    }


@cache
def derivatives(name: str) -> dict[str, Any]:
    """What one compiled program gives for all transformations of one tree's curve."""
    given = case(name, framed=True)
    found = jax.device_get(everything(given.tree, given.point, given.direction))
    for what in ("grad", "jvp of grad", "grad of jvp", "vmap of grad"):
        assert not found[what][..., ~given.real].any(), "padding has derivatives"
        found[what] = found[what][..., given.real]
    return found


@cache
def expected(name: str) -> dict[str, Any]:
    """The same from the twin: exact first derivatives, second ones by differences of them."""
    given = case(name, framed=False)
    points = np.stack([given.point, given.point + given.direction])
    gradients = np.stack([reference.gradient(given.twin, x) for x in points])
    second = reference.hessian_times(given.twin, given.point, given.direction)
    values = np.array([given.twin(x) for x in points])
    along = gradients[0] @ given.direction
    return {
        "value": values[0],
        "grad": gradients[0],
        "jvp": along,
        "jvp of grad": second,
        "jvp again": along,
        "grad of jvp": second,
        "vmap": values,
        "vmap of grad": gradients,
    }


def close(found: Any, wanted: Any, tolerance: float) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "what", [pytest.param("value", marks=pytest.mark.slow), "grad", "jvp", "jvp again", "vmap", "vmap of grad"]
)
def test_first_order(name: str, what: str) -> None:
    close(derivatives(name)[what], expected(name)[what], 1e-12)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("what", ["jvp of grad", "grad of jvp"])
def test_second_order(name: str, what: str) -> None:
    close(derivatives(name)[what], expected(name)[what], 1e-8)


@pytest.mark.parametrize("name", ["symmetric", "caterpillar"])
def test_hessian_and_grad_where_the_topology_is_a_constant(name: str) -> None:
    given = case(name, framed=False)

    def both(x: Any) -> Any:
        return jax.grad(partial(curve, given.tree))(x), jax.hessian(partial(curve, given.tree))(x)

    gradient, hessian = jax.jit(both, compiler_options=QUICK)(given.point)
    close(gradient, expected(name)["grad"], 1e-12)
    np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-12 * np.abs(hessian).max())
    close(hessian @ given.direction, expected(name)["grad of jvp"], 1e-8)
    other = np.roll(given.direction, 5)
    close(hessian @ other, reference.hessian_times(given.twin, given.point, other), 1e-8)


def test_gradient_of_a_large_polytomy() -> None:
    given = case("large polytomy", framed=False)
    function = jax.jit(jax.value_and_grad(partial(curve, given.tree)), compiler_options=QUICK)
    value, gradient = function(given.point)
    close(value, expected("large polytomy")["value"], 1e-12)
    close(gradient, expected("large polytomy")["grad"], 1e-12)


@pytest.mark.parametrize("name", ["zero edges"])
def test_gradient_of_conditioning_against_dense_matrices(name: str) -> None:
    example = examples.example(name)
    weights = np.random.default_rng(5).normal(size=example.topology.size)
    function, twin, point = as_one_argument(example, weights)
    value, gradient = jax.jit(jax.value_and_grad(function), compiler_options=QUICK)(point)
    close(value, twin(point), 1e-12)
    close(gradient, reference.gradient(twin, point), 1e-12)


@pytest.mark.parametrize("name", ["cherry"])
def test_without_jit(name: str) -> None:
    given = case(name, framed=False)
    function = partial(curve, given.tree)
    value, pushed = jax.linearize(function, given.point)
    close(value, expected(name)["value"], 1e-12)
    close(pushed(given.direction), expected(name)["jvp"], 1e-12)
    value, pull = jax.vjp(function, given.point)
    close(pull(2.0)[0], 2 * expected(name)["grad"], 1e-12)


def test_finite_differences_agree() -> None:
    given = case("random binary", framed=False)
    check_grads(jax.jit(partial(curve, given.tree)), (given.point,), order=1, modes=("fwd", "rev"), rtol=1e-6)


def test_jvp_of_jvp_and_checkpoint() -> None:
    given = case("cherry", framed=False)

    def along(x: Any) -> Any:
        return jax.jvp(partial(curve, given.tree), (x,), (given.direction,))[1]

    _, twice = jax.jit(lambda x: jax.jvp(along, (x,), (given.direction,)))(given.point)
    close(twice, expected("cherry")["grad of jvp"] @ given.direction, 1e-8)
    gradient = jax.jit(jax.grad(jax.checkpoint(partial(curve, given.tree))))(given.point)
    close(gradient, expected("cherry")["grad"], 1e-12)


def seeded(name: str) -> tuple[Example, hx.Tree, dict[str, Any]]:
    example = examples.example(name)
    offsets = np.random.default_rng(1).normal(size=example.topology.size)
    tree = hx.Tree.from_data(example.topology, {"value": example.values, "offset": offsets, "length": example.lengths})
    return example, tree, {"slope": 0.7, "shift": jnp.zeros(2)}


@pytest.mark.parametrize("name", ["symmetric", "ragged"])
def test_vmap_over_a_stack_of_trees_of_one_topology(name: str) -> None:
    _, tree, params = seeded(name)
    trees = [tree, tree.set(value=tree.value + 1), tree.set(length=tree.length * 2)]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *trees)
    found = jax.vmap(lambda t: bend(t, params=params))(stacked)
    for i, one in enumerate(trees):
        close(found.value[i], bend(one, params=params).value, 1e-14)
    # Some fields only, some params only, and an axis that is not the first.
    lengths = jnp.stack([t.length for t in trees], axis=1)
    found = jax.vmap(lambda length: bend(tree.set(length=length), params=params).value, in_axes=1, out_axes=1)(lengths)
    close(found[:, 2], bend(trees[2], params=params).value, 1e-14)
    slopes = jnp.array([0.1, 0.7])
    found = jax.vmap(lambda slope: bend(tree, params={"slope": slope}).value)(slopes)
    close(found[1], bend(tree, params=params).value, 1e-14)


def test_vmap_of_vmap() -> None:
    _, tree, _ = seeded("cherry")
    values = np.random.default_rng(2).normal(size=(2, 3, tree.size))

    def root(value: Any, slope: Any) -> Any:
        return bend(tree.set(value=value), params={"slope": slope}).value[0]

    slopes = jnp.array([0.2, 0.9])
    found = jax.vmap(jax.vmap(root, in_axes=(0, None)), in_axes=(0, 0))(values, slopes)
    for i in range(2):
        for j in range(3):
            close(found[i, j], root(values[i, j], slopes[i]), 1e-14)


@pytest.mark.parametrize("name", ["ragged"])
def test_scan_is_a_loop(name: str) -> None:
    _, tree, params = seeded(name)

    @jax.jit
    def scanned(tree: hx.Tree) -> hx.Tree:
        return jax.lax.scan(lambda t, _: (bend(t, params=params), None), tree, length=3)[0]

    looped = tree
    for _ in range(3):
        looped = bend(looped, params=params)
    close(scanned(tree).value, looped.value, 1e-14)


def test_grad_of_a_scan_of_sweeps() -> None:
    example = examples.example("caterpillar")
    _, tree, _ = seeded("caterpillar")

    def relaxed(slope: Any) -> Any:
        def body(carry: hx.Tree, _: Any) -> Any:
            carry = bend(carry, params={"slope": slope})
            return carry.set(offset=carry.value), carry.value[0]

        return jax.lax.scan(body, tree, length=3)[1].sum()

    def twin(vector: Any) -> Any:
        fields: dict[str, Any] = {name: np.array(tree[name], complex) for name in ("value", "offset", "length")}

        def bent(node: Any, kids: Any) -> Any:
            return {"value": np.sin(vector[0] * sum(k["value"] * (1 + k["length"]) for k in kids)) + node["offset"]}

        total = 0
        for _ in range(3):
            fields = reference.up(example.parents, fields, bent)
            fields["offset"] = fields["value"]
            total += fields["value"][0]
        return total

    gradient = jax.jit(jax.grad(relaxed), compiler_options=QUICK)(0.7)
    close(gradient, reference.gradient(twin, [0.7])[0], 1e-12)


def test_a_tree_is_what_grad_returns() -> None:
    _, tree, params = seeded("ragged")
    gradient = jax.grad(lambda t: bend(t, params=params).value[0])(tree)
    assert isinstance(gradient, hx.Tree)
    assert gradient.topology == tree.topology
    leaf = tree.topology.is_leaf
    # An inner node's own value is overwritten before it is read, a leaf's offset is never read.
    assert not gradient.value[~leaf].any()
    assert not gradient.offset[leaf].any()
    assert gradient.offset[0] == 1
    assert gradient.value[leaf].any()


def test_fields_without_derivatives_do_not_stop_those_with() -> None:
    @hx.up(reads_children=("value", "count"), writes=("value", "count"))
    def counted(node: Any, children: Any, params: Any) -> Any:
        return {"value": (children.value * children.count).sum(0), "count": children.count.sum(0)}

    topology = examples.example("ragged").topology
    counts = jnp.where(topology.is_leaf, 2, 0)

    def root(value: Any) -> Any:
        tree = hx.Tree.from_data(topology, {"value": value, "count": counts})
        return counted(tree).value[0]

    values = jnp.asarray(examples.example("ragged").values)
    gradient = jax.grad(root)(values)
    close(root(values * 2) - root(values), gradient @ values, 1e-12)
    # The product of the counts on the way from a leaf to the root's children.
    parents = topology.parents.tolist()
    totals = reference.up(parents, {"n": np.asarray(counts)}, lambda node, kids: {"n": sum(k["n"] for k in kids)})["n"]
    for leaf in np.flatnonzero(topology.is_leaf):
        factor, node = 1, int(leaf)
        while parents[node] != node:
            factor, node = factor * int(totals[node]), parents[node]
        assert gradient[leaf] == factor


def test_what_is_held_fixed_gets_no_derivative() -> None:
    _, tree, params = seeded("caterpillar")
    gradient = jax.grad(lambda v: bend(tree.set(value=jax.lax.stop_gradient(v)), params=params).value[0])(tree.value)
    assert not gradient.any()
    # Nothing that the sweep reads depends on the argument.
    gradient = jax.grad(lambda x: bend(tree, params=params).value[0] * x)(2.0)
    close(gradient, bend(tree, params=params).value[0], 1e-14)
