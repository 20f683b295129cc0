"""Seeded trees of many shapes, as arrays of parents in breadth-first order; all but ragged fast at 1,000,000 tips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Parents = NDArray[np.int32]
Sizes = NDArray[np.int64]


def yule(tips: int, seed: int) -> Parents:
    """A random binary tree whose splits are as in a Yule process: every division of the tips is equally likely."""
    random = np.random.default_rng(seed)
    return _by_splitting(tips, lambda sizes: random.integers(1, sizes))


def ladder(tips: int, seed: int) -> Parents:
    """A random binary tree that loses one to five tips at every step: about tips / 3 levels."""
    random = np.random.default_rng(seed)
    return _by_splitting(tips, lambda sizes: np.minimum(random.integers(1, 6, len(sizes)), sizes - 1))


def ragged(tips: int, seed: int) -> Parents:
    """A random tree whose nodes have two to five children: the tips of a node are cut at random places."""
    random = np.random.default_rng(seed)
    sizes, parents, first = np.array([tips]), [np.zeros(1, np.int64)], 0
    while True:
        splits = np.flatnonzero(sizes > 1)
        if not splits.size:
            return np.concatenate(parents).astype(np.int32)
        pieces = []
        for size in sizes[splits].tolist():
            cuts = 1 + random.choice(size - 1, min(size, random.integers(2, 6)) - 1, replace=False)
            pieces.append(np.diff([0, *np.sort(cuts), size]))
        parents.append(np.repeat(first + splits, [len(piece) for piece in pieces]))
        first += len(sizes)
        sizes = np.concatenate(pieces)


def caterpillar(levels: int, seed: int = 0) -> Parents:
    """A binary tree with one tip on every level and two on the last; not random."""
    nodes = np.arange(2 * levels + 1)
    return np.maximum((nodes - 1) // 2 * 2, 0).astype(np.int32)


def star(tips: int, seed: int = 0) -> Parents:
    """One root with all the tips; not random."""
    return np.zeros(tips + 1, np.int32)


SHAPES: dict[str, Callable[[int, int], Parents]] = {
    "yule": yule,
    "ladder": ladder,
    "ragged": ragged,
    "caterpillar": caterpillar,
    "star": star,
}


def edge_lengths(parents: Parents, seed: int) -> NDArray[np.float64]:
    """(N,) random lengths, none near zero."""
    return np.random.default_rng(seed).uniform(0.1, 2.0, len(parents))


def tip_values(parents: Parents, seed: int) -> NDArray[np.float64]:
    """(N,) random values at the tips, zero elsewhere."""
    values = np.random.default_rng(seed).normal(size=len(parents))
    values[parents] = 0
    return values


def _by_splitting(tips: int, left_of: Callable[[Sizes], Any]) -> Parents:
    """Divides the tips below every node of a level at once, until all nodes are tips."""
    sizes = np.array([tips])
    parents = [np.zeros(1, np.int64)]
    first = 0
    while True:
        splits = np.flatnonzero(sizes > 1)
        if not splits.size:
            return np.concatenate(parents).astype(np.int32)
        parents.append(np.repeat(first + splits, 2))
        first += len(sizes)
        whole = sizes[splits]
        left = left_of(whole)
        sizes = np.stack([left, whole - left], 1).ravel()
