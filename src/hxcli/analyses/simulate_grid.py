"""Simulation of one trait under a diffusion: draws from the transition chances of a fine grid.

From a state between two middles of cells a walk begins in one of them, by chance, so that its mean is the state; at its
end it is spread over the cell. What variance these two add is taken off the edge's time. Edges so short that a walk
would not leave its cell are steps of drift and diffusion (Maruyama 1955) instead. Chances are by eigenvectors, but by
squares from where the diffusion hardly ever is: there eigenvectors give rounding alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import ModelError, OptionError
from hxcli.model import Edge, Sde, evaluate
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.edge_fields import EdgeFields, trait_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import FloatArray, Phylogeny, canonical_order
from hxcli.prebuilt.grid_generator import AXES, Generator, coefficients, make_cells, make_generator
from hxcli.prebuilt.grid_spectrum import spectrum_of
from hxcli.prebuilt.grid_squares import SquaredEdges

# Cells; and, of the grid of a model without ends, paths and steps that look where a trait goes.
_CELLS, _PATHS, _STEPS = 400, 400, 400
# How far beyond these paths the grid goes, as a share of what they span.
_MARGIN = 0.5
# An edge on which the trait spreads by so many widths of a cell is walked.
_WALKED = 2.0
# Chances from a cell are by eigenvectors where the root of its weight is at most so many times below the largest: their
# rounding is multiplied by that.
_MOST_ROUNDING = 1e5
# Two traits' figures, on which no diffusion may depend where there is no trait.
_FIGURES = ([0.5, 1.5, 2.5], [0.25, 1.0, 4.0])


def draw_on_grid(
    phylogeny: Phylogeny, model: GaussianModel, fields: EdgeFields, given: Mapping[str, float], count: int, seed: int
) -> FloatArray:
    """(N, count) states of all nodes.

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
    sde, root = _settled(model, fields, given)
    if sde.ends == "absorbing":
        raise OptionError(f"model {model.name}: lineages are lost at its ends, so that no tree of tips can be drawn")
    topology, size = phylogeny.topology, phylogeny.topology.size
    random, order = np.random.default_rng(seed), canonical_order(phylogeny)
    # Of every node and draw: where the walk begins, its cell, its place in the cell; the same for a step.
    numbers = np.empty((4, size, count))
    numbers[:3, order] = random.random((3, size, count))
    numbers[3, order] = random.standard_normal((size, count))
    to_coordinate, to_state = AXES[sde.axis]
    mean, variance = root
    first = mean + np.sqrt(variance) * random.standard_normal(count)
    z = np.empty((size, count))
    z[0] = np.asarray(to_coordinate(jnp.asarray(first)), float)
    slopes = jax.jit(jax.vmap(lambda z: coefficients(sde, z)))
    low, high = _range(sde, slopes, z[0], float(phylogeny.root_distances.max()))
    cells = make_cells(low, high, _CELLS, sde.axis)
    walk = make_generator(sde, cells)
    if not _joined(walk):
        raise ModelError(f"model {model.name}: its drift and diffusion leave parts of its range that nothing reaches")
    chances = _Chances(walk, float(phylogeny.lengths.max()))
    start, width = float(cells.low), float(cells.width)
    z[0] = np.clip(z[0], start, start + _CELLS * width)
    starts = topology.level_starts
    for level in range(1, len(starts) - 1):
        nodes = np.arange(starts[level], starts[level + 1])
        before = z[topology.parents[nodes]]
        time = np.broadcast_to(phylogeny.lengths[nodes, None], before.shape)
        drift, half = (np.asarray(each, float).reshape(before.shape) for each in slopes(before.ravel()))
        moved = before + drift * time + np.sqrt(2 * half * time) * numbers[3, nodes]
        walked = 2 * half * time > (_WALKED * width) ** 2
        if walked.any():
            three = [each[nodes][walked] for each in numbers[:3]]
            moved[walked] = _walk(
                chances, (before[walked] - start) / width, time[walked], half[walked] / width**2, *three
            )
            moved[walked] = start + width * moved[walked]
        # A wall throws back what a step carries through it.
        z[nodes] = start + abs(moved - start)
        end = start + _CELLS * width
        z[nodes] = end - abs(end - z[nodes])
    if not np.isfinite(z).all():
        raise ModelError(f"model {model.name}: its drift or diffusion is no number at some states that it reaches")
    return np.asarray(to_state(jnp.asarray(z)), float)


def _joined(walk: Generator) -> bool:
    """Whether a walk goes from every cell to every other."""
    up, down = np.asarray(walk.up, float), np.asarray(walk.down, float)
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


def _walk(chances: _Chances, place: FloatArray, time: FloatArray, half: FloatArray, *random: FloatArray) -> FloatArray:
    """(M,) places in cells at the ends of edges, from those at their starts; everything in widths of a cell."""
    lower = np.floor(place - 0.5)
    rest = place - 0.5 - lower
    cell = np.clip(lower + (random[0] < rest), 0, chances.cells - 1).astype(np.intp)
    time = np.maximum(time - (rest * (1 - rest) + 1 / 12) / (2 * half), 0.0)
    found = np.empty(len(place))
    # Some at a time, for their rows of chances.
    for first in range(0, len(place), 4096):
        some = slice(first, first + 4096)
        reached = chances.after(time[some], cell[some]).cumsum(1)
        found[some] = (reached <= random[1][some, None] * reached[:, -1:]).sum(1)
    return np.minimum(found, chances.cells - 1) + random[2]


def _settled(model: GaussianModel, fields: EdgeFields, given: Mapping[str, float]) -> tuple[Sde, tuple[float, float]]:
    """The diffusion, and the mean and variance of the root's state, at the given values of all parameters."""
    bound = model.on(EdgeFields(fields.phylogeny, trait_fields(fields.columns, np.array(_FIGURES[0]))))
    names = [each.name for each in bound.coordinates]
    wanted = [*names, *(["root"] if model.root is None else [])]
    for name in given:
        if name not in (*wanted, *bound.fixed):
            raise OptionError(
                f"--set {name}: model {model.name} has no such parameter (it has {', '.join([*wanted, *bound.fixed])})"
            )
    # What is fixed to an observed value has no usual value here.
    other = model.on(EdgeFields(fields.phylogeny, trait_fields(fields.columns, np.array(_FIGURES[1])))).fixed
    lacking = [name for name in wanted if name not in given]
    lacking += [name for name, value in bound.fixed.items() if name not in given and value != other[name]]
    if lacking:
        raise OptionError(f"model {model.name} needs {', '.join(lacking)} (--set {lacking[0]}=VALUE)")
    values = {
        name: np.array(np.broadcast_to(0.0 if one.start is None else one.start, one.shape), float)
        for name, one in bound.declarations.items()
    }
    for each in bound.coordinates:
        values[each.parameter].reshape(-1)[each.entry] = given[each.name]
    values |= {name: np.asarray(given.get(name, value), float) for name, value in bound.fixed.items()}
    found = [_at(model, trait_fields(fields.columns, np.array(each)), values) for each in _FIGURES]
    (sde, root), (another, elsewhere) = found
    x = np.array([float(np.mean(each)) for each in _FIGURES])
    alike = all(np.allclose(_shown(sde, at), _shown(another, at), equal_nan=True) for at in x) and root == elsewhere
    if not alike:
        raise OptionError(
            f"model {model.name}: what it returns depends on the observed values (edge.trait_...), and none are "
            "observed here"
        )
    return sde, root if model.root is not None else (float(given["root"]), 0.0)


def _at(model: GaussianModel, columns: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Sde, tuple[float, float]]:
    edge = Edge({name: each if name in OF_THE_TREE else jnp.asarray(each)[-1] for name, each in columns.items()})
    sde = evaluate(model.edge, values, edge).returned

    def bare(part: Any) -> Any:
        return (lambda x: evaluate(part, values, x).returned) if callable(part) else part

    sde = sde._replace(drift=bare(sde.drift), diffusion=bare(sde.diffusion))
    if model.root is None:
        return sde, (0.0, 0.0)
    takes = bool(inspect.signature(model.root).parameters)
    found = evaluate(model.root, values, *([edge] if takes else [])).returned
    return sde, (float(found.mean), float(found.variance))


def _shown(sde: Sde, x: float) -> FloatArray:
    parts = [part(jnp.asarray(x)) if callable(part) else part for part in (sde.drift, sde.diffusion)]
    ends = [np.inf if end is None else end for end in (sde.low, sde.high)]
    return np.array([float(each) for each in (*parts, *ends)])


def _range(sde: Sde, slopes: Any, first: FloatArray, height: float) -> tuple[float, float]:
    """Ends of the grid: the model's own, else beyond where some paths as long as the tree is high have gone."""
    to_coordinate, to_state = AXES[sde.axis]
    own = [None if end is None else float(to_coordinate(jnp.asarray(float(end)))) for end in (sde.low, sde.high)]
    z = np.resize(first, _PATHS)
    random, step = np.random.default_rng(0), height / _STEPS
    low, high = float(z.min()), float(z.max())
    for _ in range(_STEPS):
        drift, half = (np.asarray(each, float) for each in slopes(z))
        z = z + drift * step + np.sqrt(2 * half * step) * random.standard_normal(_PATHS)
        z = z if own[0] is None else own[0] + abs(z - own[0])
        z = z if own[1] is None else own[1] - abs(own[1] - z)
        if not np.isfinite(z).all():
            raise ModelError("the diffusion runs away: after a time its states are no numbers")
        low, high = min(low, float(z.min())), max(high, float(z.max()))
    margin = _MARGIN * max(high - low, 1e-12)
    ends = [low - margin if own[0] is None else own[0], high + margin if own[1] is None else own[1]]
    if sde.axis == "sqrt":
        ends[0] = max(ends[0], 0.0)
    return float(to_state(jnp.asarray(ends[0]))), float(to_state(jnp.asarray(ends[1])))
