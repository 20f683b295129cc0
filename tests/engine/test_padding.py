"""Room behind the last node: made once for every array, and given back with it."""

from __future__ import annotations

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx
from hxcli.engine import padding
from hxcli.engine.padding import pad, unpad


@hx.up(reads_children=("value",), writes=("value",))
def total(node, children, params):
    return {"value": children.value.sum(0)}


def test_an_array_is_padded_once_and_its_room_goes_with_it() -> None:
    # What tests before this one left.
    gc.collect()
    before = len(padding._WIDE)
    value = jnp.arange(5.0)
    wide = pad(value, 8)
    assert wide.tolist() == [0, 1, 2, 3, 4, 0, 0, 0]
    assert pad(value, 8) is wide
    assert pad(value, 16).shape == (16,)
    assert pad(jnp.arange(5.0), 8) is not wide
    del value
    gc.collect()
    assert len(padding._WIDE) == before


def test_what_was_cut_off_is_found_again() -> None:
    whole = jnp.arange(64.0)
    rows = unpad(whole, 10)
    assert rows.tolist() == list(range(10))
    assert pad(rows, 64) is whole
    assert pad(rows, 80).tolist() == [*range(10), *[0.0] * 70]


def test_what_was_padded_while_tracing_serves_afterwards() -> None:
    tree = hx.Tree.empty(hx.from_parents([0, 0, 0, 1]), {"value": ()}).at[2].set(value=3.0)

    @hx.up(reads_children=("value",), writes=("value",))
    def scaled(node, children, params):
        return {"value": params * children.value.sum(0)}

    @jax.jit
    def root(factor):
        return scaled(tree, params=factor).value[0]

    assert float(root(2.0)) == 6
    assert float(jax.jit(jax.grad(root))(2.0)) == 3
    assert float(scaled(tree, params=2.0).value[0]) == 6


def test_numpy_arrays_may_change_and_are_padded_anew() -> None:
    value = np.arange(3.0)
    assert pad(value, 4).tolist() == [0, 1, 2, 0]
    value[0] = 7
    assert pad(value, 4).tolist() == [7, 1, 2, 0]


def test_an_array_that_was_given_away_is_refused() -> None:
    value = jnp.arange(5.0)
    pad(value, 8)
    value.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        pad(value, 8)


def test_an_array_stays_on_its_device() -> None:
    (device, *_) = jax.devices("cpu")
    value = jax.device_put(jnp.arange(5.0), device)
    assert pad(value, 8).committed
    assert unpad(pad(value, 8), 5).devices() == {device}


def test_sweeping_on_from_a_result_gives_what_a_fresh_tree_gives() -> None:
    topology = hx.from_parents([0, 0, 0, 1, 1, 1])
    tree = hx.Tree.from_data(topology, {"value": jnp.arange(6.0)})
    once = total(tree)
    again = total(once)
    fresh = total(hx.Tree.from_data(topology, {"value": np.array(once.value)}))
    assert once.value.tolist() == [14, 12, 2, 3, 4, 5]
    assert again.value.tolist() == fresh.value.tolist()
    changed = total(once.at[3].set(value=10.0))
    assert changed.value.tolist() == [21, 19, 2, 10, 4, 5]
