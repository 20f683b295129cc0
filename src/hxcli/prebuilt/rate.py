"""The part that models with an estimated Brownian rate share: a prepared tree, swept up at the best rate."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.fit import log_likelihood_of, rate_with_error, rate_without_error
from hxcli.prebuilt.gaussian import gaussian_tree, likelihoods, with_edges
from hxcli.prebuilt.observed import tip_likelihoods
from hxcli.traits import Observations

Estimator: TypeAlias = Literal["REML", "ML"]


class SweptUp(NamedTuple):
    """A tree after the up sweep at the estimated rate.

    Attributes:
        tree: Swept at unit rate (error-free observations) or at the rate itself.
        scale: (D,) what variances of the swept tree are multiplied by: sigma2 or 1.
        sigma2, log_likelihood: (D,) the rate and the likelihood at it.
    """

    tree: Tree
    scale: Any
    sigma2: Any
    log_likelihood: Any


def prepare(phylogeny: Phylogeny, observations: Observations, tau2: float) -> tuple[Tree, Any]:
    """The framed tree with observations, and the rate to search around: None if no observation has an error.

    Raises:
        ModelError: Error-free observations that contradict each other.
    """
    tips = tip_likelihoods(phylogeny, observations, tau2)
    tree = gaussian_tree(phylogeny.topology, brownian_edges(phylogeny.lengths), tips).framed()
    return tree, _crude_rate(phylogeny, observations) if tau2 or np.any(observations.standard_errors) else None


def sweep_up(tree: Tree, start: Any, restricted: bool) -> SweptUp:
    """Estimates the rate and sweeps up; to be called while tracing.

    Args:
        tree: From `prepare`.
        start: From `prepare`.
        restricted: REML or ML.
    """
    if start is None:
        swept = likelihoods(tree)
        sigma2, log_likelihood = rate_without_error(swept, restricted)
        return SweptUp(swept, sigma2, sigma2, log_likelihood)
    lengths = tree["variance"]
    sigma2 = rate_with_error(tree, lengths, start, restricted)
    swept = likelihoods(with_edges(tree, brownian_edges(lengths, sigma2)))
    return SweptUp(swept, jnp.ones_like(sigma2), sigma2, log_likelihood_of(swept, restricted))


def likelihood_name(estimator: Estimator) -> str:
    """Which likelihood an estimator maximises, in words."""
    return "restricted log likelihood" if estimator == "REML" else "log likelihood"


def _crude_rate(phylogeny: Phylogeny, observations: Observations) -> Any:
    """(D,) variance of the values over the mean distance from the root: the scale to search around."""
    spread = np.array([np.nanvar(column) if np.any(~np.isnan(column)) else 0.0 for column in observations.values.T])
    distance = phylogeny.root_distances[phylogeny.tips].mean()
    return spread / distance if distance > 0 else spread
