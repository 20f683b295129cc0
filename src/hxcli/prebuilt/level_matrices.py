"""The messages of `gaussian_matrices` level by level in numpy, with nothing to compile, and the slopes along edges.

What is said there of messages, of exact states and of columns holds here; K sets of edges are swept side by side.

A sweep down gives every node's state with the root and the unknowns of the mean held. The derivative of the log
likelihood by what one edge does is then in closed form. With W the precision of what is seen at the end of an edge and
r = mean - A x - b what is left of it given the parent's state x, which has the mean m and the covariance S, it is, by
Fisher's identity (Cappe, Moulines and Ryden 2005, Inference in Hidden Markov Models, 10.1.6),

    by V: (W E[r r'] W - W) / 2,   by b: W E[r],   by A: W E[r x'] = W (E[r] m' - A S).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.level_sweeps import Level
from hxcli.prebuilt.gaussian_matrices import OWN_SHARE, ROUNDING, SAME, Root
from hxcli.prebuilt.host_matrices import (
    among,
    cholesky,
    diagonals,
    inverted_where_told,
    least_told,
    semidefinite_root,
    transposed,
)


class Seen(NamedTuple):
    """What is known of the tips among N nodes: the fields of the same names of `gaussian_matrices`.

    Attributes:
        known: (N, D).
        mean: (N, D, C).
        precision: (N, D, D).
        count, log_det, quadratic: Summed over the tips, (D,), () and (C, C).
    """

    known: BoolArray
    mean: FloatArray
    precision: FloatArray
    count: Any
    log_det: float
    quadratic: FloatArray


class Edges(NamedTuple):
    """K sets of edges of N nodes, in units of computation; that of the root is its own distribution.

    Attributes:
        transition, variance: (K, N, D, D); the root's transition is 0.
        shift: (K, N, D, C).
    """

    transition: FloatArray
    shift: FloatArray
    variance: FloatArray


class Over(NamedTuple):
    """What becomes of messages over edges: as `gaussian_matrices` names it, with leading axes."""

    follows: FloatArray
    gain: FloatArray
    own: FloatArray
    weight: FloatArray
    log_det: FloatArray
    densities: FloatArray
    none: FloatArray


class Upwards(NamedTuple):
    """What the sweep up leaves.

    Attributes:
        mean: (K, N, D, C) of the messages of all nodes.
        over: What becomes of them over their edges.
        root: What they say of the root, each with a first axis K.
    """

    mean: FloatArray
    over: Over
    root: Root


def swept_up(levels: tuple[Level, ...], seen: Seen, edges: Edges, free: bool) -> Upwards:
    """The messages from the tips to the root, and what they say of it.

    Args:
        levels: Of a tree of N nodes.
        seen: At the tips.
        edges: Of K sets.
        free: Whether the root's state is a parameter, at its best.
    """
    sets, size, traits = edges.transition.shape[:3]
    known: BoolArray = np.repeat(seen.known[None], sets, 0)
    mean: FloatArray = np.repeat(seen.mean[None], sets, 0)
    precision: FloatArray = np.repeat(seen.precision[None], sets, 0)
    inner = np.zeros(size, bool)
    for level in levels:
        inner[level.above] = True
    tips, inside = np.flatnonzero(~inner), np.flatnonzero(inner)
    follows, gain, own, weight = np.empty((4, sets, size, traits, traits))
    log_det, none = np.empty((2, sets, size))
    over = Over(follows, gain, own, weight, log_det, np.empty((sets, size, traits)), none)
    still = diagonals(edges.variance) == 0
    exact = bool((known & still).any())
    _put(over, tips, _over_edges(known[:, tips], precision[:, tips], edges.variance[:, tips]))
    for level in reversed(levels):
        nodes, above = level.nodes, level.above
        transition = edges.transition[:, nodes]
        back = transposed(transition) @ over.weight[:, nodes]
        pull = _of_parents(level, back @ (mean[:, nodes] - edges.shift[:, nodes]))
        told = _of_parents(level, back @ transition)
        certain = None
        if exact:
            hard = (known & still)[:, nodes]
            number = _of_parents(level, hard.astype(float))
            certain = _of_parents(level, np.where(hard[..., None], mean[:, nodes], 0.0))
            certain = certain / np.maximum(number, 1.0)[..., None]
            known[:, above] = number > 0
        mean[:, above], precision[:, above], over.weight[:, above] = _meeting(
            told, pull, known[:, above], certain, edges.variance[:, above]
        )
    _put(over, inside, _over_edges(known[:, inside], precision[:, inside], edges.variance[:, inside]))
    parents = _parents(levels, size)
    left = mean - edges.shift - edges.transition @ mean[:, parents]
    left[:, 0] = 0.0
    squares = (transposed(left) @ (over.weight @ left)).sum(1)
    impossible = over.none.sum(1)
    if exact:
        hard = known & still
        hard[:, 0] = False
        moved = (edges.transition != np.eye(traits)).any(-1) | (edges.shift != 0).any(-1)
        apart = np.abs(mean - mean[:, parents]) > SAME
        impossible = impossible + (hard & moved).sum((1, 2)) + (hard[..., None] & apart).sum((1, 2, 3))
    root = _at_root(
        Edges(*(part[:, 0] for part in edges)),
        (known[:, 0], mean[:, 0], precision[:, 0]),
        Over(*(part[:, 0] for part in over)),
        seen.quadratic + squares,
        seen.count + over.densities.sum(1),
        seen.log_det + over.log_det.sum(1),
        impossible,
        free,
    )
    return Upwards(mean, over, root)


def swept_down(
    levels: tuple[Level, ...],
    up: Upwards,
    edges: Edges,
    unknowns: FloatArray,
    root: FloatArray,
    spread: FloatArray,
    apart: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """All states given all observations, for Q sets of unknowns of the mean, which enter linearly.

    Args:
        levels: Of a tree of N nodes.
        up: Of K sets of edges.
        edges: These.
        unknowns: (K, C, Q).
        root: (K, D, Q) the root's states.
        spread: (K, D, D) its covariance.
        apart: (K, N, D, Q) by how much nodes but the root are off what they are expected to be given their parents;
            None for not at all.

    Returns:
        States (K, N, D, Q) and their covariances given the unknowns, (K, N, D, D).
    """
    over = up.over
    along = over.follows @ edges.transition
    turned = transposed(along)
    state = over.follows @ (edges.shift @ unknowns[:, None]) + over.gain @ (up.mean @ unknowns[:, None])
    if apart is not None:
        state = state + apart
    spreads = over.own.copy()
    state[:, 0], spreads[:, 0] = root, spread
    for level in levels:
        nodes, parents = level.nodes, level.parents
        state[:, nodes] += along[:, nodes] @ state[:, parents]
        spreads[:, nodes] += along[:, nodes] @ spreads[:, parents] @ turned[:, nodes]
    return state, spreads


def slopes(
    levels: tuple[Level, ...],
    up: Upwards,
    edges: Edges,
    unknowns: FloatArray,
    root: FloatArray,
    spread: FloatArray,
    tangents: Edges,
) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the log likelihood along S tangents, with the root's state and the unknowns of the mean held.

    These are sums t . U of Q sets U of unknowns, and of the root's states; the first one has the data, so t begins
    with 1. The derivative is t' A t + b, for every t.

    Args:
        levels, up, edges, unknowns, root, spread: As in `swept_down`.
        tangents: Of every set of edges, each (K, S, N, ...).

    Returns:
        A, (K, S, Q, Q), and b, (K, S).
    """
    state, spreads = swept_down(levels, up, edges, unknowns, root, spread)
    sets, size, traits, many = state.shape
    parents, weight = _parents(levels, size), up.over.weight
    above, over = state[:, parents], spreads[:, parents]
    left = (up.mean - edges.shift) @ unknowns[:, None] - edges.transition @ above
    force = weight @ left
    moved = tangents.transition @ above[:, None] + tangents.shift @ unknowns[:, None, None]
    moved += tangents.variance @ force[:, None] / 2
    flat = (sets, 1, size * traits, many)
    quadratic = transposed(force.reshape(flat)) @ moved.reshape(sets, -1, size * traits, many)
    carried = weight @ edges.transition
    by_transition = carried @ over
    by_variance = (by_transition @ transposed(carried) - weight) / 2
    rest = np.einsum("knij,ksnij->ks", by_variance, tangents.variance)
    rest -= np.einsum("knij,ksnij->ks", by_transition, tangents.transition)
    return quadratic, rest


def _parents(levels: tuple[Level, ...], size: int) -> NDArray[np.intp]:
    """(N,); the root is its own."""
    parents = np.zeros(size, np.intp)
    for level in levels:
        parents[level.nodes] = level.parents
    return parents


def _of_parents(level: Level, values: FloatArray) -> FloatArray:
    """(K, m, ...) the sums over the children of each."""
    if level.two:
        return values[:, 0::2] + values[:, 1::2]
    found: FloatArray = np.add.reduceat(values, level.starts, axis=1)
    return found


def _put(over: Over, nodes: NDArray[np.intp], found: Over) -> None:
    for whole, part in zip(over, found, strict=True):
        whole[:, nodes] = part


def _meeting(
    told: FloatArray, pull: FloatArray, known: BoolArray, certain: FloatArray | None, variance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The children's messages together: `mean` and `precision`, and the weight of both over the node's own edge.

    `certain` are the means of the known states; None where there are none of these.
    """
    precision = (told + transposed(told)) / 2
    root = _definite_root(precision) if certain is None else None
    if root is not None:
        inverse = np.linalg.inv(root)
        mean = transposed(inverse) @ (inverse @ pull)
        mean += transposed(inverse) @ (inverse @ (pull - precision @ mean))
        return mean, precision, _weight(root, variance)
    precision = among(~known, ~known, precision)
    if certain is not None:
        pull = np.where(known[..., None], 0.0, pull - told @ certain)
    inverse, _ = inverted_where_told(precision, ~known, least_told(precision))
    mean = inverse @ pull
    mean += inverse @ (pull - precision @ mean)
    if certain is None:
        return mean, precision, _weight(semidefinite_root(precision, ~known), variance)
    return mean + certain, precision, _over_edges(known, precision, variance).weight


def _definite_root(precision: FloatArray) -> Any:
    """The Cholesky factors of matrices of which all tell all; None where there is one that does not."""
    try:
        root = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        return None
    return root if (diagonals(root) ** 2 > least_told(precision)).all() else None


def _weight(root: FloatArray, variance: FloatArray) -> FloatArray:
    """The precision at the end of an edge, of the root of that at its node, all of whose states are not exact."""
    turned = transposed(root)
    part = np.linalg.solve(cholesky(np.eye(root.shape[-1]) + turned @ variance @ root), turned)
    return transposed(part) @ part


def _over_edges(known: BoolArray, precision: FloatArray, variance: FloatArray) -> Over:
    """As `gaussian_matrices` says."""
    diagonal, identity = diagonals(variance), np.broadcast_to(np.eye(known.shape[-1]), variance.shape)
    firm, soft = known & (diagonal != 0), ~known
    pivots = np.ones(known.shape)
    certain = regression = np.zeros(variance.shape)
    left = among(soft, soft, variance)
    if firm.any():
        root = cholesky(np.where(firm[..., :, None] & firm[..., None, :], variance, identity))
        pivots = diagonals(root) ** 2
        inverse = np.linalg.inv(root)
        certain = among(firm, firm, transposed(inverse) @ inverse)
        regression = among(soft, firm, variance @ certain)
        left = among(soft, soft, variance - regression @ variance)
    of_left, of_precision = semidefinite_root(left, soft), semidefinite_root(precision, soft)
    inner = cholesky(identity + transposed(of_precision) @ left @ of_precision)
    part = np.linalg.solve(inner, transposed(of_precision))
    weight = transposed(part) @ part
    part = np.linalg.solve(cholesky(identity + transposed(of_left) @ precision @ of_left), transposed(of_left))
    own = transposed(part) @ part
    apart = among(soft, soft, identity) - regression
    free = among(soft, soft, identity - left @ weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_det = np.log(pivots).sum(-1) + 2 * np.log(diagonals(inner)).sum(-1)
    return Over(
        free @ apart,
        own @ precision + free @ regression + among(known, known, identity),
        own,
        certain + transposed(apart) @ weight @ apart,
        log_det,
        firm.astype(float),
        (firm & (pivots <= ROUNDING * diagonal)).sum(-1),
    )


def _at_root(
    edge: Edges,
    message: tuple[BoolArray, FloatArray, FloatArray],
    over: Over,
    squares: FloatArray,
    count: FloatArray,
    log_det: FloatArray,
    impossible: FloatArray,
    free: bool,
) -> Root:
    """As `gaussian_matrices.at_root` says, of K sets of edges."""
    known, mean, precision = message
    if free:
        spread, taken = inverted_where_told(precision, ~known, least_told(precision))
        state, identified = mean, taken | known
    else:
        away = mean - edge.shift
        squares = squares + transposed(away) @ over.weight @ away
        state, spread = over.follows @ edge.shift + over.gain @ mean, over.own
        impossible = impossible + (known & (diagonals(edge.variance) == 0)).sum(-1)
        identified = np.ones_like(known)
    own, side = squares[:, 1:, 1:], squares[:, 1:, :1]
    alone = diagonals(squares + transposed(mean) @ precision @ mean)[:, 1:]
    covariance, taken = inverted_where_told(own, np.ones(own.shape[:-1], bool), OWN_SHARE * alone)
    unknowns = -covariance @ side
    unknowns = unknowns - covariance @ (side + own @ unknowns)
    best = np.concatenate([np.ones((len(unknowns), 1, 1)), unknowns], 1)
    value = -(count.sum(-1) * np.log(2 * np.pi) + log_det + (transposed(best) @ squares @ best)[:, 0, 0]) / 2
    value = np.where(impossible > 0, -np.inf, value)
    return Root(value, count, best[:, :, 0], covariance, state, spread, taken, identified)
