"""The log likelihood of one trait under a diffusion on a grid, and the densities of all nodes there.

A grid of k cells is wrong by a share of the squared width of a cell. So log likelihoods are those of k and of k / 2
cells, extrapolated to cells of no width (Richardson 1911, Phil. Trans. R. Soc. A 210:307): by nothing where the two
differ by far, because cells so much wider than a step of the diffusion tell nothing about cells of no width.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import InputError, ModelError, OptionError
from hxcli.inference.grid_engine import GridEngine
from hxcli.inference.grid_program import Given, Parts, Program, parts_at, pulled_back
from hxcli.model import Edge, Sde, evaluate, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel
from hxcli.models.gaussian_model import line_of
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import AXES, ENDS, Generator
from hxcli.prebuilt.grid_levels import Found
from hxcli.prebuilt.parameter_columns import seen_fields
from hxcli.traits import Observations

# Cells of a grid, where a user does not say.
CELLS = 200
# Cells on which a search finds its way.
_FEW = 100
# What a tip's log likelihood may change by extrapolation: beyond it the extrapolation fades.
_MOST_A_TIP = 0.1
# How far a grid without ends of its own goes beyond the observed values: of their range, and of their spread.
_MARGIN_RANGE, _MARGIN_SPREAD = 1.0, 5.0


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
        fields, exact = seen_fields(phylogeny, observations, trait)
        self._all_exact = exact and tau2 == 0 and bound.model.noise is None
        self._nodes = np.flatnonzero(fields["number"].any(1) & np.asarray(phylogeny.topology.is_leaf))
        # Few sizes, because each compiles a program of its own; the padding is not observed.
        room = _padded(len(self._nodes)) - len(self._nodes)
        self._taken = np.pad(self._nodes, (0, room), "edge") if len(self._nodes) else np.zeros(room, np.intp)
        observed = {name: each[self._taken] for name, each in fields.items()}
        observed["number"][len(self._nodes) :] = 0.0
        self._observed = {**observed, "length": phylogeny.lengths[self._taken]}
        self._engine = GridEngine(phylogeny.topology)
        self._tau2, self._size = tau2, phylogeny.topology.size
        self._refuse_unknown()
        self.coordinates = tuple(each for each in bound.coordinates if each.name not in self.held)
        self._edge = {
            name: value if name in OF_THE_TREE else jnp.asarray(value)[-1]
            for name, value in bound.fields.columns.items()
        }
        self._sde = self._looked_at()
        self._span = self._range(observations.values[:, trait])
        self._placed = self._place()
        self._refuse_bad_noise()

    @property
    def start(self) -> FloatArray:
        """(S,) usual values, as the search has them."""
        return np.array([float(each.to_search(each.start)) for each in self.coordinates])

    @property
    def ends(self) -> FloatArray:
        """(S, 2) ends of the supports, as the search has them."""
        ends = [(float(each.to_search(each.low)), float(each.to_search(each.high))) for each in self.coordinates]
        return np.array(ends).reshape(-1, 2)

    def value(self, x: FloatArray, cells: int | None = None) -> float:
        """The log likelihood at one point of the search, (S,).

        Args:
            x: (S,).
            cells: Another number of cells than `cells`.
        """
        return self._extrapolated(x, cells or self.cells, slopes=False)[0]

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """The same and its gradient, (S,)."""
        return self._extrapolated(x, self.cells, slopes=True)

    def grid_error(self, x: FloatArray) -> float:
        """The largest change of the log likelihood at x by twice as many cells, and by a wider range of them."""
        wider, value = self.wider(), self.value(x)
        changed = [self.value(x, 2 * self.cells), *([] if wider is None else [wider.value(x)])]
        return max(abs(each - value) for each in changed)

    def densities(self, x: FloatArray, cells: int | None = None) -> GridDensities:
        """The densities of all nodes at one point of the search, with a flat root unless the model has one.

        Args:
            x: (S,).
            cells: Another number of cells than `cells`.
        """
        number = cells or self.cells
        parts, found = self._at(np.asarray(x, float), number, flat=True)
        low, width = float(parts.cells.low), float(parts.cells.width)
        walls = np.asarray(AXES[self._sde.axis][1](low + np.arange(number + 1) * width), float)
        return GridDensities(found.density, np.asarray(parts.cells.x, float), walls)

    def _extrapolated(self, x: FloatArray, cells: int, *, slopes: bool) -> tuple[float, FloatArray]:
        x = np.asarray(x, float)
        value, gradient = self._on_cells(x, cells, slopes)
        half_value, half_gradient = self._on_cells(x, cells // 2, slopes)
        change = (value - half_value) / 3
        fourth = (change / (_MOST_A_TIP * max(len(self._nodes), 1))) ** 4
        slope = (1 - 3 * fourth) / (1 + fourth) ** 2
        return value + change / (1 + fourth), gradient + slope * (gradient - half_gradient) / 3

    def _on_cells(self, x: FloatArray, cells: int, slopes: bool) -> tuple[float, FloatArray]:
        """The log likelihood on so many cells as it is, and its gradient where it is wanted."""
        parts, found = self._at(x, cells, slopes=slopes)
        value = found.log_likelihood + float(np.asarray(parts.own.log_scale)[: len(self._nodes)].sum())
        if not slopes:
            return value, np.zeros(len(x))
        if found.slopes is None:
            return np.nan, np.full(len(x), np.nan)
        by, taken, root = found.slopes, self._taken, found.slopes.root
        alone = np.arange(len(taken)) < len(self._nodes)
        own = parts.own._replace(
            time=np.where(alone, by.time[taken], 0.0),
            likelihood=np.where(alone[:, None], by.likelihood[taken], 0.0),
            log_scale=alone.astype(float),
        )
        moving = Generator(by.up, by.down, by.lost), own, None if parts.root is None else root
        return value, np.asarray(pulled_back(self._program(cells), x, self._given(), moving), float)

    def _at(self, x: FloatArray, cells: int, *, slopes: bool = False, flat: bool = False) -> tuple[Parts, Found]:
        """What the model says at a point, and what the sweeps give there; `flat`: with a flat root, not the best."""
        parts = parts_at(self._program(cells), x, self._given())
        count, time = len(self._nodes), np.array(self.bound.fields.phylogeny.lengths, float)
        time[0] = 0.0
        time[self._nodes] = np.asarray(parts.own.time)[:count]
        likelihood = np.ones((self._size, cells))
        likelihood[self._nodes] = np.asarray(parts.own.likelihood)[:count]
        root = None if parts.root is None else np.asarray(parts.root, float)
        if root is None and flat:
            root = np.ones(cells)
        return parts, self._engine.swept(parts.generator, time, likelihood, root, slopes=slopes, densities=flat)

    def wider(self) -> GridLikelihood | None:
        """The same on a grid of half as much range again, in cells as wide; None where the model has both its ends."""
        if self._sde.low is not None and self._sde.high is not None:
            return None
        to_coordinate, to_state = AXES[self._sde.axis]
        low, high = (float(to_coordinate(jnp.asarray(end))) for end in self._span)
        more = (high - low) / 4
        low = max(low - more, low / 2) if self._sde.axis == "sqrt" else low - more
        found = copy(self)
        found.cells = self.cells * 3 // 4 * 2
        found._span = float(to_state(jnp.asarray(low))), float(to_state(jnp.asarray(high + more)))
        found._placed = self._placed._replace(span=np.asarray(found._span))
        return found

    def coarser(self) -> GridLikelihood:
        """The same on few cells: of nearly this shape, for a fraction of the time."""
        found = copy(self)
        found.cells = min(self.cells // 2, _FEW)
        return found

    def parameters(self, x: FloatArray) -> dict[str, float]:
        """Every parameter by its reported name, held and fixed ones too."""
        free = {each.name: float(each.from_search(v)) for each, v in zip(self.coordinates, x, strict=True)}
        return {**free, **self.bound.fixed, **self.held}

    @property
    def free_root(self) -> bool:
        """Whether the root's state is one of the unknowns."""
        return self.bound.model.root is None

    def _program(self, cells: int) -> Program:
        coordinates = tuple((each.parameter, each.entry, each.log) for each in self.coordinates)
        return Program(self.bound.model, cells, coordinates, self._all_exact)

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

    def _given(self) -> Given:
        return self._placed

    def _place(self) -> Given:
        columns = self.bound.fields.columns
        tips = {name: each if name in OF_THE_TREE else np.asarray(each)[self._taken] for name, each in columns.items()}
        return Given(
            self._values(),
            self._edge,
            np.asarray(self._span),
            float(self._tau2),
            self._observed,
            tips if self.bound.model.noise is not None else {},
        )

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
        if not found[:, 1].any():
            raise ModelError(f"model {name}: its diffusion is 0 at all states between the observed values")
        sde = evaluate(lambda: bound.model.edge(Edge(self._edge)), values).returned
        self._refuse_bad_walls(sde)
        if sde.axis not in AXES or sde.ends not in ENDS:
            raise ModelError(
                f"model {name}: axis {sde.axis!r}, ends {sde.ends!r} (axis is one of {', '.join(AXES)}; ends one of "
                f"{', '.join(ENDS)})"
            )
        return sde

    def _refuse_bad_walls(self, sde: Sde) -> None:
        """Raises where the walls, at the parameters' usual values, have nothing between them, or not the values."""
        low, high = (-np.inf if sde.low is None else float(sde.low), np.inf if sde.high is None else float(sde.high))
        first, last = self._looked_range()
        slack = 1e-9 * (last - first)
        if low < high and low <= first + slack and high >= last - slack:
            return
        raise ModelError(
            f"model {self.bound.model.name}: its ends are {low:g} and {high:g}, and the values go from {first:g} to "
            f"{last:g} (the ends lie around all values; edge.trait_low and edge.trait_high are theirs)"
        )

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

    def _refuse_bad_noise(self) -> None:
        """Raises where the variance of what is observed is none at the parameters' usual values."""
        noise = self.bound.model.noise
        if noise is None or not len(self._nodes):
            return
        found = np.asarray(over_edges(noise, self._placed.values, self._placed.tips).returned, float)
        found = np.broadcast_to(found, (len(self._taken),))[: len(self._nodes)]
        if not (found >= 0).all():
            raise InputError(
                f"noise(tip) is negative or no number: {found[np.flatnonzero(~(found >= 0))[0]]:.6g}",
                "a variance is 0 or more",
                file=self.bound.model.source,
                line=line_of(noise),
            )

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


def _padded(count: int) -> int:
    """The next of few sizes: a power of 2, or half way to it."""
    size = 16
    while size < count:
        size = size * 3 // 2 if size * 3 // 2 >= count and size & (size - 1) == 0 else 2 * size
    return size
