"""What is told of all nodes at K weighted sets of parameters: mixtures, pairs, and every tip by all others."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.left_out_tips import FarEnds, LeftOut, ObservedTips, far_ends, in_places, predictions
from hxcli.analyses.pairs import PairStates, joined
from hxcli.engine.tree import Tree
from hxcli.inference.normal_mixture import Components, Mixture
from hxcli.inference.state_columns import StateColumns
from hxcli.node_pairs import NodePairs
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.path_gains import along_paths, paths_between


def mixture_of_columns(states: StateColumns, weights: FloatArray) -> Mixture:
    """N mixtures of K normals with weights (K,) that add up to 1."""
    count = len(weights)
    zeros = np.zeros(count)
    components = Components(np.arange(count), weights, zeros, zeros, zeros + 1)
    return Mixture(states.mean, np.zeros_like(states.mean), states.variance, components)


def left_out_of_columns(painted: Painted, tree: Tree, states: StateColumns, weights: FloatArray) -> LeftOut:
    """Every observed tip of the tree as it was by all others.

    Args:
        painted: The tree.
        tree: The same with the observations as fields.
        states: All nodes together, at K sets of parameters.
        weights: (K,) of those, adding up to 1.
    """
    tips = ObservedTips.of(tree.data, painted.phylogeny.topology)
    parents = tips.parents
    edge, scale, shift, given = (each[tips.nodes] for each in (states.edge, states.scale, states.shift, states.given))
    found = states.mean[parents], states.alone[parents], states.rest[parents]
    mean, variance = far_ends(scale, shift, states.unknowns, found, slice(None), states.covariance)
    told = predictions(tips, FarEnds(mean + given, variance, edge, states.noise[tips.nodes]), weights)
    return LeftOut(in_places(tips.nodes, painted.nodes), tips.observed, told)


def pairs_of_columns(painted: Painted, states: StateColumns, pairs: NodePairs) -> PairStates:
    """Pairs of nodes of the tree as it was, at K sets of parameters."""
    first, second = painted.nodes[pairs.first], painted.nodes[pairs.second]
    paths = paths_between(painted.phylogeny.topology, first, second)
    rest = states.rest[first], states.rest[second]

    def product(one: FloatArray, other: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("nkp,kpq,nkq->nk", one, states.covariance, other))

    return joined(
        along_paths(paths, states.gain[paths.nodes], states.own[paths.nodes]),
        states.alone[paths.meet],
        (states.mean[first], states.mean[second]),
        (states.variance[first], states.variance[second]),
        (product(*rest), product(rest[0] - rest[1], rest[0] - rest[1])),
    )
