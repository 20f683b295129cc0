"""A model of one trait with Gaussian edges: its parameters on a tree, and its edges at K sets of their values."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from hxcli.engine.program import Program
from hxcli.errors import OptionError
from hxcli.model import Edge, evaluate, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.edge_fields import EdgeFields

if TYPE_CHECKING:
    from hxcli.models.bound_model import BoundModel

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
        replaced: What stands in the place of the file's own root and noise, where something does.
        by_edge: Name and shape of the parameters of which every edge has a value of its own, where those are allowed.
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
    replaced: tuple[Any, ...] = ()
    by_edge: Layout = ()

    def with_parts(self, root: Callable[..., Any] | None, noise: Callable[..., Any] | None) -> GaussianModel:
        """The same model with another root or another noise.

        Args:
            root, noise: As the attributes are: functions, or callable data classes, of this package.
        """
        replaced = root if root is not self.root else "own", noise if noise is not self.noise else "own"
        return replace(self, root=root, noise=noise, replaced=replaced)

    @property
    def built_in(self) -> str:
        """Its name, if it comes with hxcli; "" for a user's own, whatever that is called."""
        return "" if self.text else self.name

    def on(
        self,
        fields: EdgeFields,
        start: Mapping[str, float] | None = None,
        *,
        of_states: bool = False,
        traits: tuple[str, ...] = (),
    ) -> BoundModel:
        """The model on one tree.

        Args:
            fields: The tree's edges.
            start: Reported name -> value at which a search begins, in the place of the declaration's.
            of_states: Whether it is to be a model of states, and not of numbers.
            traits: Names of the traits that it is to be a model of together; empty for one trait by itself.
        """
        # Here, because it is made of models.
        from hxcli.models.bound_model import BoundModel

        return BoundModel(self, fields, start or {}, of_states, traits)

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
            return self.name, self.text, self.replaced, self.by_edge
        return self.edge, self.root, self.noise, self.text, self.by_edge

    def over_edges(self, function: Callable[..., Any], values: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
        """What one of its functions gives of every edge, with a leading axis of N edges, as `Evaluated`.

        Args:
            function: Of one edge.
            values: By name; of the parameters in `by_edge` unit normal variables, (N, ...), or 0, the middle of the
                prior, where they are not given.
            fields: Of N edges.
        """
        size = fields["length"].shape[0]
        own = {name: jnp.zeros((size, *shape)) for name, shape in self.by_edge}
        return over_edges(function, {**own, **values}, fields, per_edge=own.keys(), units=frozenset(own))

    def _edges(self, layout: Layout, fields: Mapping[str, Any], values: Mapping[str, Any]) -> Edges:
        count, size = sum(math.prod(shape) for _, shape in layout), fields["length"].shape[0]
        root = {name: value if name in OF_THE_TREE else value[0] for name, value in fields.items()}

        def at(values: Mapping[str, Any], unknowns: Any) -> Edges:
            given = {**values, **unraveled(layout, unknowns)}
            edge = self.over_edges(self.edge, given, fields).returned
            scale, shift, variance = (jnp.broadcast_to(part, (size,)).astype(float) for part in edge)
            noise = None
            if self.noise is not None:
                noise = jnp.broadcast_to(self.over_edges(self.noise, given, fields).returned, (size,)).astype(float)
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


def line_of(function: Callable[..., Any] | None) -> int | None:
    """The line in which a function of a model's file begins."""
    return None if function is None else int(inspect.unwrap(function).__code__.co_firstlineno)


def line_of_return(function: Callable[..., Any]) -> int | None:
    """The line of the last `return` of a function of a model's file; where it begins, of any other."""
    found: int | None = getattr(function, "return_line", None)
    return found or line_of(function)


def unraveled(layout: Layout, unknowns: Any) -> dict[str, Any]:
    """The parameters of the mean by name, of a vector (P,) of their entries."""
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
