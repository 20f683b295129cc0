"""Large trees: memory in proportion to the nodes, whatever their degrees and depth."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx
from tests import examples
from tests.engine import example_sweeps


def mixed(nodes: int) -> hx.Topology:
    """Degrees 1, 2, 3 and, now and then, 5,000."""
    rng = np.random.default_rng(0)
    degrees = rng.choice([0, 1, 2, 3], nodes, p=[0.45, 0.2, 0.2, 0.15])
    degrees[:3] = 3, 2, 3
    degrees[[5, 700, 12000]] = 5000
    ends = np.cumsum(degrees) + 1
    last = int(np.argmax(ends > nodes)) if ends[-1] > nodes else nodes
    parents = np.concatenate([[0], np.repeat(np.arange(last), degrees[:last])])
    assert ends[:last].min() > 1
    return hx.from_parents(parents)


def topologies() -> list[Any]:
    return [
        pytest.param(lambda: hx.from_parents(examples.star(1_000_000)), id="star of 1,000,000 tips"),
        pytest.param(lambda: mixed(300_000), id="degrees 1, 2, 3 and 5,000"),
    ]


@pytest.mark.parametrize("make", topologies())
def test_memory_grows_with_the_nodes_only(make: Any) -> None:
    topology = make()
    size = topology.size
    fields = {"value": np.random.default_rng(1).normal(size=size), "weight": np.ones(size)}
    tree = hx.Tree.from_data(topology, fields).framed()
    # An argument, because a constant of this size takes long to compile.
    program = jax.jit(example_sweeps.weighted_mean).lower(tree).compile()
    memory = program.memory_analysis()
    # Two fields and a few copies; a table of the largest degree for every node would take 5,000 times that.
    assert memory.temp_size_in_bytes < 20 * 8 * size
    found = np.asarray(program(tree).value)
    assert found[0] == pytest.approx(fields["value"][topology.is_leaf].mean(), rel=1e-9)


@hx.down(reads=("value", "length"), reads_parent=("value",), writes=("value",))
def below(node: Any, parent: Any, params: Any) -> Any:
    return {"value": node.value * node.length + parent.value}


@pytest.mark.parametrize("batch", [(), (4,)])
def test_a_value_that_is_read_where_it_is_written_is_kept_once(batch: tuple[int, ...]) -> None:
    parents = np.maximum(np.arange(-1, 40_000) // 2, 0)
    topology = hx.from_parents(parents)
    value = np.random.default_rng(1).normal(size=(topology.size, *batch))
    length = np.full(topology.size, 0.5)

    def twice(value: Any, length: Any) -> Any:
        return below(below(hx.Tree.from_data(topology, {"value": value, "length": length}))).value

    run = jax.vmap(twice, in_axes=(1, None), out_axes=1) if batch else twice
    program = jax.jit(run).lower(value, length).compile()
    # What the first sweep wrote the second one reads and replaces in place; a copy would take all these bytes.
    assert program.memory_analysis().temp_size_in_bytes < value.nbytes
    wanted = value.copy()
    for _ in range(2):
        for node in range(1, topology.size):
            wanted[node] = wanted[node] * 0.5 + wanted[parents[node]]
    np.testing.assert_allclose(program(value, length), wanted, rtol=1e-12)


def test_mixed_has_the_degrees_that_it_says() -> None:
    counts = set(np.unique(mixed(300_000).child_counts).tolist())
    assert {0, 1, 2, 3, 5000} <= counts


def test_a_long_caterpillar() -> None:
    levels = 100_000
    topology = hx.from_parents(examples.caterpillar(levels))
    assert topology.depth == levels
    tree = hx.Tree.from_data(
        topology,
        {"count": np.ones(topology.size, np.int64), "length": np.ones(topology.size), "depth": np.zeros(topology.size)},
    )
    found = example_sweeps.depth(example_sweeps.subtree_size(tree))
    np.testing.assert_array_equal(found.depth, topology.node_depths)
    wanted = np.where(topology.is_leaf, 1, topology.size - 2 * topology.node_depths)
    np.testing.assert_array_equal(found.count, wanted)


def test_the_gradient_of_a_long_caterpillar() -> None:
    topology = hx.from_parents(examples.caterpillar(10_000))
    tree = hx.Tree.from_data(topology, {"length": np.ones(topology.size), "depth": np.zeros(topology.size)}).framed()

    @jax.jit
    def slope(tree: hx.Tree) -> Any:
        real = jnp.arange(tree.size) < topology.size
        total = lambda length: jnp.sum(jnp.where(real, example_sweeps.depth(tree.set(length=length)).depth, 0))  # noqa: E731
        return jax.grad(total)(tree.length)

    gradient = np.asarray(slope(tree))[: topology.size]
    # A length counts once for every node below it.
    below = np.where(topology.is_leaf, 1, topology.size - 2 * topology.node_depths)
    np.testing.assert_allclose(gradient[1:], below[1:], rtol=1e-12)
