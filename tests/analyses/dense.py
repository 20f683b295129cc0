"""A slow, obvious oracle: the joint normal distribution of all nodes, conditioned by dense algebra."""

from __future__ import annotations

import numpy as np


def root_paths(parents: list[int], lengths: list[float]) -> np.ndarray:
    """(N, N) length of the path from the root that every two nodes share."""
    size = len(parents)
    above = []
    for node in range(size):
        path = {}
        while parents[node] != node:
            path[node] = lengths[node]
            node = parents[node]
        above.append(path)
    return np.array([[sum(a[k] for k in a if k in b) for b in above] for a in above])


def condition(shared: np.ndarray, tips: list[int], y: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    """Means and variances of all nodes at unit rate given y = state + N(0, noise), with a flat root.

    Returns:
        `mean`, `variance` (N,), and the quadratic form, log determinant and information about the root.
    """
    v = shared[np.ix_(tips, tips)] + np.diag(noise)
    inverse = np.linalg.pinv(v, hermitian=True)
    ones = np.ones(len(tips))
    information = ones @ inverse @ ones
    root = ones @ inverse @ y / information
    to_tips = shared[:, tips]
    gain = to_tips @ inverse
    rest = 1 - gain @ ones
    return {
        "mean": root + gain @ (y - root),
        "variance": np.diag(shared) - np.einsum("ij,ij->i", gain, to_tips) + rest**2 / information,
        "quadratic": (y - root) @ inverse @ (y - root),
        "log_det": np.linalg.slogdet(v)[1],
        "information": information,
    }
