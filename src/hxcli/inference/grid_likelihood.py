"""The log likelihood of one trait under a diffusion on a grid, its maximum, and the densities of all nodes there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.errors import ModelError, OptionError
from hxcli.model import Edge, Sde, evaluate
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.gaussian_model import BoundModel, GaussianModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid import log_at_root, swept_down, swept_up
from hxcli.prebuilt.grid_generator import AXES, ENDS, Cells, Generator, make_cells, make_generator
from hxcli.prebuilt.grid_observations import Seen, root_weights, seen
from hxcli.prebuilt.grid_transition import make_transition
from hxcli.prebuilt.parameter_columns import observed_fields, seen_fields
from hxcli.traits import Observations

# Cells of a grid, where a user does not say.
CELLS = 200
# How far a grid without ends of its own goes beyond the observed values: of their range, and of their spread.
_MARGIN_RANGE, _MARGIN_SPREAD = 0.5, 3.0
# Points at which a search may begin, standard deviations of the prior from its middle; and how many of them are tried.
_SCATTER = 1.2
_POINTS, _STARTS = 8, 2
# Steps of the differences of gradients that give second derivatives, in the search's coordinates.
_STEP = 1e-3
_AT_END = 1e-6


class GridOptimum(NamedTuple):
    """The most likely parameters.

    Attributes:
        x: (S,) coordinates as the search has them.
        log_likelihood: There.
        gradient: (S,) there.
        hessian: (S, S) there.
        at_lower, at_upper: Names of the coordinates at an end of their support.
        starts, agreeing: How many searches were begun, and ended at the same height.
        converged: Whether the gradient vanishes and the curvature is that of a maximum.
    """

    x: FloatArray
    log_likelihood: float
    gradient: FloatArray
    hessian: FloatArray
    at_lower: tuple[str, ...]
    at_upper: tuple[str, ...]
    starts: int
    agreeing: int
    converged: bool

    @property
    def certificate(self) -> GridOptimum:
        """Under the name that a `maximum_likelihood.Optimum` has for it."""
        return self


class GridDensities(NamedTuple):
    """The densities of N nodes.

    Attributes:
        chances: (N, k) of every cell.
        states: (k,) middles of the cells.
        walls: (k + 1,) states between them.
    """

    chances: FloatArray
    states: FloatArray
    walls: FloatArray


@dataclass(frozen=True)
class _Program:
    """What of a likelihood is compiled: equal programs share one executable.

    Attributes:
        model: The model.
        cells: k.
        coordinates: Parameter, entry and whether the search moves its logarithm, of every coordinate.
    """

    model: GaussianModel
    cells: int
    coordinates: tuple[tuple[str, int, bool], ...]


class _Parts(NamedTuple):
    cells: Cells
    generator: Generator
    own: Seen
    root: Any


class GridLikelihood:
    """The log likelihood of one trait under one diffusion, in the trait's own units.

    Attributes:
        bound: The model on the tree, with the trait's own numbers among the fields of its edges.
        coordinates: What a search moves, S of them.
        held: Reported name -> value of the parameters that are given.
        cells: k.
    """

    def __init__(
        self,
        bound: BoundModel,
        observations: Observations,
        trait: int,
        *,
        tau2: float = 0.0,
        held: Mapping[str, float] | None = None,
        cells: int = CELLS,
    ) -> None:
        """Places the observations of a trait.

        Args:
            bound: The model on the tree; see `trait_fields`.
            observations: In the trait's units.
            trait: Which of their columns.
            tau2: Observation variance, trait^2.
            held: Parameters that are given.
            cells: k.

        Raises:
            OptionError: A name that the model does not have, or a value outside its support.
            ModelError: A diffusion that differs from edge to edge, or values that it does not allow.
        """
        self.bound, self.held, self.cells = bound, dict(held or {}), cells
        phylogeny = bound.fields.phylogeny
        fields, _ = seen_fields(phylogeny, observations, trait)
        inner = {"length": phylogeny.lengths, "inner": ~np.asarray(phylogeny.topology.is_leaf)}
        self._tree = Tree.on_frame(phylogeny.topology, {**fields, **inner}, cells)
        self._tau2, self._size = tau2, phylogeny.topology.size
        self._refuse_unknown()
        self.coordinates = tuple(each for each in bound.coordinates if each.name not in self.held)
        self._edge = {
            name: value if name in OF_THE_TREE else jnp.asarray(value)[-1]
            for name, value in bound.fields.columns.items()
        }
        self._sde = self._looked_at()
        self._span = self._range(observations.values[:, trait])

    @property
    def start(self) -> FloatArray:
        """(S,) usual values, as the search has them."""
        return np.array([float(each.to_search(each.start)) for each in self.coordinates])

    @property
    def ends(self) -> FloatArray:
        """(S, 2) ends of the supports, as the search has them."""
        ends = [(float(each.to_search(each.low)), float(each.to_search(each.high))) for each in self.coordinates]
        return np.array(ends).reshape(-1, 2)

    def value(self, x: FloatArray) -> float:
        """The log likelihood at one point of the search, (S,)."""
        return float(_value(self._program(self.cells), jnp.asarray(x), *self._given()))

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """The same and its gradient, (S,)."""
        found = _value_and_gradient(self._program(self.cells), jnp.asarray(x), *self._given())
        return float(found[0]), np.asarray(found[1], float)

    def densities(self, x: FloatArray, cells: int | None = None) -> GridDensities:
        """The densities of all nodes at one point of the search, with a flat root unless the model has one.

        Args:
            x: (S,).
            cells: Another number of cells than the search's.
        """
        number = cells or self.cells
        tree = self._tree if number == self.cells else Tree.from_data(self._tree.topology, dict(self._tree.data))
        found = _densities(self._program(number), jnp.asarray(x), *self._given()[:-1], tree)
        chances, states, low, width = (np.asarray(each, float) for each in found)
        walls = np.asarray(AXES[self._sde.axis][1](low + np.arange(number + 1) * width), float)
        return GridDensities(chances[: self._size], states, walls)

    def parameters(self, x: FloatArray) -> dict[str, float]:
        """Every parameter by its reported name, held and fixed ones too."""
        free = {each.name: float(each.from_search(v)) for each, v in zip(self.coordinates, x, strict=True)}
        return {**free, **self.bound.fixed, **self.held}

    @property
    def free_root(self) -> bool:
        """Whether the root's state is one of the unknowns."""
        return self.bound.model.root is None

    def _program(self, cells: int) -> _Program:
        coordinates = tuple((each.parameter, each.entry, each.log) for each in self.coordinates)
        return _Program(self.bound.model, cells, coordinates)

    def _values(self) -> dict[str, Any]:
        """Every parameter's usual or given value."""
        found = {
            name: np.array(np.broadcast_to(0.0 if one.start is None else one.start, one.shape), float)
            for name, one in self.bound.declarations.items()
        }
        by_name = {each.name: each for each in self.bound.coordinates}
        for name, value in self.held.items():
            if name in by_name:
                found[by_name[name].parameter].reshape(-1)[by_name[name].entry] = value
            else:
                found[name] = np.asarray(value, float)
        return found

    def _given(self) -> tuple[Any, ...]:
        return self._values(), self._edge, jnp.asarray(self._span), jnp.asarray(float(self._tau2)), self._tree

    def _looked_at(self) -> Sde:
        """The diffusion at its usual values, which must be the same on every edge."""
        bound, x = self.bound, jnp.linspace(*self._looked_range(), 7)

        def tabulated(edge: Any) -> Any:
            sde = bound.model.edge(Edge(edge))
            drift, factor = (jax.vmap(p)(x) if callable(p) else jnp.full(7, p) for p in (sde.drift, sde.diffusion))
            return jnp.stack([jnp.broadcast_to(each, (7,)) for each in (drift, factor)])

        columns = bound.fields.columns
        axes = {name: None if name in OF_THE_TREE else 0 for name in columns}
        values = self._values()
        per_edge = jax.vmap(lambda edge: evaluate(tabulated, values, edge).returned, in_axes=(axes,))
        found = np.asarray(jax.jit(per_edge)({name: jnp.asarray(value) for name, value in columns.items()}))
        name = bound.model.name
        if not np.isfinite(found).all():
            raise ModelError(f"model {name}: its drift or diffusion is no number somewhere between the observed values")
        if np.ptp(found[1:], axis=0).max(initial=0) > 0:
            raise ModelError(
                f"model {name}: its drift or diffusion differs from edge to edge, which a grid does not allow "
                "(return a Gaussian, or leave the edge out of both)"
            )
        sde = evaluate(lambda: bound.model.edge(Edge(self._edge)), values).returned
        if sde.axis not in AXES or sde.ends not in ENDS:
            raise ModelError(
                f"model {name}: axis {sde.axis!r}, ends {sde.ends!r} (axis is one of {', '.join(AXES)}; ends one of "
                f"{', '.join(ENDS)})"
            )
        return sde

    def _looked_range(self) -> tuple[float, float]:
        columns = self.bound.fields.columns
        return float(columns["trait_low"]), float(columns["trait_high"])

    def _range(self, values: FloatArray) -> tuple[float, float]:
        """Ends of the grid where the model has none: beyond the values by far more than any state is."""
        there = values[~np.isnan(values)]
        name = self.bound.model.name
        if len(there) < 2 or np.ptp(there) == 0:
            raise ModelError(f"model {name}: the trait has fewer than two different values, so no grid can be laid")
        to_coordinate, to_state = AXES[self._sde.axis]
        if self._sde.axis != "linear" and there.min() <= 0:
            raise ModelError(f"model {name} is of a positive trait, and a value is {there.min():g}")
        z = np.asarray(to_coordinate(jnp.asarray(there)), float)
        margin = max(_MARGIN_RANGE * float(np.ptp(z)), _MARGIN_SPREAD * float(z.std()))
        low, high = z.min() - margin, z.max() + margin
        if self._sde.axis == "sqrt":
            low = max(low, 1e-3 * z.min())
        return float(to_state(low)), float(to_state(high))

    def _refuse_unknown(self) -> None:
        known = {each.name: (each.low, each.high) for each in self.bound.coordinates}
        known |= dict.fromkeys(self.bound.fixed, (-np.inf, np.inf))
        for name, value in self.held.items():
            if name not in known:
                raise OptionError(
                    f"--set {name}: model {self.bound.name} has no such parameter (it has {', '.join(known)})"
                )
            low, high = known[name]
            if not low <= value <= high:
                raise OptionError(f"--set {name}={value:g}: outside its support, {low:.6g} to {high:.6g}")


def maximise_on_grid(likelihood: GridLikelihood) -> GridOptimum:
    """The most likely parameters, by L-BFGS-B with exact gradients from the best of a few points."""
    from scipy.optimize import minimize
    from scipy.stats import qmc

    count, ends, start = len(likelihood.coordinates), likelihood.ends, likelihood.start
    nothing = np.zeros(0)
    if count == 0:
        return GridOptimum(nothing, likelihood.value(nothing), nothing, np.zeros((0, 0)), (), (), 1, 1, True)

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = likelihood.value_and_gradient(x)
        return (-value, -gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, 0 * x)

    shifts = _SCATTER * (2 * qmc.Sobol(count, scramble=False).random(_POINTS)[1:] - 1)
    spread = np.array([1.0 if each.log else max(abs(each.start), 1.0) for each in likelihood.coordinates])
    points = np.concatenate([start[None], np.clip(start + shifts * spread, *ends.T)])
    heights = np.nan_to_num([likelihood.value(point) for point in points], nan=-np.inf)
    order = np.argsort(-heights, kind="stable")[:_STARTS]
    options = {"maxiter": 200, "ftol": 1e-13, "gtol": 1e-7}
    found = [minimize(objective, points[i], jac=True, method="L-BFGS-B", bounds=ends, options=options) for i in order]
    best = min(found, key=lambda each: float(each.fun))
    x, top = np.asarray(best.x, float), -float(best.fun)
    gradient = likelihood.value_and_gradient(x)[1]
    hessian = _hessian(likelihood, x)
    names = [each.name for each in likelihood.coordinates]
    lower, upper = (np.isfinite(end) & (abs(x - end) <= _AT_END * np.maximum(1, abs(x))) for end in ends.T)
    free = ~(lower | upper)
    inner = hessian[np.ix_(free, free)]
    scale = 1 / np.sqrt(np.maximum(-np.diag(hessian), 1e-8))
    flat = bool((abs(gradient[free]) * np.minimum(scale[free], 1e3) < 1e-2).all())
    peaked = bool(np.isfinite(inner).all()) and bool((np.linalg.eigvalsh(inner) < 0).all())
    return GridOptimum(
        x,
        top,
        gradient,
        hessian,
        tuple(name for name, on in zip(names, lower, strict=True) if on),
        tuple(name for name, on in zip(names, upper, strict=True) if on),
        len(found),
        sum(-float(each.fun) > top - 1e-3 for each in found),
        flat and peaked and bool(np.isfinite(top)),
    )


def _hessian(likelihood: GridLikelihood, x: FloatArray) -> FloatArray:
    rows = []
    for number in range(len(x)):
        sides = []
        for side in (-_STEP, _STEP):
            at = x.copy()
            at[number] = np.clip(at[number] + side, *likelihood.ends[number])
            sides.append((at[number], likelihood.value_and_gradient(at)[1]))
        rows.append((sides[1][1] - sides[0][1]) / (sides[1][0] - sides[0][0]))
    return (np.array(rows) + np.array(rows).T) / 2


def _parts(program: _Program, x: Any, values: Any, edge: Any, span: Any, tau2: Any, tree: Tree) -> _Parts:
    """Grid, walk, observations and root at one point of the search; while tracing."""
    values = dict(values)
    for number, (name, entry, log) in enumerate(program.coordinates):
        moved = jnp.exp(x[number]) if log else x[number]
        values[name] = values[name].reshape(-1).at[entry].set(moved).reshape(values[name].shape)

    def bare(part: Any) -> Any:
        # Every call of a part that declares is an evaluation of its own: a walk asks for it in many places.
        return (lambda x: evaluate(part, values, x).returned) if callable(part) else part

    def laid(edge: Any) -> Any:
        sde = program.model.edge(Edge(edge))
        sde = sde._replace(drift=bare(sde.drift), diffusion=bare(sde.diffusion))
        low = span[0] if sde.low is None else jnp.asarray(sde.low, float)
        high = span[1] if sde.high is None else jnp.asarray(sde.high, float)
        if sde.axis == "sqrt" and sde.low is not None:
            low = jnp.maximum(low, 0.0)
        cells = make_cells(low, high, program.cells, sde.axis)
        tips = {name: each[:, 0] for name, each in observed_fields(tree, tau2[None]).items()}
        constant = -(tips["count"] * np.log(2 * np.pi) + tips["log_det"] + tips["quadratic"]) / 2
        fields = {"length": tree["length"], **{name: tips[name] for name in ("known", "mean", "precision")}}
        own = seen(Tree.from_data(tree.topology, {**fields, "constant": constant}), sde, cells)
        return cells, make_generator(sde, cells), own, sde.axis

    cells, generator, own, axis = evaluate(laid, values, edge).returned
    return _Parts(cells, generator, own, _root(program.model, values, edge, cells, axis))


def _root(model: GaussianModel, values: Any, edge: Any, cells: Cells, axis: str) -> Any:
    if model.root is None:
        return None
    arguments = [Edge(edge)] if inspect.signature(model.root).parameters else []
    return root_weights(evaluate(model.root, values, *arguments).returned, cells, axis)


def _log_likelihood(program: _Program, x: Any, values: Any, edge: Any, span: Any, tau2: Any, tree: Tree) -> Any:
    parts = _parts(program, x, values, edge, span, tau2, tree)
    ready = Tree.from_data(tree.topology, {"time": parts.own.time, "inner": tree["inner"]})
    return log_at_root(ready, parts.generator, parts.own.likelihood, parts.own.log_scale, parts.root)


_value = partial(jax.jit, static_argnums=0)(_log_likelihood)
_value_and_gradient = partial(jax.jit, static_argnums=0)(
    lambda program, x, *given: jax.value_and_grad(lambda x: _log_likelihood(program, x, *given))(x)
)


@partial(jax.jit, static_argnums=0)
def _densities(
    program: _Program, x: Any, values: Any, edge: Any, span: Any, tau2: Any, tree: Tree
) -> tuple[Any, Any, Any, Any]:
    parts = _parts(program, x, values, edge, span, tau2, tree)
    own, cells = parts.own, parts.cells
    transition = make_transition(parts.generator, own.time.max())
    data = {"time": own.time, "likelihood": own.likelihood, "log_scale": own.log_scale}
    swept = swept_up(Tree.from_data(tree.topology, data), transition)
    root = jnp.ones(program.cells) if parts.root is None else parts.root
    return swept_down(swept, transition, root).density, cells.x, cells.low, cells.width
