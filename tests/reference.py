"""Slow and obvious twins: plain loops over nodes, and dense matrices. Nothing here is shared with hxcli."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Record = dict[str, Any]


def children_of(parents: Sequence[int]) -> list[list[int]]:
    """Numbers of the children of every node."""
    lists: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if node != parent:
            lists[parent].append(node)
    return lists


def up(parents: Sequence[int], fields: Record, function: Callable[[Record, list[Record]], Record]) -> Record:
    """Calls `function(node, children)` at every node with children, the last first, and stores what it returns."""
    fields = {name: np.array(values) for name, values in fields.items()}
    kids = children_of(parents)
    for node in reversed(range(len(parents))):
        if kids[node]:
            for name, value in function(_row(fields, node), [_row(fields, kid) for kid in kids[node]]).items():
                fields[name][node] = value
    return fields


def down(parents: Sequence[int], fields: Record, function: Callable[[Record, Record], Record]) -> Record:
    """Calls `function(node, parent)` at every node with a parent, the first first, and stores what it returns."""
    fields = {name: np.array(values) for name, values in fields.items()}
    for node, parent in enumerate(parents):
        if node != parent:
            for name, value in function(_row(fields, node), _row(fields, parent)).items():
                fields[name][node] = value
    return fields


def _row(fields: Record, node: int) -> Record:
    return {name: values[node] for name, values in fields.items()}


def shared_paths(parents: Sequence[int], lengths: Any) -> Any:
    """(N, N) length of the path from the root that two nodes have in common."""
    size = len(parents)
    below = np.zeros((size, size))
    for node in range(size):
        step = node
        below[node, step] = 1
        while parents[step] != step:
            step = parents[step]
            below[node, step] = 1
    # The root's own length belongs to no edge.
    return below[:, 1:] @ np.diag(np.asarray(lengths)[1:]) @ below[:, 1:].T


def gaussian(parents: Sequence[int], leaves: Any, lengths: Any, observed: Any, root_variance: Any, noise: Any) -> Any:
    """Brownian motion on a tree, observed at the leaves with noise, by conditioning one dense normal distribution.

    The root has mean 0 and `root_variance`; an edge adds its length to the variance; an observation adds `noise`.
    Works on complex arguments, which give derivatives without cancellation (Squire and Trapp 1998).

    Returns:
        Log density of the observations; (N,) conditional means; (N,) conditional variances.
    """
    paths = shared_paths(parents, lengths)
    prior = paths + root_variance
    seen = prior[np.ix_(leaves, leaves)] + noise * np.eye(len(leaves))
    cross = prior[:, leaves]
    weighted = np.linalg.solve(seen, observed)
    density = -0.5 * (observed @ weighted + np.log(np.linalg.det(seen)) + len(leaves) * np.log(2 * np.pi))
    means = cross @ weighted
    variances = np.diag(prior) - np.sum(cross * np.linalg.solve(seen, cross.T).T, axis=1)
    return density, means, variances


def gradient(function: Callable[[Any], Any], point: Any) -> Any:
    """(M,) derivatives of a real-analytic function of M numbers, by steps in the imaginary direction."""
    point = np.asarray(point, complex)
    step = 1e-30
    return np.array([function(point + 1j * step * unit).imag / step for unit in np.eye(len(point))])


def hessian_times(function: Callable[[Any], Any], point: Any, direction: Any) -> Any:
    """(M,) second derivatives along a direction, by central differences of exact gradients."""
    step = 1e-4
    point, direction = np.asarray(point, float), np.asarray(direction, float)
    near = gradient(function, point + step * direction) - gradient(function, point - step * direction)
    far = gradient(function, point + 2 * step * direction) - gradient(function, point - 2 * step * direction)
    return (8 * near - far) / (12 * step)


def random_binary(tips: int, seed: int) -> Any:
    """(2 * tips - 1,) parents, breadth first, of a random binary tree: every plane shape is equally likely.

    A shuffled list of inner nodes and tips has exactly one rotation that is the breadth-first list of a tree (the
    cycle lemma of Dvoretzky and Motzkin 1947). Its depth grows with the square root of the tips.
    """
    inner = np.zeros(2 * tips - 1, bool)
    inner[: tips - 1] = True
    inner = np.random.default_rng(seed).permutation(inner)
    places_left = np.cumsum(np.where(inner, 1, -1))
    inner = np.roll(inner, -1 - int(np.argmin(places_left)))
    return np.concatenate([[0], np.repeat(np.flatnonzero(inner), 2)])


def brownian(parents: Any, lengths: Any, values: Any) -> tuple[Any, Any, float]:
    """Brownian motion with a flat root and exact tips, in time linear in the nodes: one numpy call for each level.

    Args:
        parents: (N,) breadth first.
        lengths: (N,) positive.
        values: (N,) observed at the tips.

    Returns:
        (N,) conditional means and (N,) variances given all tips, and the rate by restricted maximum likelihood.
    """
    parents, size = np.asarray(parents), len(parents)
    starts = [0, 1]
    while starts[-1] < size:
        # The next level has the nodes whose parents are in this one.
        starts.append(int(np.searchsorted(parents, starts[-1])))
    levels = list(pairwise(starts))[1:]
    tip = np.bincount(parents[1:], minlength=size) == 0
    mean, variance = np.where(tip, values, 0.0), np.zeros(size)
    squares = 0.0
    for first, last in reversed(levels):
        weight = 1 / (variance[first:last] + lengths[first:last])
        above = parents[first:last]
        low, high = above[0], above[-1] + 1
        total = np.bincount(above - low, weight, high - low)
        average = np.bincount(above - low, weight * mean[first:last], high - low)
        families = np.flatnonzero(total) + low
        mean[families] = average[families - low] / total[families - low]
        variance[families] = 1 / total[families - low]
        squares += float(np.sum(weight * (mean[first:last] - mean[above]) ** 2))
    for first, last in levels:
        above, edge = parents[first:last], lengths[first:last]
        share = variance[first:last] / (variance[first:last] + edge)
        mean[first:last] += share * (mean[above] - mean[first:last])
        variance[first:last] = share * edge + share**2 * variance[above]
    return mean, variance, squares / (int(tip.sum()) - 1)
