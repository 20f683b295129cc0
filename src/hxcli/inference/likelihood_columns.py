"""The log likelihood of one trait under a Gaussian model, at K sets of its parameters side by side.

A search moves the model's coordinates. What enters linearly is solved for at every set: the unknowns of the mean
always, and the first rate wherever no observation has an error and no rate is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.errors import OptionError
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.gaussian_model import OFFSET, BoundModel, Coordinate, Edges, GaussianModel, Layout
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.gls import Swept, sweep_design, sweep_down, sweep_up
from hxcli.prebuilt.gls_solution import Solution, estimates, solve
from hxcli.prebuilt.inverse_covariance import times_inverse
from hxcli.prebuilt.parameter_columns import in_widths, observed_fields, seen_fields
from hxcli.prebuilt.path_gains import gains
from hxcli.traits import Observations

# How far a rate that is searched for may be from the one at which the tips would differ as they do.
_RATE_BELOW, _RATE_ABOVE = 1e-12, 1e6
# Columns of a sweep: one number, so that one program serves every search, but for trees on which a column is dear.
_WIDTHS, _WIDTHS_LARGE, _LARGE = (16,), (1, 16), 1 << 15
# Points at which a model is looked at to see whether its mean moves along edges.
_LOOKS = 3


class Framed(NamedTuple):
    """A tree's edges on the device, shared by all models and traits.

    Attributes:
        tree: Framed, with the edges' columns as fields.
        columns: The same, and `tree_height`.
        size: N, without the padding.
    """

    tree: Tree
    columns: Mapping[str, Any]
    size: int


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


class _Shape(NamedTuple):
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


def framed(columns: Mapping[str, Any], phylogeny: Phylogeny) -> Framed:
    """Places a tree's edges on the device.

    Args:
        columns: Of `EdgeFields`.
        phylogeny: N nodes.
    """
    size = phylogeny.topology.size
    arrays = {name: np.asarray(value, float) for name, value in columns.items() if name not in OF_THE_TREE}
    tree = Tree.on_frame(phylogeny.topology, arrays, 16)
    fields = {name: tree[name] for name in arrays} | {"is_tip": tree["is_tip"] > 0}
    whole = [name for name in arrays if np.issubdtype(np.asarray(columns[name]).dtype, np.integer)]
    fields |= {name: fields[name].astype(int) for name in whole}
    return Framed(tree, {**fields, **{name: columns[name] for name in OF_THE_TREE & columns.keys()}}, size)


class TraitLikelihood:
    """The log likelihood of one trait under one model.

    Attributes:
        bound: The model on the tree.
        coordinates: What a search moves, S of them.
        held: Reported name -> value of the parameters that are given.
        restricted: REML, or ML.
        profiled: Whether the first rate is solved for; else all rates are coordinates.
        free: (P,) which unknowns of the mean are solved for.
        unknowns: Names of the P unknowns of the mean: the model's, or the columns of a design.
    """

    def __init__(
        self,
        bound: BoundModel,
        on: Framed,
        observations: Observations,
        trait: int,
        *,
        restricted: bool,
        tau2: float = 0.0,
        held: Mapping[str, float] | None = None,
        design: FloatArray | None = None,
        terms: tuple[str, ...] = (),
    ) -> None:
        """Places the observations of a trait.

        Args:
            bound: The model on the tree.
            on: The tree.
            observations: In the unit of computation.
            trait: Which of their columns.
            restricted: REML, or ML.
            tau2: Observation variance, added to the squares of the known errors.
            held: Parameters that are given, in the unit of computation.
            design: (N, P) what the means of the tips are linear in, in the place of the model's own unknowns: those of
                a regression. Columns of zeros are no unknowns.
            terms: (P,) its names.

        Raises:
            OptionError: A name in `held` that the model does not have, or a value outside its support.
        """
        self.bound, self.restricted, self.held = bound, restricted, dict(held or {})
        phylogeny = bound.fields.phylogeny
        fields, exact = seen_fields(phylogeny, observations, trait)
        self._on, self._tau2 = on, tau2
        self.unknowns = bound.unknowns if design is None else terms
        if design is not None:
            fields = {**fields, "design": design}
        self._tree = Tree.from_data(on.tree.topology, {**_padded(on.tree, fields), "length": on.tree["length"]})
        rates = [name for name in bound.rates if name in self.held]
        own_noise = bound.model.noise is not None
        self.profiled = exact and tau2 == 0 and not own_noise and not rates and bool(bound.rates)
        self.free = tuple(name not in self.held and name != OFFSET for name in self.unknowns)
        self._refuse_unknown()
        every = list(bound.coordinates)
        if not self.profiled:
            every = [each for each in every if not each.is_rate] + self._rates(observations.values[:, trait])
        self._every = tuple(every)
        self.coordinates = tuple(each for each in every if each.name not in self.held)
        given = {OFFSET: 1.0, **self.held}
        self._given_beta = np.array([given.get(name, 0.0) for name in bound.unknowns])
        self._shape = _Shape(restricted, self.profiled, self.free, self._is_drifting())

    @property
    def start(self) -> FloatArray:
        """(S,) usual values, as the search has them."""
        return np.array([float(each.to_search(each.start)) for each in self.coordinates])

    @property
    def ends(self) -> FloatArray:
        """(S, 2) ends of the supports, as the search has them."""
        ends = [(float(each.to_search(each.low)), float(each.to_search(each.high))) for each in self.coordinates]
        return np.array(ends).reshape(-1, 2)

    def at(self, x: FloatArray) -> ColumnFigures:
        """The likelihood at K points of the search, (K, S)."""
        found = []
        for part in self._parts(np.atleast_2d(x)):
            columns = _columns(self._tree, self._edges(part), *self._noise(part), self._shape)
            found.append(jax.tree.map(np.asarray, columns))
        whole = ColumnFigures(*(np.concatenate(parts)[: len(x)] for parts in zip(*found, strict=True)))
        finite = np.where(np.isfinite(whole.log_likelihood), whole.log_likelihood, -np.inf)
        # Nothing varies: every set of parameters explains the observations.
        return whole._replace(log_likelihood=np.where(whole.log_likelihood == np.inf, np.inf, finite))

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood at one point of the search, (S,), and its exact gradient."""
        figures, slopes = self.figures_and_slopes(x)
        return float(figures.log_likelihood[0]), slopes.log_likelihood[0]

    def figures_and_slopes(self, x: FloatArray) -> tuple[ColumnFigures, ColumnFigures]:
        """One column at a point of the search, (S,), and the exact derivatives, each with a last axis S."""
        coordinates = tuple((each.parameter, each.entry, each.log) for each in self.coordinates)
        values = {name: value[0] for name, value in self._values(self._whole(np.asarray(x, float)[None])).items()}
        found = _slopes(self.bound.model, self.bound.layout, coordinates, self._shape)(
            jnp.asarray(x, float), values, dict(self._on.columns), self._tree, self._tau2, self._given_beta
        )
        figures, slopes = jax.tree.map(lambda part: np.asarray(part, float), found)
        return figures, slopes

    def states(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and variance (N,) of every node given the observations, at one point (S,); and the design (N, P).

        The variances include the uncertainty of the unknowns of the mean.
        """
        point = self._parts(np.asarray(x, float)[None])[0]
        found = _states(self._tree, self._edges(point), *self._noise(point), self._shape)
        mean, variance, design, _ = (np.asarray(part, float)[: self._on.size] for part in found)
        return mean[:, 0], variance[:, 0], design[:, 0]

    def joint_states(self, x: FloatArray) -> JointStates:
        """All nodes together given the observations, at one point (S,)."""
        point = self._parts(np.asarray(x, float)[None])[0]
        found = _joint_states(self._tree, self._edges(point), *self._noise(point), self._shape)
        gain, own, variance, rest = (np.asarray(part, float)[: self._on.size, 0] for part in found[:4])
        return JointStates(gain, own, variance, rest, np.asarray(found[4], float)[0])

    def weights(self, x: FloatArray) -> FloatArray:
        """(N, P) V^-1 X at one point (S,), without replicates: X' V^-1 y is the sum of its rows times the response."""
        point, size = self._parts(np.asarray(x, float)[None])[0], self._on.size
        found = _states(self._tree, self._edges(point), *self._noise(point), self._shape)
        state = np.asarray(found[3], float)[:size, 0, 1:]
        edges = self.edges(x)
        tips = {name: np.asarray(self._tree[name])[:size].sum(1) for name in ("number", "error2")}
        noise = self._tau2 + (0.0 if edges.noise is None else edges.noise[:, 0])
        return times_inverse(
            self.bound.fields.phylogeny.topology,
            edges.scale[:, 0],
            edges.variance[:, 0],
            float(edges.root_variance[0]),
            state,
            np.asarray(found[2], float)[:size, 0],
            np.where(tips["number"] > 0, tips["error2"] + noise, np.nan),
        )

    def edges(self, x: FloatArray) -> Edges:
        """The edges at one point (S,), at a first rate of 1, as numpy arrays of N nodes and one column."""
        found = jax.tree.map(np.asarray, self._edges(np.asarray(x)[None]))
        names = ("scale", "variance", "shift", *(() if found.noise is None else ("noise",)))
        return found._replace(**{name: getattr(found, name)[: self._on.size] for name in names})

    def parameters(self, x: FloatArray) -> dict[str, float]:
        """Shape parameters, and rates where they are coordinates (else relative to the first), by reported name."""
        whole = self._whole(np.asarray(x)[None])[0]
        return {each.name: float(each.from_search(value)) for each, value in zip(self._every, whole, strict=True)}

    def values_at(self, x: FloatArray) -> dict[str, FloatArray]:
        """The parameters but for those of the mean at one point (S,), with a leading axis of 1."""
        return self._values(self._whole(np.asarray(x, float)[None]))

    def unknowns_at(self, figures: ColumnFigures) -> FloatArray:
        """(P,) the unknowns of the mean, given ones too, of one column."""
        found = self._given_beta.copy()
        found[np.flatnonzero(self.free)] = figures.beta[0]
        return found

    def _parts(self, x: FloatArray) -> list[Any]:
        widths = _WIDTHS if self._tree.size <= _LARGE else _WIDTHS_LARGE
        return [part for (part,) in in_widths(self._tree.size, x, widths=widths)]

    def _edges(self, x: Any) -> Edges:
        return self.bound.model.edges(
            self.bound.layout, dict(self._on.columns), self._values(self._whole(np.asarray(x)))
        )

    def _values(self, whole: FloatArray) -> dict[str, FloatArray]:
        found = self.bound.values(whole, self._every)
        for name in self.bound.fixed.keys() & self.held.keys():
            found[name][:] = self.held[name]
        return found

    def _whole(self, x: FloatArray) -> FloatArray:
        """(K, all coordinates) with those that are held in their places."""
        whole = np.empty((len(x), len(self._every)))
        moving = iter(x.T)
        for number, each in enumerate(self._every):
            whole[:, number] = float(each.to_search(self.held[each.name])) if each.name in self.held else next(moving)
        return whole

    def _noise(self, x: Any) -> tuple[Any, Any]:
        return jnp.full(len(x), self._tau2), jnp.asarray(self._given_beta)

    def _is_drifting(self) -> bool:
        """Whether the mean moves along edges, at some points of the support."""
        if not self.bound.layout or "design" in self._tree.schema:
            return False
        shares = np.linspace(0.2, 0.8, _LOOKS)[:, None]
        # Around the start where a support has no end.
        low, high = (
            np.where(np.isfinite(end), end, self.start + side) for end, side in zip(self.ends.T, (-1, 1), strict=True)
        )
        points = low + shares * (high - low) if len(low) else np.zeros((1, 0))
        found = self._edges(self._parts(points)[0])
        return bool(
            jnp.any(found.shift != 0) | jnp.any(jnp.where(self._tree["length"][:, None] >= 0, found.scale, 1) != 1)
        )

    def _rates(self, values: FloatArray) -> list[Coordinate]:
        """The rates as coordinates of their own, around the one at which the tips would differ as they do."""
        points = np.array([[float(each.to_search(each.start)) for each in self.bound.coordinates]])
        variance = np.asarray(self.bound.edges(points, dict(self._on.columns)).variance)[:, 0]
        spread = float(np.nanvar(values)) if np.isfinite(values).any() else 0.0
        grown = float(variance[: self._on.size].sum()) / max(1, len(self.bound.fields.phylogeny.tips))
        usual = spread / grown if spread > 0 and grown > 0 else 1.0
        entries = [name for name, declared in self.bound.declarations.items() if name in self.bound.model.rates]
        found: list[Coordinate] = []
        for name in entries:
            count = max(1, int(np.prod(self.bound.declarations[name].shape, dtype=int)))
            for index in range(count):
                reported = self.bound.rates[len(found)]
                ends = (_RATE_BELOW * usual, _RATE_ABOVE * usual)
                found.append(Coordinate(reported, name, index, *ends, log=True, start=usual, is_rate=True))
        return found

    def _refuse_unknown(self) -> None:
        known = {each.name: (each.low, each.high) for each in self.bound.coordinates if not each.is_rate}
        for name, value in self.held.items():
            if name in known:
                low, high = known[name]
                if not low <= value <= high:
                    raise OptionError(f"--set {name}={value:g}: outside its support, {low:.6g} to {high:.6g}")
            elif name in self.bound.rates:
                if not value > 0:
                    raise OptionError(f"--set {name}={value:g}: a rate is above 0")
            elif name not in (*self.unknowns, *self.bound.fixed):
                unknowns = [each for each in self.unknowns if each != OFFSET]
                has = ", ".join([*known, *self.bound.rates, *unknowns, *self.bound.fixed])
                raise OptionError(f"--set {name}: model {self.bound.name} has no such parameter (it has {has})")


def _padded(tree: Tree, fields: Mapping[str, FloatArray]) -> dict[str, Any]:
    size = tree.size
    return {
        name: jnp.asarray(np.concatenate([v, np.zeros((size - len(v), *v.shape[1:]))])) for name, v in fields.items()
    }


def _swept(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: _Shape) -> tuple[Swept, Solution, Any, Any]:
    """The sweep, its solution, the design of all unknowns, and the mean that given unknowns make; while tracing."""
    size, columns = edges.scale.shape
    if "design" in tree.schema:
        given_design = tree["design"]
        design = jnp.broadcast_to(given_design[:, None], (size, columns, given_design.shape[1]))
    elif shape.drifting:
        design = sweep_design(tree.topology, edges.scale, edges.shift, edges.root_mean)
    else:
        design = jnp.broadcast_to(edges.root_mean[None], (size, columns, edges.root_mean.shape[1]))
    tips = observed_fields(tree, tau2 if edges.noise is None else tau2[None] + edges.noise)
    free = np.flatnonzero(shape.free)
    given = design @ given_beta if len(free) < len(shape.free) else jnp.zeros((size, columns))
    tips = {**tips, "mean": tips["mean"] - given}
    swept = sweep_up(
        tree.topology,
        {"scale": edges.scale, "variance": edges.variance},
        tips,
        design[:, :, free],
        edges.root_variance,
        positive=tree["length"] > 0,
    )
    solution = solve(swept)
    if edges.noise is not None:
        bad = ((tree["number"].sum(1) > 0)[:, None] & ~(edges.noise >= 0)).any(0)
        solution = solution._replace(possible=solution.possible & ~bad)
    return swept, solution, design[:, :, free], given


@partial(jax.jit, static_argnums=4)
def _columns(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: _Shape) -> ColumnFigures:
    _, solution, _, _ = _swept(tree, edges, tau2, given_beta, shape)
    return _figures(solution, shape)


def _figures(solution: Solution, shape: _Shape) -> ColumnFigures:
    restricted = shape.restricted
    if shape.profiled:
        log_likelihood, rate = solution.profiled(restricted), solution.best_rate(restricted)
    else:
        log_likelihood, rate = solution.log_likelihood(restricted), jnp.ones_like(solution.rss)
    size = solution.freedom if restricted else solution.count
    return ColumnFigures(log_likelihood, rate, solution.beta, solution.covariance, solution.rss, size)


@partial(jax.jit, static_argnums=4)
def _states(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: _Shape) -> tuple[Any, ...]:
    swept, solution, design, given = _swept(tree, edges, tau2, given_beta, shape)
    deviations = sweep_down(swept)
    mean, variance = estimates(swept, solution, design, _figures(solution, shape).rate, deviations)
    return mean + given, variance, design, deviations[0]


@partial(jax.jit, static_argnums=4)
def _joint_states(tree: Tree, edges: Edges, tau2: Any, given_beta: Any, shape: _Shape) -> tuple[Any, ...]:
    swept, solution, design, _ = _swept(tree, edges, tau2, given_beta, shape)
    (state, variance), rate = sweep_down(swept), _figures(solution, shape).rate
    gain, own = gains(*(swept.tree[name] for name in ("known", "precision", "scale", "variance")))
    covariance = solution.covariance * rate[:, None, None]
    return gain, own * rate[None], variance * rate[None], design - state[:, :, 1:], covariance


@lru_cache(maxsize=64)
def _slopes(model: GaussianModel, layout: Layout, coordinates: tuple[tuple[str, int, bool], ...], shape: _Shape) -> Any:
    """The program `(x, values, columns, tree, tau2, given beta) -> figures and their derivatives` of one column."""

    def figures(x: Any, values: Any, columns: Any, tree: Tree, tau2: Any, given_beta: Any) -> Any:
        for number, (name, entry, log) in enumerate(coordinates):
            moved = jnp.exp(x[number]) if log else x[number]
            values = {**values, name: values[name].reshape(-1).at[entry].set(moved).reshape(values[name].shape)}
        edges = model._edges(layout, columns, {name: each[None] for name, each in values.items()})
        _, solution, _, _ = _swept(tree, edges, jnp.full(1, tau2), given_beta, shape)
        found = _figures(solution, shape)
        return found, found

    # Forwards, because the coordinates are few and the figures are many.
    def both(*arguments: Any) -> tuple[Any, Any]:
        slopes, found = jax.jacfwd(figures, has_aux=True)(*arguments)
        return found, slopes

    return jax.jit(both)
