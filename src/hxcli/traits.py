"""Traits: the table as read, and the observations that matching its rows to a tree's tips gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.phylogeny import FloatArray
from hxcli.text_columns import Texts


@dataclass(frozen=True, eq=False)
class Cells:
    """All columns of a table as text: what else in it could be meant, for messages.

    Attributes:
        header: (C,) column names; "" for one without.
        id_index: Which column is taken for the tip names.
        chosen: Whether the user named that column.
        column: column -> its (R,) cells.
        cell: (row, column) -> one cell.
        is_text: (C,) whether no cell of the column is a number.
    """

    header: tuple[str, ...]
    id_index: int
    chosen: bool
    column: Callable[[int], Texts]
    cell: Callable[[int, int], str]
    is_text: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class StateColumn:
    """A trait of states, as the table has it.

    Attributes:
        name: Its name.
        texts: (R,) a state, several as `a|b`, or "" for none.
        columns: Where it stands in the table.
        states: (S,) names of the states of `probabilities`; empty where the texts say everything.
        probabilities: (R, S) of what was seen, given the state; None where the texts say everything.
    """

    name: str
    texts: Texts
    columns: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    probabilities: FloatArray | None = None

    def rows(self, which: NDArray[np.intp]) -> StateColumn:
        """Some rows of it."""
        chosen = None if self.probabilities is None else self.probabilities[which]
        return StateColumn(self.name, self.texts[which], self.columns, self.states, chosen)

    def counts(self) -> dict[str, int]:
        """State -> number of rows that name it, states in order; ambiguous rows count for each of their states."""
        if self.probabilities is not None:
            sure = self.probabilities > 0
            there = np.array([text != "" for text in self.texts])
            return {state: int((sure[:, i] & there).sum()) for i, state in enumerate(self.states)}
        found: dict[str, int] = {}
        for text, number in Counter(self.texts.tolist()).items():
            for state in {part.strip() for part in text.split("|")} - {""}:
                found[state] = found.get(state, 0) + number
        return {state: found[state] for state in in_order(found)}


def in_order(states: Iterable[str]) -> list[str]:
    """States by their number where all are numbers, else by code point."""
    names = list(states)
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names)


@dataclass(frozen=True, eq=False, repr=False)
class TraitTable:
    """The numeric columns of a trait table.

    Attributes:
        names: (R,) the tip name of every row, as text; repeated names are kept.
        traits: (D,) names of the trait columns, in the file's order.
        values: (R, D) the cells; nan = missing.
        standard_errors: (R, D) known standard errors of the cells in the trait's unit; 0 where none is given.
        text_columns: Names of the columns left out because none of their cells is a number.
        file: The path as the user gave it, for messages.
        lines: (R,) 1-based line of the file (Parquet: row) of every row, for messages; None where unknown.
        id_header: Header of the column of tip names; "" where it has none.
        error_columns: (D,) header of the column that every trait's standard errors come from, "" for none; empty
            where unknown.
        cells: The whole table as text; None once its rows have met their tips.
        states: Traits of states, (R,) rows each.
    """

    names: Texts
    traits: tuple[str, ...]
    values: FloatArray
    standard_errors: FloatArray
    text_columns: tuple[str, ...] = ()
    file: str = ""
    lines: NDArray[np.intp] | None = None
    id_header: str = ""
    error_columns: tuple[str, ...] = ()
    cells: Cells | None = None
    states: tuple[StateColumn, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.names)} rows; {', '.join(self.traits)})"


@dataclass(frozen=True, eq=False)
class Observations:
    """Trait values placed on the nodes of one phylogeny.

    A tip may have no observation, one, or (replicates) several; M of them in all.

    Attributes:
        nodes: (M,) the node (a tip) that every observation belongs to, ascending.
        values: (M, D) observed values; nan = missing.
        standard_errors: (M, D) known standard errors; 0 where none is given.
        traits: (D,) names of the traits.
        texts: Header -> (M,) cells of every column in which no cell is a number, "" for a missing one; empty where they
            were not asked for.
        states: Traits of states, (M,) rows each.
    """

    nodes: NDArray[np.intp]
    values: FloatArray
    standard_errors: FloatArray
    traits: tuple[str, ...]
    texts: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    states: tuple[StateColumn, ...] = ()

    def means(self, start: int, stop: int) -> FloatArray:
        """(stop - start, D) the mean of what was observed at each node of a range; nan where nothing was."""
        first, last = np.searchsorted(self.nodes, (start, stop))
        nodes, values = self.nodes[first:last] - start, self.values[first:last]
        shape = (stop - start, values.shape[1])
        if np.all(nodes[1:] > nodes[:-1]):
            means = np.full(shape, np.nan)
            means[nodes] = values
            return means
        sums, counts = np.zeros(shape), np.zeros(shape)
        there = ~np.isnan(values)
        np.add.at(sums, nodes, np.where(there, values, 0.0))
        np.add.at(counts, nodes, there)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


@dataclass(frozen=True)
class MatchReport:
    """How the names of a table and of a tree met.

    Attributes:
        exact: Number of tips whose name stands in the table as it is.
        by_underscore: (row name, tip name) pairs that are equal once `_` is read as a space.
        by_unicode: (row name, tip name) pairs that are equal once both are normalised to NFC.
        tips_without_data: Names of tips without a row.
        rows_without_tip: Names of rows without a tip.
    """

    exact: int
    by_underscore: tuple[tuple[str, str], ...]
    by_unicode: tuple[tuple[str, str], ...]
    tips_without_data: tuple[str, ...]
    rows_without_tip: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Covariance:
    """Rates of D traits that evolve together.

    Attributes:
        traits: Their names.
        rates: (D, D) covariance of their changes per unit of length.
    """

    traits: tuple[str, ...]
    rates: FloatArray
