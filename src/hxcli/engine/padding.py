"""Padding of arrays to their size class, and back; on the CPU nothing is compiled for that."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

# id of an array -> the array, weakly, and the same with room behind it. Arrays do not change, so that a tree which is
# swept again, or a result which is swept on, is not padded again.
_WIDE: dict[int, tuple[weakref.ref[Any], Any]] = {}

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
    known = _WIDE.get(id(value)) if isinstance(value, jax.Array) and not value.is_deleted() else None
    if known is not None and known[0]() is value and known[1].shape[0] == size:
        return known[1]
    # Concrete even when called while tracing: the array outlives the trace.
    with jax.ensure_compile_time_eval():
        wide = jax.device_put(_wide_rows(value, size), _place(value)) if on_host(value) else _with_zeros(value, size)
    if isinstance(value, jax.Array):
        _remember(value, wide)
    return wide


def pad_together(values: Mapping[str, Any], size: int) -> dict[str, Any]:
    """`pad` for arrays of numpy, in one call of JAX; an array that stands under several names stays one."""
    distinct = {id(value): value for value in values.values()}
    wide = jax.device_put([_wide_rows(value, size) for value in distinct.values()])
    of = dict(zip(distinct, wide, strict=True))
    return {name: of[id(value)] for name, value in values.items()}


def unpad(value: Any, size: int) -> Any:
    """The first `size` rows; on the CPU in the memory of the whole."""
    if value.shape[0] == size:
        return value
    if isinstance(value, jax.core.Tracer) or not on_host(value):
        return value[:size]
    rows = jax.device_put(np.asarray(value)[:size], _place(value))
    _remember(rows, value)
    return rows


def on_host(value: Any) -> bool:
    """Whether numpy sees the values without a copy from another device."""
    return not isinstance(value, jax.Array) or all(device.platform == "cpu" for device in value.devices())


def _wide_rows(value: Any, size: int) -> NDArray[Any]:
    rows = _aligned((size, *value.shape[1:]), value.dtype)
    rows[: value.shape[0]] = value
    rows[value.shape[0] :] = 0
    return rows


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that holds anything, where JAX takes the memory of numpy for its own and copies nothing."""
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


def _remember(value: jax.Array, wide: Any) -> None:
    place = id(value)
    _WIDE[place] = (weakref.ref(value, lambda _: _WIDE.pop(place, None)), wide)
