"""What all other tips predict of every observed tip: parameters that have a posterior keep the one given all tips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.analyses.left_out_tips import FarEnds, LeftOut, ObservedTips, far_ends, mixed, predictions
from hxcli.engine.topology import Topology
from hxcli.inference.normal_mixture import Weighted, at_nodes, normals
from hxcli.prebuilt.parameter_columns import SeenTree, of_means


def leave_one_out(topology: Topology, parts: Sequence[tuple[SeenTree, Weighted, float]]) -> LeftOut:
    """The prediction of every observed tip by all others.

    Args:
        topology: N nodes.
        parts: Observations on a tree with its edges, all nodes given all observations, and the part's weight; for
            each of some values of the shape parameters.
    """
    tips = ObservedTips.of(parts[0][0].tree.data, topology)
    found = [
        predictions(tips, _far_ends(seen, weighted, tips), np.asarray(weighted.mixture.components.weight))
        for seen, weighted, _ in parts
    ]
    weights = np.array([weight for *_, weight in parts])
    return LeftOut(tips.nodes, tips.observed, found[0] if len(parts) == 1 else mixed(found, weights / weights.sum()))


def _far_ends(seen: SeenTree, weighted: Weighted, tips: ObservedTips) -> FarEnds:
    """The far ends of the tips' edges at all components."""
    mixture, sigma2, tau2 = weighted[:3]
    components = mixture.components
    mean, variance = (np.asarray(each, np.float64) for each in normals(at_nodes(mixture, tips.parents)))
    edge = np.asarray(seen.tree["length"], np.float64)[tips.nodes, None] * sigma2[None]
    if "scale" not in seen.tree.data:
        return FarEnds(mean, variance, edge, tau2)
    column, spread = np.asarray(components.column), np.asarray(components.scale)
    scale, design = (np.asarray(seen.tree[name], np.float64) for name in ("scale", "design"))
    own = np.broadcast_to(scale[tips.nodes, None], mean.shape)
    shift = design[tips.nodes] - scale[tips.nodes, None] * design[tips.parents]
    shift = np.broadcast_to(shift[:, None], (*mean.shape, shift.shape[1]))
    if seen.means is None:
        alone, slope = (np.asarray(each)[tips.parents][:, column] for each in (mixture.variance, mixture.slope))
        found = mean, alone * spread, slope[:, :, None]
        covariance = np.asarray(components.spread)[:, None, None]
    else:
        # Of every column some component tells the parameters.
        columns, some = np.unique(column, return_index=True)
        place = np.searchsorted(columns, column)
        owed = of_means(seen, sigma2[some] / spread[some], tau2[some] / spread[some], tips.parents)
        found = mean, owed.variance[:, place] * spread, owed.rest[:, place]
        covariance = owed.covariance[place] * spread[:, None, None]
    return FarEnds(*far_ends(own, shift, weighted.means, found, slice(None), covariance), edge, tau2)
