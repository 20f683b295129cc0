"""The log likelihood of a diffusion on a grid where JAX differentiates it, as the no-U-turn sampler does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_program import parts_of
from hxcli.inference.threads import usable_threads
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import Generator
from hxcli.prebuilt.grid_observations import Seen

# Bytes of a double.
_DOUBLE = 8


def traced_log_likelihood(likelihood: GridLikelihood) -> Callable[[Any], Any]:
    """The log likelihood on its cells as they are, of a point of the search (S,), to be called while tracing.

    What depends on the model is traced; the sweeps are made on the host, which tells their slopes too.
    """
    double = jnp.result_type(float).itemsize == _DOUBLE
    program, given = likelihood.program(likelihood.cells), jax.tree.map(jnp.asarray, likelihood.given(likelihood.cells))

    def on_host(*parts: Any) -> Any:
        """Value and slopes; of several sets of parameters every argument has a leading axis."""
        parts = tuple(_doubles(each) for each in parts)
        if parts[-1].ndim == 1:
            found = one(*parts)
        else:
            count = max(len(each) for each in parts)
            with ThreadPoolExecutor(max(1, min(count, usable_threads()))) as threads:
                each_set = threads.map(lambda i: one(*(each[i % len(each)] for each in parts)), range(count))
                found = tuple(np.stack(each) for each in zip(*each_set, strict=True))
        return tuple(_words(each, double) for each in found)

    def one(*parts: FloatArray) -> tuple[FloatArray, ...]:
        *rates, time, own, root, speed = parts
        told = Seen(time, own, None)
        edges = likelihood.on_edges(told, speed)
        found = likelihood.engine.swept_on_host(Generator(*rates), *edges, root, slopes=True)
        if found.slopes is None:
            return np.array(np.nan), *(np.full_like(each, np.nan) for each in parts)
        by_walk, by_own, by_root, by_speed = likelihood.by_parts(found.slopes, told, speed, best_root=False)
        assert by_root is not None
        return np.array(found.log_likelihood), *by_walk, by_own.time, by_own.likelihood, by_root, by_speed

    def called(walk: Any, time: Any, own: Any, root: Any, speed: Any) -> Any:
        parts = [_bits(each) for each in (*walk, time, own, root, speed)]
        told = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in (_bits(root[0]), *parts)]
        found = jax.pure_callback(on_host, tuple(told), *parts, vmap_method="expand_dims")
        return tuple(_floats(each) for each in found)

    @jax.custom_vjp
    def swept(walk: Any, time: Any, own: Any, root: Any, speed: Any) -> Any:
        return called(walk, time, own, root, speed)[0]

    def forwards(walk: Any, time: Any, own: Any, root: Any, speed: Any) -> Any:
        value, up, down, lost, *rest = called(walk, time, own, root, speed)
        return value, (Generator(up, down, lost), *rest)

    def backwards(by: Any, pulled: Any) -> Any:
        return tuple(jax.tree.map(lambda each: pulled * each, by))

    swept.defvjp(forwards, backwards)

    def log_likelihood(x: Any) -> Any:
        parts = parts_of(program, x, given).without_padding(likelihood.cells)
        alone = jnp.arange(len(parts.own.log_scale)) < likelihood.count
        return (
            swept(parts.generator, parts.own.time, parts.own.likelihood, parts.root, parts.speed)
            + jnp.where(alone, parts.own.log_scale, 0.0).sum()
        )

    return log_likelihood


def _bits(value: Any) -> Any:
    """Doubles as pairs of words: JAX makes single precision of them on the thread of a callback."""
    return lax.bitcast_convert_type(value, jnp.uint32) if value.dtype.itemsize == _DOUBLE else value


def _floats(bits: Any) -> Any:
    return lax.bitcast_convert_type(bits, jnp.float64) if bits.dtype == jnp.uint32 else bits


def _doubles(bits: Any) -> FloatArray:
    """`_floats` on the host, always doubles."""
    given = np.ascontiguousarray(np.asarray(bits))
    return given.view(np.float64)[..., 0] if given.dtype == np.uint32 else given.astype(float)


def _words(values: FloatArray, double: bool) -> Any:
    """`_bits` on the host."""
    values = np.asarray(values, np.float64, order="C")
    return values[..., None].view(np.uint32) if double else values.astype(np.float32)
