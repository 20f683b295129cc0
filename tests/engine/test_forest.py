"""Forests: every tree's result is its own, and every transformation holds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx
from tests import examples, reference
from tests.engine import example_sweeps

ALL = [examples.example(name) for name in examples.NAMES]
SOME = [examples.example(name) for name in ("single", "chain", "ragged", "caterpillar")]


def trees(zoo: list[examples.Example]) -> list[hx.Tree]:
    return [
        hx.Tree.from_data(e.topology, {"value": e.values, "weight": e.lengths + 0.5, "length": e.lengths}) for e in zoo
    ]


@pytest.mark.parametrize("zoo", [ALL, ALL[5:6] * 3, ALL[:1] * 2], ids=["zoo", "three alike", "two single nodes"])
def test_every_tree_gets_what_a_loop_gives_it(zoo: list[examples.Example]) -> None:
    forest = hx.Forest([e.topology for e in zoo])
    joined = forest.join(trees(zoo))
    split = forest.split(example_sweeps.weighted_mean(joined))
    assert len(split) == len(forest) == len(zoo)

    def mean(node: Any, kids: Any) -> Any:
        total = sum(k["weight"] for k in kids)
        return {"value": sum(k["value"] * k["weight"] for k in kids) / total, "weight": total}

    for tree, example in zip(split, zoo, strict=True):
        wanted = reference.up(example.parents, {"value": example.values, "weight": example.lengths + 0.5}, mean)
        assert tree.topology == example.topology
        np.testing.assert_allclose(tree.value, wanted["value"], rtol=1e-12)
        np.testing.assert_array_equal(tree.length, example.lengths)


def test_down_sweeps_and_leaves_in_their_order() -> None:
    forest = hx.Forest([e.topology for e in SOME])
    joined = forest.join(trees(SOME)).update(depth=())
    for tree, example in zip(forest.split(example_sweeps.depth(joined)), SOME, strict=True):
        np.testing.assert_allclose(
            tree.depth, np.diag(reference.shared_paths(example.parents, example.lengths)), rtol=1e-12
        )


def test_join_and_split_are_inverse_and_places_are_stated() -> None:
    forest = hx.Forest([e.topology for e in ALL])
    given = trees(ALL)
    joined = forest.join(given)
    assert repr(forest) == f"Forest(trees={len(ALL)}, size={joined.size}, depth=7)"
    assert all(a == b for a, b in zip(forest.split(joined), given, strict=True))
    for b, (tree, place) in enumerate(zip(given, forest.places, strict=True)):
        np.testing.assert_array_equal(joined.value[place], tree.value)
        assert (forest.tree_of[place] == b).all()
    np.testing.assert_array_equal(joined.value[forest.roots], [e.values[0] for e in ALL])
    assert forest.topology.is_root.sum() == len(ALL)
    wide = forest.broadcast(np.arange(2.0 * len(ALL)).reshape(-1, 2))
    np.testing.assert_array_equal(wide[forest.places[3]], [[6.0, 7.0]] * ALL[3].topology.size)


def root_sum(forest: hx.Forest, tree: hx.Tree, scale: Any) -> Any:
    return jnp.sin(example_sweeps.weighted_mean(tree.set(value=tree.value * scale)).value[forest.roots]).sum()


def test_transformations_of_a_forest_are_those_of_its_trees() -> None:
    forest = hx.Forest([e.topology for e in SOME])
    joined = forest.join(trees(SOME))

    def total(scale: Any) -> Any:
        return root_sum(forest, joined, scale)

    def twin(scale: Any) -> Any:
        # A weighted mean of the leaves, whatever the tree.
        means = []
        for e in SOME:
            weights = e.lengths[e.leaves] + 0.5
            means.append((e.values[e.leaves] * weights).sum() / weights.sum() * scale)
        return np.sin(np.array(means)).sum()

    found = jax.jit(lambda x: (total(x), jax.grad(total)(x), jax.jvp(jax.grad(total), (x,), (1.0,))[1]))(0.7)
    np.testing.assert_allclose(found[0], twin(0.7), rtol=1e-12)
    exact = reference.gradient(lambda x: twin(x[0]), [0.7])[0]
    np.testing.assert_allclose(found[1], exact, rtol=1e-12)
    second = reference.hessian_times(lambda x: twin(x[0]), [0.7], [1.0])[0]
    np.testing.assert_allclose(found[2], second, rtol=1e-8)
    np.testing.assert_allclose(jax.vmap(total)(jnp.array([0.7, -0.2])), [twin(0.7), twin(-0.2)], rtol=1e-12)


def test_gradients_of_joined_trees_are_the_trees_own() -> None:
    forest = hx.Forest([e.topology for e in SOME])

    def total(given: list[hx.Tree]) -> Any:
        return root_sum(forest, forest.join(given), 1.0)

    gradients = jax.jit(jax.grad(total))(trees(SOME))
    for gradient, e in zip(gradients, SOME, strict=True):
        weights = e.lengths[e.leaves] + 0.5
        mean = (e.values[e.leaves] * weights).sum() / weights.sum()
        wanted = np.zeros(e.topology.size)
        wanted[e.leaves] = np.cos(mean) * weights / weights.sum()
        assert gradient.topology == e.topology
        np.testing.assert_allclose(gradient.value, wanted, atol=1e-14)


def test_the_densities_of_several_trees_at_once() -> None:
    zoo = [examples.example(name) for name in ("caterpillar", "zero edges", "single")]
    forest = hx.Forest([e.topology for e in zoo])
    params = {"rate": 0.8, "noise": 0.3, "root": 2.0}
    joined = forest.join([hx.Tree.from_data(e.topology, {"value": e.values, "length": e.lengths}) for e in zoo])
    observed = joined.value[forest.topology.is_leaf]
    density, tree = example_sweeps.condition(forest.topology, observed, joined.length, params)
    for b, (one, e) in enumerate(zip(forest.split(tree), zoo, strict=True)):
        wanted = reference.gaussian(e.parents, e.leaves, e.lengths * 0.8, e.values[e.leaves], 2.0, 0.3)
        np.testing.assert_allclose(density[b], wanted[0], rtol=1e-12)
        np.testing.assert_allclose(one.mean, wanted[1], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(one.variance, wanted[2], rtol=1e-11)


def test_what_no_sweep_wrote_comes_back_as_it_was_given() -> None:
    topologies = [hx.from_parents(parents) for parents in ([0, 0, 0], [0, 0, 0, 1, 1, 1], [0])]
    forest = hx.Forest(topologies)
    trees = [
        hx.Tree.from_data(each, {"value": np.arange(1.0, each.size + 1), "pair": np.ones((each.size, 2), int)})
        for each in topologies
    ]
    joined = forest.join(trees)
    split = forest.split(joined.set(value=2 * joined.value))
    for tree, one in zip(trees, split, strict=True):
        assert one.pair is tree.pair
        np.testing.assert_array_equal(one.value, 2 * tree.value)
    pairs = [np.asarray(tree.pair) for tree in trees]
    trees[1].data["pair"].delete()
    for pair, one in zip(pairs, forest.split(joined), strict=True):
        np.testing.assert_array_equal(one.pair, pair)
