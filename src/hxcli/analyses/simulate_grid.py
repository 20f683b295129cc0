"""Simulation of one trait under a diffusion: draws from the transition chances of a fine grid.

From a state between two middles of cells a walk begins in one of them, by chance, so that its mean is the state; at its
end it is spread over the cell. What variance these two add is taken off the edge's time. Edges so short that a walk
would not leave its cell are steps of drift and diffusion (Maruyama 1955) instead. Chances are by eigenvectors, but by
squares from where the diffusion hardly ever is: there eigenvectors give rounding alone.

Where drift carries a trait over a cell faster than noise does, the walk's noise would be too large: the way from there
is many small steps instead, each of half its drift, its noise, and the other half (Strang 1968), until noise rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.analyses.settled_diffusion import SettledDiffusion, range_of_paths, settled_diffusion
from hxcli.engine.topology import BoolArray
from hxcli.errors import Doubt, ModelError, Note, OptionError
from hxcli.inference.edge_kinds import grouped, refuse_many_groups
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import FloatArray, Phylogeny, canonical_order
from hxcli.prebuilt.grid_generator import AXES, Generator, coefficients, make_cells, make_generator
from hxcli.prebuilt.grid_spectrum import spectrum_of
from hxcli.prebuilt.grid_squares import SquaredEdges

# Where drift over a cell is at most this share of the noise, the walk's noise is right.
_SLOW = 0.3
# How much drift and diffusion may change along a step, as shares of themselves; and the most steps along an edge.
_CHANGE, _MOST_STEPS = 0.05, 5000
_CELLS = 400
# What a rate is at least beside the one the other way.
_LEAST_RATE = 1e-13
# An edge on which the trait spreads by so many widths of a cell is walked.
_WALKED = 2.0
# Chances from a cell are by eigenvectors where the root of its weight is at most so many times below the largest: their
# rounding is multiplied by that.
_MOST_ROUNDING = 1e5


class Drawn(NamedTuple):
    """Draws of a trait.

    Attributes:
        states: (N, count) of all nodes.
        notes: What the user should know, a sentence each.
    """

    states: FloatArray
    notes: tuple[Note, ...]


def draw_on_grid(
    phylogeny: Phylogeny, model: GaussianModel, fields: EdgeFields, given: Mapping[str, float], count: int, seed: int
) -> Drawn:
    """States of all nodes.

    The random numbers of a node depend on the seed and on its place among the tips' names only.

    Args:
        phylogeny: N nodes.
        model: Whose function returns an `Sde`.
        fields: Its edges, without the trait's own numbers.
        given: Name -> value of every parameter, and `root`, the root's state, of a model that has no root.
        count: How many draws.
        seed: Of the random numbers.

    Raises:
        OptionError: A parameter that is not given, or that the model does not have; a diffusion that depends on the
            observed values; ends at which lineages are lost.
        ModelError: A diffusion that runs away.
    """
    settled = settled_diffusion(model, fields, given)
    sde = settled.sde
    if sde.ends == "absorbing":
        raise OptionError(f"model {model.name}: lineages are lost at its ends, so that no tree of tips can be drawn")
    size = phylogeny.topology.size
    random, order = np.random.default_rng(seed), canonical_order(phylogeny)
    # Of every node and draw: where the walk begins, its cell, its place in the cell; the same for a step.
    numbers = np.empty((4, size, count))
    numbers[:3, order] = random.random((3, size, count))
    numbers[3, order] = random.standard_normal((size, count))
    to_coordinate, to_state = AXES[sde.axis]
    mean, variance = settled.root
    first = mean + np.sqrt(variance) * random.standard_normal(count)
    begun = np.asarray(to_coordinate(jnp.asarray(first)), float)
    ends = range_of_paths(settled, begun, float(phylogeny.root_distances.max()))
    grid = _Grid(model.name, settled, ends, phylogeny)
    z, noisier = _drawn(phylogeny, grid, settled, begun, numbers, _Normals(seed, order, numbers.shape[1:]))
    if not np.isfinite(z).all():
        raise ModelError(f"model {model.name}: its drift or diffusion is no number at some states that it reaches")
    notes: tuple[Note, ...] = ()
    if noisier > 1:
        notes = (
            Doubt(
                f"model {model.name}: drift carries the trait over a cell of the grid faster than noise does, farther "
                f"than small steps go: the standard deviation that is drawn is up to {noisier:.2g} times too large "
                "there (begin nearer to where the drift leads)"
            ),
        )
    return Drawn(np.asarray(to_state(jnp.asarray(z)), float), notes)


class _Normals:
    """Standard normal numbers of every node and draw for any number of steps."""

    def __init__(self, seed: int, order: Any, shape: tuple[int, ...]) -> None:
        self._seed, self._order, self._shape = seed, order, shape
        self._made: dict[int, FloatArray] = {}

    def of_step(self, step: int) -> FloatArray:
        """(N, count), which depend on the seed and the node's place among the names only."""
        if step not in self._made:
            # One at a time: all nodes of a level take theirs together.
            self._made = {step: np.empty(self._shape)}
            self._made[step][self._order] = np.random.default_rng([self._seed, step]).standard_normal(self._shape)
        return self._made[step]


class _Grid:
    """Cells, and the walks between them, of C kinds of edges.

    Attributes:
        start, end: Of the cells, in the coordinate.
        width: Of a cell.
        speed: (C,) how many times faster every kind is walked than its group.
        group: (C,) of every kind.
        chances: Of every group.
    """

    def __init__(self, name: str, settled: SettledDiffusion, ends: tuple[float, float], phylogeny: Phylogeny) -> None:
        """Raises ModelError: no walk goes everywhere, or walks differ between too many edges."""
        made = make_cells(*ends, _CELLS, settled.sde.axis)

        def rates(kind: Any) -> Any:
            sde = settled.on_kind(kind)
            return make_generator(sde, made), jax.vmap(lambda z: coefficients(sde, z)[1])(made.z)

        rates_of_kinds, half = jax.jit(jax.vmap(rates))(np.arange(settled.kinds))
        up, down, lost = (np.array(each, float) for each in rates_of_kinds)
        # Against a drift far faster than the noise a rate is below rounding; nobody walks there.
        least = _LEAST_RATE * np.maximum(up, down) * (np.asarray(half) > 0)
        up[:, :-1], down[:, 1:] = np.maximum(up, least)[:, :-1], np.maximum(down, least)[:, 1:]
        total = up.sum(1)
        # A kind of edges on which nothing happens is walked nowhere.
        if not all(_joined(*each) for each in zip(up[total > 0], down[total > 0], strict=True)):
            raise ModelError(f"model {name}: its drift and diffusion leave parts of its range that nothing reaches")
        self.group, first = grouped([np.concatenate([up, down], 1)])
        refuse_many_groups(name, len(first))
        self.speed = total / np.where(total > 0, total, 1.0)[first][self.group]
        self.start, self.width = float(made.low), float(made.width)
        self.end = self.start + _CELLS * self.width
        longest = float((phylogeny.lengths * self.speed[settled.of_edge]).max())
        self.chances = [_Chances(Generator(*(each[one] for each in (up, down, lost))), longest) for one in first]

    def walkable(self, drift: FloatArray, half: FloatArray, time: FloatArray) -> BoolArray:
        """Whether noise leaves a cell in a time, and drift is not faster than it."""
        slow = abs(drift) * self.width <= _SLOW * 2 * half
        return np.asarray((2 * half * time > (_WALKED * self.width) ** 2) & slow)

    def kept(self, z: FloatArray) -> FloatArray:
        """Places within the walls, which throw back what a step carries through them."""
        z = self.start + abs(z - self.start)
        return np.asarray(np.maximum(self.end - abs(self.end - z), self.start))


def _drawn(
    phylogeny: Phylogeny,
    grid: _Grid,
    settled: SettledDiffusion,
    begun: FloatArray,
    numbers: FloatArray,
    normals: _Normals,
) -> tuple[FloatArray, float]:
    """(N, count) draws in the coordinate, and how many times too large their standard deviation may be somewhere."""
    topology = phylogeny.topology
    z = np.empty(numbers.shape[1:])
    z[0] = np.clip(begun, grid.start, grid.end)
    starts, noisier = topology.level_starts, 1.0
    for level in range(1, len(starts) - 1):
        nodes = np.arange(starts[level], starts[level + 1])
        before = z[topology.parents[nodes]]
        time = np.repeat(phylogeny.lengths[nodes, None], before.shape[1], 1)
        kind = np.repeat(settled.of_edge[nodes, None], before.shape[1], 1)

        def local(z: FloatArray, kind: Any = kind) -> Any:
            return (np.asarray(each, float).reshape(z.shape) for each in settled.local(z.ravel(), kind.ravel()))

        drift, half, change = local(before)
        walked = grid.walkable(drift, half, time)
        moved = before + drift * time + np.sqrt(2 * half * time) * numbers[3, nodes]
        stepped = ~walked & (change * time > _CHANGE)
        if stepped.any():
            there = partial(local, kind=kind[stepped])
            moved[stepped], time[stepped] = _stepped(grid, there, before, time, stepped, normals, nodes)
            if (left := time[stepped] > 0).any():
                before = np.where(stepped, moved, before)
                drift, half, _ = local(before)
                walked |= stepped & (time > 0)
                speed = abs(drift) * grid.width / (2 * np.where(half > 0, half, np.inf))
                noisier = max(noisier, float(np.sqrt(speed[stepped][left].max())))
        if walked.any():
            three = [each[nodes][walked] for each in numbers[:3]]
            place = (before[walked] - grid.start) / grid.width
            moved[walked] = _walk(grid, kind[walked], place, time[walked], half[walked] / grid.width**2, *three)
            moved[walked] = grid.start + grid.width * moved[walked]
        z[nodes] = grid.kept(moved)
    return z, noisier


def _stepped(
    grid: _Grid,
    local: Any,
    before: FloatArray,
    time: FloatArray,
    stepped: BoolArray,
    normals: _Normals,
    nodes: Any,
) -> tuple[FloatArray, FloatArray]:
    """Places (M,) that small steps lead to, and what of their time is left to be walked."""
    z, left = before[stepped], time[stepped].copy()
    for step in range(_MOST_STEPS):
        drift, half, change = local(z)
        on = (left > 0) & ~grid.walkable(drift, half, left)
        if not on.any():
            break
        length = np.where(on, np.minimum(left, _CHANGE / np.maximum(change, 1e-300)), 0.0)
        z = grid.kept(_carried(local, z, length / 2))
        _, half, _ = local(z)
        z = z + np.sqrt(2 * half * length) * normals.of_step(step)[nodes][stepped]
        z = grid.kept(_carried(local, grid.kept(z), length / 2))
        left = np.where(length >= left, 0.0, left - length)
    return z, left


def _carried(local: Any, z: FloatArray, time: FloatArray) -> FloatArray:
    """(M,) where the drift alone leads in times (M,): one step of Heun's method."""
    first, *_ = local(z)
    second, *_ = local(z + first * time)
    return z + (first + second) / 2 * time


def _joined(up: FloatArray, down: FloatArray) -> bool:
    """Whether a walk goes from every cell to every other."""
    return bool(np.isfinite([up, down]).all() and (up[:-1] > 0).all() and (down[1:] > 0).all())


class _Chances:
    """The chances of all cells after a time, from one of them."""

    def __init__(self, walk: Generator, longest: float) -> None:
        """Prepares a walk between k cells, for times up to `longest`."""
        self._rates = Generator(*(np.asarray(each, float) for each in walk))
        self.cells = len(self._rates[0])
        self._longest = longest
        self._spectrum = spectrum_of(*self._rates)
        self._sure = np.zeros(self.cells, bool)
        if self._spectrum is not None:
            self._sure = self._spectrum.roots.max() < _MOST_ROUNDING * self._spectrum.roots

    @cached_property
    def _squares(self) -> SquaredEdges:
        return SquaredEdges(*self._rates, np.array([self._longest]))

    def after(self, time: FloatArray, cell: Any) -> FloatArray:
        """(M, k) chances after the times (M,) from the cells (M,)."""
        found, sure = np.empty((len(cell), self.cells)), self._sure[cell]
        if self._spectrum is not None and sure.any():
            values, vectors, roots = self._spectrum
            rows = (vectors[cell[sure]] * np.exp(time[sure, None] * values)) @ vectors.T
            found[sure] = np.maximum(rows * roots / roots[cell[sure], None], 0.0)
        if not sure.all():
            begun = np.eye(self.cells)[cell[~sure]]
            found[~sure] = self._squares.lasting(time[~sure]).forwards(slice(None), begun)
        return found


def _walk(
    grid: _Grid, kind: Any, place: FloatArray, time: FloatArray, half: FloatArray, *random: FloatArray
) -> FloatArray:
    """(M,) places in cells at the ends of edges, from those at their starts; everything in widths of a cell."""
    lower = np.floor(place - 0.5)
    rest = place - 0.5 - lower
    cell = np.clip(lower + (random[0] < rest), 0, _CELLS - 1).astype(np.intp)
    time = np.maximum(time - (rest * (1 - rest) + 1 / 12) / (2 * half), 0.0) * grid.speed[kind]
    found, group = np.empty(len(place)), grid.group[kind]
    for number, chances in enumerate(grid.chances):
        own = np.flatnonzero(group == number)
        # Some at a time, for their rows of chances.
        for first in range(0, len(own), 4096):
            some = own[first : first + 4096]
            reached = chances.after(time[some], cell[some]).cumsum(1)
            found[some] = (reached <= random[1][some, None] * reached[:, -1:]).sum(1)
    return np.minimum(found, _CELLS - 1) + random[2]
