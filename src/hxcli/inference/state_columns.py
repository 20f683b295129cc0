"""All nodes given the observations under a Gaussian model, at K sets of its parameters side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.likelihood_programs import Shape, swept_columns
from hxcli.models.gaussian_model import Edges
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.gls import sweep_down
from hxcli.prebuilt.gls_solution import estimates
from hxcli.prebuilt.parameter_columns import in_widths
from hxcli.prebuilt.path_gains import gains

# Columns of the sweeps.
WIDTHS = (64,)


class StateColumns(NamedTuple):
    """All nodes given the observations, at K sets of parameters.

    Attributes:
        mean, variance: (N, K), the uncertainty of the unknowns of the mean included.
        unknowns, covariance: (K, P) and (K, P, P) of those unknowns that are solved for.
        gain, own: (N, K) as `path_gains.gains` has them; no columns unless they are asked for, like all that follow.
        alone: (N, K) variances given the unknowns.
        rest: (N, K, P) how much the means move with them.
        edge, scale: (N, K) variances that the edges add, and what they multiply a parent's state by.
        shift: (N, K, P) what they add to the mean, for every unknown.
        given: (N, K) what they add besides.
        noise: (N, K) variance of an observation around the state of its node, but for its known error.
    """

    mean: FloatArray
    variance: FloatArray
    unknowns: FloatArray
    covariance: FloatArray
    gain: FloatArray
    own: FloatArray
    alone: FloatArray
    rest: FloatArray
    edge: FloatArray
    scale: FloatArray
    shift: FloatArray
    given: FloatArray
    noise: FloatArray


# Of what `_states` gives the axis of the columns.
_AXES = (1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)


def state_columns(
    likelihood: TraitLikelihood,
    parameters: FloatArray,
    edges_of: Callable[[Any], tuple[Edges, Any]],
    means: FloatArray,
    *,
    joint: bool = False,
) -> StateColumns:
    """All nodes at K sets of parameters.

    Args:
        likelihood: The observations on the tree.
        parameters: (K, W) whatever `edges_of` makes edges of.
        edges_of: From some of the sets to their edges and observation variances, (K,).
        means: (2, P) priors of the unknowns of the mean, as `gls_solution.solve` has them.
        joint: Whether to tell what nodes owe to each other.
    """
    tree, size = likelihood.tree, likelihood.bound.fields.phylogeny.topology.size
    given, found = jnp.asarray(likelihood.given_beta), []
    for (part,) in in_widths(tree.size, parameters, widths=WIDTHS):
        columns = _states(tree, *edges_of(part), given, means, likelihood.shape)
        # What nobody asks for is not copied.
        kept = [each if joint or place < 4 else each[:, :0] for place, each in enumerate(columns)]
        found.append([np.asarray(each, float) for each in kept])
    count = len(parameters)
    joined = [np.concatenate(parts, axis) for parts, axis in zip(zip(*found, strict=True), _AXES, strict=True)]
    whole = [each[:size, :count] if axis else each[:count] for each, axis in zip(joined, _AXES, strict=True)]
    return StateColumns(*whole)


@program(static_argnums=5)
def _states(tree: Any, edges: Edges, tau2: Any, given_beta: Any, means: Any, shape: Shape) -> tuple[Any, ...]:
    swept, solution, design, given = swept_columns(tree, edges, tau2, given_beta, shape, means)
    state, alone = sweep_down(swept)
    mean, variance = estimates(swept, solution, design, jnp.ones_like(solution.rss), (state, alone))
    gain, own = gains(*(swept.tree[name] for name in ("known", "precision", "scale", "variance")))
    rest = design - state[:, :, 1:]
    free = np.flatnonzero(shape.free)
    shift = jnp.broadcast_to(edges.shift[:, :, free], rest.shape)
    further = jnp.broadcast_to(edges.shift @ given_beta, mean.shape)
    noise = jnp.broadcast_to(tau2[None] if edges.noise is None else tau2[None] + edges.noise, mean.shape)
    linked = edges.variance, edges.scale, shift, further, noise
    return mean + given, variance, solution.beta, solution.covariance, gain, own, alone, rest, *linked
