"""A user's own model of states: a file whose function returns `Rates`, as a model of S states with P parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.errors import InputError, OptionError
from hxcli.model import Edge, evaluate, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import Coordinate
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.gaussian_model import GaussianModel, line_of_return
from hxcli.phylogeny import FloatArray

# Rows of rates that sum to less, as a share of their largest, sum to 0.
_NOTHING = 1e-9
# How far from the start, on the scale of the search, it is looked at again.
_MOVED = 0.3
# How far from the start a parameter without an end is searched: logarithms, or multiples of the start.
_REACH = 25.0


class FileRates:
    """A model of S states, on one tree.

    A search moves its parameters as it moves rates: as logarithms between two numbers, to which the supports, or what
    is far from where the search begins, are mapped.

    Attributes:
        model: The file's.
        states: (S,) names.
        observed: (S,) numbers of the states; none is hidden.
        coordinates: P numbers, those that the file declares fixed last.
        declarations: The parameters by name.
        by_edge: Whether the rates differ from edge to edge.
    """

    cells: NDArray[np.intp] = np.zeros((0, 0), np.intp)

    def __init__(
        self,
        model: GaussianModel,
        fields: EdgeFields,
        states: tuple[str, ...],
        held: Mapping[str, float],
        start: Mapping[str, float],
    ) -> None:
        """Looks at the file's rates on the edges of a tree.

        Args:
            model: Of a file.
            fields: The tree's edges.
            states: (S,) names.
            held: Name -> value of parameters that are given.
            start: Name -> value at which a search begins.

        Raises:
            InputError: The function returns no `Rates`, or what are none: not of these states, rows that do not sum
                to 0, a rate below 0.
        """
        bound = model.on(fields, start, of_states=True)
        self.model, self.states, self._fields = model, states, fields
        self.observed = np.arange(len(states))
        self._searched = len(bound.coordinates)
        fixed = [
            Coordinate(name, name, 0, -np.inf, np.inf, False, float(held.get(name, value)))
            for name, value in bound.fixed.items()
            if value is not None or name in held
        ]
        self.coordinates = (*bound.coordinates, *fixed)
        self.declarations = bound.declarations
        self._logs, self._exact = (-1.0, 1.0), dict[int, float]()
        self.by_edge = False
        self.by_edge = self._looked_at(bound.returned.Q.shape)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def count(self) -> int:
        """P."""
        return len(self.coordinates)

    @property
    def transitions(self) -> list[tuple[str, int]]:
        """Name and place of every parameter: what tables list."""
        return [(each.name, place) for place, each in enumerate(self.coordinates)]

    @property
    def labels(self) -> tuple[str, ...]:
        """(P,) names of the parameters."""
        return tuple(each.name for each in self.coordinates)

    @property
    def file(self) -> dict[str, str]:
        """The file, for the run record."""
        return {"path": self.model.source, "sha256": self.model.sha256, "text": self.model.text}

    def between(self, low: float, high: float) -> FileRates:
        """The same with parameters that a search moves between two numbers, as if they were rates."""
        found = copy(self)
        found._logs, found._exact = (math.log(low), math.log(high)), {}
        return found

    @property
    def usual(self) -> FloatArray:
        """(P,) what a search has where it begins."""
        return np.exp([self._placed(each, each.start) for each in self.coordinates])

    def held(self, given: Mapping[str, float]) -> FloatArray:
        """(P,) what a search has of parameters that are given; nan for free ones.

        Raises:
            OptionError: A parameter that the file does not declare, or outside its support.
        """
        self._exact = {i: each.start for i, each in enumerate(self.coordinates) if i >= self._searched}
        places = dict(self.transitions)
        for name, value in given.items():
            if name not in places:
                raise OptionError(
                    f"--set {name}: model {self.name} has no such parameter (it has {', '.join(places) or 'none'})"
                )
            each = self.coordinates[places[name]]
            if not each.low <= value <= each.high:
                raise OptionError(f"--set {name}={value:g}: outside its support, {each.low:.6g} to {each.high:.6g}")
            self._exact[places[name]] = value
        return np.array([1.0 if place in self._exact else np.nan for place in range(self.count)])

    def reported(self, place: int, rate: float) -> float:
        """A parameter's own value, from what a search has."""
        if place in self._exact:
            return self._exact[place] if np.isfinite(rate) else rate
        return float(self._natural(np.full((1, self.count), rate))[0][0, place])

    def rates(self, values: FloatArray) -> FloatArray:
        """(K, S, S) rate matrices where a search has `values`, (K, P), or (K, N, S, S) if by edge."""
        found = self._compiled[0](_filled(self._natural(values)[0]))
        return np.array(found, float)[: len(values)]

    def slopes(self, by_rates: FloatArray, values: FloatArray) -> FloatArray:
        """(K, P) derivatives by what a search has from those by every cell, of the rates' shape."""
        natural, slopes = self._natural(values)
        found = self._compiled[1](_filled(natural), _filled(by_rates))
        return np.asarray(found, float)[: len(values)] * slopes

    def _natural(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(K, P) the parameters' own values, and their derivatives by what a search has."""
        found, slopes = np.empty(values.shape), np.zeros(values.shape)
        for place, each in enumerate(self.coordinates):
            if place in self._exact:
                found[:, place] = self._exact[place]
                continue
            low, high = _search_ends(each)
            wide = (high - low) / (self._logs[1] - self._logs[0])
            moved = low + (np.log(values[:, place]) - self._logs[0]) * wide
            found[:, place] = each.from_search(np.clip(moved, low, high))
            slopes[:, place] = wide * (found[:, place] if each.log else 1.0) / values[:, place]
        return found, slopes

    def _placed(self, each: Coordinate, value: float) -> float:
        """The logarithm of what a search has of a parameter at a value."""
        low, high = _search_ends(each)
        share = (float(each.to_search(value)) - low) / (high - low) if high > low else 0.0
        return self._logs[0] + share * (self._logs[1] - self._logs[0])

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        def columns(values: Any) -> Any:
            return jax.vmap(self._matrix)(values)

        def slopes(values: Any, by_rates: Any) -> Any:
            return jax.vjp(columns, values)[1](by_rates)[0]

        return jax.jit(columns), jax.jit(slopes)

    def _matrix(self, values: Any) -> Any:
        """(S, S) or (N, S, S) rates at (P,) values, while tracing."""
        given: dict[str, Any] = {
            name: jnp.broadcast_to(jnp.asarray(0.0 if one.start is None else one.start, float), one.shape)
            for name, one in self.declarations.items()
        }
        for place, each in enumerate(self.coordinates):
            whole = given[each.parameter]
            given[each.parameter] = whole.reshape(-1).at[each.entry].set(values[place]).reshape(whole.shape)
        columns = self._fields.columns
        if self.by_edge:
            return over_edges(self.model.edge, given, columns).returned.Q.astype(float)
        edge = {name: value if name in OF_THE_TREE else jnp.asarray(value)[-1] for name, value in columns.items()}
        return jnp.asarray(evaluate(self.model.edge, given, Edge(edge)).returned.Q, float)

    def _looked_at(self, shape: tuple[int, ...]) -> bool:
        """Whether rates differ between edges; refuses what are no rates."""
        size = len(self.states)
        if shape != (size, size):
            raise self._error(
                f"Q is {' by '.join(map(str, shape))}, and the trait has {size} states: {', '.join(self.states[:8])}",
                "--states A,B,... names all of them, in the order of rows and columns",
            )
        self.by_edge = True
        start = np.array([each.start for each in self.coordinates])
        moved = np.array(
            [
                each.start
                if i >= self._searched
                else float(each.from_search(each.to_search(each.start) + _MOVED * (1 + i / 7)))
                for i, each in enumerate(self.coordinates)
            ]
        )
        both = np.asarray(jax.jit(jax.vmap(self._matrix))(np.stack([start, moved])), float)[:, 1:]
        self.by_edge = False
        values = both[0]
        if not np.isfinite(values).all():
            raise self._error("Q has cells that are no numbers where the search begins", "a rate is 0 or more")
        off = np.where(np.eye(size, dtype=bool), 0.0, values)
        if (off < 0).any():
            edge, row, column = (int(each) for each in np.argwhere(off < 0)[0])
            raise self._error(
                f"Q has a rate below 0 where the search begins: {off[edge, row, column]:.6g} from "
                f"{self.states[row]!r} to {self.states[column]!r}",
                "a rate is 0 or more",
            )
        sums, scale = values.sum(-1), abs(values).max(initial=0.0)
        if (abs(sums) > _NOTHING * max(scale, 1e-300)).any():
            edge, row = (int(each) for each in np.argwhere(abs(sums) > _NOTHING * max(scale, 1e-300))[0])
            raise self._error(
                f"the row of {self.states[row]!r} in Q sums to {sums[edge, row]:.6g}",
                "rows sum to 0: a cell of the diagonal is minus the sum of the others",
            )
        return bool((np.ptp(both, axis=1) > 0).any())

    def _error(self, found: str, advice: str) -> InputError:
        return InputError(found, advice, file=self.model.source, line=line_of_return(self.model.edge))


def _search_ends(each: Coordinate) -> tuple[float, float]:
    """Between what a search moves: the ends of the support, far from the start where there is none."""
    start = float(each.to_search(each.start))
    reach = _REACH * (1.0 if each.log else max(1.0, abs(start)))
    low, high = float(each.to_search(each.low)), float(each.to_search(each.high))
    return low if np.isfinite(low) else start - reach, high if np.isfinite(high) else start + reach


def _filled(columns: FloatArray) -> FloatArray:
    """(K', ...) with the last column repeated, so that few sizes are compiled."""
    room = (1 if len(columns) == 1 else -(-len(columns) // 8) * 8) - len(columns)
    return np.pad(columns, [(0, room)] + [(0, 0)] * (columns.ndim - 1), "edge")
