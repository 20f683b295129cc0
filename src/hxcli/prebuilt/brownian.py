"""Brownian motion: what its edges are, `x_child ~ N(x_parent, sigma2 * length)`."""

from __future__ import annotations

from typing import Any

import numpy as np


def brownian_edges(lengths: Any, sigma2: Any = 1.0) -> dict[str, Any]:
    """The fields of `gaussian.EDGE`.

    Args:
        lengths: (N,) edge lengths.
        sigma2: (), (D,) or, of every edge by itself, (N, D) rate, trait^2 per unit of length.

    Returns:
        Arrays `(N,)`, but `variance` is `(N, D)` if sigma2 is not `()`.
    """
    flat = np.zeros(lengths.shape)
    if np.ndim(sigma2) == 0:
        variance = lengths * sigma2
    else:
        variance = lengths[:, None] * (sigma2[None] if np.ndim(sigma2) == 1 else sigma2)
    return {"scale": flat + 1, "shift": flat, "variance": variance}
