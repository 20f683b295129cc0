"""Colours of states: a function of their names, the same in every run, picture and product.

The first seven are those of Okabe and Ito (2008, "Color Universal Design") without black; the others are as far from
them and from each other as can be, with normal sight and with every kind of colour blindness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import cycle

# Tiers: a later one is taken only when those before it are used up. Sky blue and yellow, which pale colours of others
# come near to, are in the second.
TIERS = (
    ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00"),
    ("#56b4e9", "#f0e442"),
    (
        "#703010", "#30f0f0", "#3010d0", "#b01070", "#b0d090", "#9070f0", "#905030", "#9030f0", "#b0b090", "#503090",
        "#50d0f0", "#901050", "#d010b0",
    ),
)  # fmt: skip
COLOURS = tuple(colour for tier in TIERS for colour in tier)


def state_colours(states: Sequence[str]) -> list[str]:
    """A colour for each state, `#rrggbb`.

    Every state has a liking of its own for every colour, and a rank, both by its name alone; in the order of their
    ranks they take the colour that they like best of those that are left in the first tier with any. So a state keeps
    its colour when others come or go, unless one of a higher rank likes the same. Above twenty, colours are taken
    again.

    Args:
        states: Their names, all different; their order does not matter.
    """
    found: dict[str, str] = {}
    tiers = cycle(TIERS)
    free: list[str] = []
    for state in sorted(states, key=lambda name: (_mark(name, ""), name)):
        free = free or list(next(tiers))
        found[state] = min(free, key=lambda colour: _mark(state, colour))
        free.remove(found[state])
    return [found[state] for state in states]


def shared_colours(count: int) -> bool:
    """Whether so many states have fewer colours than there are of them."""
    return count > len(COLOURS)


def paler(colour: str, part: float) -> str:
    """The colour mixed with so much white, 0 to 1."""
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(channel + (255 - channel) * part):02x}" for channel in channels)


def _mark(name: str, colour: str) -> bytes:
    """A number by the texts alone, the same on every machine."""
    return hashlib.sha256(f"{colour}\n{name}".encode("utf-8", "surrogatepass")).digest()[:8]
