"""What of a likelihood on a grid depends on the model: cells, walk, tips and root at one point of a search; compiled.

The sweeps between them are the same for all models; see `grid_engine`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import ModelError
from hxcli.model import Edge, Gaussian, Sde, evaluate, over_edges
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import Cells, Generator, make_cells, make_generator
from hxcli.prebuilt.grid_observations import Seen, root_weights, seen
from hxcli.prebuilt.parameter_columns import observed_fields

# Share of the largest rates that a factor between two walks may miss them by.
_SAME = 1e-7
# Points at which parts are computed together, and numbers in these at most.
_MOST_TOGETHER, _MOST_NUMBERS = 64, 1 << 22


@dataclass(frozen=True)
class Program:
    """What of a likelihood is compiled: equal programs share one executable.

    Attributes:
        model: The model.
        room: For cells: few sizes, because each compiles a program of its own.
        coordinates: Parameter, entry and whether the search moves its logarithm, of every coordinate.
        all_exact: Whether all observations are exact, whatever the parameters.
        integrated: Whether the state of a root without a prior is integrated over, and not the most likely one.
    """

    model: GaussianModel
    room: int
    coordinates: tuple[tuple[str, int, bool], ...]
    all_exact: bool
    integrated: bool = False


class Given(NamedTuple):
    """What a likelihood is given.

    Attributes:
        cells: () how many there are.
        values: Every parameter's usual or held value.
        edge: Fields of any edge.
        at_root: Fields of the root.
        kinds: Fields that tell the C kinds of edges apart, (C, ...) each; see `edge_kinds`.
        group: (C,) the group of every kind.
        first: (G,) the kind that stands for a group.
        span: (2,) ends of the grid, where the model has none.
        tau2: () observation variance.
        observed: `number`, `value`, `misfit` and `error2`, (M, R) each, of the M nodes that are observed, and their
            `length` (M,) and `kind` (M,).
        tips: Fields of the edges above these nodes, for a model with a `noise` of its own.
    """

    cells: Any
    values: Any
    edge: Any
    at_root: Any
    kinds: Any
    group: Any
    first: Any
    span: Any
    tau2: Any
    observed: Any
    tips: Any


class Parts(NamedTuple):
    """Grid, walk, observations and root at one point of the search.

    Attributes:
        cells: The k cells, and the padding of their room.
        generator: Of the walks, (G, room) each: one for every group of kinds of edges.
        own: What the M observed nodes say, padded likewise.
        root: (room,) weights of the root's cells; None for the state at which the observations are likeliest.
        speed: (C,) how many times faster every kind of edge is walked than the first of its group; nan where they
            differ by more than that.
    """

    cells: Cells
    generator: Generator
    own: Seen
    root: Any
    speed: Any

    @property
    def moving(self) -> tuple[Any, ...]:
        """What the likelihood is differentiated by."""
        return self.generator, self.own, self.root, self.speed

    def without_padding(self, cells: int) -> Parts:
        """Of the k cells alone."""
        return Parts(
            self.cells._replace(**{name: getattr(self.cells, name)[:cells] for name in ("z", "x", "slope")}),
            Generator(*(each[:, :cells] for each in self.generator)),
            self.own._replace(likelihood=self.own.likelihood[:, :cells]),
            None if self.root is None else self.root[:cells],
            self.speed,
        )


def _values_at(program: Program, x: Any, given: Given) -> dict[str, Any]:
    """Every parameter at a point of the search."""
    values = dict(given.values)
    for number, (name, entry, log) in enumerate(program.coordinates):
        moved = jnp.exp(x[number]) if log else x[number]
        values[name] = values[name].reshape(-1).at[entry].set(moved).reshape(values[name].shape)
    return values


def parts_of(program: Program, x: Any, given: Given) -> Parts:
    """The parts at a point of the search, (S,), while tracing."""
    values = _values_at(program, x, given)
    variance = _noise(program, values, given)

    def bare(part: Any) -> Any:
        # Every call of a part that declares is an evaluation of its own: a walk asks for it in many places.
        return (lambda x: evaluate(part, values, x).returned) if callable(part) else part

    def sde_on(kind: Any) -> Sde:
        sde: Sde = evaluate(program.model.edge, values, Edge({**given.edge, **kind})).returned
        return sde._replace(drift=bare(sde.drift), diffusion=bare(sde.diffusion))

    kinds = given.kinds
    # Walls and axis are the same on all edges.
    sde = sde_on({name: each[0] for name, each in kinds.items()})
    low = given.span[0] if sde.low is None else jnp.asarray(sde.low, float)
    high = given.span[1] if sde.high is None else jnp.asarray(sde.high, float)
    if sde.axis == "sqrt" and sde.low is not None:
        low = jnp.maximum(low, 0.0)
    cells = make_cells(low, high, given.cells, sde.axis, program.room)
    every = jax.vmap(lambda kind, _: make_generator(sde_on(kind), cells))(kinds, given.group)
    generator: Generator = jax.tree.map(lambda each: each[given.first], every)
    tips = {name: each[:, 0] for name, each in observed_fields(given.observed, variance[:, None]).items()}
    constant = -(tips["count"] * np.log(2 * np.pi) + tips["log_det"] + tips["quadratic"]) / 2
    fields = {name: tips[name] for name in ("known", "mean", "precision")}
    fields |= {"length": given.observed["length"], "constant": constant}
    theirs = {name: each[given.observed["kind"]] for name, each in kinds.items()}
    own = seen(fields, theirs, sde_on, cells, all_exact=program.all_exact)
    return Parts(cells, generator, own, _root(program, values, given, cells, sde.axis), _speed(every, given))


def _speed(every: Generator, given: Given) -> Any:
    """(C,) see `Parts`."""
    total = sum(each.mean(1) for each in every)
    of_first = total[given.first][given.group]
    speed = jnp.where(of_first > 0, total / jnp.where(of_first > 0, of_first, 1.0), 1.0)
    away = [abs(each - speed[:, None] * each[given.first][given.group]).max(1) for each in every]
    largest = sum(each.max(1) for each in every)
    return jnp.where(jnp.stack(away).max(0) > _SAME * largest, jnp.nan, speed)


def _noise(program: Program, values: Any, given: Given) -> Any:
    """(M,) variance of every row of the observed nodes, besides its standard error."""
    variance = jnp.broadcast_to(given.tau2, given.observed["length"].shape)
    if program.model.noise is None:
        return variance
    return variance + over_edges(program.model.noise, values, given.tips).returned


@partial(jax.jit, static_argnums=0)
def noise_at(program: Program, x: Any, given: Given) -> Any:
    """(M,) variance of every row of the observed nodes at a point of the search, besides its standard error."""
    return _noise(program, _values_at(program, x, given), given)


def _root(program: Program, values: Any, given: Given, cells: Cells, axis: str) -> Any:
    model = program.model
    if model.root is None:
        # A flat density is one per unit of the trait, whatever the axis.
        return cells.width * cells.slope if program.integrated else None
    return root_weights(_root_at(model, values, given), cells, axis)


def _root_at(model: GaussianModel, values: Any, given: Given) -> Gaussian:
    assert model.root is not None
    arguments = [Edge(given.at_root)] if inspect.signature(model.root).parameters else []
    found: Gaussian = evaluate(model.root, values, *arguments).returned
    return found


@partial(jax.jit, static_argnums=0)
def root_state(program: Program, x: Any, given: Given) -> Any:
    """(2,) mean and variance of the root's state at a point of the search, of a model that has a root."""
    found = _root_at(program.model, _values_at(program, x, given), given)
    return jnp.stack([jnp.asarray(found.mean, float), jnp.asarray(found.variance, float)])


_padded_parts = partial(jax.jit, static_argnums=0)(parts_of)


def parts_at(program: Program, x: Any, given: Given) -> Parts:
    """The parts at a point of the search, (S,), without padding, on the host."""
    found: Parts = jax.tree.map(np.asarray, _padded_parts(program, x, given))
    return _sound(program, found.without_padding(int(given.cells)))


def _sound(program: Program, parts: Parts) -> Parts:
    """Raises ModelError: edges that differed by a factor, as it seemed, differ by more here."""
    alone = len(parts.speed) == len(parts.generator.up)
    if not alone and np.isnan(parts.speed).any() and np.isfinite([*parts.generator]).all():
        raise ModelError(
            f"model {program.model.name}: on some edges its drift and diffusion are a multiple of those on others at "
            "some parameters and not at others (write them so that a parameter does not switch between the two)"
        )
    return parts


_many_parts = partial(jax.jit, static_argnums=0)(jax.vmap(parts_of, (None, 0, None)))


def many_parts_at(program: Program, x: FloatArray, given: Given) -> list[Parts]:
    """The same at K points, (K, S), of many at a time."""
    numbers = program.room * (1 + len(given.observed["length"]) + len(given.group))
    block = 1 << int(np.log2(np.clip(_MOST_NUMBERS // numbers, 1, _MOST_TOGETHER)))
    found: list[Parts] = []
    for first in range(0, len(x), block):
        some = x[first : first + block]
        # Always as many points, so that one program does.
        padded = np.concatenate([some, np.repeat(some[-1:], block - len(some), 0)])
        all_of_them = jax.tree.map(np.asarray, _many_parts(program, padded, given))
        for place in range(len(some)):
            one: Parts = jax.tree.map(lambda each, place=place: each[place], all_of_them)
            found.append(_sound(program, one.without_padding(int(given.cells))))
    return found


def pulled_back(program: Program, x: Any, given: Given, slopes: Any) -> Any:
    """(S,) derivatives by the search's coordinates from those by `Parts.moving` without padding."""
    short = program.room - int(given.cells)
    walk, own, root, speed = slopes
    padded = (
        Generator(*(np.pad(each, [(0, 0), (0, short)]) for each in walk)),
        own._replace(likelihood=np.pad(own.likelihood, [(0, 0), (0, short)])),
        None if root is None else np.pad(root, (0, short)),
        speed,
    )
    return _pulled_back(program, x, given, padded)


@partial(jax.jit, static_argnums=0)
def _pulled_back(program: Program, x: Any, given: Given, slopes: Any) -> Any:
    return jax.vjp(lambda x: parts_of(program, x, given).moving, x)[1](slopes)[0]
