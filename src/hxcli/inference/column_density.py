"""The posterior density of all parameters of a Gaussian model, K sets of them at once, over coordinates without bounds.

What the means are linear in and has a normal or a flat prior is solved for at every set, and its uncertainty is in the
density, which is that of the observations themselves or, with flat priors, of their contrasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.engine.topology import BoolArray
from hxcli.engine.tree import Tree
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.likelihood_programs import Shape, swept_columns
from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.inference.prior_coordinates import PriorCoordinates, log_normal_density
from hxcli.inference.state_columns import WIDTHS, StateColumns, state_columns
from hxcli.models.gaussian_model import Edges, GaussianModel, Layout, unraveled
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.parameter_columns import in_widths

# Columns of the sweeps whose gradients are wanted.
_GRADIENTS = (8,)
# A flat unknown of the mean with so many standard deviations of the values is not determined by them.
_LOOSE = 1e4
# Of a coordinate, what its value is an entry of.
Entries = tuple[tuple[str, int], ...]


class OfEdges(NamedTuple):
    """The parameters of which every edge has a value of its own: M unit normal variables.

    Attributes:
        shapes: Name and shape of each.
        size: Number of nodes, the root among them, above which is no edge.
        rows: Of the tree as it is computed with.
    """

    shapes: Layout
    size: int
    rows: int

    @property
    def numbers(self) -> int:
        """M."""
        return (self.size - 1) * sum(math.prod(shape) for _, shape in self.shapes)

    def placed(self, z: Any, xp: Any) -> dict[str, Any]:
        """Name -> (K, rows, ...) of K sets of the variables, (K, M)."""
        found, start = {}, 0
        for name, shape in self.shapes:
            width = (self.size - 1) * math.prod(shape)
            own = z[:, start : start + width].reshape(-1, self.size - 1, *shape)
            above, below = (xp.zeros((own.shape[0], rows, *shape)) for rows in (1, self.rows - self.size))
            found[name] = xp.concatenate([above, own, below], 1)
            start += width
        return found


class ColumnDensity(PriorCoordinates):
    """The likelihood of one trait times the priors of F parameters, and of M numbers of single edges behind them.

    Attributes:
        likelihood: Of the trait, F coordinates, no rate solved for.
        of_edges: The numbers of single edges, whose coordinates are unit normal variables.
        means: (2, P) means and precisions of the priors of the P unknowns of the mean, 0 for a flat one.
    """

    def __init__(self, likelihood: TraitLikelihood, priors: Sequence[ParameterPrior], means: FloatArray) -> None:
        own, size = likelihood.bound.model.by_edge, likelihood.bound.fields.phylogeny.topology.size
        # Without any, trees of a size class share their programs.
        self.of_edges = OfEdges(own, size, likelihood.tree.size) if own else OfEdges((), 1, 1)
        super().__init__(likelihood.coordinates, priors, self.of_edges.numbers)
        self.likelihood, self.means = likelihood, means
        self._entries: Entries = tuple((each.parameter, each.entry) for each in likelihood.coordinates)
        self._given = {name: value[0] for name, value in likelihood.values_at(likelihood.start).items()}
        there = np.asarray(likelihood.tree["number"])
        values = np.asarray(likelihood.tree["value"])[there > 0]
        self._spread = float(values.std()) or 1.0

    @property
    def tree(self) -> Tree:
        """The tree with the observations as fields."""
        return self.likelihood.tree

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log posterior densities of the coordinates, up to the evidence; -inf where there is none."""
        return self.heights(w)[0]

    def heights(self, w: FloatArray) -> tuple[FloatArray, BoolArray]:
        """The log posterior densities, (K,), and where a flat unknown of the mean is hardly determined at all, (K,)."""
        found, loose = [], []
        for (part,) in self._parts(self.values(w), WIDTHS):
            edges = self._edges(part)
            tau2 = np.full(len(part), self.likelihood.tau2)
            given, means = jnp.asarray(self.likelihood.given_beta), jnp.asarray(self.means)
            height, deviation = _heights(self.tree, edges, tau2, given, means, self.likelihood.shape)
            found.append(np.asarray(height, float))
            loose.append(np.asarray(deviation, float) > _LOOSE * self._spread)
        total = np.concatenate(found)[: len(w)] + self.log_prior(w)
        return np.where(np.isnan(total), -np.inf, total), np.concatenate(loose)[: len(w)]

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log posterior densities, (K,), and their gradients, (K, F); 1e300 and 0 where there is none."""
        found = []
        likelihood = self.likelihood
        model, layout, columns = likelihood.bound.model, likelihood.bound.layout, dict(likelihood.on.columns)
        given, means = jnp.asarray(likelihood.given_beta), jnp.asarray(self.means)
        for (part,) in self._parts(self.values(w), _GRADIENTS):
            found.append(
                _slopes(
                    model, layout, self._entries, likelihood.shape, part, self._given, columns, self.tree,
                    likelihood.tau2, given, means, self.of_edges,
                )
            )  # fmt: skip
        heights, slopes = (np.concatenate([np.asarray(each[i], float) for each in found])[: len(w)] for i in (0, 1))
        gradients = self.slopes(w, slopes)
        depths = -(heights + self.log_prior(w))
        sound = np.isfinite(depths) & np.isfinite(gradients).all(1)
        return np.where(sound, depths, 1e300), np.where(sound[:, None], -gradients, 0.0)

    def traced(self, top: FloatArray) -> Callable[[Any], Any]:
        """The log posterior density at one place (F,), to be called while tracing; whatever the top is."""
        del top
        likelihood = self.likelihood
        columns = dict(likelihood.on.columns)
        given, means = jnp.asarray(likelihood.given_beta), jnp.asarray(self.means)

        def of_place(w: Any) -> Any:
            own = w[len(self.priors) :]
            values = [prior.value(w[place])[None] for place, prior in enumerate(self.priors)]
            log_prior = sum(prior.log_density(w[place]) for place, prior in enumerate(self.priors))
            height = _height(
                likelihood.bound.model, likelihood.bound.layout, self._entries, likelihood.shape,
                jnp.concatenate([*values, own])[None], self._given, columns, self.tree, likelihood.tau2, given, means,
                self.of_edges,
            )  # fmt: skip
            return height[0] + log_prior + log_normal_density(own)

        return of_place

    def states(self, values: FloatArray, *, joint: bool = False) -> StateColumns:
        """All nodes at K sets of the parameters, (K, F); `joint` for what nodes owe to each other."""

        def edges_of(part: Any) -> tuple[Edges, Any]:
            return self._edges(part), np.full(len(part), self.likelihood.tau2)

        # Sets of no parameter are columns too.
        table = values if values.shape[1] else np.zeros((len(values), 1))
        return state_columns(self.likelihood, table, edges_of, self.means, joint=joint)

    def _edges(self, values: Any) -> Edges:
        """The edges at K sets of the parameters, (K, F)."""
        bound = self.likelihood.bound
        found: Edges = bound.model.edges(
            bound.layout,
            dict(self.likelihood.on.columns),
            _moved(self._entries, self._given, values, np, self.of_edges),
        )
        return found

    def edge_values(self, values: FloatArray) -> dict[str, FloatArray]:
        """Name -> (K, N, ...) what every edge has, in natural units, at K sets of `values`; nan above the root."""
        likelihood, found = self.likelihood, []
        model, layout, columns = likelihood.bound.model, likelihood.bound.layout, dict(likelihood.on.columns)
        for (part,) in self._parts(values, WIDTHS):
            of_part = _edge_values(model, layout, self._entries, part, self._given, columns, self.of_edges)
            found.append({name: np.asarray(each, float)[:, : self.of_edges.size] for name, each in of_part.items()})
        joined = {name: np.concatenate([each[name] for each in found])[: len(values)] for name in found[0]}
        for each in joined.values():
            each[:, 0] = np.nan
        return joined

    def _parts(self, values: FloatArray, widths: tuple[int, ...]) -> list[list[Any]]:
        table = values if values.shape[1] else np.zeros((len(values), 1))
        return in_widths(self.tree.size, table, widths=widths)


def _moved(entries: Entries, given: Any, values: Any, xp: Any, of_edges: OfEdges) -> dict[str, Any]:
    """Parameter -> (K, ...): those that are given, and K sets of the others and of what edges have, (K, F + M)."""
    count = values.shape[0]
    found = {name: xp.broadcast_to(value, (count, *np.shape(value))) for name, value in given.items()}
    for number, (name, entry) in enumerate(entries):
        shape = found[name].shape
        flat = found[name].reshape(count, -1)
        parts = [values[:, number : number + 1] if place == entry else flat[:, place : place + 1]
                 for place in range(flat.shape[1])]  # fmt: skip
        found[name] = xp.concatenate(parts, 1).reshape(shape)
    return found | of_edges.placed(values[:, len(entries) :], xp)


@program(static_argnums=5)
def _heights(tree: Any, edges: Edges, tau2: Any, given_beta: Any, means: Any, shape: Shape) -> tuple[Any, Any]:
    """Log densities, (K,), and the largest standard deviation of a flat unknown of the mean, inf if undetermined."""
    _, solution, _, _ = swept_columns(tree, edges, tau2, given_beta, shape, means)
    variances = jnp.diagonal(solution.covariance, axis1=1, axis2=2)
    flat = jnp.where(means[1] > 0, 0.0, variances)
    largest = jnp.sqrt(jnp.max(flat, axis=1, initial=0.0))
    determined = solution.rank >= means.shape[1]
    return solution.log_likelihood(restricted=True), jnp.where(determined, largest, jnp.inf)


def _height(
    model: GaussianModel,
    layout: Layout,
    entries: Entries,
    shape: Shape,
    values: Any,
    given: Any,
    columns: Any,
    tree: Tree,
    tau2: Any,
    given_beta: Any,
    means: Any,
    of_edges: OfEdges,
) -> Any:
    """(K,) log densities at K sets of the parameters, (K, F); to be called while tracing."""
    edges = model._edges(layout, columns, _moved(entries, given, values, jnp, of_edges))
    noise = jnp.full(values.shape[0], tau2)
    _, solution, _, _ = swept_columns(tree, edges, noise, given_beta, shape, means)
    return solution.log_likelihood(restricted=True)


@program(static_argnums=(0, 1, 2, 6))
def _edge_values(
    model: GaussianModel, layout: Layout, entries: Entries, values: Any, given: Any, columns: Any, of_edges: OfEdges
) -> dict[str, Any]:
    """Name -> (K, rows, ...) what every edge has, in natural units; no prior of it depends on the mean's unknowns."""
    unknowns = unraveled(layout, jnp.zeros(sum(math.prod(shape) for _, shape in layout)))
    names = [name for name, _ in of_edges.shapes]

    def at(one: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for function in (model.edge, model.noise):
            if function is not None:
                found |= model.over_edges(function, {**one, **unknowns}, columns).variables
        return {name: found[name] for name in names}

    return jax.vmap(at)(_moved(entries, given, values, jnp, of_edges))


@program(static_argnums=(0, 1, 2, 3, 11))
def _slopes(
    model: GaussianModel,
    layout: Layout,
    entries: Entries,
    shape: Shape,
    values: Any,
    given: Any,
    columns: Any,
    tree: Tree,
    tau2: Any,
    given_beta: Any,
    means: Any,
    of_edges: OfEdges,
) -> tuple[Any, Any]:
    """`_height`, and its derivatives by the numbers of every set, (K, F + M)."""

    def total(values: Any) -> tuple[Any, Any]:
        found = _height(model, layout, entries, shape, values, given, columns, tree, tau2, given_beta, means, of_edges)
        # Of impossible sets there is no slope.
        return jnp.where(jnp.isfinite(found), found, 0.0).sum(), found

    slopes, heights = jax.grad(total, has_aux=True)(values)
    return heights, slopes
