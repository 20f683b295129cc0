"""Simulation of several traits together under a user's model with given parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import jax
import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.errors import OptionError
from hxcli.inference.matrix_edges import smallest_eigenvalues
from hxcli.models.bound_model import BoundModel
from hxcli.models.joint_edges import JointEdges, joint_edges
from hxcli.phylogeny import FloatArray, canonical_order

# How far below 0 the smallest eigenvalue of a covariance is by rounding.
_ROUNDING = 1e-9


def draw_jointly(bound: BoundModel, given: Mapping[str, float], count: int, seed: int) -> FloatArray:
    """(N, count, D) draws of all traits at all nodes; of a tip what is observed of it, its error too.

    The random numbers of a node depend on the seed and on its place among the tips' names only, not on the order of
    children.

    Args:
        bound: The model of D traits together on its tree, N nodes.
        given: Name -> value of every parameter.
        count: How many draws.
        seed: Of the random numbers.

    Raises:
        OptionError: A parameter that is not given, or that the model does not have; variances that are no covariances.
    """
    edges, unknowns = _edges_at(bound, given)
    phylogeny, traits = bound.fields.phylogeny, len(bound.traits)
    topology, generator = phylogeny.topology, np.random.default_rng(seed)
    order = canonical_order(phylogeny)

    def noise() -> FloatArray:
        numbers = np.empty((topology.size, count, traits))
        numbers[order] = generator.standard_normal((topology.size, count, traits))
        return numbers

    steps = _coloured(bound, edges.variance, noise(), slice(1, None))
    states, shift = np.empty_like(steps), edges.shift @ unknowns
    states[0] = edges.root_mean @ unknowns
    if edges.root_variance.any():
        numbers = generator.standard_normal((1, count, traits))
        states[0] += _coloured(bound, edges.root_variance[None], numbers, slice(None))[0]
    for first, last in pairwise(topology.level_starts[1:]):
        nodes = slice(int(first), int(last))
        above = states[topology.parents[nodes]]
        states[nodes] = above @ np.swapaxes(edges.transition[nodes], 1, 2) + shift[nodes, None] + steps[nodes]
    if edges.noise is not None:
        tips = np.asarray(topology.is_leaf)
        states[tips] += _coloured(bound, edges.noise, noise(), tips)[tips]
    return states


def _edges_at(bound: BoundModel, given: Mapping[str, float]) -> tuple[JointEdges, FloatArray]:
    """The edges as numpy arrays, and the unknowns of the mean, (P,), a free root's states in the root's mean."""
    values, unknowns = bound.settled(given)
    traits, is_flat = len(bound.traits), bound.model.root is None
    layout = tuple(each for each in bound.layout if each[0] != "root" or not is_flat)

    @jax.jit
    def edges(values: Mapping[str, FloatArray]) -> JointEdges:
        return joint_edges(bound.model, layout, bound.fields.columns, values, traits)

    found = jax.tree.map(np.asarray, edges({name: value[0] for name, value in values.items()}))
    of_root = np.array([name.startswith("root(") and is_flat for name in bound.unknowns])
    if is_flat:
        # The offset, which is given as 1, is the last.
        mean = np.zeros_like(found.root_mean)
        mean[:, -1] = unknowns[of_root]
        found = found._replace(root_mean=mean)
    return found, unknowns[~of_root]


def _coloured(bound: BoundModel, covariances: FloatArray, numbers: FloatArray, which: slice | BoolArray) -> FloatArray:
    """Standard normal numbers, (N, count, D), with the covariances, (N, D, D), that `which` of them have."""
    if not (smallest_eigenvalues(covariances[which]) >= -_ROUNDING).all():
        raise OptionError(
            f"model {bound.name}: a variance is no covariance at these parameters (all its eigenvalues are 0 or more)"
        )
    found = np.zeros_like(numbers)
    sizes, vectors = np.linalg.eigh(covariances[which])
    # The symmetric root, which there is of singular covariances too.
    root = (vectors * np.sqrt(np.maximum(sizes, 0))[:, None]) @ np.swapaxes(vectors, 1, 2)
    found[which] = numbers[which] @ root
    return found
