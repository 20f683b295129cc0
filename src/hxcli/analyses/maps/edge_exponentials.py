"""Matrix exponentials of many edges at once, and how they change with the rate matrix, to the second order.

All by the uniformised series on a part of an edge that is short enough, and squarings: sums of products of numbers that
are not negative, so that no digit is lost to a difference, whatever the rates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray

# Mean number of events on what the series is summed for.
_SHORT = 1 / 16


class Directions(NamedTuple):
    """C changes of a rate matrix: each adds so much to one cell.

    Attributes:
        rows, columns: (C,) which cell.
        sizes: (C,) how much, not negative.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    sizes: FloatArray


class Jets(NamedTuple):
    """exp((Q + e D) t) = zero + e first + e^2 second + ..., for M edges and C directions D.

    Attributes:
        zero: (M, S, S).
        first, second: (C, M, S, S).
    """

    zero: FloatArray
    first: FloatArray
    second: FloatArray


def exponentials(rates: FloatArray, lengths: FloatArray) -> FloatArray:
    """(M, S, S) exp(Q t) for M lengths."""
    none = np.zeros(0, np.intp)
    return jets(rates, lengths, Directions(none, none, np.zeros(0))).zero


def jets(rates: FloatArray, lengths: FloatArray, directions: Directions) -> Jets:
    """The exponentials of M edges and their first two coefficients in every direction.

    The coefficients are those of the exponential of a block-triangular matrix (Van Loan 1978, IEEE Trans. Autom.
    Control 23:395), here as truncated power series.

    Args:
        rates: (S, S) rate matrix.
        lengths: (M,).
        directions: C of them.
    """
    states, edges, count = len(rates), len(lengths), len(directions.sizes)
    fastest = float(-np.diagonal(rates).min()) or 1.0
    steps = np.maximum(np.eye(states) + rates / fastest, 0)
    pushes = (directions.sizes / fastest)[:, None, None]
    which, rows, columns = np.arange(count), directions.rows, directions.columns
    changes = fastest * lengths
    halvings = np.maximum(np.ceil(np.log2(np.maximum(changes, np.finfo(float).tiny) / _SHORT)), 0).astype(int)
    # Longest first, so that those that are still to be squared stand together.
    order = np.argsort(-halvings, kind="stable")
    changes, halvings = changes[order] / 2.0 ** halvings[order], halvings[order]
    identity = np.eye(states)[:, :, None]
    zero = np.broadcast_to(identity, (states, states, edges)).copy()
    first = np.zeros((count, states, states, edges))
    second = np.zeros_like(first)

    def stepped(terms: FloatArray) -> FloatArray:
        flat: FloatArray = steps @ terms.reshape(*terms.shape[:-2], states * edges)
        return flat.reshape(terms.shape)

    for number in range(max(10, states + 2), 0, -1):
        part = changes / number
        new_first, new_second = stepped(first), stepped(second)
        new_first[which, rows] += pushes * zero[columns]
        new_second[which, rows] += pushes * first[which, columns]
        zero, first, second = identity + part * stepped(zero), part * new_first, part * new_second
    kept = np.exp(-changes)
    zero, first, second = zero * kept, first * kept, second * kept
    for level in range(1, int(halvings.max(initial=0)) + 1):
        far = int((halvings >= level).sum())
        z, a, b = zero[..., :far], first[..., :far], second[..., :far]
        zero[..., :far], first[..., :far], second[..., :far] = (
            _times(z, z),
            _times(z, a) + _times(a, z),
            _times(z, b) + _times(a, a) + _times(b, z),
        )
    back = np.argsort(order)
    return Jets(*(np.moveaxis(each[..., back], -1, -3) for each in (zero, first, second)))


def _times(a: FloatArray, b: FloatArray) -> FloatArray:
    """Products of matrices that stand in the two axes before the last."""
    total = a[..., :, 0, None, :] * b[..., None, 0, :, :]
    for place in range(1, a.shape[-2]):
        total += a[..., :, place, None, :] * b[..., None, place, :, :]
    return total
