"""A model of one trait with Gaussian edges: its parameters on a tree, and its edges at K sets of their values."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import Program
from hxcli.errors import InputError, OptionError
from hxcli.model import Declaration, Edge, Gaussian, Rates, abstract_edge, discover, evaluate, merged, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.claims import refuse_false_claims
from hxcli.models.edge_fields import EdgeFields
from hxcli.phylogeny import FloatArray

# How far the rate of a regime may be from the first one's.
_FARTHEST_RATIO = 1e8
# A support whose ends are all positive and so far apart is searched by its logarithm.
_DECADES = 100.0

# Of the unknowns of the mean, what does not depend on any: known to be 1. In the models of users only.
OFFSET = "(offset)"

# Name and shape of every parameter of the mean, in order; and those of a model whose mean is the root's state.
Layout = tuple[tuple[str, tuple[int, ...]], ...]
_ROOT_ALONE: Layout = (("root", ()),)


class Edges(NamedTuple):
    """The edges of N nodes under K sets of parameters, at a first rate of 1, the P unknowns of the mean kept apart.

    Attributes:
        scale, variance: (N, K).
        shift: (N, K, P) what an edge adds to the mean, for every unknown.
        root_mean: (K, P) the root's mean, for every unknown.
        root_variance: (K,).
        noise: (N, K) variance of the errors of the observations; None where the model has none of its own.
    """

    scale: Any
    variance: Any
    shift: Any
    root_mean: Any
    root_variance: Any
    noise: Any = None


class Coordinate(NamedTuple):
    """One number that a search moves.

    Attributes:
        name: As it is reported, such as `alpha` or `alpha(water)`.
        parameter, entry: Which entry of which parameter.
        low, high: Ends of its support.
        log: Whether the search moves its logarithm.
        start: A usual value.
        is_rate: Whether it is a rate's ratio to the first rate.
    """

    name: str
    parameter: str
    entry: int
    low: float
    high: float
    log: bool
    start: float
    is_rate: bool = False

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


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A model as its file tells it.

    Attributes:
        name: As the user gives it.
        edge: Function of one edge.
        root: Function of the tree, or of nothing; None where the root's state is a parameter `root`.
        rates: Names of the parameters that multiply all variances.
        means: Names of the parameters in which all means are linear.
        root_name: Which of several roots it has; "" where it has one only.
        summary: First line of its documentation.
        source: Path of its file.
        noise: Function of a tip that gives the variance of its observations' errors; None for none of the model's own.
        text, sha256: Of a user's file, whose parameters are in the units of the files; "" for a built-in model.
        stands_alone: Whether the text says all that the user's model depends on.
    """

    name: str
    edge: Callable[..., Any]
    root: Callable[..., Any] | None
    rates: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    root_name: str = ""
    summary: str = ""
    source: str = ""
    noise: Callable[..., Any] | None = None
    text: str = ""
    sha256: str = ""
    stands_alone: bool = False

    def on(
        self, fields: EdgeFields, start: Mapping[str, float] | None = None, *, of_states: bool = False
    ) -> BoundModel:
        """The model on one tree.

        Args:
            fields: The tree's edges.
            start: Reported name -> value at which a search begins, in the place of the declaration's.
            of_states: Whether it is to be a model of states, and not of numbers.
        """
        return BoundModel(self, fields, start or {}, of_states)

    @cached_property
    def edges(self) -> Any:
        """`(layout, fields, values) -> Edges`, compiled once for all trees of a size class.

        Of the arguments, `layout` says which parameters are of the mean, `fields` are the columns of `EdgeFields` and
        `values` all other parameters, each with a leading axis of K sets.
        """
        return partial(_edges, self)

    @property
    def program_identity(self) -> tuple[Any, ...]:
        """What its programs depend on, as `hxcli.engine.program` asks for it."""
        if self.stands_alone:
            return self.name, self.text
        return self.edge, self.root, self.noise, self.text

    def _edges(self, layout: Layout, fields: Mapping[str, Any], values: Mapping[str, Any]) -> Edges:
        count, size = sum(math.prod(shape) for _, shape in layout), fields["length"].shape[0]
        root = {name: value if name in OF_THE_TREE else value[0] for name, value in fields.items()}

        def at(values: Mapping[str, Any], unknowns: Any) -> Edges:
            given = {**values, **_unravel(layout, unknowns)}
            edge = over_edges(self.edge, given, fields).returned
            scale, shift, variance = (jnp.broadcast_to(part, (size,)).astype(float) for part in edge)
            noise = None
            if self.noise is not None:
                noise = jnp.broadcast_to(over_edges(self.noise, given, fields).returned, (size,)).astype(float)
            if self.root is None:
                return Edges(scale, variance, shift, given["root"], jnp.zeros(()), noise)
            takes_tree = bool(inspect.signature(self.root).parameters)
            found = evaluate(self.root, given, *([Edge(root)] if takes_tree else [])).returned
            mean, root_variance = (jnp.asarray(part, float) for part in (found.mean, found.variance))
            return Edges(scale, variance, shift, mean, root_variance, noise)

        def column(values: Mapping[str, Any]) -> Edges:
            if not self.text and self.root is None and layout == _ROOT_ALONE:
                # All means are the root's state: nothing of the edges depends on it, and one call less is traced.
                found = at(values, jnp.ones(1))
                return found._replace(shift=found.shift[:, None], root_mean=jnp.ones(1))
            # Every unknown alone and none of them, in one call: a model's function is traced once.
            every = jax.vmap(lambda unit: at(values, unit))(jnp.eye(count + 1, count))
            units, found = (
                jax.tree.map(lambda part, which=which: part[which], every) for which in (slice(count), count)
            )
            if layout and layout[-1][0] == OFFSET:
                # What all of them have in common is the offset's own.
                once = (jnp.arange(count) < count - 1)[:, None]
                shift = units.shift - jnp.where(once, found.shift, 0)
                return found._replace(
                    shift=shift.T, root_mean=units.root_mean - jnp.where(once[:, 0], found.root_mean, 0)
                )
            return found._replace(shift=units.shift.T, root_mean=units.root_mean)

        found = jax.vmap(column)(values)
        return Edges(
            found.scale.T,
            found.variance.T,
            jnp.moveaxis(found.shift, 0, 1),
            found.root_mean,
            found.root_variance,
            None if found.noise is None else found.noise.T,
        )


_edges = Program(GaussianModel._edges, static_argnums=(0, 1))


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
    """

    def __init__(self, model: GaussianModel, fields: EdgeFields, start: Mapping[str, float], of_states: bool) -> None:
        self.model, self.fields, self._of_states = model, fields, of_states
        edge = abstract_edge(fields.columns)
        of_edge = discover(model.edge, edge)
        self.returned = of_edge.returned
        found = [of_edge.declarations]
        if model.root is not None:
            found.append(
                discover(model.root, *([edge] if inspect.signature(model.root).parameters else [])).declarations
            )
        if model.noise is not None:
            found.append(discover(model.noise, edge).declarations)
        self._refuse_unsupported(found)
        self.declarations = merged(*found)
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
            if name in model.rates or name in means or declared.role == "fixed":
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

    def _refuse_unsupported(self, found: list[dict[str, Declaration]]) -> None:
        """Raises where no engine takes what the file says, with the line that says it.

        Args:
            found: What `model`, `root` and `noise` declare, where there are such.
        """
        model = self.model
        for declared in (each for declarations in found for each in declarations.values()):
            if declared.role == "per-edge":
                raise declared.site.error(
                    f"{declared.name!r} is one of every edge (per='edge'), and commands estimate what edges share",
                    "leave per out, or read one number an edge with --edge-data",
                )
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
        if not isinstance(self.returned, Gaussian):
            self._refuse_of_gaussian()
        if model.noise is None:
            return
        for name in found[-1].keys() & {*model.means, "root"}:
            raise found[-1][name].site.error(
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
                start = 1.0 if name in self.model.rates else declared.start
                found[name] = np.array(np.broadcast_to(start, (len(x), *declared.shape)), float)
        for number, each in enumerate(coordinates):
            flat = found[each.parameter].reshape(len(x), -1)
            flat[:, each.entry] = each.from_search(x[:, number])
        return found

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

    @property
    def _rate_names(self) -> list[str]:
        return [name for name in self.declarations if name in self.model.rates]

    def _is_flat(self, name: str) -> bool:
        return name == "root" and self.model.root is None

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.declarations[name].shape if name in self.declarations else ()

    def _entries(self, name: str, shape: tuple[int, ...]) -> list[str]:
        """`theta`, or `theta(a)` and so on for one value a regime, `theta(1)` for other arrays."""
        count = math.prod(shape)
        if not shape:
            return [name]
        labels = self.fields.regimes if len(self.fields.regimes) == count else [str(i + 1) for i in range(count)]
        return [f"{name}({label})" for label in labels]

    def _shape_coordinates(self, name: str, declared: Declaration) -> list[Coordinate]:
        lows, highs = (np.broadcast_to(end, declared.shape).ravel() for end in declared.support)
        starts = np.broadcast_to(declared.start, declared.shape).ravel()
        found = []
        for index, each in enumerate(self._entries(name, declared.shape)):
            low, high = float(lows[index]), float(highs[index])
            log = declared.family == "log_normal" or (low > 0 and high > _DECADES * low)
            found.append(Coordinate(each, name, index, low, high, log, float(starts[index])))
        return found


def line_of(function: Callable[..., Any] | None) -> int | None:
    """The line in which a function of a model's file begins."""
    return None if function is None else int(inspect.unwrap(function).__code__.co_firstlineno)


def line_of_return(function: Callable[..., Any]) -> int | None:
    """The line of the last `return` of a function of a model's file; where it begins, of any other."""
    found: int | None = getattr(function, "return_line", None)
    return found or line_of(function)


def _unravel(layout: Layout, unknowns: Any) -> dict[str, Any]:
    found, start = {}, 0
    for name, shape in layout:
        size = math.prod(shape)
        found[name] = unknowns[start : start + size].reshape(shape)
        start += size
    return found


@lru_cache
def load_model(name: str, module: str, root: str | None = None) -> GaussianModel:
    """The model in a module.

    Args:
        name: What to call it.
        module: Import path of its file.
        root: A key of the file's `ROOTS`; None for its function `root`.

    Raises:
        OptionError: The model has no such root.
    """
    file = importlib.import_module(module)
    roots = getattr(file, "ROOTS", {})
    if root is not None and root not in roots:
        raise OptionError(f"model {name} has no root {root!r} (use one of {', '.join(roots)})")
    return GaussianModel(
        name=name,
        edge=file.model,
        root=roots[root] if root is not None else getattr(file, "root", None),
        rates=tuple(getattr(file, "RATES", ())),
        means=tuple(getattr(file, "MEANS", ())),
        root_name=root or next((each for each, function in roots.items() if function is file.root), ""),
        summary=(file.__doc__ or "").strip().split("\n")[0],
        source=file.__file__ or "",
    )
