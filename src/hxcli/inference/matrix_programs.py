"""The jitted programs of traits together under a user's model: its edges, and, one for all models, their likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree
from hxcli.models.gaussian_model import GaussianModel, Layout
from hxcli.models.joint_edges import JointEdges, joint_edges
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.gaussian_matrices import Root, at_root, smoothed, swept_up


class JointFigures(NamedTuple):
    """What one set of parameters gives, in the traits' own units.

    Attributes:
        log_likelihood: ().
        beta, covariance: (F,) the unknowns of the mean that are solved for, a free root's D states first, and (F, F).
        count: (D,) numbers of densities of every trait.
        identified: (F,) which unknowns the observations tell.
    """

    log_likelihood: Any
    beta: Any
    covariance: Any
    count: Any
    identified: Any


@dataclass(frozen=True)
class MovedModel:
    """What of a model is compiled into the programs of its edges; all else is one program for all models.

    Attributes:
        model: Whose edges they are.
        layout: Its parameters of the mean, without a free root.
        coordinates: Parameter, its entry, and whether its logarithm is moved, of every coordinate.
        traits: D.
    """

    model: GaussianModel
    layout: Layout
    coordinates: tuple[tuple[str, int, bool], ...]
    traits: int


class OfModel(NamedTuple):
    """What a model's edges are made of, besides what a search moves.

    Attributes:
        columns: Of `EdgeFields`, M rows, the last ones copies; and what is of the tree.
        values: The model's parameters but for those that are moved or are of the mean.
    """

    columns: Any
    values: Any


class Laid(NamedTuple):
    """How a model's edges are laid on a tree of M nodes.

    Attributes:
        edge: (M,) which of the model's edges a node's edge is.
        is_edge, is_noise: (M,) whether a node's edge is the model's, or the error of an observation.
        mix: (P, C) what of the model's unknowns of the mean is in which column; the first has those that are given.
        root: (D,) the root's state where that is given.
        location, scale: (D,) of the units.
    """

    edge: Any
    is_edge: Any
    is_noise: Any
    mix: Any
    root: Any
    location: Any
    scale: Any


@dataclass(frozen=True, eq=False)
class Placed:
    """A tree with its observations, on which a model's edges are to be laid.

    Attributes:
        topology: M nodes; an observation with an error of the model's own is one of them.
        tips: What is known of the tips, M rows each, by the names of `gaussian_matrices`.
        laid: How the edges are laid.
        free_root: Whether the root's state is solved for.
    """

    topology: Topology
    tips: Mapping[str, FloatArray]
    laid: Laid
    free_root: bool


class SeenTree(NamedTuple):
    """A framed tree of M nodes with its observations, and how a model's edges are laid on it."""

    laid: Laid
    tree: Tree


def _values(moved: MovedModel, x: Any, of_model: OfModel) -> dict[str, Any]:
    """The parameters but for those of the mean, at a point of the search."""
    values = {name: jnp.asarray(value) for name, value in of_model.values.items()}
    for number, (name, entry, log) in enumerate(moved.coordinates):
        value = jnp.exp(x[number]) if log else x[number]
        values[name] = values[name].reshape(-1).at[entry].set(value).reshape(values[name].shape)
    return values


def _edges(moved: MovedModel, x: Any, of_model: OfModel) -> JointEdges:
    return joint_edges(moved.model, moved.layout, of_model.columns, _values(moved, x, of_model), moved.traits)


@program(static_argnums=0)
def edges_at(moved: MovedModel, x: Any, of_model: OfModel) -> JointEdges:
    """The edges at K points of the search, (K, S), each with a first axis K."""
    return jax.vmap(lambda point: _edges(moved, point, of_model))(x)


@program(static_argnums=0)
def slopes_of_edges(moved: MovedModel, x: Any, of_model: OfModel) -> tuple[JointEdges, JointEdges]:
    """The edges at one point, (S,), and their derivatives, each with a first axis S."""

    # Forwards, because the coordinates are few and the figures are many.
    def along(direction: Any) -> tuple[JointEdges, JointEdges]:
        return jax.jvp(lambda x: _edges(moved, x, of_model), (x,), (direction,))

    return jax.vmap(along, out_axes=(None, 0))(jnp.eye(len(x)))


def _swept(free_root: bool, edges: JointEdges, seen: SeenTree) -> tuple[Tree, Root]:
    """The tree swept up with a model's edges, in units of computation, and its root."""
    laid = seen.laid
    scale, identity = laid.scale, jnp.eye(len(laid.scale))[None]
    product = scale[None] * scale[:, None]
    transition = edges.transition[laid.edge] * (scale[None] / scale[:, None])[None]
    variance = edges.variance[laid.edge] / product[None]
    shift = (edges.shift[laid.edge] @ laid.mix) / scale[None, :, None]
    # What a location that is not 0 adds; nothing where the state stays as it is.
    shift = shift.at[:, :, 0].add((transition - identity) @ (laid.location / scale))
    is_edge, is_noise = laid.is_edge[:, None, None], laid.is_noise[:, None, None]
    transition = jnp.where(is_edge, transition, identity).at[0].set(0)
    shift, variance = jnp.where(is_edge, shift, 0), jnp.where(is_edge, variance, 0)
    if edges.noise is not None:
        variance = jnp.where(is_noise, edges.noise[laid.edge] / product[None], variance)
    if not free_root:
        mean = (edges.root_mean @ laid.mix) / scale[:, None]
        mean = mean.at[:, 0].add((laid.root - laid.location) / scale)
        shift, variance = shift.at[0].set(mean), variance.at[0].set(edges.root_variance / product)
    swept = swept_up(seen.tree.update(shift=shift, transition=transition, variance=variance))
    return swept, at_root(swept, free_root)


def _figures(free_root: bool, edges: JointEdges, seen: SeenTree) -> JointFigures:
    root, size = _swept(free_root, edges, seen)[1], seen.laid.scale
    value = root.log_likelihood - root.count @ jnp.log(size)
    beta, covariance, identified = root.best[1:], root.covariance, root.identified
    if free_root:
        moves = root.state[:, 1:] @ covariance
        own = root.spread + moves @ root.state[:, 1:].T
        beta = jnp.concatenate([root.state @ root.best * size + seen.laid.location, beta])
        rows, columns = size[:, None], size[None]
        covariance = jnp.block([[own * rows * columns, moves * rows], [moves.T * columns, covariance]])
        identified = jnp.concatenate([root.root_identified, identified])
    return JointFigures(value, beta, covariance, root.count, identified.astype(float))


@program(static_argnums=0)
def figures_of(free_root: bool, edges: JointEdges, seen: SeenTree) -> JointFigures:
    """The figures of edges at K points, each with a first axis K."""
    return jax.vmap(lambda each: _figures(free_root, each, seen))(edges)


@program(static_argnums=0)
def slopes_of(
    free_root: bool, edges: JointEdges, tangents: JointEdges, seen: SeenTree
) -> tuple[JointFigures, JointFigures]:
    """The figures of edges at one point, and their derivatives along S tangents, each with a first axis S."""

    def along(tangent: JointEdges) -> tuple[JointFigures, JointFigures]:
        return jax.jvp(lambda each: _figures(free_root, each, seen), (edges,), (tangent,))

    return jax.vmap(along, out_axes=(None, 0))(tangents)


@program(static_argnums=0)
def states_of(free_root: bool, edges: JointEdges, seen: SeenTree) -> tuple[Any, Any]:
    """Means and variances of all nodes, (K, M, D) both, with the edges at K points."""

    def at(each: JointEdges) -> tuple[Any, Any]:
        means, covariances = smoothed(*_swept(free_root, each, seen))
        return means, jnp.diagonal(covariances, axis1=1, axis2=2)

    return jax.vmap(at)(edges)


def traced_at(moved: MovedModel, free_root: bool, x: Any, of_model: OfModel, seen: SeenTree) -> Any:
    """Edges and figures at one point of the search, (S,), to be called while tracing."""
    edges = _edges(moved, x, of_model)
    return edges, _figures(free_root, edges, seen)


class CompiledSweeps:
    """Sweeps of one tree by programs, one for all models: what `matrix_levels.HostSweeps` does on the host.

    Attributes:
        seen: The tree on the device.
    """

    def __init__(self, placed: Placed) -> None:
        laid, size = placed.laid, placed.topology.size
        traits, columns = len(laid.scale), laid.mix.shape[1]
        tree = Tree.on_frame(placed.topology, placed.tips, columns=traits * max(traits, columns))
        room = (0, tree.size - size)
        wide = {name: np.pad(getattr(laid, name), room) for name in ("edge", "is_edge", "is_noise")}
        self._free_root, self.seen = placed.free_root, SeenTree(laid._replace(**wide), tree)

    def figures(self, edges: JointEdges) -> JointFigures:
        """The figures of edges at K points, each with a first axis K."""
        return figures_of(self._free_root, edges, self.seen)

    def figures_and_slopes(self, edges: JointEdges, tangents: JointEdges) -> tuple[JointFigures, JointFigures]:
        """The figures of edges at one point, and their derivatives along S tangents, each with a first axis S."""
        return slopes_of(self._free_root, edges, tangents, self.seen)

    def states(self, edges: JointEdges) -> tuple[Any, Any]:
        """Means and variances of all nodes, (K, M, D) both or more, with the edges at K points."""
        return states_of(self._free_root, edges, self.seen)
