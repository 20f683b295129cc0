"""Trees of one size class share a program: nothing compiles for the second, in this process or in the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import hxcli as hx
from tests import examples, reference
from tests.engine import example_sweeps
from tests.engine.compile_counts import compilations

ROOT = Path(__file__).resolve().parents[2]


def grown(parents: NDArray[np.int64]) -> hx.Tree:
    size = len(parents)
    values = np.random.default_rng(size).normal(size=size)
    return hx.Tree.from_data(
        hx.from_parents(parents), {"value": values, "weight": np.ones(size), "depth": np.zeros(size)}
    )


def leaf_mean(tree: hx.Tree) -> float:
    return float(np.asarray(tree.value)[tree.topology.is_leaf].mean())


def test_a_second_tree_of_the_size_class_compiles_nothing() -> None:
    for first, second in [
        (examples.random_binary(82, seed=1), examples.random_binary(83, seed=2)),
        (examples.random_ragged(162, (0, 1, 2, 4), seed=1), examples.random_ragged(163, (0, 1, 2, 4), seed=2)),
    ]:
        with compilations() as compiled:
            example_sweeps.weighted_mean(grown(first))
        assert "jit(_run_for_writes)" in compiled
        with compilations() as compiled:
            tree = grown(second)
            found = np.asarray(example_sweeps.weighted_mean(tree).value)
        assert compiled == []
        np.testing.assert_allclose(found[0], leaf_mean(tree), rtol=1e-12)


def test_a_second_forest_of_the_size_class_compiles_nothing() -> None:
    for seed in (1, 2):
        trees = [grown(examples.random_binary(20 + seed, seed=10 * seed + i)) for i in range(5)]
        with compilations() as compiled:
            forest = hx.Forest([tree.topology for tree in trees])
            split = forest.split(example_sweeps.weighted_mean(forest.join(trees)))
        for before, after in zip(trees, split, strict=True):
            np.testing.assert_allclose(np.asarray(after.value)[0], leaf_mean(before), rtol=1e-12)
    assert compiled == []


def test_framed_trees_share_a_program_of_the_users() -> None:
    @jax.jit
    def slope(tree: hx.Tree) -> Any:
        return jax.value_and_grad(lambda value: example_sweeps.weighted_mean(tree.set(value=value)).value[0])(
            tree.value
        )

    for seed, tips in ((1, 82), (2, 83)):
        tree = grown(examples.random_binary(tips, seed=seed))
        framed = tree.framed()
        with compilations() as compiled:
            value, gradient = slope(framed)
        np.testing.assert_allclose(value, leaf_mean(tree), rtol=1e-12)
        leaf = tree.topology.is_leaf
        wanted = np.zeros(framed.size)
        wanted[: tree.size][leaf] = 1 / leaf.sum()
        np.testing.assert_allclose(gradient, wanted, atol=1e-14)
    assert compiled == []


def test_a_second_call_and_other_values_compile_nothing() -> None:
    tree = grown(examples.random_binary(80, seed=1))
    example_sweeps.maximum(tree)
    moved = tree.set(value=np.arange(tree.size))
    with compilations() as compiled:
        example_sweeps.maximum(tree)
        found = np.asarray(example_sweeps.maximum(moved).value)
    assert compiled == []
    wanted = reference.up(
        tree.topology.parents.tolist(),
        {"value": np.arange(tree.size)},
        lambda node, kids: {"value": max(node["value"], *(k["value"] for k in kids))},
    )
    np.testing.assert_array_equal(found, wanted["value"])


SCRIPT = """
import json, sys
import jax, numpy as np
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
from tests.engine.test_program_sharing import grown, leaf_mean
from tests.engine import example_sweeps
from tests.examples import random_binary
tree = grown(random_binary(int(sys.argv[1]), seed=int(sys.argv[1])))
found = float(np.asarray(example_sweeps.weighted_mean(tree).value)[0])
assert abs(found - leaf_mean(tree)) < 1e-12
counts = {name: events.count("/jax/compilation_cache/cache_" + name) for name in ("hits", "misses")}
print(json.dumps(counts))
"""


def test_a_second_process_loads_the_program_from_disk(tmp_path: Path) -> None:
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
    }
    counts = []
    for tips in ("82", "83"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, tips],
            env={**os.environ, **settings},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        counts.append(json.loads(done.stdout))
    first, second = counts
    assert first["misses"] > 0
    assert second["misses"] == 0
    assert second["hits"] == first["misses"]


def test_a_symmetric_tree_compiles_once_for_its_shape() -> None:
    tree = hx.Tree.empty(hx.symmetric_topology(4, 3), {"value": ()})
    example_sweeps.maximum(tree)
    with compilations() as compiled:
        again = hx.Tree.empty(hx.symmetric_topology(4, 3), {"value": ()})
        assert not jnp.any(example_sweeps.maximum(again).value)
    assert "jit(_run)" not in compiled
