"""Standardised contrasts of many columns on a tree whose edges are variances: merges of two branches, in numpy.

A merge of two branches that end in values x_1 and x_2, with variances s_1 and s_2 between them and the node where they
meet, has the contrast (x_1 - x_2) / sqrt(s_1 + s_2) (Felsenstein 1985, Am. Nat. 125:1). The children of a polytomy are
merged one after the other, in an order that depends on their tips' names only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.phylogeny import FloatArray, Phylogeny, canonical_order


class Merging(NamedTuple):
    """M merges of the observed tips of a tree with N nodes.

    Attributes:
        pairs: (M, 2) which branches are merged: that of tip i of n, or n + j for the result of merge j.
        share: (M,) of the second branch's value in that of the merge.
        deviation: (M,) square root of the variance of the difference.
        node: (M,) where.
        tips: (n,) nodes of the tips.
    """

    pairs: NDArray[np.intp]
    share: FloatArray
    deviation: FloatArray
    node: NDArray[np.intp]
    tips: NDArray[np.intp]

    def contrasts(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Contrasts and what the tips below say about the node of each, both (M, B).

        Args:
            values: (n, B) of the tips.
        """
        count = len(self.tips)
        work = np.empty((count + len(self.pairs), values.shape[1]))
        work[:count] = values
        found = np.empty((len(self.pairs), values.shape[1]))
        for number, (first, second) in enumerate(self.pairs.tolist()):
            apart = work[first] - work[second]
            found[number] = apart / self.deviation[number]
            work[count + number] = work[first] - self.share[number] * apart
        # Of a node with several merges, what all of its children say.
        last = {node: number for number, node in enumerate(self.node.tolist())}
        return found, work[count + np.array([last[node] for node in self.node.tolist()], np.intp)]


def merging(phylogeny: Phylogeny, lengths: FloatArray, observed: BoolArray, noise: FloatArray) -> Merging:
    """The merges of the observed tips; those without any variance are left out.

    Args:
        phylogeny: N nodes.
        lengths: (N,) variances of the edges, of no meaning at the root.
        observed: (N,) which nodes have a value.
        noise: (N,) variances of the errors of these.
    """
    parents = phylogeny.topology.parents.tolist()
    order = canonical_order(phylogeny)
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    tips = order[observed[order]]
    # What reaches every node: branch and variance at the node.
    there: list[list[tuple[int, float]]] = [[] for _ in parents]
    for number, tip in enumerate(tips.tolist()):
        there[tip].append((number, float(noise[tip])))
    rows: list[tuple[int, int, float, float, int]] = []
    # Children before their parents; siblings in an order of their own.
    depths = phylogeny.topology.node_depths
    for node in np.lexsort((rank, -depths)).tolist():
        branches = there[node]
        if not branches:
            continue
        branch, variance = branches[0]
        for other, extra in branches[1:]:
            total = variance + extra
            if total > 0:
                rows.append((branch, other, variance / total, total**0.5, node))
                branch, variance = len(tips) + len(rows) - 1, variance * (extra / total)
        if node:
            there[parents[node]].append((branch, variance + float(lengths[node])))
    pairs = np.array([row[:2] for row in rows], np.intp).reshape(-1, 2)
    share, deviation = (np.array([row[place] for row in rows], float) for place in (2, 3))
    return Merging(pairs, share, deviation, np.array([row[4] for row in rows], np.intp), tips)
