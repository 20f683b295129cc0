"""What an analysis finds on the trees of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray
from hxcli.tree_batch import TreeBatch


@dataclass(frozen=True, eq=False)
class BatchFigures:
    """States and parameters of B trees of N nodes for D traits.

    Attributes:
        matrices: `estimate`, `se` and the further columns of the analysis, each (N, D).
        parameters: Name -> (B, D).
    """

    matrices: Mapping[str, FloatArray]
    parameters: Mapping[str, FloatArray]


class BatchAnalysis(Protocol):
    """An analysis of many trees.

    Attributes:
        columns: Names of its further columns.
        method: What is computed, in words.
        known: (L, D) value of every tip name whose state no tree changes; nan elsewhere.
    """

    columns: tuple[str, ...]
    method: str
    known: NDArray[np.float64]

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch."""
        ...
