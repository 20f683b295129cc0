"""Joint draws of the parameters and all nodes under models: parameters first, states exactly given them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.posterior.joint_draws import Draws, parameters_at
from hxcli.analyses.posterior.model_density import TAU2
from hxcli.analyses.posterior.model_question import ModelQuestion
from hxcli.engine.topology import Topology
from hxcli.inference.marginal_density import Marginals
from hxcli.inference.model_chains import ModelDensity
from hxcli.inference.parameter_plane import Plane, Question
from hxcli.inference.quadrature import Integrated
from hxcli.inference.state_columns import StateColumns
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.deviation_draws import draw_deviations
from hxcli.prebuilt.units import Units

# Neighbouring points of the quadrature between which a draw's parameters lie.
_NEIGHBOURS = 4
# Numbers in one field of the states of the draws made at a time.
_MOST_NUMBERS = 1 << 22


class PlaneAt(NamedTuple):
    """The posterior of rate and observation variance at one value of the shape parameter.

    Attributes:
        place: That value, in the prior's coordinate.
        weight: Its posterior weight, times the distance of neighbouring ones.
        question, plane, found: The posterior there.
    """

    place: float
    weight: float
    question: Question
    plane: Plane
    found: Integrated


def draw_plane_parameters(
    points: Sequence[PlaneAt], count: int, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Independent draws of the shape's coordinate, of log sigma2 and of log tau2, (K,) each, from a quadrature.

    The shape comes from its marginal density; rate and observation variance from the same quantiles of their densities
    at the nearest points, between which a cubic interpolates.
    """
    uniform = generator.uniform(size=(3, count))
    if len(points) == 1:
        logs = parameters_at(points[0].question, points[0].plane, points[0].found, uniform[1:])
        return np.full(count, np.nan), logs[0], logs[1]
    places = np.array([each.place for each in points])
    w = Marginals(places, np.array([[each.weight for each in points]])).quantiles(uniform[:1])[0]
    step = places[1] - places[0]
    near = min(_NEIGHBOURS, len(points))
    first = np.clip(np.floor((w - places[0]) / step).astype(int) - (near // 2 - 1), 0, len(points) - near)
    logs = np.zeros((2, count))
    for number, point in enumerate(points):
        mine = np.flatnonzero((first <= number) & (number < first + near))
        if not mine.size:
            continue
        share = np.ones(mine.size)
        for other in range(near):
            at = first[mine] + other
            gap = np.where(at == number, 1.0, places[number] - places[at])
            share = share * np.where(at == number, 1.0, (w[mine] - places[at]) / gap)
        found = parameters_at(point.question, point.plane, point.found, uniform[1:, mine])
        with np.errstate(invalid="ignore"):
            logs[:, mine] += share * np.where(np.isfinite(found), found, 0.0)
        if np.isneginf(found[1]).any():
            # A given observation variance of 0.
            logs[1] = -np.inf
    return w, logs[0], logs[1]


def draw_column_states(
    states_at: Callable[[FloatArray], StateColumns], topology: Topology, values: FloatArray, seed: Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """(K, N) states and (K, P) unknowns of the mean, one joint draw at each of K sets of the parameters.

    Args:
        states_at: From some of the sets to all nodes together.
        topology: N nodes.
        values: (K, ...) the sets.
        seed: Of the random numbers.
    """
    generator = np.random.default_rng([*seed, 1])
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    count = len(values)
    step = max(1, min(count, _MOST_NUMBERS // topology.size))
    states, unknowns = [], []
    for number, start in enumerate(range(0, count, step)):
        found = states_at(values[start : start + step])
        roots = np.linalg.cholesky(found.covariance + 1e-300 * np.eye(found.covariance.shape[1]))
        apart = np.einsum("kpq,kq->kp", roots, generator.normal(size=found.unknowns.shape))
        noise, own_key = generator.normal(size=found.alone[0].shape), jax.random.fold_in(key, number)
        deviations = draw_deviations(topology, found.gain, found.own, found.alone[0], noise, own_key)
        states.append((found.mean + (found.rest * apart).sum(2) + deviations).T)
        unknowns.append(found.unknowns + apart)
    return np.concatenate(states), np.concatenate(unknowns)


def draws_of(
    question: ModelQuestion,
    density: ModelDensity,
    topology: Topology,
    nodes: NDArray[np.intp],
    values: Mapping[str, FloatArray],
    units: Units,
    seed: Sequence[int],
) -> Draws:
    """The draws as they are told.

    Args:
        question, density: The model.
        topology: Of the tree as it is painted.
        nodes: Where the nodes of the tree as it was are.
        values: The parameters, (K,) each, as `density` has them.
        units: Rates are told per unit of its length.
        seed: Of the random numbers.
    """
    names = list(values)

    def states_at(some: FloatArray) -> StateColumns:
        return density.states({name: some[:, place] for place, name in enumerate(names)}, joint=True)

    states, unknowns = draw_column_states(states_at, topology, np.stack([values[name] for name in names], 1), seed)
    first = question.rates[0]
    more = {name: values[name] for name in values if name not in question.rates and name != TAU2}
    for name in question.rates[1:]:
        more[name] = values[name] * values[first] * units.length
    for place, name in enumerate(question.means):
        if name != "root":
            more[name] = unknowns[:, place]
    held = {name for name in question.held if name not in question.rates}
    more = {name: value for name, value in more.items() if name not in held}
    return Draws(values[first] * units.length, values[TAU2], states[:, nodes], more)
