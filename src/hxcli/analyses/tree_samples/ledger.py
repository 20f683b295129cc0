"""The ledger of a sample: figures of every clade of the summary on every tree, in memory or, if many, on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray

# Bytes of figures that stay in memory.
_ROOM = 1 << 29


@dataclass(frozen=True, eq=False)
class Entry:
    """The figures of some trees.

    Attributes:
        numbers: (B,) places of the trees in their files, from 1, ascending.
        figures: (C, F, B) of C clades F figures, in the order of the ledger; nan where the tree lacks the clade.
        parameters: (P, B) the parameters.
        present: (N,) how many of the trees have each node of the summary.
    """

    numbers: NDArray[np.int64]
    figures: FloatArray
    parameters: FloatArray
    present: NDArray[np.int64]


@dataclass(eq=False)
class Ledger:
    """Figures of C clades on trees that come batch by batch.

    Attributes:
        clades: C, the number of clades.
        figures: F, the number of figures of a clade.
        numbers: (T,) places of the trees in their files, as they came.
        parameters: (P, T) the parameters.
        present: (N,) how many trees have each node of the summary.
    """

    clades: int
    figures: int
    _numbers: list[NDArray[np.int64]] = field(default_factory=list)
    _parameters: list[FloatArray] = field(default_factory=list)
    _present: list[NDArray[np.int64]] = field(default_factory=list)
    _blocks: list[FloatArray] = field(default_factory=list)
    _held: int = 0
    _file: BinaryIO | None = None

    @classmethod
    def joined(cls, ledgers: Sequence[Ledger]) -> Ledger:
        """All entries of several ledgers of the same clades and figures."""
        whole = cls(ledgers[0].clades, ledgers[0].figures)
        for each in ledgers:
            whole._numbers += each._numbers
            whole._parameters += each._parameters
            whole._present += each._present
            whole._blocks += each._blocks
        return whole

    def add(self, entry: Entry) -> None:
        """Takes the figures of some more trees."""
        self._numbers.append(entry.numbers)
        self._parameters.append(entry.parameters)
        self._present.append(entry.present)
        block = entry.figures if isinstance(entry.figures, np.memmap) else np.ascontiguousarray(entry.figures)
        self._held += 0 if isinstance(block, np.memmap) else block.nbytes
        self._blocks.append(block)
        if self._held > _ROOM:
            self._spill()

    def _spill(self) -> None:
        """Moves what is in memory to an unnamed temporary file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            finalize(self, self._file.close)
        self._file.seek(0, 2)
        for number, block in enumerate(self._blocks):
            if not isinstance(block, np.memmap):
                offset = self._file.tell()
                self._file.write(block.tobytes())
                self._file.flush()
                self._blocks[number] = np.memmap(self._file, np.float64, "r", offset, block.shape)
        self._held = 0

    @property
    def numbers(self) -> NDArray[np.int64]:
        return np.concatenate(self._numbers) if self._numbers else np.zeros(0, np.int64)

    @property
    def parameters(self) -> FloatArray:
        return np.concatenate(self._parameters, axis=1)

    @property
    def present(self) -> NDArray[np.int64]:
        return np.sum(self._present, axis=0)

    @property
    def blocks(self) -> Sequence[FloatArray]:
        """(C, F, B) the figures of every batch, as they came."""
        return self._blocks

    def rows(self, first: int, last: int, order: NDArray[np.intp]) -> FloatArray:
        """(n, F, T) the figures of some clades on all trees, in an order of the trees."""
        found: FloatArray = np.concatenate([block[first:last] for block in self._blocks], axis=2)
        return found[:, :, order]

    def pieces(self, numbers: int) -> Iterator[slice]:
        """Cuts the clades into pieces with about so many numbers."""
        trees = sum(map(len, self._numbers))
        step = max(1, numbers // max(1, trees * self.figures))
        return (slice(start, min(start + step, self.clades)) for start in range(0, self.clades, step))
