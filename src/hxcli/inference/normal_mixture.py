"""Normal mixtures, one for every node: mean, standard deviation, equal-tailed and shortest intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hxcli.engine.program import program
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray

# Numbers in one block of nodes times components: they stay in the processor's cache.
_BLOCK = 2**16
_MOST_STEPS = 80
# Nodes times components from which on they are solved in parts, one a thread, and how many parts.
_MANY, _PARTS = 2**22, 4
_SIZES = (1, 64, 256, 960)
# Nodes times components up to which more components cost less than another program takes to compile.
_FEW = 2**17
# Points of the table that finds a shortest interval where Newton's method does not.
_TABLE = 2001
# Smallest standard deviation of a component, in those of its mixture.
_THINNEST = 1e-12
_ROOT_TWO, _ROOT_TWO_PI = 2**0.5, (2 * np.pi) ** 0.5


class Components(NamedTuple):
    """J normal components; at a node component j is N(mean + slope * offset, scale * variance + slope^2 * spread).

    Attributes:
        column: (J,) which of the K columns `mean`, `slope` and `variance` are of.
        weight: (J,) probabilities.
        offset: (J,) the root's mean less that of the column.
        spread: (J,) variance of the root's state.
        scale: (J,) what the column's variances are multiplied by.
    """

    column: Any
    weight: Any
    offset: Any
    spread: Any
    scale: Any


class Mixture(NamedTuple):
    """N mixtures.

    Attributes:
        mean, slope, variance: (N, K) all nodes given the root's state, of K columns.
        components: J components.
    """

    mean: Any
    slope: Any
    variance: Any
    components: Components


class Weighted(NamedTuple):
    """Mixtures at all nodes, in the unit of computation.

    Attributes:
        mixture: J components.
        sigma2, tau2: (J,) the parameters of every component.
        means, mean_variances: (J, P) of the unknowns of the mean, of which a root's state is one.
    """

    mixture: Mixture
    sigma2: FloatArray
    tau2: FloatArray
    means: FloatArray
    mean_variances: FloatArray


class NodeFigures(NamedTuple):
    """Each (N,): figures of every node's mixture.

    Attributes:
        mean, deviation: First two moments.
        lower, upper: Equal-tailed interval.
        shortest_lower, shortest_upper: The shortest interval, which is that of highest density where that is one
            interval.
        error: Largest difference between the two mixtures: of mean and standard deviation, over the standard
            deviation, and of the probability below either end.
    """

    mean: Any
    deviation: Any
    lower: Any
    upper: Any
    shortest_lower: Any
    shortest_upper: Any
    error: Any


def node_figures(fine: Mixture, coarse: Mixture, level: float) -> NodeFigures:
    """The figures of N nodes.

    Args:
        fine: The mixtures; gives mean and standard deviation.
        coarse: The same with fewer components; gives the ends of the intervals, which the fine one checks.
        level: Probability of the intervals.
    """
    size = fine.mean.shape[0]
    rows = max(1, _BLOCK // len(coarse.components.weight))
    # A power of two, so that few programs serve all numbers of components; one program where there are few nodes.
    rows = min(1 << (rows.bit_length() - 1), size)
    sizes: tuple[int, ...] = _SIZES
    if size * _SIZES[-1] <= _FEW:
        rows, sizes = size, _SIZES[-1:]
    fine_padded, coarse_padded = _padded(fine, sizes), _padded(coarse, sizes)
    # In parts whose number does not hang on that of the threads: a block ends when its last node does.
    part = -(-size // (_PARTS * rows)) * rows if size * len(fine.components.weight) > _MANY else size
    starts = range(0, size, part)

    def figures_from(start: int) -> Any:
        # The last part overlaps the one before it.
        begin = min(start, size - part)
        nodes = slice(begin, begin + part)
        mixtures = (_nodes(each, lambda value: value[nodes]) for each in (fine_padded, coarse_padded))
        return jax.tree.map(lambda value: np.asarray(value)[start - begin :], _node_figures(*mixtures, level, rows))

    if len(starts) > 1:
        fine_padded, coarse_padded = (_nodes(each, np.asarray) for each in (fine_padded, coarse_padded))
    found, sound = jax.tree.map(lambda *parts: np.concatenate(parts), *in_threads(figures_from, starts))
    figures = NodeFigures(*(np.array(value, np.float64) for value in found))
    for node in np.flatnonzero(~sound):
        means, variances = (np.asarray(value, np.float64) for value in normals(_node(coarse, int(node))))
        ends = _scanned(means[0], variances[0], coarse.components.weight, level)
        figures.shortest_lower[node], figures.shortest_upper[node] = ends
    return figures


def normals(mixture: Mixture) -> tuple[Any, Any]:
    """Both (N, J): means and variances of the components."""
    components = mixture.components
    mean, slope, variance = (value[:, components.column] for value in mixture[:3])
    offset, spread, scale = (value[None] for value in (components.offset, components.spread, components.scale))
    return mean + slope * offset, scale * variance + slope**2 * spread


def joined_mixtures(parts: Sequence[tuple[Mixture, float]]) -> Mixture:
    """One mixture of several of the same nodes, each with its weight."""
    starts = np.cumsum([0, *(part.mean.shape[1] for part, _ in parts)])
    components = [
        part.components._replace(column=part.components.column + start, weight=part.components.weight * weight)
        for (part, weight), start in zip(parts, starts, strict=False)
    ]
    joined = Components(*(np.concatenate(values) for values in zip(*components, strict=True)))
    fields = [
        np.concatenate([np.asarray(getattr(part, name)) for part, _ in parts], 1)
        for name in ("mean", "slope", "variance")
    ]
    return Mixture(fields[0], fields[1], fields[2], joined._replace(weight=joined.weight / joined.weight.sum()))


def at_nodes(mixture: Mixture, nodes: Any) -> Mixture:
    """The mixtures of the nodes with these numbers."""
    # On the host: each of these operations would be a program of its own on the device.
    return _nodes(mixture, lambda value: np.asarray(value)[nodes])


def _nodes(mixture: Mixture, cut: Callable[[Any], Any]) -> Mixture:
    """The mixtures of some nodes."""
    return Mixture(cut(mixture.mean), cut(mixture.slope), cut(mixture.variance), mixture.components)


def _node(mixture: Mixture, node: int) -> Mixture:
    return _nodes(mixture, lambda value: np.asarray(value)[node : node + 1])


def _padded(mixture: Mixture, sizes: Sequence[int] = _SIZES) -> Mixture:
    """With copies of weight 0, up to one of few numbers of components: each compiles a program of its own."""
    components = mixture.components
    count = len(components.weight)
    more = next((size for size in sizes if size >= count), count) - count
    padded = Components(*(np.pad(value, (0, more), "edge") for value in components))
    padded = padded._replace(weight=np.pad(components.weight, (0, more)))
    return mixture._replace(components=padded)


@program(static_argnums=3)
def _node_figures(fine: Mixture, coarse: Mixture, level: Any, rows: int) -> Any:
    size = fine.mean.shape[0]
    # The last block overlaps the one before it.
    starts = np.minimum(np.arange(-(-size // rows)) * rows, size - rows)
    where = np.zeros(size, int)
    for number, start in enumerate(starts):
        where[start : start + rows] = number * rows + np.arange(rows)

    def block(start: Any) -> Any:
        parts = [_nodes(each, lambda value: lax.dynamic_slice_in_dim(value, start, rows)) for each in (fine, coarse)]
        (checked, checked_weight), (solved, weight) = ((normals(p), p.components.weight[None]) for p in parts)
        return _block(checked, checked_weight, solved, weight, level)

    found = lax.map(block, jnp.asarray(starts))
    return jax.tree.map(lambda value: value.reshape(-1)[where], found)


def _block(fine: Any, fine_weight: Any, coarse: Any, weight: Any, level: Any) -> tuple[NodeFigures, Any]:
    centre, deviation = _moments(fine[0], fine[1], fine_weight)
    # In the unit of computation, in which values are of order one; less is a point mass with rounding.
    there = deviation > 500 * jnp.finfo(deviation.dtype).eps
    deviation = jnp.where(there, deviation, 0)
    # Around the mean and in standard deviations, so that one tolerance serves all nodes.
    unit = jnp.where(there, deviation, 1)

    def standard(means: Any, variances: Any) -> tuple[Any, Any]:
        spreads = jnp.maximum(jnp.sqrt(variances) / unit[:, None], _THINNEST)
        return (means - centre[:, None]) / unit[:, None], jnp.where(there[:, None], spreads, 1)

    solved = standard(*coarse)
    tails = jnp.stack([(1 - level) / 2, (1 + level) / 2])
    equal = _quantiles_of(solved, weight, tails)
    shortest, sound = _shortest(solved, weight, equal, level)
    shifts = abs(_at(equal, standard(*fine), fine_weight)[0] - tails[None]).max(1)
    coarse_centre, coarse_deviation = _moments(coarse[0], coarse[1], weight)
    moved = jnp.maximum(abs(coarse_centre - centre) / unit, abs(coarse_deviation / unit - 1))
    low, high, left, right = (jnp.where(there, centre + end * unit, centre) for end in (*equal.T, *shortest.T))
    error = jnp.where(there, jnp.maximum(shifts, moved), 0)
    return NodeFigures(centre, deviation, low, high, left, right, error), sound | ~there


def _at(x: Any, normals: Any, weight: Any) -> tuple[Any, Any, Any]:
    """(N, P) distribution function, density and its slope at (N, P) points."""
    means, spreads = (value[:, None] for value in normals)
    z = (x[:, :, None] - means) / spreads
    density = weight[:, None] * jnp.exp(-z * z / 2) / (_ROOT_TWO_PI * spreads)
    below = (weight[:, None] * (1 + lax.erf(z / _ROOT_TWO))).sum(2) / 2
    return below, density.sum(2), -(density * z / spreads).sum(2)


def _moments(means: Any, variances: Any, weight: Any) -> tuple[Any, Any]:
    centre = (weight * means).sum(1)
    return centre, jnp.sqrt((weight * (variances + (means - centre[:, None]) ** 2)).sum(1))


def _quantiles_of(normals: Any, weight: Any, probabilities: Any) -> Any:
    """(N, P) by Newton's method, kept in a shrinking bracket: that of the components' own quantiles."""
    wanted = probabilities[None]
    reach = jax.scipy.special.ndtri(wanted)
    each = normals[0][:, None] + reach[:, :, None] * normals[1][:, None]
    low, high = each.min(2), each.max(2)

    def step(state: Any) -> Any:
        x, low, high, _, count = state
        below, density, _ = _at(x, normals, weight)
        low, high = jnp.where(below < wanted, x, low), jnp.where(below < wanted, high, x)
        newton = x - (below - wanted) / jnp.maximum(density, 1e-300)
        new = jnp.where((newton > low) & (newton < high), newton, (low + high) / 2)
        return new, low, high, abs(new - x).max(), count + 1

    def going(state: Any) -> Any:
        return (state[3] > _precision(state[0])) & (state[4] < _MOST_STEPS)

    start = jnp.clip(jnp.broadcast_to(reach, low.shape), low, high)
    return lax.while_loop(going, step, (start, low, high, jnp.asarray(jnp.inf, start.dtype), 0))[0]


def standard_quantiles(means: Any, deviations: Any, weights: Any, probabilities: Any) -> Any:
    """(N, P) quantiles of N mixtures of J normals, by rows of order one; to be called while tracing.

    Args:
        means, deviations, weights: (N, J) of the components; a deviation of 0 is a point, a weight of 0 no component.
        probabilities: (P,).
    """
    # Components without weight must not widen the bracket that is searched.
    first = jnp.argmax(weights > 0, axis=1)[:, None]
    means, deviations = (
        jnp.where(weights > 0, values, jnp.take_along_axis(values, first, 1)) for values in (means, deviations)
    )
    return _quantiles_of((means, jnp.maximum(deviations, _THINNEST)), weights, probabilities)


def _shortest(normals: Any, weight: Any, equal: Any, level: Any) -> tuple[Any, Any]:
    """(N, 2) ends of equal density that hold the level, by Newton's method from the equal-tailed ones; which."""

    def equations(ends: Any) -> tuple[Any, ...]:
        below, density, slope = _at(ends, normals, weight)
        density = jnp.maximum(density, 1e-300)
        logs = jnp.log(density)
        return below[:, 1] - below[:, 0] - level, logs[:, 0] - logs[:, 1], density.T, (slope / density).T

    def step(state: Any) -> Any:
        ends, _, count = state
        held, apart, (f, g), (rise, fall) = equations(ends)
        # Cramer's rule for the two equations' linear parts.
        determinant = f * fall - g * rise
        safe = jnp.where(determinant == 0, jnp.inf, determinant)
        moves = jnp.stack([(held * fall + g * apart) / safe, (f * apart + rise * held) / safe], 1)
        moves = jnp.clip(moves, -0.5, 0.5)
        return ends + moves, abs(moves).max(), count + 1

    def going(state: Any) -> Any:
        return (state[1] > _precision(equal)) & (state[2] < _MOST_STEPS // 2)

    ends, _, _ = lax.while_loop(going, step, (equal, jnp.asarray(jnp.inf, equal.dtype), 0))
    held, apart, _, (rise, fall) = equations(ends)
    room = 1e3 * _precision(equal)
    settled = (abs(held) < room) & (abs(apart) < 10 * room)
    longer = ends[:, 1] - ends[:, 0] > equal[:, 1] - equal[:, 0] + room
    return ends, settled & (rise >= 0) & (fall <= 0) & ~longer


def _precision(value: Any) -> float:
    return 1e-10 if value.dtype == jnp.float64 else 1e-5


def _scanned(means: FloatArray, variances: FloatArray, weight: FloatArray, level: float) -> tuple[float, float]:
    """The shortest interval of one mixture, whatever its modes: tabulated, and again around the best place."""
    spreads = np.sqrt(variances)
    starts = ends = np.linspace(float((means - 9 * spreads).min()), float((means + 9 * spreads).max()), _TABLE)
    for _ in range(3):
        below, beyond = (_below(x, means, spreads, weight) for x in (starts, ends))
        reached = np.interp(below + level, beyond, ends)
        widths = np.where(below + level <= beyond[-1], reached - starts, np.inf)
        best = int(np.argmin(widths))
        low, high, steps = starts[best], reached[best], (starts[1] - starts[0], ends[1] - ends[0])
        starts, ends = (
            np.linspace(x - 2 * step, x + 2 * step, _TABLE) for x, step in zip((low, high), steps, strict=True)
        )
    return float(low), float(high)


def _below(x: FloatArray, means: FloatArray, spreads: FloatArray, weight: FloatArray) -> FloatArray:
    z = (x[:, None] - means) / np.where(spreads > 0, spreads, 1e-300)
    return np.asarray(jax.scipy.special.ndtr(z), np.float64) @ weight


def quantiles(mixture: Mixture, node: int, probabilities: FloatArray) -> FloatArray:
    """(P,) quantiles of one node's mixture at P probabilities."""
    return np.asarray(_quantiles(_padded(_node(mixture, node)), np.asarray(probabilities, float)), np.float64)


@program()
def _quantiles(mixture: Mixture, probabilities: Any) -> Any:
    means, variances = normals(mixture)
    weight = mixture.components.weight[None]
    centre, deviation = _moments(means, variances, weight)
    unit = jnp.where(deviation > 0, deviation, 1)
    solved = (means - centre[:, None]) / unit[:, None], jnp.maximum(jnp.sqrt(variances) / unit[:, None], _THINNEST)
    return centre + deviation * _quantiles_of(solved, weight, probabilities)[0]
