"""Shades of states: the colour of the most probable state, paler where that is less probable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray
from hxcli.pictures.line_segments import UNKNOWN, IntArray
from hxcli.state_colours import paler

# From these probabilities on, the colour is mixed with so much white.
PALE = ((0.0, 0.65), (0.5, 0.45), (0.75, 0.2), (0.95, 0.0))
PALER = "edges: the most probable state, paler below 0.95, 0.75 and 0.5"


def shade_classes(probabilities: FloatArray, best: NDArray[np.intp]) -> IntArray:
    """(N,) which of `shades` belongs to (N, S) probabilities; `UNKNOWN` where `best` is -1."""
    level = np.searchsorted([least for least, _ in PALE], probabilities.max(1), side="right") - 1
    return np.where(best >= 0, best * len(PALE) + level, UNKNOWN)


def shades(colours: Sequence[str]) -> list[str]:
    """Every colour in all its shades, from the palest on."""
    return [paler(colour, part) for colour in colours for _, part in PALE]
