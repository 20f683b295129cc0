"""Padding of arrays to their size class, and back; on the CPU nothing is compiled for that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxlib.xla_client import batched_device_put
from numpy.typing import NDArray

from hxcli.engine.array_memo import ArrayMemo

# An array with room behind it for every array that was swept or came out of a sweep: a tree which is swept again, or a
# result which is swept on, is not padded again.
_WIDE = ArrayMemo()

# Bytes at whose multiples XLA wants arrays to begin.
_ALIGNMENT = 64


def pad(value: Any, size: int) -> Any:
    """An array with zeros, or what a sweep left there, behind its rows; in numpy on the CPU.

    A JAX array's padded form is kept for as long as the array itself: beside a field that is swept outside of
    `jax.jit` stands a second one.

    Args:
        value: (N, ...) array, or a tracer of one.
        size: Number of rows, at least N.
    """
    if value.shape[0] == size:
        return value
    if isinstance(value, jax.core.Tracer):
        return _with_zeros(value, size)
    known = _WIDE.get(value)
    if known is not None and known.shape[0] == size and not value.is_deleted():
        return known
    # Concrete even when called while tracing: the array outlives the trace.
    with jax.ensure_compile_time_eval():
        wide = jax.device_put(wide_rows(value, size), _place(value)) if on_host(value) else _with_zeros(value, size)
    if isinstance(value, jax.Array):
        _WIDE.keep(value, wide)
    return wide


def pad_together(values: Mapping[str, Any], size: int) -> dict[str, Any]:
    """`pad` for arrays of numpy, in one call of JAX; an array that stands under several names stays one."""
    distinct = {id(value): value for value in values.values()}
    wide = jax.device_put([wide_rows(value, size) for value in distinct.values()])
    of = dict(zip(distinct, wide, strict=True))
    return {name: of[id(value)] for name, value in values.items()}


def unpad(value: Any, size: int) -> Any:
    """The first `size` rows; on the CPU in the memory of the whole."""
    if value.shape[0] == size:
        return value
    if isinstance(value, jax.core.Tracer) or not on_host(value):
        return value[:size]
    rows = beside(value, np.asarray(value)[:size])
    _WIDE.keep(rows, value)
    return rows


def beside(value: jax.Array, rows: NDArray[Any]) -> Any:
    """A JAX array of the values of a numpy array, in its memory where that is aligned, on the device of another."""
    sharding = value.sharding
    if len(sharding.device_set) > 1:
        return jax.device_put(rows, _place(value))
    # What jax.device_put comes to after a tenth of a millisecond, longer than a sweep over a small tree takes.
    devices = list(sharding.device_set)
    return batched_device_put(_aval(rows.shape, rows.dtype), sharding, [rows], devices, value.committed)


@lru_cache(maxsize=4096)
def _aval(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    return jax.core.ShapedArray(shape, dtype)


def on_host(value: Any) -> bool:
    """Whether numpy sees the values without a copy from another device."""
    if not isinstance(value, jax.Array):
        return True
    devices: Any = value.sharding.device_set
    return all(device.platform == "cpu" for device in devices)


def wide_rows(value: Any, size: int) -> NDArray[Any]:
    """The rows with zeros behind them, where JAX takes the memory of numpy for its own and copies nothing."""
    rows = aligned((size, *value.shape[1:]), value.dtype)
    rows[: value.shape[0]] = value
    rows[value.shape[0] :] = 0
    return rows


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that holds anything, and begins where XLA wants arrays to begin."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _with_zeros(value: Any, size: int) -> Any:
    return jnp.pad(value, [(0, size - value.shape[0])] + [(0, 0)] * (value.ndim - 1))


def _place(value: Any) -> Any:
    """The device that an array was put on by its owner; None for JAX's choice."""
    chosen = isinstance(value, jax.Array) and value.committed and len(value.devices()) == 1
    return next(iter(value.devices())) if chosen else None
