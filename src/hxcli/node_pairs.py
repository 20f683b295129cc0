"""Pairs of nodes that are asked about together, as a table names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import InputError
from hxcli.painting import NodeFinder, RegimeRow
from hxcli.phylogeny import Phylogeny


class NodePairs(NamedTuple):
    """P pairs of nodes of one tree.

    Attributes:
        first, second: (P,) node numbers.
        first_names, second_names: (P,) what the nodes are called in tables.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    first_names: tuple[str, ...]
    second_names: tuple[str, ...]


@dataclass(frozen=True)
class PairTable:
    """A table of pairs as read.

    Attributes:
        file: Its path, for messages.
        header: Its header, for messages.
        header_line: Line of the header.
        rows: Which node is meant first, and which second.
        names: Gives the (N,) names that tables have for the nodes of a tree.
    """

    file: str
    header: tuple[str, ...]
    header_line: int
    rows: tuple[tuple[RegimeRow, RegimeRow], ...]
    names: Callable[[Phylogeny], Iterable[str]]

    def on(self, phylogeny: Phylogeny) -> NodePairs:
        """The pairs on a tree.

        Raises:
            InputError: A header that is a pair itself, a name that no node or several have, a pair of one node.
        """
        names = list(self.names(phylogeny))
        finder = NodeFinder(phylogeny, self.file, names)
        if all(map(finder.knows, self.header)):
            raise InputError(
                "the first line names nodes, and a table of pairs begins with names of its columns",
                "put node_a,node_b above it",
                file=self.file,
                line=self.header_line,
            )
        found = np.array([[finder.node(each) for each in row] for row in self.rows], np.intp).reshape(-1, 2)
        for (row, _), (first, second) in zip(self.rows, found.tolist(), strict=True):
            if first == second:
                raise InputError(
                    f"both nodes of the pair are {names[first]!r}", "name two nodes", file=self.file, line=row.line
                )
        called = [tuple(names[node] for node in side) for side in found.T.tolist()]
        return NodePairs(found[:, 0], found[:, 1], called[0], called[1])
