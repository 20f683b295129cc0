"""The log likelihood of one trait under a diffusion on a grid, and the densities of all nodes there.

A grid of k cells is wrong by a share of the squared width of a cell. So log likelihoods are those of k and of k / 2
cells, extrapolated to cells of no width (Richardson 1911, Phil. Trans. R. Soc. A 210:307): by nothing where the two
differ by far, because cells so much wider than a step of the diffusion tell nothing about cells of no width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.errors import ModelError
from hxcli.inference.edge_kinds import kinds_of_edges
from hxcli.inference.grid_checks import checked_sde, refuse_bad_noise, refuse_unknown
from hxcli.inference.grid_engine import GridEngine
from hxcli.inference.grid_program import Given, Parts, Program, many_parts_at, parts_at, pulled_back, root_state
from hxcli.inference.searched import MovedCoordinates
from hxcli.inference.threads import SETS, in_threads
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import AXES, Generator
from hxcli.prebuilt.grid_levels import Found, Slopes
from hxcli.prebuilt.grid_observations import Seen
from hxcli.prebuilt.parameter_columns import seen_fields
from hxcli.prebuilt.path_gains import Paths
from hxcli.traits import Observations

# Cells of a grid, where a user does not say.
CELLS = 200
# Rooms for cells; and the one that all share who have few tips, for whom compiling takes longer than the padding.
_ROOMS, _COMMON_ROOM, _FEW_TIPS = tuple(128 << power for power in range(12)), 512, 256
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


class GridLikelihood(MovedCoordinates):
    """The log likelihood of one trait under one diffusion, in the trait's own units.

    Attributes:
        bound: The model on the tree, with the trait's own numbers among the fields of its edges.
        coordinates: What a search moves, S of them.
        held: Reported name -> value of the parameters that are given.
        cells: k.
        engine: The sweeps.
        count: Number of nodes that are observed.
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
        integrated: bool = False,
    ) -> None:
        """Places the observations of a trait.

        Args:
            bound: The model on the tree; see `trait_fields`.
            observations: In the trait's units.
            trait: Which of their columns.
            tau2: Observation variance, trait^2.
            held: Parameters that are given.
            cells: k.
            integrated: Whether a root without a prior is integrated over with a density of 1 per unit of the trait, and
                not taken where the observations are likeliest.

        Raises:
            OptionError: A name that the model does not have, or a value outside its support.
            ModelError: A diffusion that differs between too many edges, or values that it does not allow.
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
        self.count = len(self._nodes)
        self._integrated = integrated
        self._tau2, self._size = tau2, phylogeny.topology.size
        refuse_unknown(bound, self.held)
        self.coordinates = tuple(each for each in bound.coordinates if each.name not in self.held)
        self._sde = checked_sde(bound, self._values())
        self._span = self._range(observations.values[:, trait])
        self._kinds = kinds_of_edges(bound, self._values(), self.coordinates, self._sde, self._span)
        self.engine = GridEngine(phylogeny.topology, self._kinds.group[self._kinds.of_edge])
        self._placed = self._place()
        refuse_bad_noise(bound, self._placed, len(self._nodes))

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
        return GridDensities(found.density, np.asarray(parts.cells.x, float), self._walls_of(parts))

    def drawn(self, x: FloatArray, chances: FloatArray, within: FloatArray) -> FloatArray:
        """(K, N) joint draws of the states of all nodes at one point of the search; a root without a prior is flat.

        A cell is drawn, and a state evenly within it. Nodes that are known for certain are for the caller to know.

        Args:
            x: (S,).
            chances, within: (K, N) uniform random numbers each.
        """
        parts = parts_at(self.program(self.cells), np.asarray(x, float), self.given(self.cells))
        root = np.ones(self.cells) if parts.root is None else np.asarray(parts.root, float)
        cells = self.engine.drawn(parts.generator, *self.on_edges(parts.own, parts.speed), root, chances)
        low, width = float(parts.cells.low), float(parts.cells.width)
        states = np.array(self.from_coordinate(low + (cells + within) * width))
        known = self.known_root(x)
        if not np.isnan(known):
            states[:, 0] = known
        return states

    def swept(self, x: FloatArray, cells: int) -> tuple[Parts, Found]:
        """What the model says at one point of the search on so many cells, and both sweeps there with slopes.

        A root without a prior is flat.
        """
        return self._at(np.asarray(x, float), cells, slopes=True, flat=True)

    def together(self, x: FloatArray, cells: int, paths: Paths) -> list[FloatArray]:
        """(k, k) chances of the cells of both nodes of every pair; a root without a prior is flat."""
        parts = parts_at(self.program(cells), np.asarray(x, float), self.given(cells))
        root = np.ones(cells) if parts.root is None else np.asarray(parts.root, float)
        return self.engine.together(parts.generator, *self.on_edges(parts.own, parts.speed), root, paths)

    @property
    def observed_nodes(self) -> NDArray[np.intp]:
        """(T,) the nodes that are observed."""
        return self._nodes

    def walls(self, x: FloatArray, cells: int) -> FloatArray:
        """(k + 1,) states between the cells of a grid at one point of the search."""
        return self._walls_of(parts_at(self.program(cells), np.asarray(x, float), self.given(cells)))

    def known_root(self, x: FloatArray) -> float:
        """The root's state at one point of the search; nan where it is not known for certain."""
        if self.bound.model.root is None:
            return float("nan")
        mean, variance = np.asarray(root_state(self.program(self.cells), np.asarray(x, float), self.given(self.cells)))
        return float(mean) if variance == 0 else float("nan")

    @property
    def groups(self) -> int:
        """How many walks there are: groups of edges between which the diffusion differs by more than a factor."""
        return len(self._kinds.first)

    @property
    def open_ends(self) -> tuple[bool, bool]:
        """Whether the grid ends below, and above, where the model has no end of its own."""
        return self._sde.low is None, self._sde.high is None

    def in_coordinate(self, states: FloatArray) -> FloatArray:
        """States in the coordinate in which cells are even, of the same shape."""
        return np.asarray(AXES[self._sde.axis][0](jnp.asarray(states)), float)

    def from_coordinate(self, z: Any) -> FloatArray:
        """The inverse of `in_coordinate`."""
        return np.asarray(AXES[self._sde.axis][1](jnp.asarray(z)), float)

    def _walls_of(self, parts: Parts) -> FloatArray:
        low, width = float(parts.cells.low), float(parts.cells.width)
        return self.from_coordinate(low + np.arange(len(parts.cells.x) + 1.0) * width)

    def _extrapolated(self, x: FloatArray, cells: int, *, slopes: bool) -> tuple[float, FloatArray]:
        x = np.asarray(x, float)
        value, gradient = self.unextrapolated(x, cells, slopes=slopes)
        half_value, half_gradient = self.unextrapolated(x, cells // 2, slopes=slopes)
        change = (value - half_value) / 3
        fourth = (change / (_MOST_A_TIP * max(len(self._nodes), 1))) ** 4
        slope = (1 - 3 * fourth) / (1 + fourth) ** 2
        return value + change / (1 + fourth), gradient + slope * (gradient - half_gradient) / 3

    def heights(self, x: FloatArray) -> FloatArray:
        """(K,) log likelihoods on the cells as they are, of K points of the search, (K, S)."""
        program = self.program(self.cells)
        # As little padding as can be: a program of its own pays where there are many points.
        program = dataclasses.replace(program, room=next(size for size in _ROOMS if size >= self.cells))
        parts = many_parts_at(program, np.asarray(x, float), self.given(self.cells))
        return np.array(in_threads(self._height, parts, SETS) if parts else [], float)

    def _height(self, parts: Parts) -> float:
        root = None if parts.root is None else np.asarray(parts.root, float)
        found = self.engine.swept(parts.generator, *self.on_edges(parts.own, parts.speed), root)
        return found.log_likelihood + self._own_scale(parts)

    def _own_scale(self, parts: Parts) -> float:
        return float(np.asarray(parts.own.log_scale)[: len(self._nodes)].sum())

    def unextrapolated(self, x: FloatArray, cells: int, *, slopes: bool) -> tuple[float, FloatArray]:
        """The log likelihood on so many cells as it is, and its gradient, (S,), where it is wanted."""
        parts, found = self._at(x, cells, slopes=slopes)
        value = found.log_likelihood + self._own_scale(parts)
        if not slopes:
            return value, np.zeros(len(x))
        if found.slopes is None:
            return np.nan, np.full(len(x), np.nan)
        moving = self.by_parts(found.slopes, parts.own, parts.speed, best_root=parts.root is None)
        return value, np.asarray(pulled_back(self.program(cells), x, self.given(cells), moving), float)

    def by_parts(
        self, slopes: Slopes, own: Seen, speed: FloatArray, *, best_root: bool
    ) -> tuple[Generator, Seen, FloatArray | None, FloatArray]:
        """Slopes of the log likelihood by what of it depends on the model: see `Parts.moving`.

        Args:
            slopes: By what the sweeps are given.
            own, speed: From which that came.
            best_root: Whether the root has no weights.
        """
        taken = self._taken
        alone = np.arange(len(taken)) < len(self._nodes)
        kind = self._kinds.of_edge
        by_own = Seen(
            time=np.where(alone, (slopes.time * speed[kind])[taken], 0.0),
            likelihood=np.where(alone[:, None], slopes.likelihood[taken], 0.0),
            log_scale=alone.astype(float),
        )
        by_speed = np.bincount(kind, slopes.time * self._times(own), len(speed)).astype(float)
        walk = Generator(slopes.up, slopes.down, slopes.lost)
        return walk, by_own, None if best_root else slopes.root, by_speed

    def _at(self, x: FloatArray, cells: int, *, slopes: bool = False, flat: bool = False) -> tuple[Parts, Found]:
        """What the model says at a point, and what the sweeps give there; `flat`: with a flat root, not the best."""
        parts = parts_at(self.program(cells), x, self.given(cells))
        root = None if parts.root is None else np.asarray(parts.root, float)
        if root is None and flat:
            root = np.ones(cells)
        edges = self.on_edges(parts.own, parts.speed)
        return parts, self.engine.swept(parts.generator, *edges, root, slopes=slopes, densities=flat)

    def _times(self, own: Seen) -> FloatArray:
        """(N,) lengths of all edges, those of observed nodes as `own` has them."""
        time = np.array(self.bound.fields.phylogeny.lengths, float)
        time[0] = 0.0
        time[self._nodes] = np.asarray(own.time)[: len(self._nodes)]
        return time

    def on_edges(self, own: Seen, speed: Any) -> tuple[FloatArray, FloatArray]:
        """(N,) times of all edges at the speed of their group, and (N, k) likelihoods of nodes' own observations.

        Args:
            own, speed: See `Parts`.
        """
        count, time = len(self._nodes), self._times(own) * np.asarray(speed, float)[self._kinds.of_edge]
        likelihood = np.ones((self._size, np.shape(own.likelihood)[1]))
        likelihood[self._nodes] = np.asarray(own.likelihood)[:count]
        return time, likelihood

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
        return self.on_cells(min(self.cells // 2, _FEW))

    def on_cells(self, cells: int) -> GridLikelihood:
        """The same on so many cells."""
        found = copy(self)
        found.cells = cells
        return found

    def parameters(self, x: FloatArray) -> dict[str, float]:
        """Every parameter by its reported name, held and fixed ones too."""
        free = {each.name: float(each.from_search(v)) for each, v in zip(self.coordinates, x, strict=True)}
        return {**free, **self.bound.fixed, **self.held}

    @property
    def free_root(self) -> bool:
        """Whether the root's state is one of the unknowns."""
        return self.bound.model.root is None

    def program(self, cells: int) -> Program:
        """What of it is compiled, on so many cells."""
        coordinates = tuple((each.parameter, each.entry, each.log) for each in self.coordinates)
        room = next(size for size in _ROOMS if size >= cells)
        if len(self._taken) <= _FEW_TIPS:
            room = max(room, _COMMON_ROOM)
        return Program(self.bound.model, room, coordinates, self._all_exact, self._integrated)

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

    def given(self, cells: int) -> Given:
        """What its programs are given, on so many cells."""
        return self._placed._replace(cells=np.asarray(cells))

    def _place(self) -> Given:
        columns = self.bound.fields.columns
        any_edge, at_root = (
            {name: value if name in OF_THE_TREE else jnp.asarray(value)[place] for name, value in columns.items()}
            for place in (-1, 0)
        )
        tips = {name: each if name in OF_THE_TREE else np.asarray(each)[self._taken] for name, each in columns.items()}
        return Given(
            np.asarray(self.cells),
            self._values(),
            any_edge,
            at_root,
            self._kinds.fields,
            self._kinds.group,
            self._kinds.first,
            np.asarray(self._span),
            float(self._tau2),
            {**self._observed, "kind": self._kinds.of_edge[self._taken]},
            tips if self.bound.model.noise is not None else {},
        )

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


def _padded(count: int) -> int:
    """The next of few sizes: a power of 2, or half way to it."""
    size = 16
    while size < count:
        size = size * 3 // 2 if size * 3 // 2 >= count and size & (size - 1) == 0 else 2 * size
    return size
