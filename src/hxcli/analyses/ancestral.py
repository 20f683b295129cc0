"""Ancestral states under Brownian motion: every node given all tips, with the rate estimated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.beside_states import beside
from hxcli.analyses.left_out_table import ESTIMATED, LeftOutRows, Predicted, left_out_rows
from hxcli.analyses.left_out_tips import FarEnds, ObservedTips, predictions
from hxcli.analyses.pairs import PairFigures, PairStates, joined, pair_figures, pair_table
from hxcli.engine.program import program
from hxcli.engine.tree import Tree
from hxcli.inference.estimated_rate import Estimator, figures, prepare, sweep_up
from hxcli.node_pairs import NodePairs, PairTable
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.device_placement import on_host
from hxcli.prebuilt.gaussian import root_given_flat, smooth
from hxcli.prebuilt.parameter_columns import seen_fields
from hxcli.prebuilt.path_gains import along_paths, gains, paths_between
from hxcli.prebuilt.units import Units
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations


def ancestral(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    estimator: Estimator = "REML",
    level: float = 0.95,
    tau2: float = 0.0,
    models: tuple[str, ...] = (),
    pairs: PairTable | None = None,
    loo: bool = False,
    **of_models: Any,
) -> Reconstruction:
    """States of all nodes given all tips, with a flat root.

    Estimates are conditional means, standard errors the square roots of the conditional variances at the
    estimated rate; intervals are normal. The uncertainty of sigma2 itself is not in them.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits.
        estimator: Of sigma2: `REML`, q / (n - 1), or `ML`, q / n, where no observation has an error; else the
            maximum of the restricted or plain likelihood.
        level: Probability of the interval.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        models: Another model than Brownian motion, or `average` and names of models; see `model_states`.
        pairs: Pairs of nodes to tell together.
        loo: Whether to tell what all other tips predict of every observed one.
        of_models: Further options of `model_states`.

    Raises:
        InputError: Pairs that are none of this tree.
        ModelError: Error-free observations that contradict each other.
        OptionError: Models or options that this tree does not allow.
    """
    if models not in ((), ("bm",)) or any(of_models.values()):
        # Here, because Brownian motion alone needs none of it.
        from hxcli.analyses.model_states import model_states

        return model_states(
            phylogeny,
            observations,
            models=models or ("bm",),
            estimator=estimator,
            level=level,
            tau2=tau2,
            pairs=pairs,
            loo=loo,
            **of_models,
        )
    wanted = None if pairs is None else pairs.on(phylogeny)
    tree, start, units = prepare(phylogeny, observations, tau2)
    found = on_host(_ancestral(tree, start, estimator == "REML", pairs is not None), phylogeny.topology.size)
    means, variances, sigma2, log_likelihood, densities, *of_edges = found
    estimates, standard_errors = units.states(means, np.sqrt(variances))
    on_the_side = beside(
        {} if wanted is None else _pairs(phylogeny, wanted, units, (means, variances, *of_edges), level),
        _left_out(phylogeny, observations, units, (means, variances, sigma2), tau2) if loo else None,
    )
    return reconstruction(
        phylogeny,
        observations,
        estimates,
        standard_errors,
        level=level,
        interval="CI",
        parameters=figures(units, sigma2, log_likelihood, densities, estimator, tau2),
        root_how=("GLS mean", "GLS standard error"),
        method=f"Brownian motion, all nodes given all tips, flat root, sigma2 by {estimator}",
        tables=on_the_side.tables,
        details=on_the_side.details,
        warnings=on_the_side.warnings,
    )


def _pairs(
    phylogeny: Phylogeny, pairs: NodePairs, units: Units, figures: Sequence[FloatArray], level: float
) -> dict[str, Any]:
    """The table of pairs, of means, variances, gains and variances of the edges, (N, D) each."""
    means, variances, gain, own = figures
    paths = paths_between(phylogeny.topology, pairs.first, pairs.second)
    shared = along_paths(paths, gain[paths.nodes], own[paths.nodes])
    ends = [(each[pairs.first], each[pairs.second]) for each in (means, variances)]
    found = joined(shared, variances[paths.meet], ends[0], ends[1])
    told: list[PairFigures | None] = []
    for trait in range(means.shape[1]):
        states = PairStates(*(each[:, [trait]] for each in found))
        own_unit = float(units.scale[trait]), float(units.location[trait])
        told.append(pair_figures(states.in_unit(*own_unit), np.ones(1), level))
    return pair_table(pairs, units.traits, told)


def _left_out(
    phylogeny: Phylogeny, observations: Observations, units: Units, figures: Sequence[FloatArray], tau2: float
) -> dict[str, LeftOutRows]:
    """Every trait's tips by the others, of means and variances, (N, D) each, and the rates, (D,)."""
    means, variances, sigma2 = figures
    seen, noise = units.observations(observations), units.variance(tau2, "tau2")
    rows = {}
    for trait, name in enumerate(observations.traits):
        tips = ObservedTips.of(seen_fields(phylogeny, seen, trait)[0], phylogeny.topology)
        edge = phylogeny.lengths[tips.nodes, None] / units.length * sigma2[trait]
        ends = FarEnds(means[tips.parents, trait, None], variances[tips.parents, trait, None], edge, noise[[trait]])
        found = predictions(tips, ends, np.ones(1))
        scale, location = float(units.scale[trait]), float(units.location[trait])
        own = Predicted(found.mean * scale + location, found.deviation * scale, found.log_density - np.log(scale))
        labels = phylogeny.labels[tips.nodes].tolist()
        rows[name] = left_out_rows(labels, name, tips.observed * scale + location, own, ESTIMATED)
    return rows


@program(static_argnums=(2, 3))
def _ancestral(tree: Tree, start: Any, restricted: bool, of_edges: bool) -> tuple[Any, ...]:
    """Estimates and variances (N, D); sigma2, log likelihood and its number of densities (D,); gains of edges."""
    swept, scale, sigma2, log_likelihood, densities = sweep_up(tree, start, restricted)
    means, variances = smooth(swept, *root_given_flat(swept))
    # An observed state has no variance whatever the rate, even one that the data do not determine.
    found = means, jnp.where(variances == 0, 0, variances * scale[None]), sigma2, log_likelihood, densities
    if not of_edges:
        return found
    edge = (jnp.broadcast_to(swept[name].reshape(len(means), -1), means.shape) for name in ("scale", "variance"))
    gain, own = gains(swept["known"], swept["precision"], *edge)
    return *found, gain, own * scale[None]
