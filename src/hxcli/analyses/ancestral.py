"""Ancestral states under Brownian motion: every node given all tips, with the rate estimated."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.engine.tree import Tree
from hxcli.inference.estimated_rate import Estimator, figures, prepare, sweep_up
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.device_placement import on_host
from hxcli.prebuilt.gaussian import root_given_flat, smooth
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
        of_models: Further options of `model_states`.

    Raises:
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
            **of_models,
        )
    tree, start, units = prepare(phylogeny, observations, tau2)
    found = on_host(_ancestral(tree, start, estimator == "REML"), phylogeny.topology.size)
    means, variances, sigma2, log_likelihood, densities = found
    estimates, standard_errors = units.states(means, np.sqrt(variances))
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
    )


@partial(jax.jit, static_argnums=2)
def _ancestral(tree: Tree, start: Any, restricted: bool) -> tuple[Any, ...]:
    """Estimates and variances (N, D); sigma2, log likelihood and its number of densities (D,)."""
    swept, scale, sigma2, log_likelihood, densities = sweep_up(tree, start, restricted)
    means, variances = smooth(swept, *root_given_flat(swept))
    # An observed state has no variance whatever the rate, even one that the data do not determine.
    return means, jnp.where(variances == 0, 0, variances * scale[None]), sigma2, log_likelihood, densities
