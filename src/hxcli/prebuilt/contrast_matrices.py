"""Contrasts of many columns that are observed at the same tips without error: a few small matrix products.

The standardised contrasts of `hxcli.prebuilt.merges` (Felsenstein 1985, Am. Nat. 125:1) are linear in the values:
blocks of neighbouring merges, each a matrix of at most `_WIDEST` inputs, are applied to all columns at once. Memory and
time stay linear in the tips, and nearly all of the time is spent in multiplying matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.merges import Merges

# Inputs of a block. Wider ones cost more multiplications, narrower ones more passes over the columns.
_WIDEST = 24


class Block(NamedTuple):
    """Neighbouring merges.

    Attributes:
        start, stop: Rows of the workspace that it reads.
        matrix: (r + 1, stop - start) its r contrasts, and the value where it ends.
        target: Row of the workspace that takes the value.
    """

    start: int
    stop: int
    matrix: NDArray[Any]
    target: int


@dataclass(frozen=True, eq=False)
class ContrastMatrices:
    """All contrasts of n observed tips as a linear map.

    Attributes:
        tips: (n,) the nodes of the tips.
        sources: For every row of the workspace which tip's value it takes first, in the order given; 0 for a row that
            takes a value from a block.
        blocks: In the order in which they are applied.
        root_variance: Variance of the generalised least squares mean at unit rate, 1 / (1' C^-1 1).
        log_det: log determinant of the variances of the contrasts.
        trace: Sum of the tips' distances from the root.
    """

    tips: NDArray[np.intp]
    sources: NDArray[np.intp]
    blocks: tuple[Block, ...]
    root_variance: float
    log_det: float
    trace: float

    def single(self) -> ContrastMatrices:
        """The same map in single precision, for columns of order one: half of the time."""
        blocks = tuple(block._replace(matrix=block.matrix.astype(np.float32)) for block in self.blocks)
        return replace(self, blocks=blocks)

    def apply(self, values: NDArray[Any], order: NDArray[np.intp] | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Means at the root and sums of squared contrasts of every column, both (K,).

        Args:
            values: (n, K) of the tips, in the precision of the blocks.
            order: (n,) row of `values` that every tip takes instead of its own, or (n, G) for G choices: then both
                results are (G, K).
        """
        rows = self.sources if order is None else order[self.sources]
        shape = (*rows.shape[1:], values.shape[1])
        work = np.empty((len(rows), *shape), values.dtype)
        # With `clip` numpy fills the array without a copy between.
        np.take(values, rows, 0, work, "clip")
        work = work.reshape(len(rows), -1)
        squares = np.zeros(work.shape[1], values.dtype)
        for block in self.blocks:
            found = block.matrix @ work[block.start : block.stop]
            squares += np.einsum("ij,ij->j", found[:-1], found[:-1])
            work[block.target] = found[-1]
        return work[-1].reshape(shape), squares.reshape(shape)


def contrast_matrices(merges: Merges) -> ContrastMatrices:
    """Builds the blocks.

    Args:
        merges: Of n tips, none at no distance from another.
    """
    builder, lengths = _Builder(), merges.lengths.tolist()
    ends = [_Branch([-1 - place], lengths[place]) for place in range(merges.count)]
    for above, first, second in zip(lengths[merges.count :], merges.first, merges.second, strict=True):
        ends.append(builder.merge(ends[first], ends[second], above))
    return builder.finish(ends[-1], merges)


class _Branch:
    """What the tips below say about where a branch begins: a value that is linear in some inputs, and its variance.

    Attributes:
        inputs: Of the block it grows in: -1 - p for the tip at place p, else the number of a finished block.
        contrasts: (r, k) rows so far.
        value: (k,).
        variance: Of the value, given the state where the branch begins.
    """

    __slots__ = ("contrasts", "inputs", "value", "variance")

    def __init__(self, inputs: list[int], variance: float) -> None:
        self.inputs = inputs
        self.contrasts = np.zeros((0, 1))
        self.value = np.ones(1)
        self.variance = variance


class _Builder:
    """Collects blocks."""

    def __init__(self) -> None:
        self._blocks: list[tuple[list[int], FloatArray]] = []
        self._log_det = 0.0

    def merge(self, a: _Branch, b: _Branch, above: float) -> _Branch:
        """One merge, and the length above it."""
        total = a.variance + b.variance
        # The wider first: it would be closed soon.
        for branch in sorted((a, b), key=lambda branch: -len(branch.inputs)):
            if len(a.inputs) + len(b.inputs) > _WIDEST:
                self._close(branch)
        width, first = len(a.inputs) + len(b.inputs), len(a.inputs)
        rows = len(a.contrasts)
        contrasts = np.zeros((rows + len(b.contrasts) + 1, width))
        contrasts[:rows, :first], contrasts[rows:-1, first:] = a.contrasts, b.contrasts
        contrasts[-1, :first], contrasts[-1, first:] = a.value / total**0.5, -b.value / total**0.5
        merged = _Branch(a.inputs + b.inputs, above + a.variance * (b.variance / total))
        merged.contrasts = contrasts
        merged.value = np.concatenate([a.value * (b.variance / total), b.value * (a.variance / total)])
        self._log_det += float(np.log(total))
        return merged

    def _close(self, branch: _Branch) -> None:
        if len(branch.inputs) > 1:
            self._blocks.append((branch.inputs, np.vstack([branch.contrasts, branch.value])))
            branch.inputs = [len(self._blocks) - 1]
            branch.contrasts, branch.value = np.zeros((0, 1)), np.ones(1)

    def finish(self, root: _Branch, merges: Merges) -> ContrastMatrices:
        """The blocks with their rows of one workspace, whose last row takes the value at the root."""
        self._blocks.append((root.inputs, np.vstack([root.contrasts, root.value])))
        sources = np.zeros(sum(len(inputs) for inputs, _ in self._blocks) + 1, np.intp)
        targets = np.zeros(len(self._blocks), np.intp)
        spans, start = [], 0
        for inputs, _ in self._blocks:
            for row, which in enumerate(inputs, start):
                if which < 0:
                    sources[row] = -1 - which
                else:
                    targets[which] = row
            spans.append((start, start + len(inputs)))
            start += len(inputs)
        targets[-1] = start
        blocks = tuple(
            Block(*span, matrix, int(target))
            for span, (_, matrix), target in zip(spans, self._blocks, targets, strict=True)
        )
        return ContrastMatrices(merges.tips, sources, blocks, root.variance, self._log_det, merges.trace)
