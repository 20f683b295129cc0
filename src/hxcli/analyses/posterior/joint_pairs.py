"""Two nodes together in the posterior: at every component of the mixture their exact joint normal distribution."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.pairs import PairStates, joined
from hxcli.engine.topology import Topology
from hxcli.inference.normal_mixture import Weighted, at_nodes, normals
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.parameter_columns import SeenTree, edge_gains, of_means
from hxcli.prebuilt.path_gains import Shared, along_paths, paths_between


def mixed_pairs(topology: Topology, seen: SeenTree, weighted: Weighted, pairs: NodePairs) -> PairStates:
    """The states of P pairs under the J components.

    Args:
        topology: N nodes.
        seen: The observations on them.
        weighted: All nodes' mixtures, and the parameters of their components.
        pairs: P pairs of these nodes.
    """
    mixture, components = weighted.mixture, weighted.mixture.components
    column, scale = np.asarray(components.column), np.asarray(components.scale)
    # Of every column some component tells the parameters.
    columns, some = np.unique(column, return_index=True)
    place = np.searchsorted(columns, column)
    paths = paths_between(topology, pairs.first, pairs.second)
    sigma2, tau2 = (each[some] / scale[some] for each in (weighted.sigma2, weighted.tau2))
    alone = along_paths(paths, *edge_gains(seen, sigma2, tau2, paths.nodes))
    shared = Shared(alone.first[:, place], alone.second[:, place], alone.own[:, place] * scale)
    ends = pairs.first, pairs.second
    (first, of_first), (second, of_second) = (
        tuple(np.asarray(each, float) for each in normals(at_nodes(mixture, nodes))) for nodes in ends
    )
    if seen.means is None:
        at_meeting = np.asarray(mixture.variance)[paths.meet][:, column] * scale
        slopes = [np.asarray(mixture.slope)[nodes][:, column] for nodes in ends]
        spread = np.asarray(components.spread)
        further = slopes[0] * slopes[1] * spread, (slopes[0] - slopes[1]) ** 2 * spread
    else:
        found = of_means(seen, sigma2, tau2, np.concatenate([paths.meet, *ends]))
        count = len(paths.meet)
        at_meeting = found.variance[:count][:, place] * scale
        rest = found.rest[count : 2 * count], found.rest[2 * count :]

        def product(one: FloatArray, other: FloatArray) -> FloatArray:
            return np.einsum("nkp,kpq,nkq->nk", one, found.covariance, other)[:, place] * scale

        further = product(*rest), product(rest[0] - rest[1], rest[0] - rest[1])
    return joined(shared, at_meeting, (first, second), (of_first, of_second), further)


def side_by_side(parts: list[tuple[PairStates, FloatArray]]) -> tuple[PairStates, FloatArray]:
    """One mixture of several, whose weights add up to 1 together."""
    states = PairStates(*(np.concatenate(each, 1) for each in zip(*(part for part, _ in parts), strict=True)))
    weights = np.concatenate([weight for _, weight in parts])
    return states, weights / weights.sum()
