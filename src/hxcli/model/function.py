"""`@hx.model`: a function that declares its parameters, as a pure function of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from hxcli.errors import OptionError
from hxcli.model.declarations import Declaration
from hxcli.model.effects import NOWHERE, Site
from hxcli.model.evaluation import Evaluated, collect, evaluate


class Model:
    """A function that declares its parameters where it uses them, called with them first: `m(params, *arguments)`.

    `params` is a dict of every parameter by name, or with `ravel` one vector, as unit normal variables: those of
    `normal`, `log_normal` and `uniform` are mapped to their own units where they are declared, a `param` is as it
    is. `fixed` values are given by name; one with a default may be left out. The function sees its own arguments
    only. A model goes through any of JAX's transformations; like any function under `jax.jit` it is traced once
    for every shape of what it is given, and remembers what else it saw then.

    Example:
        >>> @hx.model
        ... def wave(time):
        ...     return log_normal("height", median=2) * jnp.sin(time + param(name="phase"))
        >>> wave(wave.normal(jax.random.key(1), time), time)

    Attributes:
        function: The function itself.
        raveled: Whether parameters are one vector.
    """

    def __init__(self, function: Callable[..., Any], *, ravel: bool = False, jit: bool = True) -> None:
        """Makes a model of a function.

        Args:
            function: What declares.
            ravel: Parameters as one vector.
            jit: Compile it; without, every call traces anew, helpers too, and runs operation by operation.
        """
        functools.update_wrapper(self, function)
        self.__name__ = getattr(function, "__name__", "the model")
        self.function, self.raveled = function, ravel
        self._evaluate = self._evaluated
        if jit:
            import jax

            self._evaluate = jax.jit(self._evaluated)

    def __call__(self, params: Any, *arguments: Any, **fixed: Any) -> Any:
        """What the function returns.

        Args:
            params: As `normal` gives them.
            arguments: The function's own.
            fixed: Values of what it declares `fixed`, by name.

        Raises:
            DeclarationError: A value that is not given, of another shape, or of a name that is not declared.
        """
        return self._evaluate(params, arguments, fixed).returned

    def intermediates(self, params: Any, *arguments: Any, **fixed: Any) -> dict[str, Any]:
        """What the function records by name, and the value of every variable that has a prior."""
        found = self._evaluate(params, arguments, fixed)
        return {**found.variables, **found.recorded}

    def shapes(self, *arguments: Any, **fixed: Any) -> Any:
        """Every parameter's `jax.ShapeDtypeStruct` by name; of a raveled model that of the vector.

        Args:
            arguments: The function's own, or their `jax.ShapeDtypeStruct`; only shapes matter.
            fixed: Likewise, for fixed values whose shape the declaration does not tell.
        """
        import jax

        shapes = self._shapes(arguments)
        return jax.eval_shape(self.ravel, shapes) if self.raveled else shapes

    def fixed_shapes(self, *arguments: Any) -> dict[str, Any]:
        """The `jax.ShapeDtypeStruct` of every fixed value by name."""
        return _shapes_of(self._declared(arguments), fixed=True)

    def zeros(self, *arguments: Any) -> Any:
        """Parameters that are all 0: every prior's median."""
        import jax
        import jax.numpy as jnp

        params = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), self._shapes(arguments))
        return self.ravel(params) if self.raveled else params

    def normal(self, key: Any, *arguments: Any) -> Any:
        """Parameters drawn as unit normal variables: a draw of the prior. Every one has a key of its own."""
        import jax

        shapes = self._shapes(arguments)
        keys = jax.random.split(key, max(len(shapes), 1))
        params = {
            name: jax.random.normal(own, shape.shape, shape.dtype)
            for own, (name, shape) in zip(keys, sorted(shapes.items()), strict=False)
        }
        return self.ravel(params) if self.raveled else params

    def ravel(self, params: Mapping[str, Any]) -> Any:
        """One vector of all parameters, in the order of their names."""
        from jax.flatten_util import ravel_pytree

        return ravel_pytree(dict(params))[0]

    def unravel(self, vector: Any, *arguments: Any) -> dict[str, Any]:
        """The inverse of `ravel`.

        Raises:
            OptionError: A vector of another length.
        """
        import jax
        import jax.numpy as jnp
        from jax.flatten_util import ravel_pytree

        shapes = self._shapes(arguments)
        size = sum(shape.size for shape in shapes.values())
        if jnp.shape(vector) != (size,):
            raise OptionError(f"the parameters are a vector of {size} numbers, got the shape {jnp.shape(vector)}")
        blank = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        return ravel_pytree(blank)[1](vector)

    def _evaluated(self, params: Any, arguments: tuple[Any, ...], fixed: dict[str, Any]) -> Evaluated:
        declared = self._declared(arguments)
        values = self.unravel(params, *arguments) if self.raveled else dict(params)
        unknown = sorted({*values, *fixed} - set(declared))
        if unknown:
            raise _site(self.function).error(
                f"{unknown[0]!r} is not declared in {self.__name__}: it declares {', '.join(declared)}"
            )
        return evaluate(self.function, {**fixed, **values}, *arguments, space="unit")

    def _declared(self, arguments: tuple[Any, ...]) -> dict[str, Declaration]:
        try:
            return collect(self.function, *arguments).declarations
        except TypeError as error:
            if arguments or "positional argument" not in str(error):
                raise
            raise _site(self.function).error(
                f"{self.__name__} takes arguments: give examples of them, or their shapes"
            ) from error

    def _shapes(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        return _shapes_of(self._declared(arguments), fixed=False)


def model(function: Callable[..., Any] | None = None, *, ravel: bool = False, jit: bool = True) -> Any:
    """Makes a `Model` of a function: `@hx.model` or `@hx.model(ravel=True)`.

    Args:
        function: The function; None to make a decorator.
        ravel, jit: As in `Model`.
    """
    if function is None:
        return lambda function: Model(function, ravel=ravel, jit=jit)
    return Model(function, ravel=ravel, jit=jit)


def _shapes_of(declared: dict[str, Declaration], *, fixed: bool) -> dict[str, Any]:
    import jax

    return {
        name: jax.ShapeDtypeStruct(one.shape, one.dtype)
        for name, one in declared.items()
        if (one.role == "fixed") == fixed
    }


def _site(function: Callable[..., Any]) -> Site:
    code = getattr(function, "__code__", None)
    return Site(code.co_filename, code.co_firstlineno) if code else NOWHERE
