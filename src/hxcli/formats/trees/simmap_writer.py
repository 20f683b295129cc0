"""SIMMAP Newick: every edge as the states along it and how long each lasts (Bollback 2006, BMC Bioinformatics 7:88).

The state at an edge's end towards the tips comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

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
        for states, changes in part.by_map():
            texts = whole[nodes, states]
            texts[np.unique(changes.edge)] = _painted(names, states, phylogeny.topology.parents, lengths, changes)
            pieces[:, 1] = texts[order]
            stream.write("".join(pieces.ravel().tolist()).encode() + b"\n")


def _painted(names: Sequence[str], states: Any, parents: Any, lengths: FloatArray, changes: Changes) -> list[str]:
    """The texts of the edges with changes, in ascending order."""
    texts = []
    firsts = np.flatnonzero(np.diff(changes.edge, prepend=-1))
    ends = np.append(firsts[1:], len(changes.edge))
    for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
        edge = int(changes.edge[first])
        bounds = [0.0, *changes.time[first:end].tolist(), float(lengths[edge])]
        path = [int(states[parents[edge]]), *changes.after[first:end].tolist()]
        steps = zip(path, bounds, bounds[1:], strict=False)
        parts = [f"{names[state]},{stop - start!r}" for state, start, stop in steps]
        texts.append(":{" + ":".join(reversed(parts)) + "}")
    return texts
