"""Discovers what a function declares, and evaluates it with given values: `discover`, `evaluate`, `over_edges`.

    found = discover(model, abstract_edge(edges))          # {"alpha": Declaration, ...}
    returned, recorded = evaluate(model, {"alpha": 0.1}, edge)
    gaussian, recorded = over_edges(model, {"alpha": 0.1}, edges)

Values are in natural units unless `space="unit"`, where every parameter is a unit normal variable that its prior
(or its support) maps. Values are closed over, so they may be traced, batched and differentiated, and a
declaration counts wherever it is traced: in helpers under jit, in a scan, a branch, under vmap and grad.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from hxcli.model.declarations import Declaration, Differing, default_start, refuse_bad_numbers
from hxcli.model.edges import OF_THE_TREE, Edge
from hxcli.model.effects import FreshTrace, Message, Site
from hxcli.model.returned import Sde

Space = Literal["natural", "unit"]
Function = Callable[..., Any]


class Evaluated(NamedTuple):
    """What a function gives.

    Attributes:
        returned: What it returns.
        recorded: What it records, by name.
        variables: Every parameter that has a prior, in natural units, by name. One whose prior's numbers are
            computed inside a jitted helper, a scan or a branch is left out: they cannot leave it.
    """

    returned: Any
    recorded: dict[str, Any]
    variables: dict[str, Any]


@dataclass(frozen=True)
class Discovered:
    """What a function declares and returns, before it has any values.

    Attributes:
        declarations: By name, in the order in which they are met.
        returned: What it returns, arrays as `jax.ShapeDtypeStruct` (for an `Sde` those of its functions' values).
        recorded: Name -> shape of what it records.
        places: Name -> where it is declared or recorded.
    """

    declarations: dict[str, Declaration]
    returned: Any
    recorded: dict[str, Any]
    places: dict[str, Site] = field(default_factory=dict)


@dataclass
class Collect(FreshTrace):
    """Answers with values of no meaning and keeps the declarations; the base of `_Replay`, which has values.

    Attributes:
        declarations: Those met so far.
        recorded: Values recorded so far.
    """

    declarations: dict[str, Declaration] = field(default_factory=dict)
    recorded: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        super().__enter__()
        self._places: dict[str, tuple[Site, Any]] = {}
        self._outermost = _trace()
        return self

    def process(self, message: Message) -> bool:
        first = self._places.setdefault(message.name, (message.site, _trace()))
        declared = message.name in self.declarations or message.name in self.recorded
        # JAX may trace one helper several times; in one trace, or elsewhere, it is another declaration.
        if declared and (message.site != first[0] or _trace() == first[1]):
            raise message.site.error(
                f"{message.name!r} is declared twice, first in line {first[0].line}", "give each a name of its own"
            )
        if message.kind == "record":
            if _trace() != self._outermost:
                raise message.site.error(
                    f"{message.name!r} is recorded inside a jitted helper, a scan, a branch, vmap or grad",
                    "return the value from there and record it outside",
                )
            self.recorded[message.name] = message.value = message.content
        else:
            self.declarations[message.name] = message.content
            message.value = self.value(message)
        return True

    def value(self, message: Message) -> Any:
        import jax.numpy as jnp

        return jnp.ones(message.content.shape, message.content.dtype)


@dataclass
class _Replay(Collect):
    """Answers with given values.

    Attributes:
        values: By name.
        space: Whether parameters are given in natural units or as unit normal variables.
        units: Names of those that are unit normal variables in any case.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    space: Space = "natural"
    units: frozenset[str] = frozenset()

    def value(self, message: Message) -> Any:
        import jax
        import jax.numpy as jnp

        declared: Declaration = message.content
        given = self.values.get(message.name)
        if given is None and declared.role == "fixed":
            given = declared.start
        if given is None:
            raise message.site.error(f"no value is given for {message.name!r}")
        if jnp.shape(given) != declared.shape:
            raise message.site.error(
                f"the value given for {message.name!r} has the shape {jnp.shape(given)}, declared is {declared.shape}"
            )
        given = jnp.asarray(given, declared.dtype)
        if declared.role == "fixed":
            return jax.lax.stop_gradient(given)
        return self.natural(declared)

    def natural(self, declared: Declaration) -> Any:
        """A parameter's value in natural units."""
        import jax.numpy as jnp

        given = jnp.asarray(self.values[declared.name], declared.dtype)
        return declared.from_unit(given) if self.space == "unit" or declared.name in self.units else given

    def variables(self) -> dict[str, Any]:
        """Computed anew out here, because no value leaves a jitted helper sideways; see `Evaluated`."""
        reachable = {
            name: one
            for name, one in self.declarations.items()
            if one.family and (self._places[name][1] == self._outermost or not _has_tracers(one))
        }
        return {name: self.natural(one) for name, one in reachable.items()}


def evaluate(
    function: Function,
    values: Mapping[str, Any],
    *arguments: Any,
    space: Space = "natural",
    units: frozenset[str] = frozenset(),
    **named: Any,
) -> Evaluated:
    """What a function returns and records with given values; to be called while tracing (under `jax.jit`).

    Args:
        function: Any function that declares; an `Sde` that it returns may declare in its drift and diffusion, so
            tabulate these inside: `evaluate(lambda edge: tabulated(model(edge)), values, edge)`.
        values: By name; names that the function does not declare are of no account. A fixed value may be left out
            where it has a default.
        arguments, named: Its arguments.
        space: `natural`: parameters in their own units. `unit`: as unit normal variables.
        units: Names of the parameters that are unit normal variables whatever the space.

    Raises:
        DeclarationError: A value that is not given, or of another shape; a name that is declared twice.
    """
    handler = _Replay(values=values, space=space, units=units)
    with handler:
        returned = function(*arguments, **named)
    return Evaluated(returned, handler.recorded, handler.variables())


def over_edges(
    function: Function,
    values: Mapping[str, Any],
    edges: Mapping[str, Any],
    *,
    per_edge: Container[str] = frozenset(),
    space: Space = "natural",
    units: frozenset[str] = frozenset(),
) -> Evaluated:
    """`evaluate` for every edge at once: what is returned and recorded has a leading axis of N edges.

    Args:
        function: Of one `Edge`.
        values: By name; those in `per_edge` have a leading axis of N edges.
        edges: Field -> (N, ...), and the tree's own numbers (`edges.OF_THE_TREE`).
        per_edge: Names of the parameters with one value of every edge.
        space, units: As in `evaluate`.
    """
    import jax

    shared = {name: value for name, value in values.items() if name not in per_edge}
    own = {name: value for name, value in values.items() if name in per_edge}
    axes = {name: None if name in OF_THE_TREE else 0 for name in edges}

    def one(own: dict[str, Any], edge: dict[str, Any]) -> Evaluated:
        return evaluate(function, {**shared, **own}, Edge(edge), space=space, units=units)

    return jax.vmap(one, in_axes=(0, axes))(own, dict(edges))


def recorded_over_edges(
    function: Function,
    values: Mapping[str, Any],
    edges: Mapping[str, Any],
    *,
    per_edge: Container[str] = frozenset(),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a function of one edge records: what differs with the edge, a leading axis of N each, and what does not.

    Args:
        function: Of one `Edge`, whatever it returns.
        values, edges, per_edge: As in `over_edges`.
    """
    import jax

    def alone(edge: Edge) -> None:
        function(edge)

    def is_of_no_edge(name: str) -> bool:
        # What a mapped function gives alike for all is what needs no axis.
        axes = {field: None if field in OF_THE_TREE else 0 for field in edges}
        try:
            jax.eval_shape(jax.vmap(lambda own, edge: one(own, edge, name), (0, axes), None), own, dict(edges))
        except ValueError:
            return False
        return True

    def one(own: dict[str, Any], edge: dict[str, Any], name: str) -> Any:
        return evaluate(alone, {**shared, **own}, Edge(edge)).recorded[name]

    shared = {name: value for name, value in values.items() if name not in per_edge}
    own = {name: value for name, value in values.items() if name in per_edge}
    found = over_edges(alone, values, edges, per_edge=per_edge).recorded
    common = {name: value[0] for name, value in found.items() if is_of_no_edge(name)}
    return {name: value for name, value in found.items() if name not in common}, common


def collect(function: Function, *arguments: Any, **named: Any) -> Discovered:
    """As `discover`, with the priors' numbers as the trace has them; enough for names and shapes."""
    import jax

    handler = Collect()
    leaves, structure = jax.tree.flatten((arguments, named))
    abstract = [isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves]

    def traced(unknown: list[Any]) -> tuple[Any, dict[str, Any]]:
        rest = iter(unknown)
        filled = [next(rest) if on else leaf for leaf, on in zip(leaves, abstract, strict=True)]
        positional, by_name = jax.tree.unflatten(structure, filled)
        with handler:
            returned = _tabulated(function(*positional, **by_name))
        return returned, handler.recorded

    returned, recorded = jax.eval_shape(traced, [leaf for leaf, on in zip(leaves, abstract, strict=True) if on])
    places = {name: site for name, (site, _) in handler._places.items()}
    return Discovered(handler.declarations, returned, {name: value.shape for name, value in recorded.items()}, places)


def discover(function: Function, *arguments: Any) -> Discovered:
    """What a function declares, with every number of its priors settled.

    Args:
        function: Any function that declares.
        arguments: Its arguments; `jax.ShapeDtypeStruct` for what differs from call to call (from edge to edge), a
            value for what does not, such as the tree's height: a prior's numbers may depend on these only.

    Raises:
        DeclarationError: A name declared twice; numbers that make no prior; a prior that depends on the edge or on
            another parameter, but of a parameter that every edge has of its own.
    """
    found = collect(function, *arguments)
    unsettled = {name: one.traced() for name, one in found.declarations.items() if _has_tracers(one)}
    if unsettled:
        settled = _settled(function, found.declarations, unsettled, arguments)
        found = replace(found, declarations={**found.declarations, **settled})
    return replace(found, declarations=with_starts(found.declarations))


def with_starts(declarations: Mapping[str, Declaration]) -> dict[str, Declaration]:
    """The same, each with a start where it has none and its numbers are settled."""
    found = {}
    for name, declared in declarations.items():
        if declared.role != "fixed" and declared.start is None and not _is_open(declared):
            declared = declared.with_numbers({"start": default_start(declared)})
        found[name] = declared
    return found


def merged(*found: Mapping[str, Declaration]) -> dict[str, Declaration]:
    """The declarations of several functions of one model: one name is one parameter.

    Raises:
        DeclarationError: A name that two of them declare differently.
    """
    together: dict[str, Declaration] = {}
    for declarations in found:
        for name, declared in declarations.items():
            first = together.setdefault(name, declared)
            if not declared.alike(first):
                raise declared.site.error(
                    f"{name!r} is declared differently in line {first.site.line}", "one name is one parameter"
                )
    return together


def _settled(
    function: Function, declarations: dict[str, Declaration], unsettled: dict[str, Any], arguments: Any
) -> dict[str, Declaration]:
    """Declarations whose numbers were traced, with the numbers computed at three made-up points.

    From the first point, arguments move to the second and parameters to the third: numbers that follow depend on them.
    """
    import jax
    import jax.numpy as jnp

    def numbers(unknown: Any, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
        handler = _Replay(values=values, space="unit")
        with handler:
            _tabulated(function(*unknown))
        return {name: handler.declarations[name].traced() for name in unsettled}

    def made_up(leaf: Any, which: int) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if leaf.dtype == bool:
            return jnp.full(leaf.shape, bool(which))
        return jnp.full(leaf.shape, (0.4375, 0.78125)[which] if jnp.issubdtype(leaf.dtype, jnp.inexact) else which)

    def at(edge: int, z: float) -> dict[str, dict[str, Any]]:
        values = {
            name: one.start if one.role == "fixed" and one.start is not None else jnp.full(one.shape, z, one.dtype)
            for name, one in declarations.items()
        }
        try:
            found = run(jax.tree.map(lambda leaf: made_up(leaf, edge), arguments), values)
        except jax.errors.UnexpectedTracerError:
            place = next(iter(unsettled))
            raise declarations[place].site.error(
                f"the prior of {place!r} has numbers that are computed inside a jitted helper, a scan or a branch",
                "compute them outside, or write plain numbers",
            ) from None
        return jax.tree.map(np.asarray, found)

    run = jax.jit(numbers)
    first, elsewhere, otherwise = at(0, 0.0), at(1, 0.0), at(0, 0.25)
    settled = {}
    for name, found in first.items():
        declared = declarations[name]
        plain: dict[str, Any] = {key: float(value) if value.ndim == 0 else value for key, value in found.items()}
        for other, on_what, advice in (
            (elsewhere, "the edge", "per='edge' declares one of every edge"),
            (otherwise, "another parameter", "write plain numbers"),
        ):
            for key, value in found.items():
                if np.array_equal(value, other[name][key], equal_nan=True):
                    continue
                if declared.role != "per-edge":
                    raise declared.site.error(f"the prior of {name!r} depends on {on_what}", advice)
                plain[key] = Differing(f"from {on_what}") if key.startswith("numbers.") else None
        settled[name] = declared.with_numbers(plain)
        refuse_bad_numbers(settled[name])
    return settled


def _tabulated(returned: Any) -> Any:
    """An `Sde` as the shapes of its functions' values at one state; anything else as it is."""
    import jax.numpy as jnp

    if not isinstance(returned, Sde):
        return returned
    x = jnp.ones(())
    low, high = (None if end is None else jnp.asarray(end) for end in (returned.low, returned.high))
    drift, diffusion = (jnp.asarray(part(x) if callable(part) else part) for part in returned[:2])
    # Texts are no arrays.
    parts: dict[str, Any] = {"drift": drift, "diffusion": diffusion, "low": low, "high": high}
    parts |= dict.fromkeys(("ends", "axis"))
    return returned._replace(**parts)


def _is_open(declared: Declaration) -> bool:
    """Whether a number of its prior is not known: it is traced, or differs from edge to edge."""
    return _has_tracers(declared) or any(isinstance(value, Differing) for value in declared.traced().values())


def _has_tracers(declared: Declaration) -> bool:
    import jax

    return any(isinstance(value, jax.core.Tracer) for value in declared.traced().values())


def _trace() -> Any:
    from jax.extend.core import get_opaque_trace_state

    return get_opaque_trace_state()
