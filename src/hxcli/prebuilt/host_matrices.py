"""Small matrices in numpy, any number of them side by side: the factors and inverses of `gaussian_matrices`.

All take matrices (..., D, D) and masks (..., D); D steps are taken, each for all matrices at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.gaussian_matrices import BELOW, NOTHING, ROUNDING


def transposed(a: Any) -> FloatArray:
    """The transposes."""
    found: FloatArray = np.swapaxes(a, -1, -2)
    return found


def diagonals(a: Any) -> FloatArray:
    """(..., D)."""
    found: FloatArray = np.diagonal(a, axis1=-2, axis2=-1)
    return found


def among(rows: BoolArray, columns: BoolArray, a: FloatArray) -> FloatArray:
    """What of the matrices is in rows and columns of the masks, 0 elsewhere."""
    return np.where(rows[..., :, None] & columns[..., None, :], a, 0.0)


def cholesky(a: FloatArray) -> FloatArray:
    """Lower triangular roots; nan from where a matrix is not positive definite."""
    try:
        return np.asarray(np.linalg.cholesky(a), float)
    except np.linalg.LinAlgError:
        # One of them is not, and numpy has none of the others then.
        rest, root, number = a.copy(), np.zeros_like(a), np.arange(a.shape[-1])
        with np.errstate(divide="ignore", invalid="ignore"):
            for k in range(a.shape[-1]):
                pivot = rest[..., k, k]
                column = rest[..., :, k] / np.sqrt(np.where(pivot > 0, pivot, np.nan))[..., None]
                column = np.where(number >= k, column, 0.0)
                rest = rest - column[..., :, None] * column[..., None, :]
                root[..., :, k] = column
        return root


def semidefinite_root(a: FloatArray, mask: BoolArray) -> FloatArray:
    """Lower triangular L with L L' the masked part of positive semidefinite matrices; nan where one is none."""
    scale, number = np.abs(diagonals(a)), np.arange(a.shape[-1])
    rest, root = among(mask, mask, a), np.zeros_like(a)
    for k in range(a.shape[-1]):
        column, pivot = rest[..., :, k], rest[..., k, k]
        there = ~(pivot <= ROUNDING * scale[..., k])
        column = column / np.sqrt(np.where(there, np.where(pivot < 0, np.nan, pivot), 1.0))[..., None]
        column = np.where(there[..., None] & (number >= k), column, 0.0)
        column = np.where((pivot < -BELOW * scale[..., k])[..., None], np.nan, column)
        rest = rest - column[..., :, None] * column[..., None, :]
        root[..., :, k] = column
    return root


def least_told(precision: FloatArray) -> FloatArray:
    """(..., D) the pivots below which a precision says nothing."""
    return np.maximum(ROUNDING * np.abs(diagonals(precision)), NOTHING)


def inverted_where_told(a: FloatArray, mask: BoolArray, least: FloatArray) -> tuple[FloatArray, BoolArray]:
    """The inverses of as much of positive semidefinite matrices as they tell, by the sweep operator.

    Args:
        a: The matrices.
        mask: Which rows and columns.
        least: (..., D) the pivot that a row must exceed.

    Returns:
        The inverses, 0 elsewhere, and which rows are in them, (..., D).
    """
    matrix, taken = a.copy(), np.zeros(np.broadcast_shapes(mask.shape, a.shape[:-1]), bool)
    for k in range(a.shape[-1]):
        column = matrix[..., :, k].copy()
        pivot = column[..., k].copy()
        own = mask[..., k] & ~(pivot <= least[..., k])
        column[..., k] = -1.0
        found = matrix.copy()
        found[..., k, :], found[..., :, k] = 0.0, 0.0
        found -= column[..., :, None] * column[..., None, :] / np.where(own, pivot, 1.0)[..., None, None]
        matrix = np.where(own[..., None, None], found, matrix)
        taken[..., k] = own
    return -among(taken, taken, matrix), taken
