"""Where the arrays of sweeps lie: on JAX's default device, or the traits spread over several; and back on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray

_DEVICES: ContextVar[tuple[jax.Device, ...]] = ContextVar("devices", default=())
_TRAITS = "traits"


@contextmanager
def spread_over(devices: Sequence[jax.Device]) -> Iterator[None]:
    """Within it models spread their traits, whose number is a multiple of that of the devices, over the devices.

    One device changes nothing.
    """
    token = _DEVICES.set(tuple(devices) if len(devices) > 1 else ())
    try:
        yield
    finally:
        _DEVICES.reset(token)


def on_cpu() -> bool:
    """Whether JAX's default device is a processor, beside which numpy works in the same memory."""
    device: Any = jax.config.values["jax_default_device"] or jax.local_devices()[0]
    return bool(getattr(device, "platform", device) == "cpu")


def placed(tree: Tree) -> Tree:
    """A framed tree with its (N, D) fields spread and all else on every device."""
    if not _DEVICES.get():
        return tree
    placed_tree: Tree = jax.tree.map(lambda value: _place(value, value.ndim == 2 and _is_field(value)), tree)
    return placed_tree


def placed_traits(values: Any) -> Any:
    """(D,) values of the traits, spread as the fields of `placed` are; None stays None."""
    return values if values is None or not _DEVICES.get() else _place(values, True)


def on_host(results: Sequence[Any], size: int) -> list[FloatArray]:
    """Results as float64 numpy arrays; those with a node axis cut to the first `size` rows."""
    arrays = [np.asarray(value).astype(np.float64, copy=False) for value in results]
    return [array[:size] if array.ndim == 2 else array for array in arrays]


def _is_field(value: Any) -> bool:
    # A topology's own tables are integers.
    return bool(jnp.issubdtype(value.dtype, jnp.floating))


def _place(value: Any, spread: bool) -> Any:
    axes = (*[None] * (value.ndim - 1), _TRAITS) if spread else ()
    mesh = Mesh(np.array(_DEVICES.get()), (_TRAITS,))
    return jax.device_put(value, NamedSharding(mesh, PartitionSpec(*axes)))
