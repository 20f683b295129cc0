"""Columns of states: texts such as `land`, several states `land|water`, or the probability of every state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hxcli.close_names import did_you_mean, listed
from hxcli.errors import InputError
from hxcli.formats.tables.numeric_columns import Columns
from hxcli.text_columns import Texts
from hxcli.traits import StateColumn

# How far the probabilities of a row may be from a sum of 1.
_ROUNDING = 1e-3
# More states than this in a column of which most are seen once are names or remarks, not states.
_MANY = 64


@dataclass(frozen=True)
class StateReading:
    """Which columns are traits of states, beside those of text that `columns` names.

    Attributes:
        discrete: Headers of columns that are states whatever their cells look like.
        by_probability: (trait, headers of the columns with the probabilities of its states, which are named so) pairs.
        by_column: Whether the user names traits one by one, so that no others are meant.
    """

    discrete: tuple[str, ...] = ()
    by_probability: tuple[tuple[str, tuple[str, ...]], ...] = ()
    by_column: bool = False


def state_columns(
    cells: Columns, named: Mapping[str, int], id_index: int, columns: Sequence[str], reading: StateReading
) -> tuple[StateColumn, ...]:
    """The traits of states that were asked for.

    Args:
        cells: The table.
        named: Header -> column.
        id_index: The column of tip names.
        columns: Headers that the user names as traits: of these, columns in which no cell is a number.
        reading: Which others.

    Raises:
        InputError: No such column, no state in it, or probabilities that are none.
    """
    asked = list(dict.fromkeys(map(str.strip, reading.discrete)))
    for name in map(str.strip, columns):
        index = named.get(name, id_index)
        if index != id_index and cells.has_wrong[index] and not cells.has_numbers[index] and name not in asked:
            asked.append(name)
    found = [_texts(cells, named, id_index, name) for name in asked]
    found += [_probabilities(cells, named, id_index, trait, names) for trait, names in reading.by_probability]
    names = [column.name for column in found]
    for name in names:
        if names.count(name) > 1:
            raise cells.refusal(f"{name!r} is asked for twice as a trait of states", "name it once", header=True)
    return tuple(found)


def _index(cells: Columns, named: Mapping[str, int], id_index: int, name: str) -> int:
    if name not in named:
        advice = did_you_mean(name, [header for header in named if header])
        raise cells.refusal(
            f"there is no column {name!r}", advice or f"columns: {listed(list(named), 10)}", header=True
        )
    if named[name] == id_index:
        raise cells.refusal(f"column {name!r} holds the tip names", "name another column", header=True)
    return named[name]


def _texts(cells: Columns, named: Mapping[str, int], id_index: int, name: str) -> StateColumn:
    index = _index(cells, named, id_index, name)
    missing = cells.missing[:, index]
    if missing.all():
        raise cells.refusal(f"column {name!r} holds no state", "name another column", header=True)
    texts = cells.names(index).array.copy()
    texts[missing] = ""
    for row in np.flatnonzero([text.startswith("|") or text.endswith("|") or "||" in text for text in texts]):
        raise cells.refusal(f"{texts[row]!r} in column {name!r}: a state is missing", "write a|b", row=int(row))
    states = {state.strip() for text in set(texts.tolist()) for state in text.split("|")} - {""}
    known = int((~missing).sum())
    if len(states) > _MANY and len(states) > known / 2:
        found = f"column {name!r} has {len(states)} different states in {known} rows"
        raise cells.refusal(found, "are these names or numbers? a trait of states repeats its states", header=True)
    return StateColumn(name, Texts(texts), (index,))


def _probabilities(
    cells: Columns, named: Mapping[str, int], id_index: int, trait: str, names: Sequence[str]
) -> StateColumn:
    indices = [_index(cells, named, id_index, name.strip()) for name in names]
    if len(set(indices)) < 2:
        raise cells.refusal(f"--state-columns {trait}: two columns at least", "name one for every state", header=True)
    values = np.where(cells.missing[:, indices], np.nan, cells.values[:, indices])
    for place, index in enumerate(indices):
        wrong = cells.wrong[:, index] | (values[:, place] < 0) | (values[:, place] > 1)
        if wrong.any():
            row = int(wrong.argmax())
            raise _wrong(cells, row, index)
    absent = np.isnan(values)
    empty = np.asarray(absent.all(axis=1))
    half = np.asarray(absent.any(axis=1)) & ~empty
    sums = np.where(empty, 1, np.nansum(values, axis=1))
    wrong = half | (abs(sums - 1) > _ROUNDING)
    if wrong.any():
        row = int(wrong.argmax())
        what = "some are missing" if half[row] else f"their sum is {sums[row]:.6g}"
        raise cells.refusal(f"the probabilities of {trait!r}: {what}", "give all of them, with the sum 1", row=row)
    states = tuple(name.strip() for name in names)
    rows = [
        "|".join(f"{state}:{share:g}" for state, share in zip(states, row, strict=True) if share > 0)
        for row in values.tolist()
    ]
    return StateColumn(trait, Texts(rows), tuple(indices), states, np.where(absent, 1.0, values / sums[:, None]))


def _wrong(cells: Columns, row: int, index: int) -> InputError:
    return cells.refusal(
        f"{cells.text(row, index)!r} in column {cells.header[index]!r} is no probability",
        "write a number from 0 to 1",
        row=row,
    )
