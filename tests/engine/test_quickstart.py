"""The quickstart, cell by cell: each gives the result that it shows (in single precision, as there)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx


@pytest.fixture(autouse=True)
def single_precision() -> Iterator[None]:
    with jax.enable_x64(False):
        yield


@hx.up(reads_children=("value",), writes=("value",))
def average_children(node: Any, children: Any, params: Any) -> Any:
    return {"value": children.value.mean(0)}


@hx.down(reads=("noise",), reads_parent=("value",), writes=("value",))
def propagate(node: Any, parent: Any, params: Any) -> Any:
    return {"value": parent.value + node.noise}


@pytest.fixture
def topo() -> hx.Topology:
    return hx.symmetric_topology(depth=3, degree=2)


@pytest.fixture
def leaf_obs() -> jax.Array:
    return jnp.arange(8, dtype=jnp.float32)


@pytest.fixture
def tree(topo: hx.Topology, leaf_obs: jax.Array) -> hx.Tree:
    return hx.Tree.empty(topo, {"value": ()}).at[topo.is_leaf].set(value=leaf_obs)


def test_topology(topo: hx.Topology) -> None:
    assert str(topo) == "Topology(size=15, depth=3, equal_degree=True, max_degree=2)"
    assert topo.size == 15
    assert topo.depth == 3
    assert int(topo.is_leaf.sum()) == 8
    assert topo.equal_degree is True
    assert topo.parents.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert all(isinstance(a, np.ndarray) for a in (topo.parents, topo.level_starts, topo.is_leaf))


def test_plotting_helper(topo: hx.Topology) -> None:
    levels = [topo.level_starts[d : d + 2].tolist() for d in range(topo.depth + 1)]
    assert levels == [[0, 1], [1, 3], [3, 7], [7, 15]]


def test_empty_tree(topo: hx.Topology) -> None:
    tree = hx.Tree.empty(topo, {"value": ()})
    assert str(tree) == "Tree(size=15, fields={value: ()})"
    assert str(tree.value) == "[0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0. 0.]"
    assert tree.value.shape == (15,)
    assert tree.value.dtype == jnp.float32


def test_seeded_leaves(tree: hx.Tree) -> None:
    assert str(tree.value) == "[0. 0. 0. 0. 0. 0. 0. 0. 1. 2. 3. 4. 5. 6. 7.]"


def test_at(topo: hx.Topology, leaf_obs: jax.Array) -> None:
    leaf = topo.is_leaf
    demo = hx.Tree.empty(topo, {"value": (), "count": ()}).at[leaf].set(value=leaf_obs, count=jnp.ones(8))
    assert str(np.asarray(demo.value)) == "[0. 0. 0. 0. 0. 0. 0. 0. 1. 2. 3. 4. 5. 6. 7.]"
    bumped = demo.at[leaf].add(value=jnp.full(8, 10.0))
    assert str(np.asarray(bumped.value)) == "[ 0.  0.  0.  0.  0.  0.  0. 10. 11. 12. 13. 14. 15. 16. 17.]"
    scaled = demo.at[leaf].multiply(count=jnp.full(8, 7.0))
    assert str(np.asarray(scaled["count"])) == "[0. 0. 0. 0. 0. 0. 0. 7. 7. 7. 7. 7. 7. 7. 7.]"
    clipped = demo.at[leaf].max(value=jnp.full(8, 2.0)).at[leaf].min(value=jnp.full(8, 5.0))
    assert str(np.asarray(clipped.value)) == "[0. 0. 0. 0. 0. 0. 0. 2. 2. 2. 3. 4. 5. 5. 5.]"
    snapshot = demo.at[leaf].get()
    assert str({k: v.shape for k, v in snapshot.items()}) == "{'count': (8,), 'value': (8,)}"
    assert str(np.asarray(demo.value)) == "[0. 0. 0. 0. 0. 0. 0. 0. 1. 2. 3. 4. 5. 6. 7.]"


def test_up_sweep(tree: hx.Tree, leaf_obs: jax.Array) -> None:
    after = average_children(tree)
    assert float(after.value[0]) == float(leaf_obs.mean()) == 3.5
    shown = "[3.5 1.5 5.5 0.5 2.5 4.5 6.5 0.  1.  2.  3.  4.  5.  6.  7. ]"
    assert str(np.asarray(after.value)) == shown
    assert tree.value[0] == 0


def test_a_field_that_was_not_declared_is_an_attribute_error(tree: hx.Tree) -> None:
    @hx.up(reads_children=("value",), writes=("value",))
    def undeclared(node: Any, children: Any, params: Any) -> Any:
        return {"value": children.value.mean(0) + node.noise}

    with pytest.raises(AttributeError, match=r"node field 'noise' is not available.*add 'noise' to reads="):
        undeclared(tree)


def test_down_sweep(topo: hx.Topology) -> None:
    tree = hx.Tree.empty(topo, {"value": (), "noise": ()}).at[topo.is_root].set(value=jnp.array([1.0]))
    noise = jax.random.normal(jax.random.PRNGKey(42), (topo.size,), dtype=jnp.float32)
    done = propagate(tree.set(noise=noise))
    assert float(done.value[0]) == 1.0
    # fmt: off
    shown = [1.0, 1.4671319, 1.2957029, 1.6206777, 1.343099, 1.512626, -0.14517605, 2.3765376, 2.1420875, 2.2532694,
             0.9586024, 2.6524494, 2.9584122, 0.9357306, -0.20146927]
    # fmt: on
    np.testing.assert_allclose(done.value, np.array(shown, np.float32), rtol=0, atol=5e-7)
    assert str(np.asarray(done.value[1:3])) == "[1.4671319 1.2957029]"


def test_jit(tree: hx.Tree) -> None:
    jitted = jax.jit(average_children)
    assert jitted(tree) == average_children(tree)
    assert jitted._cache_size() == 1
    jitted(tree.at[0].set(value=3.0))
    assert jitted._cache_size() == 1


def test_scan() -> None:
    big_topo = hx.symmetric_topology(depth=10, degree=2)
    assert (big_topo.size, big_topo.depth) == (2047, 10)
    leaves = int(big_topo.is_leaf.sum())
    big_tree = hx.Tree.empty(big_topo, {"value": ()}).at[big_topo.is_leaf].set(value=jnp.ones(leaves))

    @jax.jit
    def scan_loop(tree: hx.Tree) -> hx.Tree:
        final, _ = jax.lax.scan(lambda t, _: (average_children(t), None), tree, xs=None, length=1000)
        return final

    final = scan_loop(big_tree)
    assert final.value.tolist() == [1.0] * 2047
    looped = big_tree
    for _ in range(3):
        looped = average_children(looped)
    assert looped == final


def test_grad(topo: hx.Topology, leaf_obs: jax.Array) -> None:
    def root_from_leaves(leaf_vals: jax.Array) -> jax.Array:
        t = hx.Tree.empty(topo, {"value": ()})
        t = t.at[topo.is_leaf].set(value=leaf_vals)
        return average_children(t).value[0]

    grads = jax.grad(root_from_leaves)(leaf_obs)
    assert str(np.asarray(grads)) == "[0.125 0.125 0.125 0.125 0.125 0.125 0.125 0.125]"
