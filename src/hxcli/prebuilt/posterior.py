"""Bayesian posterior of all nodes for given variances: exact, because everything is Gaussian."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.errors import OptionError
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.fit import degrees_of_freedom
from hxcli.prebuilt.gaussian import (
    gaussian_tree,
    likelihoods,
    log_marginal_flat,
    log_marginal_normal,
    root_given_flat,
    root_given_normal,
    smooth,
)
from hxcli.prebuilt.observed import exact_ones, refuse_bad_variance, refuse_contradictions, tip_likelihoods
from hxcli.prebuilt.report import on_host, reconstruction
from hxcli.prebuilt.units import units_of
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations


def posterior(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    sigma2: float,
    tau2: float = 0.0,
    root_mean: float | None = None,
    root_variance: float | None = None,
    level: float = 0.95,
) -> Reconstruction:
    """Posterior mean and standard deviation of all nodes, and the log marginal likelihood.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits.
        sigma2: Brownian rate, trait^2 per unit of edge length.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        root_mean, root_variance: Normal prior of the root; both None for a flat one.
        level: Probability of the interval, which is equal-tailed and highest-density at once.

    Raises:
        OptionError: A variance that is not positive or not finite, or half a prior.
        ModelError: Error-free observations that contradict each other.
    """
    _refuse_bad_variances(sigma2, tau2, root_mean, root_variance)
    refuse_contradictions(phylogeny, observations, exact_ones(observations, tau2))
    units = units_of(phylogeny, observations)
    tips = tip_likelihoods(phylogeny, units.observations(observations), units.variance(tau2, "tau2"))
    edges = brownian_edges(phylogeny.lengths / units.length, units.rate(sigma2, "sigma2"))
    tree = gaussian_tree(phylogeny.topology, edges, tips).framed()
    prior, root = None, "flat root"
    if root_mean is not None and root_variance is not None:
        centre = (root_mean - units.location) / units.scale
        prior = (centre, units.variance(root_variance, "the root's variance"))
        root = f"root N({root_mean:g}, {root_variance:g})"
    found = on_host(_posterior(tree, prior), phylogeny.topology.size)
    means, deviations = units.states(found[0], np.sqrt(found[1]))
    return reconstruction(
        phylogeny,
        observations,
        means,
        deviations,
        level=level,
        interval="HPD",
        parameters={
            "sigma2": (sigma2, "given"),
            "tau2": (tau2, "given"),
            "log_likelihood": (units.log_likelihoods(found[2], found[3]), f"log marginal likelihood, {root}"),
        },
        root_how=("posterior mean", "posterior standard deviation"),
        method=f"Brownian motion, posterior of all nodes for given variances, {root}",
    )


@jax.jit
def _posterior(tree: Tree, prior: tuple[Any, Any] | None) -> tuple[Any, ...]:
    """Means and variances (N, D), log marginal likelihood and the number of densities it is made of (D,)."""
    swept = likelihoods(tree)
    if prior is None:
        root, log_marginal = root_given_flat(swept), log_marginal_flat(swept)
        densities = degrees_of_freedom(swept, restricted=True)
    else:
        root, log_marginal = root_given_normal(swept, *prior), log_marginal_normal(swept, *prior)
        densities = swept["count"][0] + swept["known"][0]
    return *smooth(swept, *root), log_marginal, densities


def _refuse_bad_variances(sigma2: float, tau2: float, root_mean: float | None, root_variance: float | None) -> None:
    if not (np.isfinite(sigma2) and sigma2 > 0):
        raise OptionError(f"sigma2 must be a positive number, got {sigma2:g}")
    refuse_bad_variance("tau2", tau2)
    if (root_mean is None) != (root_variance is None):
        raise OptionError("a normal root needs a mean and a variance")
    if (
        root_mean is not None
        and root_variance is not None
        and not (np.isfinite(root_mean) and 0 < root_variance < np.inf)
    ):
        raise OptionError(
            f"a normal root needs a finite mean and a positive variance, got {root_mean:g}, {root_variance:g}"
        )
