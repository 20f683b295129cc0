"""Transition matrices exp(Q t) of many edges, applied to vectors without ever being made; exact for any rate matrix.

Two ways, chosen by what the matrix is like:

- `Spectral`, Q = right diag(values) left: S^2 operations an edge. Only for matrices whose eigenvectors are well
  conditioned and that have no zero rate.
- `Doubling`: exp(Q t) as a product of exp(Q unit 2^j) over the binary digits of t / unit, and a uniformised series for
  what is left. All numbers in it are sums of products of numbers that are not negative, so that nothing cancels and a
  transition that takes several steps on a short edge keeps its digits (Xue and Ye 2008, Numer. Math. 111:119).

K rate matrices stand side by side as columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from hxcli.engine.program import program
from hxcli.engine.topology import BoolArray
from hxcli.phylogeny import FloatArray

# Condition number of the eigenvectors from which more digits would be lost than a likelihood can spare.
_MOST_CONDITION = 1e5
# Largest mean number of changes on what the binary digits of an edge length leave.
_REST = 1 / 16
# Binary digits come in steps, because each number of them compiles a program of its own.
_DIGITS_STEP = 8
# In place of what rounding would make 0 or less where every transition is possible.
SMALLEST = 1e-280
# Difference of eigenvalues times the longest edge below which divided differences are a series.
NEARLY_EQUAL = 1e-2


class Spectral(NamedTuple):
    """K rate matrices by their eigenvectors; real, or complex where an eigenvalue is.

    Attributes:
        right, left: (K, S, S) eigenvectors as columns of `right`, and its inverse.
        values: (K, S) eigenvalues.
    """

    right: Any
    left: Any
    values: Any


class Doubling(NamedTuple):
    """K rate matrices by powers of their exponentials.

    Attributes:
        powers: (J, K, S, S) exp(Q unit 2^j).
        unit: () the edge length that the binary digits count.
        steps: (K, S, S) I + Q / fastest.
        fastest: (K,) largest rate of leaving a state.
    """

    powers: Any
    unit: Any
    steps: Any
    fastest: Any


class Matrices(NamedTuple):
    """Transition matrices that stand at the nodes themselves, as the field `transition` (K, S, S)."""


Transitions: TypeAlias = Spectral | Doubling | Matrices


def transitions_of(rates: FloatArray, longest: float) -> Transitions:
    """Prepares K rate matrices.

    Args:
        rates: (K, S, S) with rows that sum to 0.
        longest: Longest edge on which they will act.
    """
    found = _spectral(rates)
    return _doubling(rates, longest) if found is None else found


def _spectral(rates: FloatArray) -> Spectral | None:
    """By eigenvectors; None where a column has zero rates or is nearly defective."""
    found, sound = spectra_of(rates)
    if not sound.all():
        return None
    if np.iscomplexobj(found.values) and not found.values.imag.any():
        return Spectral(*(field.real for field in found))
    return found


def spectra_of(rates: FloatArray) -> tuple[Spectral, BoolArray]:
    """K matrices (K, S, S) by their eigenvectors, and (K,) of which of them: not of those with zero rates, nor of those
    that are nearly defective, whose numbers mean nothing.
    """
    count, states = rates.shape[:2]
    off = ~np.eye(states, dtype=bool)
    sound = np.full(count, states > 1)
    sound &= np.isfinite(rates).all((1, 2)) & (rates[:, off] > 0).all(1)
    right, left = np.zeros((2, *rates.shape))
    values = np.zeros((count, states))
    chosen = np.flatnonzero(sound)
    matrices = rates[chosen]
    share = _stationary_columns(matrices)
    flow = share[:, :, None] * matrices
    # A reversible matrix is similar to a symmetric one, whose eigenvectors are orthogonal even where values repeat.
    even = (abs(flow - flow.swapaxes(1, 2)) <= 1e-13 * abs(flow).max(2, keepdims=True)).all((1, 2))
    even &= share.min(1, initial=1.0) > 0
    places, own = chosen[even], np.sqrt(share[even])
    sound[places] = own.max(1, initial=0.0) <= _MOST_CONDITION * own.min(1, initial=np.inf)
    symmetric = own[:, :, None] * matrices[even] / own[:, None, :]
    values[places], vectors = np.linalg.eigh((symmetric + symmetric.swapaxes(1, 2)) / 2)
    right[places], left[places] = vectors / own[:, :, None], vectors.swapaxes(1, 2) * own[:, None, :]
    if not even.all():
        places = chosen[~even]
        found, vectors = np.linalg.eig(matrices[~even])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        good = np.linalg.cond(vectors) < _MOST_CONDITION
        sound[places] = good
        if np.iscomplexobj(found):
            right, left, values = (each.astype(complex) for each in (right, left, values))
        right[places], values[places] = vectors, found
        left[places[good]] = np.linalg.inv(vectors[good])
    rows = np.arange(count)
    values[rows, np.argmin(abs(values), axis=1)] = 0
    return Spectral(right, left, values), sound


def _stationary_columns(rates: FloatArray) -> FloatArray:
    """(K, S) `stationary` of K matrices without zero rates; not finite or 0 where rounding leaves nothing."""
    rates = np.array(rates, np.float64)
    count, states = rates.shape[:2]
    places = np.arange(states)
    rates[:, places, places] = 0
    share = np.zeros((count, states))
    share[:, 0] = 1
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        for last in range(states - 1, 0, -1):
            rates[:, :last, last] /= rates[:, last, :last].sum(1, keepdims=True)
            rates[:, :last, :last] += rates[:, :last, last, None] * rates[:, last, None, :last]
        for last in range(1, states):
            share[:, last] = (share[:, :last] * rates[:, :last, last]).sum(1)
        total: FloatArray = share / share.sum(1, keepdims=True)
    return np.where(np.isfinite(total), total, 0.0)


def stationary(matrix: FloatArray) -> FloatArray:
    """(S,) a distribution that the rate matrix keeps; one of them where there are several.

    By elimination without subtractions (Grassmann, Taksar and Heyman 1985, Oper. Res. 33:1107), which keeps the digits
    of small shares.
    """
    rates = np.array(matrix, np.float64)
    states = len(rates)
    np.fill_diagonal(rates, 0)
    first = 0
    for last in range(states - 1, 0, -1):
        leaving = rates[last, :last].sum()
        if leaving == 0:
            # Once there, or among the states after it, never back.
            first = last
            break
        rates[:last, last] /= leaving
        rates[:last, :last] += np.outer(rates[:last, last], rates[last, :last])
    share = np.zeros(states)
    share[first] = 1
    for last in range(first + 1, states):
        share[last] = share[:last] @ rates[:last, last]
    return share / share.sum()


def _doubling(rates: FloatArray, longest: float) -> Doubling:
    leaving = -np.diagonal(rates, axis1=1, axis2=2).min(1)
    fastest = np.where(leaving > 0, leaving, 1.0)
    changes = max(float(fastest.max()) * longest, _REST)
    digits = max(1, int(np.ceil(np.log2(changes / _REST) / _DIGITS_STEP + 1e-9))) * _DIGITS_STEP
    # Just above, so that no edge needs one digit more.
    unit = max(longest, np.finfo(float).tiny) / (2.0**digits - 1)
    return doubling_tables(jnp.asarray(rates), jnp.asarray(fastest), jnp.asarray(unit), digits)


@program(static_argnums=3)
def doubling_tables(rates: Any, fastest: Any, unit: Any, digits: int) -> Doubling:
    """What `Doubling` holds; differentiable by every cell of `rates`."""
    identity = jnp.eye(rates.shape[1])
    steps = identity[None] + rates / fastest[:, None, None]
    steps = steps + lax.stop_gradient(jnp.maximum(steps, 0) - steps)
    changes = (fastest * unit)[:, None, None]

    def term(total: Any, number: Any) -> tuple[Any, None]:
        return identity[None] + changes / number * (steps @ total), None

    numbers = jnp.arange(_terms(rates.shape[1]), 0, -1, dtype=rates.dtype)
    power, _ = lax.scan(term, jnp.broadcast_to(identity[None], steps.shape), numbers)
    # Rounding must not add up over the squarings; a derivative has nothing to do with that.
    power = power * lax.stop_gradient(1 / power.sum(2, keepdims=True))

    def square(held: Any, _: None) -> tuple[Any, Any]:
        squared = held @ held
        return squared * lax.stop_gradient(1 / squared.sum(2, keepdims=True)), held

    _, powers = lax.scan(square, power, None, digits)
    return Doubling(powers, unit, steps, fastest)


def _terms(states: int) -> int:
    """Terms of the series: to the last digit, and enough to reach every state."""
    return max(10, states)


def columns_of(transitions: Spectral | Doubling) -> int:
    """K."""
    return int((transitions.values if isinstance(transitions, Spectral) else transitions.fastest).shape[0])


def over_edge(transitions: Transitions, edge: Any, vectors: Any) -> Any:
    """(K, S) exp(Q t) times the vectors (K, S): what a child says about its parent.

    Args:
        transitions: Of K columns.
        edge: View with the edge's `length` (), or `transition` (K, S, S).
        vectors: Not negative.
    """
    if isinstance(transitions, Matrices):
        return (edge.transition * vectors[:, None, :]).sum(-1)
    if isinstance(transitions, Spectral):
        return _along(transitions.right, transitions.left, transitions.values, edge.length, vectors)
    return _doubled(transitions, edge.length, vectors)


def back_over_edge(transitions: Transitions, edge: Any, vectors: Any) -> Any:
    """(K, S) the vectors (K, S) times exp(Q t): what a parent says about its child; they may be negative."""
    if isinstance(transitions, Matrices):
        return (edge.transition * vectors[:, :, None]).sum(-2)
    if isinstance(transitions, Spectral):
        right, left = transitions.left.swapaxes(1, 2), transitions.right.swapaxes(1, 2)
        moved = jnp.expm1(transitions.values * edge.length) * jnp.einsum("kij,kj->ki", left, vectors)
        return vectors + jnp.real(jnp.einsum("kij,kj->ki", right, moved))
    turned = transitions._replace(powers=transitions.powers.swapaxes(2, 3), steps=transitions.steps.swapaxes(1, 2))
    return _doubled(turned, edge.length, vectors)


def _along(right: Any, left: Any, values: Any, length: Any, vectors: Any) -> Any:
    moved = jnp.expm1(values * length) * jnp.einsum("kij,kj->ki", left, vectors)
    out = vectors + jnp.real(jnp.einsum("kij,kj->ki", right, moved))
    # Every state can be reached in any time, which rounding must not deny.
    return jnp.where(length > 0, jnp.maximum(out, SMALLEST * vectors.max(1, keepdims=True)), vectors)


def _doubled(transitions: Doubling, length: Any, vectors: Any) -> Any:
    count = jnp.floor(length / transitions.unit)
    digits = count.astype(jnp.int64)
    rest = jnp.clip(length - count * transitions.unit, 0, transitions.unit)

    def digit(held: Any, power_and_place: Any) -> tuple[Any, None]:
        power, place = power_and_place
        moved = jnp.einsum("kij,kj->ki", power, held)
        return jnp.where((digits >> place) & 1, moved, held), None

    places = jnp.arange(len(transitions.powers))
    held, _ = lax.scan(digit, vectors, (transitions.powers, places))
    changes = (transitions.fastest * rest)[:, None]

    def term(total: Any, number: Any) -> tuple[Any, None]:
        return held + changes / number * jnp.einsum("kij,kj->ki", transitions.steps, total), None

    numbers = jnp.arange(_terms(vectors.shape[-1]), 0, -1, dtype=vectors.dtype)
    total, _ = lax.scan(term, held, numbers)
    return total * jnp.exp(-changes)


def matrix_of(transitions: Transitions, edge: Any) -> Any:
    """(K, S, S) exp(Q t) of one edge."""
    if isinstance(transitions, Matrices):
        return edge.transition
    states = (transitions.values if isinstance(transitions, Spectral) else transitions.steps).shape[-1]
    columns = columns_of(transitions)
    units = jnp.broadcast_to(jnp.eye(states)[:, None, :], (states, columns, states))
    return jax.vmap(lambda unit: over_edge(transitions, edge, unit))(units).transpose(1, 2, 0)


def slopes(transitions: Transitions, rates: Any, lengths: Any, above: Any, below: Any) -> Any:
    """(K, S, S) derivative by Q of the sum over edges of above . exp(Q t) below, every cell of Q by itself.

    Args:
        transitions: Of K columns; not `Matrices`.
        rates: (K, S, S) the same matrices.
        lengths: (N,).
        above, below: (N, K, S); 0 where there is no edge.
    """
    if isinstance(transitions, Spectral):
        return _spectral_slopes(transitions, lengths, above, below)
    assert isinstance(transitions, Doubling)
    return _doubled_slopes(transitions, rates, lengths, above, below)


def _doubled_slopes(transitions: Doubling, rates: Any, lengths: Any, above: Any, below: Any) -> Any:
    """By reverse differentiation, some edges at a time because each leaves a vector for every digit."""
    size = len(lengths)
    block = min(size, 4096)
    room = -size % block

    def blocks(values: Any) -> Any:
        padded = jnp.pad(values, [(0, room)] + [(0, 0)] * (values.ndim - 1))
        return padded.reshape(-1, block, *values.shape[1:])

    def product(tables: Doubling, edges: Any) -> Any:
        moved = jax.vmap(lambda length, vectors: _doubled(tables, length, vectors))(edges[0], edges[2])
        return (edges[1] * moved).sum()

    def add(total: Any, edges: Any) -> tuple[Any, None]:
        found = jax.grad(product)(transitions, edges)
        return jax.tree.map(jnp.add, total, found), None

    # The fastest rate and the unit only say how the exponential is computed, which changes nothing.
    zeros = jax.tree.map(jnp.zeros_like, transitions)
    by_tables, _ = lax.scan(add, zeros, (blocks(lengths), blocks(above), blocks(below)))
    digits = len(transitions.powers)
    _, back = jax.vjp(lambda q: doubling_tables(q, transitions.fastest, transitions.unit, digits), rates)
    nothing = {name: jnp.zeros_like(getattr(transitions, name)) for name in ("unit", "fastest")}
    return back(by_tables._replace(**nothing))[0]


def _spectral_slopes(transitions: Spectral, lengths: Any, above: Any, below: Any) -> Any:
    """By divided differences of the exponential (Kalbfleisch and Lawless 1985, J. Am. Stat. Assoc. 80:863)."""
    right, left, values = transitions
    a = jnp.einsum("kij,nki->kjn", right, above)
    b = jnp.einsum("kij,nkj->kin", left, below)
    lengths = lengths[None, None, :]
    exponents = values[:, :, None] * lengths

    def summed(x: Any, y: Any) -> Any:
        return (x[:, :, None] * y[:, None]).sum(-1)

    # Of e^x - 1, not of e^x, whose differences would cancel on short edges.
    grown = jnp.expm1(exponents)
    gap = values[:, :, None] - values[:, None, :]
    apart = (summed(a * grown, b) - summed(a, grown * b)) / jnp.where(gap == 0, 1, gap)
    # Of values that hardly differ: around their middle, sinh(z / 2) / (z / 2) as a series.
    half = jnp.exp(exponents / 2)
    a, b = a * half * lengths, b * half
    square = lengths**2
    near = summed(a, b) + gap**2 / 24 * summed(a * square, b) + gap**4 / 1920 * summed(a * square**2, b)
    cells = jnp.where(jnp.abs(gap) * lengths.max() < NEARLY_EQUAL, near, apart)
    return jnp.real(jnp.einsum("kia,kij,kbj->kab", left, cells, right))
