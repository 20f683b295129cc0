"""A painted tree: regimes along the edges of one tree, brought onto another tree of the same clades."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import listed
from hxcli.errors import InputError
from hxcli.painting import Painted, RegimeTable, cut
from hxcli.phylogeny import Phylogeny, fold_below

# Of a path what two changes are apart if they are one.
_NOWHERE = 1e-12
# (regime, length), from the root's end on.
Segments: TypeAlias = tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class RegimeTree:
    """A painted tree as read.

    Attributes:
        file: Its path, for messages.
        phylogeny: N nodes.
        segments: Node -> the regimes along the edge above it; of every node but the root, which may have some.
    """

    file: str
    phylogeny: Phylogeny
    segments: Mapping[int, Segments]


# The word stands for the labels of the tree's own nodes.
Regimes: TypeAlias = RegimeTable | RegimeTree | str


def paint_alike(phylogeny: Phylogeny, painted: RegimeTree) -> Painted:
    """Paints a tree as another one is painted: every clade's edge changes at the same shares of its length.

    The order of children and nodes with one child may differ; where the one tree has several edges above a clade, one
    after the other, they count as one.

    Raises:
        InputError: The tips or the clades are not the same, or the edges at the root begin with different regimes.
    """
    _refuse_other_tips(phylogeny, painted)
    here, there = _stems(phylogeny), _stems(painted.phylogeny)
    for mine, other, tree, where in (
        (here, there, phylogeny, "the tree"),
        (there, here, painted.phylogeny, "the painted tree"),
    ):
        if lacking := mine.keys() - other.keys():
            tips = listed(_tips_below(tree, min(mine[key][0] for key in lacking)))
            raise InputError(f"{where} alone has the clade of {tips}", "paint this very tree", file=painted.file)
    regimes = tuple(sorted({regime for parts in painted.segments.values() for regime, _ in parts}))
    number_of = {regime: number for number, regime in enumerate(regimes)}
    whole = np.zeros(phylogeny.topology.size, np.intp)
    pieces: dict[int, list[tuple[float, int]]] = {}
    for key, path in here.items():
        parts = [
            (number_of[regime], length) for node in there[key] for regime, length in painted.segments.get(node, ())
        ]
        for node, changes in _shared_out(path, phylogeny.lengths, parts).items():
            whole[node] = changes[-1][1]
            if len(changes) > 1:
                pieces[node] = changes
    whole[0] = number_of[_at_root(painted)]
    return cut(phylogeny, regimes, np.arange(len(regimes)), whole, pieces)


def _refuse_other_tips(phylogeny: Phylogeny, painted: RegimeTree) -> None:
    here, there = (set(each.tip_names.array.tolist()) for each in (phylogeny, painted.phylogeny))
    for names, where in ((here - there, "the painted tree"), (there - here, "the tree")):
        if names:
            raise InputError(
                f"{where} does not have {listed(sorted(names))}", "paint a tree of the same tips", file=painted.file
            )


def _stems(phylogeny: Phylogeny) -> dict[tuple[int, int], list[int]]:
    """For every clade the nodes that have its tips and no others, from the root's end on, without the root."""
    names = phylogeny.tip_names.array.tolist()
    # Of a clade the sums of its tips' numbers, which are as good as random.
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    numbers = np.frombuffer(digests, np.uint32).reshape(-1, 2) >> 1
    keys = np.zeros((2, phylogeny.topology.size), np.int64)
    keys[:, phylogeny.tips] = numbers.T
    first, second = (fold_below(phylogeny.topology, key, "sum").tolist() for key in keys)
    stems: dict[tuple[int, int], list[int]] = {}
    for node in range(1, phylogeny.topology.size):
        stems.setdefault((first[node], second[node]), []).append(node)
    return stems


def _shared_out(
    path: Sequence[int], lengths: NDArray[np.float64], parts: Sequence[tuple[int, float]]
) -> dict[int, list[tuple[float, int]]]:
    """For every node of a path the shares of its edge up to which, and the regimes that they have.

    Args:
        path: Nodes, from the root's end on.
        lengths: (N,) of the edges above them.
        parts: The regimes along the whole path and how long each lasts.
    """
    total = sum(length for _, length in parts)
    ends = np.cumsum([length for _, length in parts]) / (total or 1.0)
    ends[-1] = 1.0
    whole = float(lengths[list(path)].sum())
    found: dict[int, list[tuple[float, int]]] = {}
    start = 0.0
    for node in path:
        own = float(lengths[node]) / whole if whole else 0.0
        stop = start + own
        inside = np.flatnonzero((ends[:-1] > start + _NOWHERE) & (ends[:-1] < stop - _NOWHERE)).tolist()
        last = int(np.searchsorted(ends[:-1], stop - _NOWHERE))
        changes: list[tuple[float, int]] = []
        for share, part in [*(((float(ends[i]) - start) / own, i) for i in inside), (1.0, last)]:
            if changes and changes[-1][1] == parts[part][0]:
                changes.pop()
            if not changes or share > changes[-1][0]:
                changes.append((share, parts[part][0]))
        found[node] = changes
        start = stop
    return found


def _at_root(painted: RegimeTree) -> str:
    if painted.segments.get(0):
        return painted.segments[0][-1][0]
    parents = painted.phylogeny.topology.parents
    first = sorted({parts[0][0] for node, parts in painted.segments.items() if node and parents[node] == 0})
    if len(first) != 1:
        raise InputError(
            f"the edges at the root begin with {listed(first)}, so its own regime is not known",
            "give the root one",
            file=painted.file,
        )
    return first[0]


def _tips_below(phylogeny: Phylogeny, node: int) -> list[str]:
    above = phylogeny.tips.copy()
    inside = above == node
    while np.any(above):
        above = phylogeny.topology.parents[above].astype(np.intp)
        inside |= above == node
    return sorted(phylogeny.tip_names.array[inside].tolist())
