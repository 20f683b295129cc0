"""Brownian motion on many trees at once: the trees of a batch are one topology with many roots, swept together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from hxcli.analyses.mean import clade_means
from hxcli.analyses.tree_samples.figures import BatchFigures, Row, SampledStates
from hxcli.analyses.tree_samples.observed_names import observations_on
from hxcli.engine.program import program
from hxcli.engine.tree import Tree
from hxcli.errors import ModelError
from hxcli.inference.estimated_rate import Estimator, SweptUp, figures, sweep_up
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.device_placement import on_host
from hxcli.prebuilt.gaussian import LIKELIHOOD, gaussian_tree, root_given_flat, smooth
from hxcli.prebuilt.tip_likelihoods import (
    exact_ones,
    exact_values,
    refuse_bad_variance,
    refuse_contradictions,
    tip_likelihoods,
)
from hxcli.prebuilt.units import lost_lengths, units_of
from hxcli.traits import Observations
from hxcli.tree_batch import TaxonNames, TreeBatch

# The number of trees of a batch is padded to a power of two, at least this.
_FEWEST = 64


class BrownianTrees:
    """States of all nodes given all tips (`ancestral`), or given the tips below them (`mean`).

    Args:
        star: One tip for every name, all at one distance from the root: of the length that edges have.
        observations: At the tips of the star.
        taxa: The names, numbered in the order of the star's tips.
        every_tip: Whether a node's state is the one given all tips, not only those below it.
        estimator: Of sigma2.
        tau2: Observation variance, trait^2.
    """

    states: tuple[SampledStates, ...] = ()
    rows: tuple[Row, ...] = ()
    of_nodes = True

    def __init__(
        self,
        star: Phylogeny,
        observations: Observations,
        taxa: TaxonNames,
        *,
        every_tip: bool = True,
        estimator: Estimator = "REML",
        tau2: float = 0.0,
    ) -> None:
        refuse_bad_variance("tau2", tau2)
        refuse_contradictions(star, observations, exact_ones(observations, tau2))
        self._observations, self._taxa, self._every_tip = observations, taxa, every_tip
        self._estimator, self._tau2 = estimator, tau2
        self._units = units_of(star, observations)
        seen = self._units.observations(observations)
        tips = star.tips
        fields = tip_likelihoods(star.topology.size, seen, self._units.variance(tau2, "tau2"))
        self._fields = {name: fields[name][tips] for name in LIKELIHOOD}
        self._errors = bool(tau2) or bool(np.any(observations.standard_errors))
        self._spread = np.nanvar(np.where(np.isnan(seen.values).all(0), 0.0, seen.values), axis=0)
        self._there = (~np.isnan(observations.means(0, star.topology.size)[tips])).astype(float)
        self.known: FloatArray = exact_values(star, observations, tau2)[tips]
        self.columns: tuple[str, ...] = () if every_tip else ("n_effective",)
        what = "all nodes given all tips, flat root" if every_tip else ""
        self.method = (
            f"Brownian motion, {what}, sigma2 by {estimator}"
            if every_tip
            else f"phylogenetic mean of every clade by pruning, sigma2 by {estimator}"
        )

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch.

        Raises:
            InputError: An edge so short that the computation would take it for 0.
            ModelError: Error-free observations that contradict each other on one of the trees.
        """
        self._refuse_contradictions(batch)
        size, tips, count = batch.topology.size, batch.tips, batch.count
        names = batch.taxa[tips]
        lengths = batch.lengths / self._units.length
        lost = np.flatnonzero(lost_lengths(batch.lengths, self._units.length))
        if lost.size:
            lost_length = f"an edge length, {batch.lengths[lost[0]]:g}, is so small that it would be lost"
            advice = "write 0 where there is no distance, or give the lengths in another unit"
            raise batch.refuse(int(lost[0]), lost_length, advice)
        width = self.known.shape[1]

        def placed(of_names: FloatArray) -> FloatArray:
            values = np.zeros((size, width))
            values[tips] = of_names[names]
            return values

        zeros = np.zeros((size, width))
        fields = {name: placed(values) if values.any() else zeros for name, values in self._fields.items()}
        tree = gaussian_tree(batch.topology, {**brownian_edges(lengths), "tree": batch.trees}, fields)
        room = max(count, min(max(_FEWEST, 1 << (count - 1).bit_length()), size))
        start = self._start(batch, room) if self._errors else None
        restricted = self._estimator == "REML"
        if self._every_tip:
            means, variances, *rest = _ancestral(tree, start, restricted, room)
            matrices = [means, variances]
        else:
            there = placed(self._there)
            fields = {"length": lengths, "tips": there, "distance": zeros}
            reach = Tree.on_frame(batch.topology, fields)
            means, variances, effective, *rest = _mean(tree, reach, start, restricted, room)
            matrices = [means, variances, effective]
        matrices = on_host(matrices, size)
        sigma2, log_likelihood, densities = (np.asarray(value, np.float64)[:count] for value in rest)
        estimates, errors = self._units.states(matrices[0], np.sqrt(matrices[1]))
        known = placed(np.nan_to_num(self.known))
        exact = (errors == 0) & placed((~np.isnan(self.known)).astype(float)).astype(bool)
        estimates = np.where(exact, known, estimates)
        found = figures(self._units, sigma2, log_likelihood, densities, self._estimator, self._tau2)
        parameters = {name: np.broadcast_to(value, (count, width)) for name, (value, _) in found.items()}
        parameters |= {"root": estimates[:count], "root_se": errors[:count]}
        further = dict(zip(self.columns, matrices[2:], strict=True))
        return BatchFigures({"estimate": estimates, "se": errors, **further}, parameters)

    def _start(self, batch: TreeBatch, room: int) -> FloatArray:
        """(B, D) the rate to search around: variance of the values over the mean distance from the root."""
        tips = batch.tips
        totals = np.bincount(batch.trees[tips], batch.root_distances[tips] / self._units.length, room)
        means = totals / np.maximum(np.bincount(batch.trees[tips], minlength=room), 1)
        usable = (means > 0) & (means < np.inf)
        return self._spread[None] / np.where(usable, means, 1.0)[:, None]

    def _refuse_contradictions(self, batch: TreeBatch) -> None:
        zero = (batch.lengths == 0) & (np.arange(batch.topology.size) >= batch.count)
        if not zero.any():
            return
        for tree in np.unique(batch.trees[zero]).tolist():
            phylogeny = batch.phylogeny(tree, self._taxa)
            seen = observations_on(phylogeny, self._observations, self._taxa)
            try:
                refuse_contradictions(phylogeny, seen, exact_ones(seen, self._tau2))
            except ModelError as error:
                raise ModelError(f"tree {batch.numbers[tree]}: {error}") from None


def _hooks(tree: Tree, roots: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How a batch is swept: its fields with all roots as one node, and rates of trees at their nodes."""
    trees = tree["tree"]
    # What is read beyond the last root is of no meaning, and dropped.
    return lambda swept: {name: swept[name][:roots][None] for name in LIKELIHOOD}, lambda rates: rates[trees]


def _swept_up(tree: Tree, start: Any, restricted: bool, roots: int) -> tuple[SweptUp, Any]:
    at_roots, per_node = _hooks(tree, roots)
    found = sweep_up(tree, start, restricted, at_roots, per_node)
    return found, per_node(found.scale)


@program(static_argnums=(2, 3))
def _ancestral(tree: Tree, start: Any, restricted: bool, roots: int) -> tuple[Any, ...]:
    """Estimates and variances (N, D); sigma2, log likelihood and its number of densities (B, D)."""
    (swept, _, sigma2, log_likelihood, densities), scale = _swept_up(tree, start, restricted, roots)
    at_roots, _ = _hooks(tree, roots)
    mean, variance = root_given_flat(at_roots(swept))
    # Nodes behind the last root get their own in the sweep down.
    means, variances = smooth(swept, mean, variance, slice(0, roots))
    return means, jnp.where(variances == 0, 0, variances * scale), sigma2, log_likelihood, densities


@program(static_argnums=(3, 4))
def _mean(tree: Tree, reach: Tree, start: Any, restricted: bool, roots: int) -> tuple[Any, ...]:
    """Means, variances, effective numbers of tips (N, D); sigma2, log likelihood, its number of densities (B, D)."""
    (swept, _, sigma2, log_likelihood, densities), scale = _swept_up(tree, start, restricted, roots)
    means, variance, effective = clade_means(swept, reach, sigma2[tree["tree"]], scale)
    return means, variance, effective, sigma2, log_likelihood, densities
