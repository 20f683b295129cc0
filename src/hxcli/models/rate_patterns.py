"""Models of discrete states: which transitions there are, and which of them have one rate (Pagel 1994; Lewis 2001).

A model is a square table with a row and a column for every state. Cells with the same number share a rate, 0 stands for
a transition that never happens; `er`, `f81` and all others are such tables, as is a user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import NameIndex
from hxcli.errors import OptionError
from hxcli.phylogeny import FloatArray

Cells = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class RatePattern:
    """A model of S states with P rates.

    Attributes:
        name: As the user gives it.
        states: (S,) names; with hidden classes `a.1`, `b.1`, `a.2`, ...
        cells: (S, S) number of the rate of every transition, from 1; 0 for none, and on the diagonal.
        observed: (S,) for every state the number of the observed state that it looks like.
        labels: (P,) names of the rates.
    """

    name: str
    states: tuple[str, ...]
    cells: Cells
    observed: NDArray[np.intp]

    @property
    def count(self) -> int:
        """P."""
        return int(self.cells.max(initial=0))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """(P,) `q(a,b)` of the first transition that has the rate."""
        return tuple(self.label(*np.argwhere(self.cells == number)[0]) for number in range(1, self.count + 1))

    def label(self, start: int, end: int) -> str:
        """`q(a,b)`."""
        return f"q({self.states[start]},{self.states[end]})"

    @cached_property
    def transitions(self) -> list[tuple[str, int]]:
        """Label and place among the P rates of every transition, row by row."""
        return [(self.label(a, b), int(self.cells[a, b]) - 1) for a, b in np.argwhere(self.cells > 0)]

    def rates(self, values: FloatArray) -> FloatArray:
        """(K, S, S) rate matrices with the P rates `values`, (K, P)."""
        padded = np.concatenate([np.zeros((len(values), 1)), values], 1)
        rates = padded[:, self.cells]
        places = np.arange(len(self.states))
        rates[:, places, places] = -rates.sum(2)
        return rates

    def traced(self, values: Any) -> Any:
        """(S, S) the rate matrix with the P rates `values`, (P,), while tracing."""
        # Here, because a list of models needs no JAX.
        import jax.numpy as jnp

        off = jnp.concatenate([jnp.zeros(1), values])[self.cells]
        return off - jnp.diag(off.sum(1))

    def held(self, given: Mapping[str, float]) -> FloatArray:
        """(P,) rates that are given by the label of a transition; nan for free ones.

        Raises:
            OptionError: A label of no transition, or a rate below 0.
        """
        values = np.full(self.count, np.nan)
        places = dict(self.transitions)
        for label, value in given.items():
            if label not in places:
                raise OptionError(f"--set {label}: the model has no such rate (it has {', '.join(list(places)[:12])})")
            if not 0 <= value < np.inf:
                raise OptionError(f"--set {label}={value:g}: a rate is not negative")
            values[places[label]] = value
        return values

    def reported(self, place: int, rate: float) -> float:
        """The figure that tables have of one of the P rates: the rate itself."""
        return rate

    def slopes(self, by_rates: FloatArray, values: FloatArray) -> FloatArray:
        """(K, P) derivatives by the rates from those by every cell, (K, S, S); whatever the rates' values."""
        moved = by_rates - np.diagonal(by_rates, axis1=1, axis2=2)[:, :, None]
        flat = moved.reshape(len(moved), -1)
        sums = [np.bincount(self.cells.ravel(), row, self.count + 1)[1:] for row in flat]
        return np.stack(sums) if sums else np.zeros((0, self.count))

    def hidden(self, classes: int) -> RatePattern:
        """The same with hidden classes, each with rates of its own (Beaulieu, O'Meara and Donoghue 2013).

        A lineage changes its observed state or its class, never both at once; every ordered pair of classes has one
        rate.
        """
        if classes == 1:
            return self
        size, states = len(self.states), classes * len(self.states)
        cells = np.zeros((states, states), np.intp)
        for own in range(classes):
            block = slice(own * size, (own + 1) * size)
            cells[block, block] = np.where(self.cells > 0, self.cells + own * self.count, 0)
        number = classes * self.count
        for own in range(classes):
            for other in range(classes):
                if own != other:
                    number += 1
                    places = np.arange(size)
                    cells[own * size + places, other * size + places] = number
        names = tuple(f"{state}.{own + 1}" for own in range(classes) for state in self.states)
        return RatePattern(self.name, names, cells, np.tile(self.observed, classes))


def _numbered(cells: NDArray[np.intp]) -> Cells:
    """The same pattern with its rates numbered from 1 in the order of rows; 0 on the diagonal."""
    numbers = {0: 0}
    off = np.where(np.eye(len(cells), dtype=bool), 0, cells)
    return np.array([[numbers.setdefault(cell, len(numbers)) for cell in row] for row in off.tolist()], np.intp)


def _er(states: int) -> Cells:
    """Equal rates."""
    return np.ones((states, states), np.intp)


def _sym(states: int) -> Cells:
    """One rate for every pair of states, the same both ways."""
    a, b = np.indices((states, states))
    return np.minimum(a, b) * states + np.maximum(a, b) + 1


def _ard(states: int) -> Cells:
    """All rates different."""
    return np.arange(1, states * states + 1).reshape(states, states)


def _f81(states: int) -> Cells:
    """One rate into every state, whatever the state before (Felsenstein 1981)."""
    return np.broadcast_to(np.arange(1, states + 1), (states, states)).copy()


def _ordered(states: int) -> Cells:
    """One rate for every pair of neighbours, the same both ways; no other transitions."""
    a, b = np.indices((states, states))
    return np.where(abs(a - b) == 1, np.minimum(a, b) + 1, 0)


PATTERNS: dict[str, Callable[[int], Cells]] = {
    "er": _er,
    "sym": _sym,
    "ard": _ard,
    "f81": _f81,
    "ordered": _ordered,
}


def is_state_model(name: str) -> bool:
    """Whether a name is that of a model of states, built-in or the file of a table."""
    return name in PATTERNS or name.lower().endswith((".csv", ".tsv", ".txt"))


def rate_pattern(name: str, states: Sequence[str]) -> RatePattern:
    """The built-in model of that name.

    Raises:
        OptionError: There is no such model.
    """
    if name not in PATTERNS:
        close = NameIndex(PATTERNS).closest(name)
        raise OptionError(
            f"--model {name}: there is no such model of states (use {f'{close}, or ' if close else ''}one of "
            f"{', '.join(PATTERNS)}, or the file of a table of rates)"
        )
    cells = PATTERNS[name](len(states))
    np.fill_diagonal(cells, 0)
    return RatePattern(name, tuple(states), _numbered(cells), np.arange(len(states)))


def pattern_of_table(name: str, states: Sequence[str], table: Sequence[Sequence[str]]) -> RatePattern:
    """A user's own model.

    Args:
        name: For messages and tables.
        states: (S,) names.
        table: (S, S) texts: cells with equal texts share a rate; `0`, `-` or nothing stands for a transition that never
            happens. The diagonal is not looked at.
    """
    never = {"", "0", "-", "."}
    numbers: dict[str, int] = {}
    cells = np.zeros((len(states), len(states)), np.intp)
    for a, row in enumerate(table):
        for b, text in enumerate(row):
            if a != b and text.strip() not in never:
                cells[a, b] = numbers.setdefault(text.strip(), len(numbers) + 1)
    return RatePattern(name, tuple(states), _numbered(cells), np.arange(len(states)))
