"""Annotations of nodes with states and their probabilities, as BEAST has them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from hxcli.engine.topology import IntArray
from hxcli.formats.trees.newick_text import Notes, Parts
from hxcli.state_findings import TraitStates

# From the key of a trait, its most probable states, their probability, and all states with their probabilities, the
# most probable first, to the text of a node.
Form = Callable[[str, list[str], float, list[str], list[float]], str]


def state_notes(traits: tuple[TraitStates, ...], keys: list[str], form: Form) -> Notes:
    """What is written at the nodes, one trait after the other.

    Args:
        traits: The traits of states.
        keys: One for each.
        form: How one trait of one node is written.
    """

    def texts(nodes: IntArray) -> Parts:
        lines = [""] * len(nodes)
        for trait, key in zip(traits, keys, strict=True):
            shares = trait.probabilities[nodes]
            order = np.argsort(-shares, axis=1, kind="stable")
            best = trait.best[nodes].tolist()
            ranked = np.take_along_axis(shares, order, 1).tolist()
            for place, (which, values) in enumerate(zip(order.tolist(), ranked, strict=True)):
                count = sum(1 for value in values if value > 0)
                names = [trait.states[i] for i in which[:count]]
                # Two that are equally probable are both the best.
                top = 1 if best[place] >= 0 else sum(1 for value in values if values[0] - value <= 1e-12)
                lines[place] += form(key, names[:top], values[0], names, values[:count])
        return (pl.Series("text", lines, dtype=pl.String),)

    return texts


def beast_form(key: str, best: list[str], share: float, states: list[str], shares: list[float]) -> str:
    """`,habitat="water",habitat.prob=0.93,habitat.set={"water","land"},habitat.set.prob={0.93,0.07}`."""
    names = ",".join(f'"{_plain(state)}"' for state in states)
    values = ",".join(map(repr, shares))
    top = "+".join(map(_plain, best))
    return f',{key}="{top}",{key}.prob={share!r},{key}.set={{{names}}},{key}.set.prob={{{values}}}'


def nhx_form(key: str, best: list[str], share: float, states: list[str], shares: list[float]) -> str:
    """`:habitat=water:habitat.prob=0.93:habitat.set=water|land:habitat.set.prob=0.93|0.07`."""
    names, values = "|".join(map(_bare, states)), "|".join(map(repr, shares))
    top = "+".join(map(_bare, best))
    return f":{key}={top}:{key}.prob={share!r}:{key}.set={names}:{key}.set.prob={values}"


def _plain(state: str) -> str:
    """Without what ends a comment or a text in quotation marks."""
    return state.translate(str.maketrans('[]{}"\n', "()()' "))


def _bare(state: str) -> str:
    """Without what separates the entries of an NHX annotation as well."""
    return _plain(state).translate(str.maketrans(":,=|", "____"))
