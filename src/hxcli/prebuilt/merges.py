"""The tree of some observed tips as merges of two branches each, done in numpy for many columns at once.

A merge of two branches that end in values x_1 and x_2, with variances s_1 and s_2 between them and the node where they
meet, makes one contrast and one value there (Felsenstein 1973, Am. J. Hum. Genet. 25:471),

    (x_1 - x_2)^2 / (s_1 + s_2),    value = (s_2 x_1 + s_1 x_2) / (s_1 + s_2),    s = s_1 s_2 / (s_1 + s_2),

and a polytomy is merged one child after the other, which gives the same sum of squares in whatever order. Columns have
values and variances of their own, so that one pass is the likelihood of many traits, each at its own parameters.
Variances may be complex, because a step in the imaginary direction gives derivatives to the last digit (Squire and
Trapp 1998, SIAM Rev. 40:110). What all columns share is faster as a matrix: `hxcli.prebuilt.contrast_matrices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray, Phylogeny


class Pruned(NamedTuple):
    """What n observed tips say about the root of their tree, for every column (K,).

    Attributes:
        mean: Generalised least squares mean.
        variance: Of the mean, 1 / (1' V^-1 1).
        squares: (x - mean)' V^-1 (x - mean).
        log_det: log|V| - log(variance), the log determinant of the contrasts.
    """

    mean: Any
    variance: Any
    squares: Any
    log_det: Any


@dataclass(frozen=True, eq=False)
class Merges:
    """n tips and n - 1 merges; branch i < n ends in tip i, branch n + j in the node of merge j.

    Attributes:
        tips: (n,) nodes of the tips.
        top, bottom: (2 n - 1,) distances from the root of where every branch begins and ends. The last one
            reaches from the root to where all tips meet.
        first, second: (n - 1,) branches that every merge joins, sorted so that those of a level follow each other.
        levels: Bounds of the levels in `first` and `second`: merges of one level do not depend on each other.
    """

    tips: NDArray[np.intp]
    top: FloatArray
    bottom: FloatArray
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    levels: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number n of tips."""
        return len(self.tips)

    @property
    def lengths(self) -> FloatArray:
        """(2 n - 1,) of the branches."""
        return self.bottom - self.top

    @property
    def trace(self) -> float:
        """Sum of the tips' distances from the root."""
        return float(self.bottom[: self.count].sum())

    def lambda_lengths(self, share: Any) -> Any:
        """(2 n - 1, K) lengths of the branches where shared ones are multiplied by Pagel's lambda.

        Args:
            share: (K,) lambda.
        """
        inner = share[None] * self.lengths[self.count :, None]
        return np.concatenate([self.bottom[: self.count, None] - share[None] * self.top[: self.count, None], inner])

    def prune(self, values: FloatArray, variances: Any) -> Pruned:
        """Merges all tips.

        Args:
            values: (n, K).
            variances: (2 n - 1, K), or (2 n - 1, 1) for all columns alike; real or complex. They are overwritten.
        """
        count = self.count
        state = np.empty((2 * count - 1, values.shape[1]), variances.dtype)
        state[:count] = values
        squares = np.zeros(values.shape[1], variances.dtype)
        log_det = np.zeros(variances.shape[1], variances.dtype)
        for start, stop in zip(self.levels, self.levels[1:], strict=False):
            a, b, out = self.first[start:stop], self.second[start:stop], slice(count + start, count + stop)
            s_a, s_b, x_a, x_b = variances[a], variances[b], state[a], state[b]
            total = s_a + s_b
            apart = x_a - x_b
            share = s_a / total
            state[out] = x_a - share * apart
            variances[out] += share * s_b
            apart *= apart
            apart /= total
            squares += apart.sum(0)
            log_det += np.log(total).sum(0)
        return Pruned(state[-1], variances[-1], squares, log_det)


def merges_of(phylogeny: Phylogeny, tips: NDArray[np.intp]) -> Merges:
    """The merges of some tips.

    Args:
        phylogeny: N nodes.
        tips: (n,) its observed tips, n >= 1.
    """
    count, height = len(tips), phylogeny.root_distances
    parents = phylogeny.topology.parents.tolist()
    # The branch that ends below every node, and the level of its merge; children come after their parents.
    found = {node: (branch, 0) for branch, node in enumerate(tips.tolist())}
    pairs: list[tuple[int, int, int]] = []
    starts = np.zeros(2 * count - 1)
    ends = np.concatenate([height[tips], np.zeros(count - 1)])
    for node in range(phylogeny.topology.size - 1, 0, -1):
        below = found.pop(node, None)
        if below is None:
            continue
        above = parents[node]
        other = found.get(above)
        if other is None:
            found[above] = below
            continue
        starts[other[0]] = starts[below[0]] = ends[count + len(pairs)] = height[above]
        level = max(other[1], below[1])
        found[above] = (count + len(pairs), level + 1)
        pairs.append((level, other[0], below[0]))
    return _sorted(tips, starts, ends, np.array(pairs, np.intp).reshape(-1, 3))


def _sorted(tips: NDArray[np.intp], starts: FloatArray, ends: FloatArray, pairs: NDArray[np.intp]) -> Merges:
    """The merges level by level, and their branches numbered likewise."""
    count = len(tips)
    order = np.argsort(pairs[:, 0], kind="stable")
    number = np.arange(2 * count - 1)
    number[count + order] = count + np.arange(count - 1)
    depth = int(pairs[:, 0].max(initial=-1)) + 1
    levels = np.searchsorted(pairs[order, 0], np.arange(depth + 1))
    top, bottom = np.empty_like(starts), np.empty_like(ends)
    top[number], bottom[number] = starts, ends
    first, second = number[pairs[order, 1]], number[pairs[order, 2]]
    return Merges(tips, top, bottom, first, second, tuple(levels.tolist()))
