"""The highest points of many functions of one bounded number at once, and where they fall to a level: in numpy.

A grid that all functions share brackets the highest point, and the zero of the slope is found by Chandrupatla's method
(1997, Adv. Eng. Softw. 28:145), which works on fewer and fewer columns. Slopes come from a step in the imaginary
direction (Squire and Trapp 1998, SIAM Rev. 40:110).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray

# Values (k,) at arguments (k,), real or complex, of the functions of those numbers (k,).
Columns = Callable[[NDArray[Any], NDArray[np.intp]], NDArray[Any]]
_STEP = 1e-30
# Of an argument, relative.
_TOLERANCE = 1e-11


class Highest(NamedTuple):
    """The highest point of K functions, each (K,).

    Attributes:
        x, height: Where it is, and the value there.
        slope: The derivative there: 0 unless x is an end of the range.
    """

    x: FloatArray
    height: FloatArray
    slope: FloatArray


def highest(function: Columns, grid: FloatArray, heights: FloatArray) -> Highest:
    """Finds the highest point between the ends of a grid.

    Args:
        function: Of real and complex arguments.
        grid: (G,) ascending, fine enough to tell hills apart.
        heights: (G, K) of all functions on the grid.
    """
    every = np.arange(heights.shape[1])
    best = np.where(np.isnan(heights), -np.inf, heights).argmax(0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]

    def slope(x: NDArray[Any], which: NDArray[np.intp]) -> FloatArray:
        found: FloatArray = function(x + 1j * _STEP, which.astype(np.intp)).imag / _STEP
        return found

    x = zero(slope, low, high, every)
    # No change of sign beside an end of the grid: the function rises or falls all the way to it.
    x = np.where(np.isnan(x), grid[best], x)
    height = function(x, every)
    kept = heights[best, every]
    better = ~(height < kept)
    x = np.where(better, x, grid[best])
    return Highest(x, np.where(better, height, kept), slope(x, every))


def falls_to(function: Columns, level: FloatArray, inside: FloatArray, end: float) -> FloatArray:
    """(K,) where functions that are above `level` at `inside` fall to it on the way to `end`; nan where never.

    Args:
        function: Of real arguments, falling from `inside` to `end`.
        level, inside: (K,).
        end: Of the range.
    """

    def above(x: NDArray[Any], which: NDArray[np.intp]) -> FloatArray:
        which = which.astype(np.intp)
        found: FloatArray = function(x, which) - level[which]
        return found

    last = np.full_like(inside, end)
    return zero(above, np.minimum(inside, last), np.maximum(inside, last), np.arange(len(inside)))


def zero(function: Columns, low: FloatArray, high: FloatArray, which: NDArray[np.intp]) -> FloatArray:
    """(K,) where functions are 0 between low and high; nan where they have equal signs there."""
    from scipy.optimize import elementwise

    found = elementwise.find_root(function, (low, high), args=(which,), tolerances={"xrtol": _TOLERANCE})
    return np.where(found.success, found.x, np.nan)
