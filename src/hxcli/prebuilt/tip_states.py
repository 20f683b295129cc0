"""Traits of states at the tips of a tree: what was seen, given the state; and what cannot be. Never needs jax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import listed
from hxcli.errors import ModelError, OptionError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import StateColumn, in_order


@dataclass(frozen=True, eq=False)
class SeenStates:
    """What was seen of one trait at the nodes of a tree.

    Attributes:
        name: Of the trait.
        states: (S,) names.
        likelihoods: (N, S) probability of what was seen at a node, given its state.
        texts: (N,) what the table says.
        tips_used: Number of tips with a state.
        counts: (S,) number of tips that have just this state.
    """

    name: str
    states: tuple[str, ...]
    likelihoods: FloatArray
    texts: Texts
    tips_used: int
    counts: NDArray[np.intp]


def seen_states(
    phylogeny: Phylogeny, nodes: NDArray[np.intp], column: StateColumn, states: Sequence[str] = ()
) -> SeenStates:
    """Places the rows of a trait on the tree.

    Args:
        phylogeny: N nodes.
        nodes: (M,) the tip of every row.
        column: M rows.
        states: All states, in order; empty for those of the rows.

    Raises:
        ModelError: Tips at distance 0, or rows of one tip, that cannot have the same state.
        OptionError: A state that `states` leaves out.
    """
    parts = {part.strip() for text in set(column.texts.tolist()) for part in text.split("|")} - {""}
    found = list(column.states) or in_order(parts)
    names = tuple(states) or tuple(found)
    if left_out := [state for state in found if state not in names]:
        raise OptionError(f"--states leaves out {listed(left_out)} of {column.name!r} (name all states)")
    if len(names) < 2:
        raise ModelError(f"trait {column.name!r}: all tips have the state {names[0]!r} (--states names others)")
    place = {state: number for number, state in enumerate(names)}
    if column.probabilities is not None:
        rows = np.zeros((len(nodes), len(names)))
        rows[:, [place[state] for state in column.states]] = column.probabilities
        empty = np.array([text == "" for text in column.texts])
        rows[empty] = 1
    else:
        kinds, which = np.unique(column.texts.array.astype(str), return_inverse=True)
        of_kind = np.ones((len(kinds), len(names)))
        for number, text in enumerate(kinds.tolist()):
            if text:
                allowed = {place[part.strip()] for part in text.split("|")}
                of_kind[number] = [state in allowed for state in range(len(names))]
        rows = of_kind[which]
    likelihoods = np.ones((phylogeny.topology.size, len(names)))
    np.multiply.at(likelihoods, nodes, rows)
    texts = np.full(phylogeny.topology.size, "", object)
    texts[nodes] = column.texts.array
    _refuse_contradictions(phylogeny, likelihoods, texts, column.name)
    tips = likelihoods[phylogeny.tips]
    sure = (tips > 0).sum(1) == 1
    used = int((tips < 1).any(1).sum())
    counts = ((tips > 0) & sure[:, None]).sum(0)
    if not used:
        raise ModelError(f"trait {column.name!r}: no tip says anything about its state")
    return SeenStates(column.name, names, likelihoods, Texts(texts), used, counts)


def _refuse_contradictions(phylogeny: Phylogeny, likelihoods: FloatArray, texts: Any, name: str) -> None:
    """Raises where tips that no length separates cannot have the same state."""
    topology = phylogeny.topology
    top = np.where((phylogeny.lengths > 0) | topology.is_root, np.arange(topology.size), topology.parents)
    # Pointer doubling to the highest node that only zero-length edges separate from a node.
    while not np.array_equal(top[top], top):
        top = top[top]
    possible = np.ones(likelihoods.shape, bool)
    np.logical_and.at(possible, top, likelihoods > 0)
    wrong = np.flatnonzero(~possible.any(1))
    if not len(wrong):
        return
    tips = phylogeny.tips[top[phylogeny.tips] == wrong[0]]
    left = likelihoods[tips[0]] > 0
    first, second = tips[0], tips[0]
    for tip in tips[1:]:
        left = left & (likelihoods[tip] > 0)
        if not left.any():
            second = tip
            break
    # The two may each go with what lies between them; the first that does not go with the last is named.
    for tip in tips:
        if not ((likelihoods[tip] > 0) & (likelihoods[second] > 0)).any():
            first = tip
            break
    names = phylogeny.labels[int(first)], phylogeny.labels[int(second)]
    where = (
        f"tip {names[0]!r} has rows that exclude each other"
        if first == second
        else f"tips {names[0]!r} ({texts[first]}) and {names[1]!r} ({texts[second]}), joined by edges of length 0, "
        "have different states"
    )
    raise ModelError(f"trait {name!r}: {where} (write a|b where either may be, drop one, or give the edge a length)")
