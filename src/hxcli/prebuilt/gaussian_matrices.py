"""Gaussian messages of traits that act on each other: `x_child ~ N(A x_parent + b, V)`, with A and V matrices.

What the observations at and below a node say about its D states x is the likelihood

    exp(-(count * log(2 pi) + log_det + quadratic) / 2) * exp(-(x - mean)' precision (x - mean) / 2),

where the states in `known` are exact: x = mean there, and `precision` has nothing of them. In `gaussian_joint` every
trait passes an edge by itself; here `precision` may have any rank: one trait at the tips tells of a weighted sum of
several at their parent, and of no single one. So messages keep precisions and not variances; a mean is one of the
points at which they are highest. Mitov et al. (2020, Theor. Popul. Biol. 131:66) give the upward recursion; here it is
without an inverse of V or of `precision`, and quadratic forms are taken around the mean just found, so that neither
short edges nor traits of which nothing is known lose digits.

Observations are C columns that are swept alike: the data with what no unknown of the mean moves, and what each unknown
adds to the means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from hxcli.engine.sweep import down, up
from hxcli.engine.tree import Tree
from hxcli.prebuilt.small_matrices import unpacked

EDGE = ("shift", "transition", "variance")
SUMS = ("count", "impossible", "log_det", "quadratic")
OVER = ("follows", "gain", "own", "weight")
MESSAGE = ("known", "mean", "precision", *SUMS, *OVER)
STATE = ("state", "state_spread")

# A pivot is that of nothing but rounding where it is so small a share of its diagonal element, or so small.
ROUNDING, NOTHING = 1e-13, 1e-140
# A pivot that is as far below 0, as a share, is none of a covariance.
BELOW = 1e-9
# How little of an unknown's information may be its own, not shared with the root's state and the unknowns before it.
OWN_SHARE = 1e-11
# Exact observations of one state that differ by more contradict each other.
SAME = 1e-9


class Root(NamedTuple):
    """The root and the unknowns of the mean, at their best.

    Attributes:
        log_likelihood: (); -inf where the observations are impossible.
        count: (D,) numbers of densities of every trait that it is made of.
        best: (C,) 1, and the unknowns of the mean.
        covariance: (C - 1, C - 1) theirs.
        state: (D, C) the root given all observations, by columns.
        spread: (D, D) its covariance given the unknowns.
        identified: (C - 1,) which of the unknowns the observations tell.
        root_identified: (D,) of which traits they tell the root's state.
    """

    log_likelihood: Any
    count: Any
    best: Any
    covariance: Any
    state: Any
    spread: Any
    identified: Any
    root_identified: Any


def _among(rows: Any, columns: Any, a: Any) -> Any:
    return jnp.where(rows[:, None] & columns[None], a, 0)


def _over_edge(known: Any, precision: Any, variance: Any) -> tuple[Any, ...]:
    """What becomes of a message over its node's own edge.

    Returns:
        `follows` and `gain`: a node's mean given its parent is `follows @ expected + gain @ mean`. `own`: its
        covariance given the parent. `weight`: the precision of what is seen at the end of the edge. (D, D) each. The
        log determinant; (D,) how many densities of exact states are taken; and of how many exact states the variance
        is none, because they follow from others.
    """
    diagonal, identity = jnp.diagonal(variance), jnp.eye(len(known))
    hard = (known > 0) & (diagonal == 0)
    firm, soft = (known > 0) & ~hard, known == 0
    # The exact states first: what is left of the others' variance is theirs given those.
    root = jnp.linalg.cholesky(jnp.where(firm[:, None] & firm[None], variance, identity))
    pivots = jnp.diagonal(root) ** 2
    inverse = solve_triangular(root, identity, lower=True)
    certain = _among(firm, firm, inverse.T @ inverse)
    regression = _among(soft, firm, variance @ certain)
    left = _among(soft, soft, variance - regression @ variance)
    # By roots of both, neither of which is inverted: there may be no variance, and there may be no precision. So a
    # precision that is next to nothing, of a trait whose past is forgotten, keeps its digits beside others.
    of_left, of_precision = semidefinite_root(left, soft), semidefinite_root(precision, soft)
    inner = jnp.linalg.cholesky(identity + of_precision.T @ left @ of_precision)
    part = solve_triangular(inner, of_precision.T, lower=True)
    weight = part.T @ part
    part = solve_triangular(jnp.linalg.cholesky(identity + of_left.T @ precision @ of_left), of_left.T, lower=True)
    own = part.T @ part
    apart = _among(soft, soft, identity) - regression
    free = _among(soft, soft, identity - left @ weight)
    return (
        free @ apart,
        own @ precision + free @ regression + _among(known > 0, known > 0, identity),
        own,
        certain + apart.T @ weight @ apart,
        jnp.log(pivots).sum() + 2 * jnp.log(jnp.diagonal(inner)).sum(),
        firm.astype(variance.dtype),
        (firm & (pivots <= ROUNDING * diagonal)).sum().astype(variance.dtype),
    )


def semidefinite_root(a: Any, mask: Any) -> Any:
    """Lower triangular L with L L' the masked part of a positive semidefinite matrix, (D, D); nan where it is none."""
    number, scale = jnp.arange(len(a)), jnp.abs(jnp.diagonal(a))

    def step(k: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        matrix, root = state
        column, pivot = matrix[:, k], matrix[k, k]
        there = ~(pivot <= ROUNDING * scale[k])
        column = jnp.where(there & (number >= k), column / jnp.sqrt(jnp.where(there, pivot, 1)), 0)
        column = jnp.where(pivot < -BELOW * scale[k], jnp.nan, column)
        return matrix - column[:, None] * column[None], root.at[:, k].set(column)

    masked = _among(mask, mask, a)
    return lax.fori_loop(0, len(a), step, (masked, jnp.zeros_like(masked)))[1]


def _symmetric(a: Any) -> Any:
    return (a + a.T) / 2


@up(
    reads=EDGE,
    reads_children=(*EDGE, "known", "mean", "weight", *SUMS),
    writes=MESSAGE,
)
def messages(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """What the observations below a node say about it, and over its edge about its parent.

    Fields: of `EDGE`, `transition`, `variance` (D, D), `shift` (D, C); of `MESSAGE`, `known`, `count` (D,), `mean`
    (D, C), `log_det`, `impossible` (), `quadratic` (C, C), all others (D, D). `impossible` is above 0 where no state
    allows the observations. `swept_up` begins with the tips' edges.
    """
    traits, columns = node.shift.shape
    shapes = ((traits,), (traits, columns), (traits, columns), (traits, traits), (columns, columns), (traits,), (), ())
    hard, hard_mean, weighted, information, quadratic, count, log_det, impossible = unpacked(
        children.map(_said).said.sum(0), shapes
    )
    known, mean, precision = _meeting(hard, hard_mean, weighted, information)

    apart = children.map(lambda child: _misfit(child, mean))
    follows, gain, own, weight, log_dets, densities, none = _over_edge(known, precision, node.variance)
    return {
        "count": count + densities,
        "follows": follows,
        "gain": gain,
        "impossible": impossible + apart.clash.sum(0) + none,
        "known": known,
        "log_det": log_det + log_dets,
        "mean": mean,
        "own": own,
        "precision": precision,
        "quadratic": quadratic + apart.squares.sum(0),
        "weight": weight,
    }


def _hard(child: Any) -> Any:
    """(D,) which exact states of a child are its parent's: those at the end of an edge without variance."""
    return (child.known > 0) & (jnp.diagonal(child.variance) == 0)


def _said(child: Any) -> dict[str, Any]:
    """What a child says about its parent, as one vector of what is summed over children."""
    hard = _hard(child)
    # Nothing at all may happen to such a state on its edge.
    moved = jnp.abs(child.transition - jnp.eye(len(hard))).sum(1) + jnp.abs(child.shift).sum(1)
    back = child.transition.T @ child.weight
    parts = [
        hard.astype(child.mean.dtype),
        jnp.where(hard[:, None], child.mean, 0),
        back @ (child.mean - child.shift),
        back @ child.transition,
        child.quadratic,
        child.count,
        child.log_det,
        child.impossible + (hard & (moved > 0)).sum(),
    ]
    return {"said": jnp.concatenate([jnp.ravel(part) for part in parts])}


def _meeting(hard: Any, hard_mean: Any, weighted: Any, information: Any) -> tuple[Any, Any, Any]:
    """The children's messages together: `known`, `mean` and `precision`."""
    known = hard > 0
    exact = jnp.where(known[:, None], hard_mean / jnp.maximum(hard, 1)[:, None], 0)
    precision = _among(~known, ~known, _symmetric(information))
    inverse, _ = inverted_where_told(precision, ~known, _least(precision))
    pull = jnp.where(known[:, None], 0, weighted - information @ exact)
    found = inverse @ pull
    found = found + inverse @ (pull - precision @ found)
    return known.astype(weighted.dtype), exact + found, precision


def _least(precision: Any) -> Any:
    """(D,) the pivots below which a precision says nothing."""
    return jnp.maximum(ROUNDING * jnp.abs(jnp.diagonal(precision)), NOTHING)


def _misfit(child: Any, parent: Any) -> dict[str, Any]:
    # Around the mean just found, not as a difference of sums of squares, which would cancel.
    away = child.mean - child.shift - child.transition @ parent
    apart = jnp.where(_hard(child)[:, None], jnp.abs(child.mean - parent), 0)
    return {"squares": away.T @ child.weight @ away, "clash": (apart > SAME).sum().astype(away.dtype)}


def inverted_where_told(a: Any, mask: Any, least: Any) -> tuple[Any, Any]:
    """The inverse of as much of a positive semidefinite matrix as it tells, 0 elsewhere, by the sweep operator.

    (Beaton 1964; Little and Rubin 2002, Statistical Analysis with Missing Data, 7.4.3.)

    Args:
        a: (D, D).
        mask: (D,) which rows and columns.
        least: (D,) the pivot that a row must exceed: one that does not says nothing that the rows before do not say.

    Returns:
        The inverse, (D, D), and which rows are in it, (D,).
    """
    number = jnp.arange(len(a))

    def sweep(k: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        matrix, taken = state
        column, here = matrix[:, k], number == k
        own = mask[k] & ~(column[k] <= least[k])
        pivot = jnp.where(own, column[k], 1)
        column = jnp.where(here, -1, column)
        found = jnp.where(here[:, None] | here[None], 0, matrix) - column[:, None] * column[None] / pivot
        return jnp.where(own, found, matrix), taken | (here & own)

    if not len(a):
        return a, mask
    matrix, taken = lax.fori_loop(0, len(a), sweep, (a, jnp.zeros(mask.shape, bool)))
    return -_among(taken, taken, matrix), taken


@down(reads=(*EDGE, "mean", "follows", "gain", "own"), reads_parent=STATE, writes=STATE)
def states(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """A node given all observations: `state` (D, C) and `state_spread` (D, D), to be seeded at the root."""
    along = node.follows @ node.transition
    return {
        "state": along @ parent.state + node.follows @ node.shift + node.gain @ node.mean,
        "state_spread": along @ parent.state_spread @ along.T + node.own,
    }


def swept_up(tree: Tree) -> Tree:
    """`messages` of a tree with edges and, at the tips, what was observed; to be called while tracing.

    Args:
        tree: With the fields of `EDGE`, and of meaning at the tips only: `known`, `mean`, `precision`, and `count`,
            `log_det`, `quadratic` of what is said beside them.
    """
    follows, gain, own, weight, log_det, densities, none = jax.vmap(_over_edge)(
        tree["known"], tree["precision"], tree["variance"]
    )
    tree = tree.update(follows=follows, gain=gain, own=own, weight=weight, impossible=none)
    return messages(tree.set(log_det=tree["log_det"] + log_det, count=tree["count"] + densities))


def at_root(swept: Tree, free: bool) -> Root:
    """What a tree of `swept_up` says of the root and of the unknowns of the mean.

    Args:
        swept: The edge of its root has the transition 0, and as shift and variance those of the root's own
            distribution; a variance of 0 where the root's state is free.
        free: Whether the root's state is a parameter, at its best.
    """
    mean, precision, shift = swept["mean"][0], swept["precision"][0], swept["shift"][0]
    known, variance, impossible = swept["known"][0] > 0, swept["variance"][0], swept["impossible"][0]
    squares = swept["quadratic"][0]
    if free:
        spread, taken = inverted_where_told(precision, ~known, _least(precision))
        state = mean
        identified = taken | known
    else:
        away = mean - shift
        squares = squares + away.T @ swept["weight"][0] @ away
        state, spread = swept["follows"][0] @ shift + swept["gain"][0] @ mean, swept["own"][0]
        impossible = impossible + (known & (jnp.diagonal(variance) == 0)).sum()
        identified = jnp.ones_like(known)
    own, side = squares[1:, 1:], squares[1:, 0]
    # Of the unknowns by themselves, were the root's state given.
    alone = jnp.diagonal(squares + mean.T @ precision @ mean)[1:]
    covariance, taken = inverted_where_told(own, jnp.ones(len(own), bool), OWN_SHARE * alone)
    unknowns = -covariance @ side
    unknowns = unknowns - covariance @ (side + own @ unknowns)
    best = jnp.concatenate([jnp.ones(1), unknowns])
    count = swept["count"][0]
    value = -(count.sum() * np.log(2 * np.pi) + swept["log_det"][0] + best @ squares @ best) / 2
    value = jnp.where(impossible > 0, -jnp.inf, value)
    return Root(value, count, best, covariance, state, spread, taken, identified)


def smoothed(swept: Tree, root: Root) -> tuple[Any, Any]:
    """Means (N, D) and covariances (N, D, D) of all nodes; the uncertainty of the unknowns is in them."""
    begun = swept.update(state=jnp.zeros_like(swept["mean"]), state_spread=jnp.zeros_like(swept["own"]))
    found = states(begun.at[0].set(state=root.state, state_spread=root.spread))
    moves = found["state"][:, :, 1:]
    return found["state"] @ root.best, found["state_spread"] + jnp.einsum(
        "nap,pq,nbq->nab", moves, root.covariance, moves
    )
