"""Probabilities of states along the edges of a tree, given all tips: exact, at points between the nodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.maps.edge_exponentials import exponentials
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.state_maps import EdgeShares

# Pieces of the longest path from the root, of an edge, and of all edges together, at most.
_ON_PATH, _ON_EDGE, _MOST_PIECES = 100, 32, 200_000


def edge_shares(phylogeny: Phylogeny, rates: FloatArray, partials: FloatArray, posteriors: FloatArray) -> EdgeShares:
    """The probability of every state in the middle of every piece of an edge.

    Args:
        phylogeny: N nodes.
        rates: (S, S) rate matrix.
        partials: (N, S) likelihood of what is below every node, given its state, up to a factor for each node.
        posteriors: (N, S) of every state at every node, given all tips.
    """
    lengths, parents = phylogeny.lengths[1:], phylogeny.topology.parents[1:]
    counts = _piece_counts(lengths, float(phylogeny.root_distances.max()))
    half = exponentials(rates, lengths / counts / 2)
    whole = half @ half
    starts = np.concatenate([[0], np.cumsum(counts)])
    behind = np.empty((starts[-1], partials.shape[1]))
    edges = np.arange(len(lengths))
    # What the tips below say, from the lower end on; its largest entry is kept at 1.
    message = _scaled(np.einsum("nij,nj->ni", half, partials[1:]))
    for back in range(1, int(counts.max(initial=0)) + 1):
        active = edges[counts >= back]
        if back > 1:
            message[active] = _scaled(np.einsum("nij,nj->ni", whole[active], message[active]))
        behind[starts[active + 1] - back] = message[active]
    message = np.einsum("nij,nj->ni", half, message)
    # What everything else says, from the upper end on.
    above = np.where(message > 0, posteriors[parents] / np.where(message > 0, message, 1), 0)
    above = _scaled(np.einsum("ni,nij->nj", above, half))
    shares = np.empty_like(behind)
    for forward in range(int(counts.max(initial=0))):
        active = edges[counts > forward]
        if forward:
            above[active] = _scaled(np.einsum("ni,nij->nj", above[active], whole[active]))
        places = starts[active] + forward
        shares[places] = above[active] * behind[places]
    shares /= shares.sum(1, keepdims=True)
    owner = np.repeat(edges, counts)
    place = np.arange(starts[-1]) - starts[owner]
    return EdgeShares(owner + 1, place / counts[owner], (place + 1) / counts[owner], shares)


def _piece_counts(lengths: FloatArray, height: float) -> NDArray[np.intp]:
    """(M,) into how many pieces every edge is cut: longer ones into more."""
    counts = np.ceil(lengths / (height or 1.0) * _ON_PATH)
    most = max(1, min(_ON_EDGE, _MOST_PIECES // max(len(lengths), 1)))
    return np.clip(counts, 1, most).astype(np.intp)


def _scaled(vectors: FloatArray) -> FloatArray:
    largest = vectors.max(1, keepdims=True, initial=0)
    scaled: FloatArray = vectors / np.where(largest > 0, largest, 1)
    return scaled
