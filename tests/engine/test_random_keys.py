"""`node.key`: one key for every node, the same however the tree is cut up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx
from tests import examples


@hx.up(reads=(), reads_children=(), writes=("drawn",))
def draw_up(node: Any, children: Any, params: Any) -> Any:
    return {"drawn": jax.random.uniform(node.key)}


@hx.down(reads=(), reads_parent=(), writes=("drawn",))
def draw_down(node: Any, parent: Any, params: Any) -> Any:
    return {"drawn": jax.random.uniform(node.key)}


def blank(name: str) -> hx.Tree:
    return hx.Tree.empty(examples.example(name).topology, {"drawn": ()})


def alone(key: Any, nodes: Any) -> Any:
    """What each node draws, from the rule that the documentation states."""
    return jax.vmap(lambda node: jax.random.uniform(jax.random.fold_in(key, node)))(jnp.asarray(nodes, jnp.int32))


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
@pytest.mark.parametrize("name", ["symmetric", "caterpillar", "ragged"])
def test_every_node_draws_from_its_own_key(name: str, make: Callable[[int], Any]) -> None:
    tree, key = blank(name), make(3)
    leaf = tree.topology.is_leaf
    down, up = draw_down(tree, key=key).drawn, draw_up(tree, key=key).drawn
    drawn = alone(key, np.arange(tree.size))
    np.testing.assert_array_equal(down[1:], drawn[1:])
    np.testing.assert_array_equal(up[~leaf], drawn[~leaf])
    # Nodes without a parent, or without children, are not visited.
    assert down[0] == 0
    assert not up[leaf].any()
    assert len(set(drawn.tolist())) == tree.size


def test_the_same_in_a_frame_under_jit_under_grad_and_in_another_chunking() -> None:
    tree, key = blank("ragged"), jax.random.key(0)
    wanted = draw_down(tree, key=key).drawn
    np.testing.assert_array_equal(jax.jit(draw_down)(tree, key=key).drawn, wanted)
    np.testing.assert_array_equal(jax.jit(draw_down)(tree.framed(), key=key).drawn[: tree.size], wanted)
    # One level of 400 families and one of 800 take several chunks.
    wide = hx.Tree.empty(hx.from_parents(np.repeat([0, *range(401)], [1, 400, *[2] * 400])), {"drawn": ()})
    np.testing.assert_array_equal(draw_down(wide, key=key).drawn[1:], alone(key, np.arange(1, wide.size)))


def test_other_seeds_draw_others_and_vmap_draws_for_each() -> None:
    tree = blank("ragged")
    keys = jax.random.split(jax.random.key(1), 3)
    found = jax.vmap(lambda key: draw_down(tree, key=key).drawn)(keys)
    for row, key in zip(found, keys, strict=True):
        np.testing.assert_array_equal(row, draw_down(tree, key=key).drawn)
    assert len(np.unique(found[:, 1:])) == 3 * (tree.size - 1)


def test_trees_of_a_forest_draw_independently() -> None:
    tree = blank("ragged")
    forest = hx.Forest([tree.topology] * 3)
    drawn = draw_down(forest.join([tree] * 3), key=jax.random.key(1)).drawn
    moved = ~forest.topology.is_root
    assert len(np.unique(drawn[moved])) == moved.sum()


def test_draws_are_uniform_and_uncorrelated_between_neighbours() -> None:
    tree = hx.Tree.empty(hx.symmetric_topology(12, 2), {"drawn": ()})
    drawn = np.asarray(draw_down(tree, key=jax.random.key(5)).drawn)[1:]
    assert len(np.unique(drawn)) == len(drawn)
    # Five standard errors.
    assert abs(drawn.mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(drawn))
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / np.sqrt(len(drawn))
    assert abs(np.corrcoef(drawn[2:], drawn[tree.topology.parents[3:] - 1])[0, 1]) < 5 / np.sqrt(len(drawn))


def test_a_simulated_walk_can_be_differentiated() -> None:
    @hx.down(reads=("length",), reads_parent=("value",), writes=("value",))
    def walk(node: Any, parent: Any, params: Any) -> Any:
        return {"value": parent.value + jnp.sqrt(params * node.length) * jax.random.normal(node.key)}

    example = examples.example("ragged")
    tree = hx.Tree.from_data(example.topology, {"value": jnp.zeros(example.topology.size), "length": example.lengths})

    def total(rate: Any) -> Any:
        return walk(tree, params=rate, key=jax.random.key(2)).value.sum()

    # Every step is proportional to the square root of the rate.
    value, slope = jax.value_and_grad(total)(2.0)
    np.testing.assert_allclose(slope, value / 4, rtol=1e-12)


def test_keys_that_were_not_given_or_are_hidden() -> None:
    with pytest.raises(hx.MissingField, match=r"node\.key of sweep 'draw_down' is there when .* called with key="):
        draw_down(blank("ragged"))

    @hx.down(reads=("key",), reads_parent=(), writes=("drawn",))
    def own_field(node: Any, parent: Any, params: Any) -> Any:
        return {"drawn": node.key}

    tree = blank("ragged").update(key=jnp.arange(6.0))
    np.testing.assert_array_equal(own_field(tree).drawn, [0, 1, 2, 3, 4, 5])
    with pytest.raises(hx.SchemaMismatch, match=r"called with key=\.\.\., which hides the field 'key'"):
        own_field(tree, key=jax.random.key(0))
