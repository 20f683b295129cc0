"""SIMMAP Newick: every edge as the states along it and how long each lasts (Bollback 2006, BMC Bioinformatics 7:88).

The state at an edge's end towards the tips comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from hxcli.formats.trees.newick_text import newick_nesting
from hxcli.phylogeny import FloatArray, Phylogeny, relabel
from hxcli.state_maps import Changes, StateMaps

# What a reader would take for the end of a state's name.
_MARKS = str.maketrans(dict.fromkeys(",:;{}()[]' \t\n", "_"))


def write_simmap(stream: BinaryIO, phylogeny: Phylogeny, parts: Sequence[StateMaps]) -> None:
    """One tree a line.

    Args:
        stream: Takes the text.
        phylogeny: N nodes.
        parts: Maps of the same states, some at a time.
    """
    bare = relabel(phylogeny, edge_lengths=np.full(phylogeny.topology.size, np.nan))
    nested = newick_nesting(bare)
    order = np.asarray(nested.order)
    names = [state.translate(_MARKS) for state in parts[0].states]
    lengths = phylogeny.lengths
    # Edges without a change, whose text is the same on all maps.
    whole = np.empty((phylogeny.topology.size, len(names)), object)
    for place, name in enumerate(names):
        whole[:, place] = [f":{{{name},{length!r}}}" for length in lengths.tolist()]
    whole[0] = ""
    pieces = np.empty((len(order), 3), object)
    pieces[:, 0], pieces[:, 2] = nested.before.to_list(), nested.behind.to_list()
    nodes = np.arange(phylogeny.topology.size)
    for part in parts:
        texts, edges = _painted(names, lengths, part.changes)
        bounds = np.searchsorted(part.changes.map[edges], np.arange(len(part.nodes) + 1))
        edges = part.changes.edge[edges]
        for states, first, last in zip(part.nodes, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            on_map = whole[nodes, states]
            on_map[edges[first:last]] = texts[first:last]
            pieces[:, 1] = on_map[order]
            stream.write("".join(pieces.ravel().tolist()).encode() + b"\n")


def _painted(names: Sequence[str], lengths: FloatArray, changes: Changes) -> tuple[list[str], NDArray[np.intp]]:
    """The texts of the edges with changes on all maps, in order, and which change is the first on each."""
    if not len(changes.map):
        return [], np.zeros(0, np.intp)
    new = np.append(True, (np.diff(changes.map) != 0) | (np.diff(changes.edge) != 0))
    firsts = np.flatnonzero(new)
    ends = np.append(firsts[1:], len(new))
    stop = np.append(changes.time[1:], 0.0)
    stop[ends - 1] = lengths[changes.edge[firsts]]
    behind = [
        f"{names[state]},{rest!r}"
        for state, rest in zip(changes.after.tolist(), (stop - changes.time).tolist(), strict=True)
    ]
    before, until = changes.before[firsts].tolist(), changes.time[firsts].tolist()
    texts = []
    for state, time, first, end in zip(before, until, firsts.tolist(), ends.tolist(), strict=True):
        later = behind[first] if end - first == 1 else ":".join([*behind[end - 1 : first : -1], behind[first]])
        texts.append(f":{{{later}:{names[state]},{time!r}}}")
    return texts, firsts
