"""The part that models with an estimated Brownian rate share: a prepared tree, swept up at the best rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.inference.rate_estimation import (
    degrees_of_freedom,
    log_likelihood_of,
    rate_with_error,
    rate_without_error,
    same,
)
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.device_placement import placed, placed_traits
from hxcli.prebuilt.gaussian import gaussian_tree, likelihoods, with_edges
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_bad_variance, refuse_contradictions, tip_likelihoods
from hxcli.prebuilt.units import Units, units_of
from hxcli.traits import Observations

Estimator: TypeAlias = Literal["REML", "ML"]


class Prepared(NamedTuple):
    """What a model with an estimated rate starts from, in units of its own.

    Attributes:
        tree: Framed, with the observations at its tips.
        start: (D,) the rate to search around; None if no observation has an error.
        units: The units.
    """

    tree: Tree
    start: Any
    units: Units


class SweptUp(NamedTuple):
    """A tree after the up sweep at the estimated rate.

    Attributes:
        tree: Swept at unit rate (error-free observations) or at the rate itself.
        scale: (D,) what variances of the swept tree are multiplied by: sigma2 or 1.
        sigma2, log_likelihood: (D,) the rate and the likelihood at it.
        densities: (D,) how many one-dimensional densities the likelihood is made of.
    """

    tree: Tree
    scale: Any
    sigma2: Any
    log_likelihood: Any
    densities: Any


def prepare(phylogeny: Phylogeny, observations: Observations, tau2: float) -> Prepared:
    """Places the observations on the tree.

    Raises:
        ModelError: Error-free observations that contradict each other, or a tau2 out of all proportion.
        OptionError: A tau2 that is negative or not finite.
    """
    refuse_bad_variance("tau2", tau2)
    # Before anything is rounded, so that the message has the values of the table.
    refuse_contradictions(phylogeny, observations, exact_ones(observations, tau2))
    units = units_of(phylogeny, observations)
    seen = units.observations(observations)
    noise = units.variance(tau2, "tau2")
    lengths = phylogeny.lengths / units.length
    tips = tip_likelihoods(phylogeny.topology.size, seen, noise)
    tree = gaussian_tree(phylogeny.topology, brownian_edges(lengths), tips)
    with_errors = bool(tau2) or bool(np.any(observations.standard_errors))
    start = placed_traits(_crude_rate(phylogeny, seen, units.length)) if with_errors else None
    return Prepared(placed(tree), start, units)


def sweep_up(
    tree: Tree,
    start: Any,
    restricted: bool,
    at_roots: Callable[[Any], Any] = same,
    per_node: Callable[[Any], Any] = same,
) -> SweptUp:
    """Estimates the rate and sweeps up; to be called while tracing.

    Args:
        tree, start: From `prepare`.
        restricted: REML or ML.
        at_roots, per_node: Of `rate_with_error`, for B trees side by side; all figures are then (B, D).
    """
    if start is None:
        swept = likelihoods(tree)
        roots = at_roots(swept)
        sigma2, log_likelihood = rate_without_error(roots, restricted)
        return SweptUp(swept, sigma2, sigma2, log_likelihood, degrees_of_freedom(roots, restricted))
    lengths = tree["variance"]
    sigma2 = rate_with_error(tree, lengths, start, restricted, at_roots, per_node)
    swept = likelihoods(with_edges(tree, brownian_edges(lengths, per_node(sigma2))))
    roots = at_roots(swept)
    densities = degrees_of_freedom(roots, restricted)
    return SweptUp(swept, jnp.ones_like(sigma2), sigma2, log_likelihood_of(roots, restricted), densities)


def figures(
    units: Units,
    sigma2: FloatArray,
    log_likelihood: FloatArray,
    densities: FloatArray,
    estimator: Estimator,
    tau2: float,
) -> dict[str, tuple[Any, str]]:
    """The parameters to report, in the traits' own units, each with how it was obtained.

    Args:
        units: From `prepare`.
        sigma2, log_likelihood, densities: (D,) from `sweep_up`.
        estimator: Of sigma2.
        tau2: Observation variance, as given.
    """
    maximised = "restricted log likelihood" if estimator == "REML" else "log likelihood"
    return {
        "sigma2": (units.rates(sigma2), estimator),
        "tau2": (tau2, "given"),
        "log_likelihood": (units.log_likelihoods(log_likelihood, densities), maximised),
    }


def _crude_rate(phylogeny: Phylogeny, observations: Observations, unit: float) -> Any:
    """(D,) variance of the values over the mean distance from the root: the scale to search around."""
    spread = np.array([np.nanvar(column) if np.any(~np.isnan(column)) else 0.0 for column in observations.values.T])
    distance = (phylogeny.root_distances[phylogeny.tips] / unit).mean()
    return spread / distance if 0 < distance < np.inf else spread
