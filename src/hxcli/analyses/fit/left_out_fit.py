"""What all other tips predict of every observed tip under a fitted model, whose estimates are those given all tips."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hxcli.analyses.fit.fitted import FittedModel
from hxcli.analyses.left_out_table import ESTIMATED, LeftOutRows, Predicted, left_out_rows
from hxcli.analyses.left_out_tips import FarEnds, LeftOut, ObservedTips, far_ends, in_places, mixed, predictions
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny


def left_out_under(fitted: FittedModel) -> LeftOut:
    """Every observed tip by all others at the estimates, in the trait's units."""
    likelihood, x = fitted.likelihood, fitted.optimum.x
    tips = ObservedTips.of(likelihood.tree.data, fitted.bound.fields.phylogeny.topology)
    edges, joint, (mean, *_) = likelihood.edges(x), likelihood.joint_states(x), likelihood.states(x)
    scale, variance, shift = (each[tips.nodes] for each in (edges.scale, edges.variance, edges.shift))
    at_parents = tuple(each[tips.parents, None] for each in (mean, joint.variance, joint.rest))
    beta, free = likelihood.unknowns_at(fitted.optimum.figures)[None], np.flatnonzero(likelihood.free).tolist()
    ends = far_ends(scale, shift, beta, (at_parents[0], at_parents[1], at_parents[2]), free, joint.covariance[None])
    noise = likelihood.tau2 + (np.zeros_like(variance) if edges.noise is None else edges.noise[tips.nodes])
    found = predictions(tips, FarEnds(*ends, variance * fitted.optimum.figures.rate[0], noise), np.ones(1))
    unit, location = float(fitted.units.scale[0]), float(fitted.units.location[0])
    own = Predicted(found.mean * unit + location, found.deviation * unit, found.log_density - math.log(unit))
    return LeftOut(tips.nodes, tips.observed * unit + location, own)


def left_out_traits(
    phylogeny: Phylogeny,
    painted: Painted,
    fitted: Sequence[Sequence[FittedModel]],
    weights: Sequence[FloatArray] | None,
) -> dict[str, LeftOutRows]:
    """Trait -> its rows, of those that have a model with a likelihood.

    Args:
        phylogeny: The tree as it was.
        painted: The same with its edges cut at changes of regime.
        fitted: The models of every trait.
        weights: Theirs, adding up to 1 or all 0; None for one model a trait.
    """
    rows = {}
    for number, models in enumerate(fitted):
        share = np.ones(1) if weights is None else weights[number]
        used = [m for m, model in enumerate(models) if share[m] > 0 and not math.isnan(model.log_likelihood)]
        if not used:
            continue
        found = [left_out_under(models[m]) for m in used]
        together = found[0].predicted
        if len(used) > 1:
            together = mixed([each.predicted for each in found], share[used] / share[used].sum())
        tips = phylogeny.labels[in_places(found[0].tips, painted.nodes)].tolist()
        rows[models[0].trait] = left_out_rows(tips, models[0].trait, found[0].observed, together, ESTIMATED)
    return rows
