"""A model on one tree: the numbers that a search moves, and those that it solves for."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hxcli.errors import InputError, OptionError
from hxcli.model import Declaration, Gaussian, Rates, Sde, abstract_edge, discover, merged
from hxcli.model.discovered_again import discover_again
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.by_edge import refuse_of_every_edge
from hxcli.models.claims import refuse_false_claims
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.far_indices import refuse_far_indices
from hxcli.models.gaussian_model import OFFSET, Edges, GaussianModel, Layout, line_of, line_of_return
from hxcli.models.recorded import refuse_taken
from hxcli.models.returned_shapes import refuse_shapes
from hxcli.phylogeny import FloatArray

# Fields that edges have without any table.
_USUAL = OF_THE_TREE | {"length", "start", "end", "is_tip", "regime"}
# How far the rate of a regime may be from the first one's.
_FARTHEST_RATIO = 1e8
# A support whose ends are all positive and so far apart is searched by its logarithm.
_DECADES = 100.0


class Coordinate(NamedTuple):
    """One number that a search moves.

    Attributes:
        name: As it is reported, such as `alpha` or `alpha(water)`.
        parameter, entry: Which entry of which parameter.
        low, high: Ends of its support.
        log: Whether the search moves its logarithm.
        start: A usual value.
        is_rate: Whether it is a rate's ratio to the first rate.
        spread: How far usual values are from the start: the standard deviation of a normal prior, or the start itself.
    """

    name: str
    parameter: str
    entry: int
    low: float
    high: float
    log: bool
    start: float
    is_rate: bool = False
    spread: float = 1.0

    def to_search(self, value: Any) -> Any:
        """From a value to where the search has it."""
        with np.errstate(divide="ignore"):
            return np.log(value) if self.log else np.asarray(value, float)

    def from_search(self, x: Any) -> Any:
        """From where the search has it to its value, the ends of the support exactly."""
        # Beyond that, float64 has no number.
        value = np.clip(np.exp(np.minimum(x, 709.0)) if self.log else x, self.low, self.high)
        low, high = self.to_search(self.low), self.to_search(self.high)
        return np.where(x <= low, self.low, np.where(x >= high, self.high, value))


class BoundModel:
    """A model on one tree: the numbers that a search moves, and those that it solves for.

    Attributes:
        model: The model.
        fields: The tree's edges.
        declarations: Its parameters by name.
        returned: What its function of an edge returns, shapes in place of arrays: the kind of the model.
        coordinates: What a search moves: shape parameters, and ratios of rates where there are several.
        rates: Names of the rates, as they are reported; the first is solved for.
        unknowns: Names of the P unknowns of the mean, as they are reported.
        layout: The parameters of the mean.
        fixed: Name -> value of what it declares fixed, the numbers among them.
        traits: Names of the traits that it is a model of together, whose rates are coordinates as all else is; empty
            where it is one of a single trait.
        records: Whether a user's functions record anything.
        by_edge: Parameters of which every edge has a value of its own, by name; they are none of the others.
    """

    def __init__(
        self,
        model: GaussianModel,
        fields: EdgeFields,
        start: Mapping[str, float],
        of_states: bool,
        traits: tuple[str, ...] = (),
    ) -> None:
        self.model, self.fields, self._of_states, self.traits = model, fields, of_states, traits
        edge = abstract_edge(fields.columns)
        # What a user's function declares may hang on anything.
        found_in = discover if model.text else discover_again
        functions = {"model": model.edge, "root": model.root, "noise": model.noise}
        found = {
            name: found_in(function, *([edge] if inspect.signature(function).parameters else []))
            for name, function in functions.items()
            if function is not None
        }
        self.returned = found["model"].returned
        self.records = bool(model.text) and any(each.recorded for each in found.values())
        self._refuse_unsupported({name: each.declarations for name, each in found.items()})
        for one in found.values():
            refuse_taken(one, tuple(name for name, _ in model.by_edge))
        if not of_states:
            refuse_shapes(model, {name: each.returned for name, each in found.items()}, len(traits))
        every = merged(*(each.declarations for each in found.values()))
        self.by_edge = {name: one for name, one in every.items() if one.role == "per-edge"}
        self.declarations = {name: one for name, one in every.items() if name not in self.by_edge}
        if model.text and (any(one.shape for one in every.values()) or fields.columns.keys() - _USUAL):
            refuse_far_indices(model, self.declarations, fields.columns)
        if model.text and isinstance(self.returned, Gaussian):
            refuse_false_claims(model, self.declarations, fields.columns)
        means = [name for name in (*model.means, "root") if name in self.declarations or self._is_flat(name)]
        self.layout: Layout = tuple((name, self._shape(name)) for name in dict.fromkeys(means))
        if model.text:
            self.layout += ((OFFSET, ()),)
        self.unknowns = tuple(each for name, shape in self.layout for each in self._entries(name, shape))
        self.rates = tuple(each for name in self._rate_names for each in self._entries(name, self._shape(name)))
        coordinates = []
        for name, declared in self.declarations.items():
            if name in self._rate_names or name in means or declared.role == "fixed":
                continue
            coordinates += self._shape_coordinates(name, declared)
        for rate_name in self._rate_names:
            for index, each in enumerate(self._entries(rate_name, self._shape(rate_name))):
                if each != self.rates[0]:
                    ends = (1 / _FARTHEST_RATIO, _FARTHEST_RATIO)
                    coordinates.append(Coordinate(each, rate_name, index, *ends, log=True, start=1.0, is_rate=True))
        self.coordinates = tuple(self._begun(each, start) for each in coordinates)
        self.fixed = {
            name: one.start for name, one in self.declarations.items() if one.role == "fixed" and one.shape == ()
        }

    def _refuse_unsupported(self, found: dict[str, dict[str, Declaration]]) -> None:
        """Raises where no engine takes what the file says, with the line that says it.

        Args:
            found: What `model`, `root` and `noise` declare, where there are such.
        """
        model = self.model
        if isinstance(self.returned, Rates) != self._of_states:
            kind = type(self.returned).__name__
            raise InputError(
                f"model returns {kind}, and the trait is of {'states' if self._of_states else 'numbers'}",
                "for states return Rates"
                if self._of_states
                else "Rates are of states: name a column of text with --column, or any with --discrete",
                file=model.source,
                line=line_of_return(model.edge),
            )
        if self.traits and isinstance(self.returned, Sde):
            raise InputError(
                "model returns Sde, a diffusion of one trait, and traits are fitted together",
                "return a Gaussian with matrices, or leave --together out",
                file=model.source,
                line=line_of_return(model.edge),
            )
        if not isinstance(self.returned, Gaussian):
            self._refuse_of_gaussian()
        for function, declarations in found.items():
            for declared in declarations.values():
                if declared.role == "per-edge":
                    refuse_of_every_edge(self, declared, function)
        if model.noise is None:
            return
        of_noise = found["noise"]
        for name in of_noise.keys() & {*model.means, "root"}:
            raise of_noise[name].site.error(
                f"{name!r} is a mean (MEANS) and part of a variance", "give the variance a parameter of its own"
            )

    def _refuse_of_gaussian(self) -> None:
        """Raises where a model that returns no Gaussian has what only those have."""
        model, kind = self.model, type(self.returned).__name__
        for name, told in (("RATES", model.rates), ("MEANS", model.means)):
            if told:
                raise InputError(
                    f"{name} goes with models that return a Gaussian, and this one returns {kind}",
                    f"take {name} out",
                    file=model.source,
                )
        if self._of_states:
            for part in ("root", "noise"):
                if (function := getattr(model, part)) is not None:
                    raise InputError(
                        f"{part} goes with models of numbers, and this one returns Rates",
                        "take it out; --root-prior says what is believed of the root, a|b what is seen of a tip",
                        file=model.source,
                        line=line_of(function),
                    )

    def _begun(self, each: Coordinate, start: Mapping[str, float]) -> Coordinate:
        value = start.get(each.name, each.start)
        if not each.low <= value <= each.high:
            raise OptionError(f"--start {each.name}={value:g}: outside its support, {each.low:.6g} to {each.high:.6g}")
        return each._replace(start=value)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    def widen(self, name: str, high: float) -> None:
        """Moves the upper end of a coordinate's support, if the model has it."""
        self.coordinates = tuple(each._replace(high=high) if each.name == name else each for each in self.coordinates)

    def give(self, name: str, value: float) -> None:
        """Gives a fixed number another value than its declaration does."""
        self.fixed[name] = value
        self.declarations[name] = dataclasses.replace(self.declarations[name], start=value)

    def edges(self, x: FloatArray, columns: Mapping[str, Any]) -> Edges:
        """The edges at K points of the search.

        Args:
            x: (K, S) coordinates as the search has them.
            columns: The columns of `fields`, padded as the tree is.
        """
        return self.model.edges(self.layout, columns, self.values(x, self.coordinates))

    def values(self, x: FloatArray, coordinates: tuple[Coordinate, ...]) -> dict[str, FloatArray]:
        """The parameters but for those of the mean, (K, *shape); 1 for a rate that no coordinate moves.

        Args:
            x: (K, S) coordinates as the search has them.
            coordinates: What they are.
        """
        of_mean = {name for name, _ in self.layout}
        found: dict[str, FloatArray] = {}
        for name, declared in self.declarations.items():
            if name not in of_mean:
                start = 1.0 if name in self._rate_names else declared.start
                found[name] = np.array(np.broadcast_to(start, (len(x), *declared.shape)), float)
        for number, each in enumerate(coordinates):
            flat = found[each.parameter].reshape(len(x), -1)
            flat[:, each.entry] = each.from_search(x[:, number])
        # A model without a parameter is swept in K columns too: a name that nothing declares is of no account.
        return found or {"columns": np.zeros(len(x))}

    def settled(self, given: Mapping[str, float]) -> tuple[dict[str, FloatArray], FloatArray]:
        """All parameters at given values: those that are not of the mean, (1, *shape) each, and the unknowns, (P,).

        Raises:
            OptionError: A parameter that is not given, that the model does not have, or outside its support.
        """
        shapes = {each.name: each for each in self.coordinates if not each.is_rate}
        unknowns = [name for name in self.unknowns if name != OFFSET]
        wanted = [*self.rates, *unknowns, *shapes]
        for name in given:
            if name not in (*wanted, *self.fixed):
                has = ", ".join([*wanted, *self.fixed])
                raise OptionError(f"--set {name}: model {self.name} has no such parameter (it has {has})")
        if lacking := [name for name in wanted if name not in given]:
            raise OptionError(f"model {self.name} needs {', '.join(lacking)} (--set {lacking[0]}=VALUE)")
        for name, each in shapes.items():
            if not each.low <= given[name] <= each.high:
                raise OptionError(
                    f"--set {name}={given[name]:g}: outside its support, {each.low:.6g} to {each.high:.6g}"
                )
        for name in self.rates:
            if not given[name] >= 0:
                raise OptionError(f"--set {name}={given[name]:g}: a rate is not below 0")
        values = {}
        of_mean = {name for name, _ in self.layout}
        for name, declared in self.declarations.items():
            if name in of_mean:
                continue
            if declared.role == "fixed":
                values[name] = np.asarray(given.get(name, declared.start), float)[None]
                continue
            entries = self._entries(name, declared.shape)
            values[name] = np.array([given[each] for each in entries], float).reshape(1, *declared.shape)
        return values, np.array([given.get(name, 1.0) for name in self.unknowns], float)

    def declared_values(self, figures: Mapping[str, float]) -> dict[str, FloatArray]:
        """Every declared parameter, of its shape.

        Args:
            figures: Reported name -> value; nan stands for what is not there, its default for a fixed one.
        """
        found = {}
        for name, declared in self.declarations.items():
            if declared.role == "fixed":
                found[name] = np.asarray(figures.get(name, declared.start))
                continue
            entries = [figures.get(each, math.nan) for each in self._entries(name, declared.shape)]
            found[name] = np.array(entries, float).reshape(declared.shape)
        return found

    @property
    def _rate_names(self) -> list[str]:
        """The rates that have a form of their own: those of traits together are searched for as all else is."""
        return [] if self.traits else [name for name in self.declarations if name in self.model.rates]

    def _is_flat(self, name: str) -> bool:
        return name == "root" and self.model.root is None

    def _shape(self, name: str) -> tuple[int, ...]:
        if self.traits and self._is_flat(name):
            return (len(self.traits),)
        return self.declarations[name].shape if name in self.declarations else ()

    def _entries(self, name: str, shape: tuple[int, ...]) -> list[str]:
        """`theta`, or `theta(a)` and so on for one value a regime; `root(x)` for one a trait; `theta(1)` for others."""
        count = math.prod(shape)
        if not shape:
            return [name]
        labels = self.fields.regimes if len(self.fields.regimes) == count else [str(i + 1) for i in range(count)]
        if self.traits and self._is_flat(name):
            labels = self.traits
        return [f"{name}({label})" for label in labels]

    def _shape_coordinates(self, name: str, declared: Declaration) -> list[Coordinate]:
        lows, highs = (np.broadcast_to(end, declared.shape).ravel() for end in declared.support)
        starts = np.broadcast_to(declared.start, declared.shape).ravel()
        spreads = np.abs(starts)
        if declared.family == "normal":
            spreads = np.broadcast_to(declared.numbers["sd"], declared.shape).ravel()
        found = []
        for index, each in enumerate(self._entries(name, declared.shape)):
            low, high = float(lows[index]), float(highs[index])
            log = declared.family == "log_normal" or (low > 0 and high > _DECADES * low)
            spread = float(spreads[index]) or 1.0
            found.append(Coordinate(each, name, index, low, high, log, float(starts[index]), spread=spread))
        return found
