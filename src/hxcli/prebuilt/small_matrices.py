"""Small matrices in large numbers: products and masked inverses whose batch lies on the last axis.

Batches of D x D matrices are slow where the D x D numbers lie together, and quick where each of them lies beside its
like: then every step is arithmetic on long rows. `folded` lays whatever `jax.vmap` batches over on the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def folded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays `(*shape, K)` that treats all K alike, as one of arrays `(*shape)` that batches over K.

    Every output has the batch too. The function is differentiated as it stands outside of `jax.vmap` only.
    """

    compiled = jax.jit(function)

    @jax.custom_batching.custom_vmap
    def laid_out(*arrays: Any) -> Any:
        return compiled(*arrays)

    @laid_out.def_vmap
    def _(size: int, batched: list[bool], *arrays: Any) -> Any:
        def fold(array: Any, has: bool) -> Any:
            wide = jnp.moveaxis(array, 0, -2) if has else jnp.repeat(array[..., None, :], size, axis=-2)
            return wide.reshape(*wide.shape[:-2], -1)

        out = laid_out(*map(fold, arrays, batched))
        parted = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(*x.shape[:-1], size, -1), -2, 0), out)
        return parted, jax.tree.map(lambda _: True, parted)

    @wraps(function)
    def one(*arrays: Any) -> Any:
        out = laid_out(*(jnp.asarray(array)[..., None] for array in arrays))
        return jax.tree.map(lambda x: x[..., 0], out)

    return one


# Compiled by themselves these are traced once for every shape, and not at every use.
@jax.jit
def product(a: Any, b: Any) -> Any:
    """Matrix products of (A, B, K) with (B, C, K), K of them."""

    # A loop, because XLA repeats what an unrolled sum is made of for every entry.
    def add(i: Any, total: Any) -> Any:
        return total + lax.dynamic_index_in_dim(a, i, 1) * lax.dynamic_index_in_dim(b, i, 0)

    return lax.fori_loop(0, a.shape[1], add, jnp.zeros((a.shape[0], b.shape[1], a.shape[2]), a.dtype))


def transposed(a: Any) -> Any:
    """(A, B, K) as (B, A, K)."""
    return jnp.swapaxes(a, 0, 1)


@jax.jit
def inverted(a: Any, mask: Any) -> tuple[Any, Any]:
    """Inverses of the masked part of positive definite matrices, 0 elsewhere, and the logs of its determinants.

    By the sweep operator (Beaton 1964; Little and Rubin 2002, Statistical Analysis with Missing Data, 7.4.3).

    Args:
        a: (D, D, K).
        mask: (D, K) which rows and columns.
    """
    number = jnp.arange(a.shape[0])[:, None]
    there = mask.astype(a.dtype)

    def sweep(k: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        matrix, log_det = state
        own = lax.dynamic_index_in_dim(there, k, 0, keepdims=False)
        column = lax.dynamic_index_in_dim(matrix, k, 1, keepdims=False)
        pivot = jnp.where(own > 0, lax.dynamic_index_in_dim(column, k, 0, keepdims=False), 1)
        here = number == k
        column = jnp.where(here, -own[None], column)
        # Row and column k are replaced; all else loses what they explain.
        rest = jnp.where(here[:, None] | here[None], 0, matrix)
        return rest - column[:, None] * (column / pivot[None])[None], log_det + jnp.log(pivot)

    masked = jnp.where(mask[:, None] & mask[None], a, 0)
    swept, log_det = lax.fori_loop(0, a.shape[0], sweep, (masked, jnp.zeros(a.shape[2], a.dtype)))
    return -swept, log_det


def unpacked(vector: Any, shapes: Iterable[tuple[int, ...]]) -> list[Any]:
    """Arrays of these shapes, of one vector of all their numbers."""
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        parts.append(vector[start : start + size].reshape(shape))
        start += size
    return parts
