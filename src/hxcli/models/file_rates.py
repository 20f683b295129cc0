"""A user's own model of states: a file whose function returns `Rates`, as a model of S states with P parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.schedule import size_class
from hxcli.errors import InputError, OptionError
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import Coordinate
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.gaussian_model import GaussianModel, line_of_return
from hxcli.models.rate_patterns import RatePattern
from hxcli.models.rate_programs import MovedRates, OfTree, rates_at, slopes_at, traced_rates
from hxcli.models.recorded import Recorded, recorded
from hxcli.phylogeny import FloatArray

# Rows of rates that sum to less, as a share of their largest, sum to 0.
_NOTHING = 1e-9
# How far from the start, on the scale of the search, it is looked at again.
_MOVED = 0.3
# Few different numbers of sets of parameters, because each compiles a program of its own; numbers in one result.
_WIDTHS, _MOST_NUMBERS = (1, 8, 16, 64, 512), 2**22


class FileRates:
    """A model of S states, on one tree of N nodes.

    Attributes:
        model: The file's.
        states: (S,) names.
        observed: (S,) numbers of the states; none is hidden.
        coordinates: P numbers, those that the file declares fixed last.
        declarations: The parameters by name.
        by_edge: Whether the rates differ from edge to edge.
    """

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
        bound = self._bound = model.on(fields, start, of_states=True)
        self.model, self.states = model, states
        self.observed = np.arange(len(states))
        self._searched, self._size = len(bound.coordinates), fields.phylogeny.topology.size
        fixed = [
            Coordinate(name, name, 0, -np.inf, np.inf, False, float(held.get(name, value)))
            for name, value in bound.fixed.items()
            if value is not None or name in held
        ]
        self.coordinates = (*bound.coordinates, *fixed)
        self.declarations = bound.declarations
        self._moved = MovedRates(model, tuple((each.parameter, each.entry) for each in self.coordinates))
        values = {
            name: np.array(np.broadcast_to(0.0 if one.start is None else one.start, one.shape), float)
            for name, one in self.declarations.items()
        }
        every = self._of_tree = OfTree(_rows(fields.columns, slice(None), size_class(self._size)), values)
        self.by_edge = True
        self.by_edge = self._looked_at(bound.returned.Q.shape)
        if not self.by_edge:
            # One edge stands for all.
            self._of_tree = every._replace(columns=_rows(fields.columns, slice(-1, None), 1))

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
    def about_file(self) -> dict[str, str]:
        """For the run record."""
        return {"path": self.model.source, "sha256": self.model.sha256, "text": self.model.text}

    def held(self, given: Mapping[str, float]) -> FloatArray:
        """(P,) parameters that are given, or that the file declares fixed; nan for free ones.

        Raises:
            OptionError: A parameter that the file does not declare, or outside its support.
        """
        found = np.array([np.nan if i < self._searched else each.start for i, each in enumerate(self.coordinates)])
        places = dict(self.transitions)
        for name, value in given.items():
            if name not in places:
                raise OptionError(
                    f"--set {name}: model {self.name} has no such parameter (it has {', '.join(places) or 'none'})"
                )
            each = self.coordinates[places[name]]
            if not each.low <= value <= each.high:
                raise OptionError(f"--set {name}={value:g}: outside its support, {each.low:.6g} to {each.high:.6g}")
            found[places[name]] = value
        return found

    def recorded(self, figures: Mapping[str, float]) -> Recorded:
        """What the file's function records at values of its parameters by their labels."""
        return recorded(self._bound, figures)

    def rates(self, values: FloatArray) -> FloatArray:
        """(K, S, S) rate matrices with the parameters `values`, (K, P), or (K, N, S, S) if by edge."""
        size = len(self.states)
        found = np.empty((len(values), self._size if self.by_edge else 1, size, size))
        for places, filled in self._some(values):
            of_all = np.asarray(rates_at(self._moved, filled, self._of_tree), float)
            found[places] = of_all[: len(places), : found.shape[1]]
        return found if self.by_edge else found[:, 0]

    def slopes(self, by_rates: FloatArray, values: FloatArray) -> FloatArray:
        """(K, P) derivatives by the parameters from those by every cell, of the rates' shape."""
        found = np.empty(values.shape)
        by_cells = by_rates if self.by_edge else by_rates[:, None]
        for places, filled in self._some(values):
            room = np.zeros((len(filled), self._rows, *by_cells.shape[2:]))
            room[: len(places), : by_cells.shape[1]] = by_cells[places]
            found[places] = np.asarray(slopes_at(self._moved, filled, room, self._of_tree), float)[: len(places)]
        return found

    def traced(self, values: Any) -> Any:
        """(S, S), or (M, S, S) if by edge, the rates with the parameters `values`, (P,), while tracing.

        Of the M edges, all after the first N are like the last of them.
        """
        found = traced_rates(self._moved, values, self._of_tree)
        return found if self.by_edge else found[0]

    @property
    def _rows(self) -> int:
        return size_class(self._size) if self.by_edge else 1

    def _some(self, values: FloatArray) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        """Places of some sets of parameters at a time, and these with copies of the last one behind them."""
        room = _MOST_NUMBERS // (self._rows * len(self.states) ** 2)
        most = max(width for width in _WIDTHS if width <= max(room, 1))
        for start in range(0, len(values), most):
            places = np.arange(len(values))[start : start + most]
            width = next(width for width in _WIDTHS if width >= len(places))
            yield places, np.pad(values[places], [(0, width - len(places)), (0, 0)], "edge")

    def _looked_at(self, shape: tuple[int, ...]) -> bool:
        """Whether rates differ between edges; refuses what are no rates."""
        size = len(self.states)
        if shape != (size, size):
            raise self.error(
                f"Q is {' by '.join(map(str, shape))}, and the trait has {size} states: {', '.join(self.states[:8])}",
                "--states A,B,... names all of them, in the order of rows and columns",
            )
        start = np.array([each.start for each in self.coordinates])
        moved = np.array(
            [
                each.start
                if i >= self._searched
                else float(each.from_search(each.to_search(each.start) + _MOVED * (1 + i / 7)))
                for i, each in enumerate(self.coordinates)
            ]
        )
        both = self.rates(np.stack([start, moved]))[:, 1:]
        values = both[0]
        if not np.isfinite(values).all():
            raise self.error("Q has cells that are no numbers where the search begins", "a rate is 0 or more")
        off = np.where(np.eye(size, dtype=bool), 0.0, values)
        if (off < 0).any():
            edge, row, column = (int(each) for each in np.argwhere(off < 0)[0])
            raise self.error(
                f"Q has a rate below 0 where the search begins: {off[edge, row, column]:.6g} from "
                f"{self.states[row]!r} to {self.states[column]!r}",
                "a rate is 0 or more",
            )
        sums, scale = values.sum(-1), abs(values).max(initial=0.0)
        if (abs(sums) > _NOTHING * max(scale, 1e-300)).any():
            edge, row = (int(each) for each in np.argwhere(abs(sums) > _NOTHING * max(scale, 1e-300))[0])
            raise self.error(
                f"the row of {self.states[row]!r} in Q sums to {sums[edge, row]:.6g}",
                "rows sum to 0: a cell of the diagonal is minus the sum of the others",
            )
        return bool((np.ptp(both, axis=1) > 0).any())

    def error(self, found: str, advice: str) -> InputError:
        """What is refused, with the line of the file's `return`."""
        return InputError(found, advice, file=self.model.source, line=line_of_return(self.model.edge))


# A model of S states, with P rates or with P parameters of its own.
StateModel = RatePattern | FileRates


def _rows(columns: Mapping[str, Any], which: slice, size: int) -> dict[str, Any]:
    """The chosen rows of the fields of edges, with copies of the last one behind them; what is of the tree as it is.

    Not zeros, of which a user's function might have no number.
    """
    found = {}
    for name, value in columns.items():
        if name not in OF_THE_TREE:
            rows = np.asarray(value)[which]
            value = np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1), "edge")
        found[name] = value
    return found
