"""The jitted programs that give the log likelihood of traits under a Gaussian model, whatever the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.engine.tree import Tree
from hxcli.models.gaussian_model import Edges, GaussianModel, Layout
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.gls import Swept, sweep_design, sweep_down, sweep_up
from hxcli.prebuilt.gls_solution import Solution, estimates, solve
from hxcli.prebuilt.parameter_columns import observed_fields
from hxcli.prebuilt.path_gains import gains


class ColumnFigures(NamedTuple):
    """What K sets of parameters give.

    Attributes:
        log_likelihood: (K,) at the best first rate and unknowns; -inf where the observations are impossible.
        rate: (K,) the first rate; 1 where rates are coordinates.
        beta, covariance: (K, P) unknowns of the mean and (K, P, P) their covariance, at a rate of 1.
        rss, size: (K,) sum of squares, and what it is divided by.
    """

    log_likelihood: FloatArray
    rate: FloatArray
    beta: FloatArray
    covariance: FloatArray
    rss: FloatArray
    size: FloatArray


class JointStates(NamedTuple):
    """All nodes given the observations, as what every one owes to its parent.

    Attributes:
        gain, own: (N,) as `path_gains.gains` has them.
        variance: (N,) variances given the unknowns of the mean.
        rest: (N, P) how much the state's mean moves with each of them.
        covariance: (P, P) theirs.
    """

    gain: FloatArray
    own: FloatArray
    variance: FloatArray
    rest: FloatArray
    covariance: FloatArray


class Shape(NamedTuple):
    """What of a likelihood is compiled into its program.

    Attributes:
        restricted: REML, or ML.
        profiled: Whether the first rate is solved for.
        free: (P,) which unknowns are solved for.
        drifting: Whether the mean moves along edges.
    """

    restricted: bool
    profiled: bool
    free: tuple[bool, ...]
    drifting: bool


def swept_columns(
    tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: Shape, means: Any = None
) -> tuple[Swept, Solution, Any, Any]:
    """The sweep, its solution, the design of all unknowns, and the mean that given unknowns make; while tracing.

    `means` are priors of the unknowns, as `gls_solution.solve` has them.
    """
    design, given = _design(tree, edges, given_beta, shape)
    tips = observed_fields(tree, tau2 if edges.noise is None else tau2[None] + edges.noise)
    tips = {**tips, "mean": tips["mean"] - given}
    swept = sweep_up(
        tree.topology,
        {"scale": edges.scale, "variance": edges.variance},
        tips,
        design,
        edges.root_variance,
        positive=tree["length"] > 0,
    )
    solution = solve(swept, means)
    if edges.noise is not None:
        bad = ((tree["number"].sum(1) > 0)[:, None] & ~(edges.noise >= 0)).any(0)
        solution = solution._replace(possible=solution.possible & ~bad)
    return swept, solution, design, given


def _design(tree: Tree, edges: Edges, given_beta: Any, shape: Shape) -> tuple[Any, Any]:
    """The design of the unknowns that are solved for, (N, K, F), and the mean that the given ones make, (N, K)."""
    size, columns = edges.scale.shape
    if "design" in tree.schema:
        given_design = tree["design"]
        design = jnp.broadcast_to(given_design[:, None], (size, columns, given_design.shape[1]))
    elif shape.drifting:
        design = sweep_design(tree.topology, edges.scale, edges.shift, edges.root_mean)
    else:
        design = jnp.broadcast_to(edges.root_mean[None], (size, columns, edges.root_mean.shape[1]))
    free = np.flatnonzero(shape.free)
    given = design @ given_beta if len(free) < len(shape.free) else jnp.zeros((size, columns))
    return design[:, :, free], given


@program(static_argnums=4)
def columns_at(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: Shape) -> ColumnFigures:
    """The figures of K columns that have the observations in common."""
    _, solution, _, _ = swept_columns(tree, edges, tau2, given_beta, shape)
    return figures_of(solution, shape)


def figures_of(solution: Solution, shape: Shape) -> ColumnFigures:
    """What a likelihood of this shape says of a solution; while tracing."""
    restricted = shape.restricted
    if shape.profiled:
        log_likelihood, rate = solution.profiled(restricted), solution.best_rate(restricted)
    else:
        log_likelihood, rate = solution.log_likelihood(restricted), jnp.ones_like(solution.rss)
    size = solution.freedom if restricted else solution.count
    return ColumnFigures(log_likelihood, rate, solution.beta, solution.covariance, solution.rss, size)


@program(static_argnums=4)
def states_at(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: Shape) -> tuple[Any, ...]:
    """Mean and variance (N, K) of all nodes, the design, and the deviations given each right-hand side."""
    swept, solution, design, given = swept_columns(tree, edges, tau2, given_beta, shape)
    deviations = sweep_down(swept)
    mean, variance = estimates(swept, solution, design, figures_of(solution, shape).rate, deviations)
    return mean + given, variance, design, deviations[0]


@program(static_argnums=4)
def joint_states_at(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: Shape) -> tuple[Any, ...]:
    """The fields of `JointStates`, each with an axis of K columns behind that of nodes."""
    swept, solution, design, _ = swept_columns(tree, edges, tau2, given_beta, shape)
    (state, variance), rate = sweep_down(swept), figures_of(solution, shape).rate
    gain, own = gains(*(swept.tree[name] for name in ("known", "precision", "scale", "variance")))
    covariance = solution.covariance * rate[:, None, None]
    return gain, own * rate[None], variance * rate[None], design - state[:, :, 1:], covariance


@program(static_argnums=6)
def responses_at(
    tree: Tree, responses: Any, misfit: Any, edges: Edges, tau2: Any, given_beta: Any, shape: Shape
) -> ColumnFigures:
    """The figures of K columns with a response each, observed with the errors of the tree's own observations.

    Args:
        tree: With the observations of a trait as fields, whose numbers and errors count here and whose values do not.
        responses: (N, K) means of what is observed at the tips.
        misfit: (K,) weighted squares of the observations of a tip around their mean.
        edges: Of K columns.
        tau2, given_beta, shape: As in `columns_at`.
    """
    design, given = _design(tree, edges, given_beta, shape)
    tips = observed_fields(tree, tau2)
    tips = {**tips, "mean": responses - given, "quadratic": jnp.zeros_like(tips["quadratic"])}
    linked = {"scale": edges.scale, "variance": edges.variance}
    solution = solve(sweep_up(tree.topology, linked, tips, design, edges.root_variance, positive=tree["length"] > 0))
    return figures_of(solution._replace(rss=solution.rss + misfit), shape)


class Shared(NamedTuple):
    """What K columns have for all responses alike, whose tips are observed with the same errors.

    Attributes:
        known, precision, weight: (N, K) of every node and its contrast, as in `hxcli.prebuilt.gls`.
        contrast: (N, K, P) of the design.
        given: (N, K) mean that given unknowns make.
        covariance: (K, P, P) of the unknowns at a rate of 1.
        log_information, size, log_det: (K,) as in `hxcli.prebuilt.gls_solution`; size is the estimator's.
        fixed, possible: (K,) whether an exact tip is at the root; false where an edge's variance underflowed.
    """

    known: Any
    precision: Any
    weight: Any
    contrast: Any
    given: Any
    covariance: Any
    log_information: Any
    size: Any
    log_det: Any
    fixed: Any
    possible: Any


@program(static_argnums=4)
def shared_at(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: Shape) -> Shared:
    """What K columns have for all responses alike; the arguments are those of `columns_at`."""
    design, given = _design(tree, edges, given_beta, shape)
    tips = observed_fields(tree, tau2)
    tips = {**tips, "mean": jnp.zeros_like(tips["mean"])}
    linked = {"scale": edges.scale, "variance": edges.variance}
    swept = sweep_up(tree.topology, linked, tips, design, edges.root_variance, positive=tree["length"] > 0)
    solution = solve(swept)
    return Shared(
        swept.tree["known"],
        swept.tree["precision"],
        swept.weight,
        swept.contrast[:, :, 1:],
        given,
        solution.covariance,
        solution.log_information,
        solution.freedom if shape.restricted else solution.count,
        solution.log_det,
        swept.fixed,
        swept.possible,
    )


@program(static_argnums=(0, 1, 2, 3))
def slopes_at(
    model: GaussianModel,
    layout: Layout,
    coordinates: tuple[tuple[str, int, bool], ...],
    shape: Shape,
    x: Any,
    values: Any,
    columns: Any,
    tree: Tree,
    tau2: Any,
    given_beta: Any,
) -> tuple[Any, Any]:
    """The figures of one column, and their derivatives by the coordinates of a search.

    Args:
        model, layout: Whose edges they are.
        coordinates: Parameter, its entry, and whether its logarithm is moved, of every coordinate.
        shape: What is compiled into the program.
        x: (S,) where the search is.
        values: Parameter -> its value, without an axis of columns.
        columns: Of `EdgeFields`.
        tree, tau2, given_beta: As in `columns_at`.
    """

    def figures(x: Any) -> Any:
        moved = dict(values)
        for number, (name, entry, log) in enumerate(coordinates):
            value = jnp.exp(x[number]) if log else x[number]
            moved[name] = moved[name].reshape(-1).at[entry].set(value).reshape(moved[name].shape)
        edges = model._edges(layout, columns, {name: each[None] for name, each in moved.items()})
        _, solution, _, _ = swept_columns(tree, edges, jnp.full(1, tau2), given_beta, shape)
        found = figures_of(solution, shape)
        return found, found

    # Forwards, because the coordinates are few and the figures are many.
    slopes, found = jax.jacfwd(figures, has_aux=True)(x)
    return found, slopes
