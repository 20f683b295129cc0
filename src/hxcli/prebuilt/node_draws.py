"""Draws of the states of all nodes of a tree along Gaussian edges, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hxcli.phylogeny import FloatArray, Phylogeny, canonical_order


class NodeEdges(NamedTuple):
    """The edges of N nodes at one set of parameters, on the host.

    Attributes:
        scale, variance, shift: (N,).
        root_mean, root_variance: Of the root.
        noise: (N,) variance of what is observed of a tip around its state; None for none.
    """

    scale: FloatArray
    variance: FloatArray
    shift: FloatArray
    root_mean: float
    root_variance: float
    noise: FloatArray | None = None


def draw(
    phylogeny: Phylogeny, edges: NodeEdges, count: int, seed: int | Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """Draws of the deviations of all nodes from their means, (N, count), and the means, (N,).

    Of a tip what is observed of it is drawn, its error too.

    The random numbers of a node depend on the seed and on its place among the tips' names only, not on the order of
    children.
    """
    topology = phylogeny.topology
    generator = np.random.default_rng(seed)
    order = canonical_order(phylogeny)
    noise = np.empty((topology.size, count))
    noise[order] = generator.standard_normal((topology.size, count))
    noise *= np.sqrt(edges.variance)[:, None]
    states, mean = np.empty_like(noise), np.empty(topology.size)
    states[0], mean[0] = noise[0] * 0, edges.root_mean
    if edges.root_variance > 0:
        states[0] = np.sqrt(edges.root_variance) * generator.standard_normal(count)
    starts = topology.level_starts
    for level in range(1, len(starts) - 1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        above = topology.parents[nodes]
        states[nodes] = edges.scale[nodes, None] * states[above] + noise[nodes]
        mean[nodes] = edges.scale[nodes] * mean[above] + edges.shift[nodes]
    if edges.noise is not None:
        errors = np.empty_like(noise)
        errors[order] = generator.standard_normal((topology.size, count))
        states += errors * np.sqrt(edges.noise)[:, None]
    return states, mean
