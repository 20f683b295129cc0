"""Phylogenetic mean of the root and of every clade, from the tips of that clade alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.engine.program import program
from hxcli.engine.sweep import up
from hxcli.engine.tree import Tree
from hxcli.errors import Note, OptionError
from hxcli.inference.estimated_rate import Estimator, figures, prepare, sweep_up
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.device_placement import on_host, placed
from hxcli.prebuilt.local_mean import local_means
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations


def mean(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    weights: Literal["pruning", "local"] = "pruning",
    estimator: Estimator = "REML",
    level: float = 0.95,
    tau2: float = 0.0,
) -> Reconstruction:
    """Phylogenetic mean of every clade: its root's state given the tips below it and no others.

    With `pruning` weights this is the generalised least squares mean by Felsenstein's (1973) pruning, with its
    standard error and the effective number of tips: the number of independent tips, each as far away as the
    clade's tips are on average, that would determine the mean as well. With `local` weights children are
    averaged by 1 / edge length and nothing is accumulated (Hyperiax's phylo_mean): another estimator, without a
    standard error.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits.
        weights: As above.
        estimator: Of sigma2, `REML` or `ML`.
        level: Probability of the interval.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.

    Raises:
        ModelError: Error-free observations that contradict each other.
        OptionError: Local weights together with an observation variance.
    """
    if weights == "local":
        if tau2:
            raise OptionError("local weights know no observation variance: leave tau2 out, or use pruning weights")
        estimates = local_means(phylogeny, observations.means(0, phylogeny.topology.size))
        found = reconstruction(
            phylogeny,
            observations,
            estimates,
            np.full_like(estimates, np.nan),
            level=level,
            interval="CI",
            parameters={},
            root_how=("children weighted by 1 / edge length", "none"),
            method="phylogenetic mean of every clade, children weighted by 1 / edge length (local)",
        )
        ignored = (Note("local weights take no account of the known standard errors"),)
        return replace(found, warnings=found.warnings + ignored * bool(np.any(observations.standard_errors)))
    tree, start, units = prepare(phylogeny, observations, tau2)
    there = (~np.isnan(observations.means(0, phylogeny.topology.size))).astype(float)
    reach = Tree.on_frame(
        phylogeny.topology,
        {"length": phylogeny.lengths / units.length, "tips": there, "distance": np.zeros_like(there)},
    )
    results = on_host(_mean(tree, placed(reach), start, estimator == "REML"), phylogeny.topology.size)
    means, variances, effective, sigma2, log_likelihood, densities = results
    estimates, standard_errors = units.states(means, np.sqrt(variances))
    return reconstruction(
        phylogeny,
        observations,
        estimates,
        standard_errors,
        level=level,
        interval="CI",
        parameters={
            **figures(units, sigma2, log_likelihood, densities, estimator, tau2),
            "n_effective": (effective[0], "pruning"),
        },
        root_how=("GLS mean", "GLS standard error"),
        method=f"phylogenetic mean of every clade by pruning, sigma2 by {estimator}",
        columns={"n_effective": effective},
    )


@up(reads=(), reads_children=("length", "tips", "distance"), writes=("tips", "distance"))
def _distances_to_tips(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """Number of observed tips below a node and the sum of their distances, each (D,)."""
    over = children.map(lambda child: {"tips": child.tips, "distance": child.distance + child.length * child.tips})
    return {"tips": over.tips.sum(0), "distance": over.distance.sum(0)}


@program(static_argnums=3)
def _mean(tree: Tree, reach: Tree, start: Any, restricted: bool) -> tuple[Any, ...]:
    """Means, variances, effective numbers of tips (N, D); sigma2, log likelihood, its number of densities (D,)."""
    swept, scale, sigma2, log_likelihood, densities = sweep_up(tree, start, restricted)
    return *clade_means(swept, reach, sigma2[None], scale[None]), sigma2, log_likelihood, densities


def clade_means(swept: Tree, reach: Tree, sigma2: Any, scale: Any) -> tuple[Any, Any, Any]:
    """All (N, D): means, variances and effective numbers of tips, from a tree swept up.

    Args:
        swept: From `sweep_up`.
        reach: The tree with the fields `length` (N,), `tips` (N, D), 1 where a tip was observed, and `distance`, zeros.
        sigma2, scale: (1, D) or (N, D), from `sweep_up`.
    """
    known, precision = swept["known"] > 0, swept["precision"]
    informed = precision > 0
    variance = jnp.where(informed, 1 / jnp.where(informed, precision, 1), jnp.nan) * scale
    below = _distances_to_tips(reach)
    tips = below["tips"]
    # The variance of one tip at the mean distance, over that of the mean.
    alone = sigma2 * below["distance"] / jnp.maximum(tips, 1)
    effective = jnp.where(known, 1, jnp.where(informed & (alone > 0), alone / variance, jnp.where(tips > 0, 1, 0)))
    means = jnp.where(known | informed, swept["mean"], jnp.nan)
    return means, jnp.where(known, 0, variance), effective
