"""Sentences that are said of several traits, said once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from hxcli.close_names import listed
from hxcli.errors import Doubt, doubted

_OF_A_TRAIT = re.compile(r"""trait ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"): (.*)""", re.DOTALL)


def merged(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes, with one for all traits of which the same is said, in the place of the first of them.

    Args:
        notes: Those about a trait begin with `trait 'mass': `.
    """
    traits: dict[str, list[str]] = {}
    order: list[tuple[str, bool]] = []
    doubts = set()
    for note in notes:
        found = _OF_A_TRAIT.fullmatch(note)
        said = found[2] if found else note
        if isinstance(note, Doubt):
            doubts.add(said)
        if found and said in traits:
            traits[said].append(ast.literal_eval(found[1]))
            continue
        if found:
            traits[said] = [ast.literal_eval(found[1])]
        order.append((said, found is not None))
    told = [(said, f"{_called(traits[said])}: {said}" if about else said) for said, about in order]
    return tuple(doubted(whole) if said in doubts else whole for said, whole in told)


def _called(names: list[str]) -> str:
    return f"trait {names[0]!r}" if len(names) == 1 else f"{len(names)} traits, {listed(names)}"
