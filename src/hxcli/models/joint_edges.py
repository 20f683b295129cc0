"""The edges of a user's model of several traits together, at one set of its parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hxcli.model import Edge, evaluate, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.gaussian_model import GaussianModel, Layout, unraveled


class JointEdges(NamedTuple):
    """The edges of N nodes for D traits, in the units of the user's files.

    Attributes:
        transition, variance: (N, D, D).
        shift: (N, D, P) what an edge adds to the means, for every unknown of the mean; the offset is the last.
        root_mean: (D, P) the root's mean, for every unknown; 0 where the root's state is free.
        root_variance: (D, D).
        noise: (N, D, D) covariance of the errors of what is observed; None where the model has none of its own.
    """

    transition: Any
    variance: Any
    shift: Any
    root_mean: Any
    root_variance: Any
    noise: Any = None


def joint_edges(
    model: GaussianModel, layout: Layout, fields: Mapping[str, Any], values: Mapping[str, Any], traits: int
) -> JointEdges:
    """What the model says of the edges; to be called while tracing.

    Args:
        model: Of a file, whose shapes `refuse_shapes` has looked at.
        layout: Its parameters of the mean, the offset last; without a free root.
        fields: The columns of `EdgeFields`, N nodes.
        values: All other parameters.
        traits: D.
    """
    count, identity = sum(math.prod(shape) for _, shape in layout), jnp.eye(traits)
    root = {name: value if name in OF_THE_TREE else value[0] for name, value in fields.items()}

    def matrices(part: Any, axes: int) -> Any:
        part = jnp.asarray(part, float)
        return jnp.tensordot(part, identity, 0) if part.ndim == axes else part

    def vectors(part: Any, axes: int) -> Any:
        part = jnp.asarray(part, float)
        return jnp.broadcast_to(part[..., None], (*part.shape, traits)) if part.ndim == axes else part

    def at(unknowns: Any) -> JointEdges:
        given = {**values, **unraveled(layout, unknowns)}
        edge = over_edges(model.edge, given, fields).returned
        noise = None if model.noise is None else matrices(over_edges(model.noise, given, fields).returned, 1)
        found = JointEdges(
            matrices(edge.scale, 1),
            matrices(edge.variance, 1),
            vectors(edge.shift, 1),
            jnp.zeros(traits),
            jnp.zeros((traits, traits)),
            noise,
        )
        if model.root is None:
            return found
        takes_tree = bool(inspect.signature(model.root).parameters)
        of_root = evaluate(model.root, given, *([Edge(root)] if takes_tree else [])).returned
        return found._replace(root_mean=vectors(of_root.mean, 0), root_variance=matrices(of_root.variance, 0))

    # Every unknown alone and none of them, in one call: a model's function is traced once.
    every = jax.vmap(at)(jnp.eye(count + 1, count))
    units, found = (jax.tree.map(lambda part, which=which: part[which], every) for which in (slice(count), count))
    # What all of them have in common is the offset's own.
    once = jnp.arange(count) < count - 1
    shift = units.shift - jnp.where(once[:, None, None], found.shift[None], 0)
    mean = units.root_mean - jnp.where(once[:, None], found.root_mean[None], 0)
    return found._replace(shift=jnp.moveaxis(shift, 0, -1), root_mean=mean.T)
