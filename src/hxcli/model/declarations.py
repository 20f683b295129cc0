"""What a function may declare where it is used: `param`, `fixed`, `normal`, `log_normal`, `uniform`, `record`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hxcli.model import priors
from hxcli.model.effects import NOWHERE, Message, Site, caller, send

Shape = int | Sequence[int]


class Differing(str):
    """In place of a number of a prior of every edge: what it differs with."""


@dataclass(frozen=True)
class Declaration:
    """One parameter or fixed value of a model.

    Attributes:
        name: As the function gives it.
        role: `param` (one value, to be found), `fixed` (given, never differentiated) or `per-edge` (one of every edge).
        shape: Of one value.
        dtype: Its dtype.
        family: Of the prior: a key of `priors.FAMILIES`, "" for none.
        numbers: The prior's numbers by their names, in natural units. Floats (or arrays) once `discover` has settled
            them, `Differing` where they differ from edge to edge or follow other parameters; traced values while a
            function is being traced.
        low, high: Ends of the support; None for none.
        start: Where a search begins, or a fixed value's default; None where it has no default.
        unit: Text such as `1/time`; "" for none.
        site: Its line, for messages.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: Any
    family: str = ""
    numbers: Any = None
    low: Any = None
    high: Any = None
    start: Any = None
    unit: str = ""
    site: Site = NOWHERE

    @property
    def support(self) -> tuple[float, float]:
        """(low, high), infinite where there is no end. Of a settled declaration."""
        lowest = 0.0 if self.family == "log_normal" else -np.inf
        return (lowest if self.low is None else self.low), (np.inf if self.high is None else self.high)

    @property
    def prior(self) -> str:
        """The prior in words: `log_normal(median=0.1, sd=2)`; "" for none. Of a settled declaration."""
        if not self.family:
            return ""
        return f"{self.family}({', '.join(f'{name}={_short(value)}' for name, value in self.numbers.items())})"

    def from_unit(self, z: Any) -> Any:
        """The value at a point of the unit normal variable underneath."""
        return priors.from_unit(self.family, self.numbers, self.low, self.high, z)

    def to_unit(self, value: Any) -> Any:
        """The inverse of `from_unit`."""
        return priors.to_unit(self.family, self.numbers, self.low, self.high, value)

    def log_density(self, value: Any) -> Any:
        """Log of the prior's density at a value in natural units, of the value's shape."""
        return priors.log_density(self.family, self.numbers, self.low, self.high, value)

    def with_numbers(self, found: dict[str, Any]) -> Declaration:
        """With the numbers, bounds and start that `traced` lists replaced."""
        numbers = {name: found.get(f"numbers.{name}", value) for name, value in (self.numbers or {}).items()}
        ends = {key: found.get(key, getattr(self, key)) for key in ("low", "high", "start")}
        return replace(self, numbers=numbers, **ends)

    def traced(self) -> dict[str, Any]:
        """Numbers, bounds and start by name, those that are there."""
        numbers = {f"numbers.{name}": value for name, value in (self.numbers or {}).items()}
        ends = {key: getattr(self, key) for key in ("low", "high", "start")}
        return {key: value for key, value in {**numbers, **ends}.items() if value is not None}

    def alike(self, other: Declaration) -> bool:
        """Whether both declare the same, wherever they stand. Of settled declarations."""
        mine, others = self.traced(), other.traced()
        return (
            (self.name, self.role, self.shape, self.family, self.unit)
            == (other.name, other.role, other.shape, other.family, other.unit)
            and mine.keys() == others.keys()
            and all(np.array_equal(value, others[key]) for key, value in mine.items())
        )


def param(
    shape: Shape | str = (),
    *,
    name: str = "",
    dtype: Any = None,
    low: Any = None,
    high: Any = None,
    start: Any = None,
    unit: str = "",
    per: str = "",
) -> Any:
    """Declares a parameter without a prior; returns its value.

    Args:
        shape: Its shape, `()` for a number. `param("x")` is `param(name="x")`.
        name: Its name.
        dtype: Its dtype; the default float.
        low, high: Ends of its support; None for none.
        start: Where a search begins; a point inside the support if left out.
        unit: Its unit, a text.
        per: `"edge"` for one value of every edge.

    Raises:
        DeclarationError: Outside a model; a name that is empty or taken; bounds that do not rise.
    """
    shape, name = ((), shape) if isinstance(shape, str) else (shape, name)
    return _declare("", {}, name, shape, dtype, low, high, start, unit, per)


def normal(
    name: str,
    mean: Any = 0.0,
    sd: Any = 1.0,
    *,
    shape: Shape = (),
    low: Any = None,
    high: Any = None,
    start: Any = None,
    unit: str = "",
    per: str = "",
) -> Any:
    """Declares a parameter with a normal prior, cut off at bounds if there are any; the rest as in `param`.

    Args:
        name: Its name.
        mean, sd: Mean and standard deviation.
        shape, low, high, start, unit, per: As in `param`; a search begins at the mean.
    """
    return _declare("normal", {"mean": mean, "sd": sd}, name, shape, None, low, high, start, unit, per)


def log_normal(
    name: str,
    median: Any = 1.0,
    sd: Any = 1.0,
    *,
    shape: Shape = (),
    low: Any = None,
    high: Any = None,
    start: Any = None,
    unit: str = "",
    per: str = "",
) -> Any:
    """Declares a positive parameter with a lognormal prior, cut off at bounds if there are any.

    Args:
        name: Its name.
        median: Median.
        sd: Standard deviation of the logarithm.
        shape, low, high, start, unit, per: As in `param`; a search begins at the median.
    """
    return _declare("log_normal", {"median": median, "sd": sd}, name, shape, None, low, high, start, unit, per)


def uniform(
    name: str, low: Any = 0.0, high: Any = 1.0, *, shape: Shape = (), start: Any = None, unit: str = "", per: str = ""
) -> Any:
    """Declares a parameter with a uniform prior.

    Args:
        name: Its name.
        low, high: Ends of its support.
        shape, start, unit, per: As in `param`; a search begins in the middle.
    """
    return _declare("uniform", {"low": low, "high": high}, name, shape, None, low, high, start, unit, per)


def fixed(shape: Shape | str = (), default: Any = None, *, name: str = "", dtype: Any = None, unit: str = "") -> Any:
    """Declares a value that is given, never searched for and never differentiated; returns it.

    Args:
        shape: Its shape; `fixed("power", 1.0)` is `fixed((), 1.0, name="power")`.
        default: Its value where none is given; None if one must be given. Its shape is the value's.
        name: Its name.
        dtype: Its dtype; the default's, else the default float.
        unit: Its unit, a text.
    """
    site = caller()
    sizes, name = ((), shape) if isinstance(shape, str) else (_tuple(shape), name)
    if default is not None:
        sizes = np.shape(default)
        if dtype is None:
            # An array's own, which numpy need not ask a traced one for.
            dtype = default.dtype if hasattr(default, "dtype") else np.result_type(default)
    declared = Declaration(
        _checked(name, site), "fixed", sizes, _dtype(dtype), numbers={}, start=default, unit=unit, site=site
    )
    return send(Message("fixed", name, declared, site))


def record(name: str, value: Any) -> Any:
    """Names a value that a run reports beside its results: a column if every edge has its own; returns it.

    Raises:
        DeclarationError: Inside a jitted helper, a scan, a branch or the like, which no value can leave sideways.
    """
    site = caller()
    return send(Message("record", _checked(name, site), value, site))


def intermediate(value: Any, *, name: str) -> Any:
    """As `record`, with the value first."""
    return record(name, value)


def _declare(
    family: str,
    numbers: dict[str, Any],
    name: str,
    shape: Shape,
    dtype: Any,
    low: Any,
    high: Any,
    start: Any,
    unit: str,
    per: str,
) -> Any:
    site = caller()
    _checked(name, site)
    if per not in ("", "edge"):
        raise site.error(f"per={per!r} of {name!r} is neither empty nor 'edge'")
    role = "per-edge" if per else "param"
    # A bound that bounds nothing is none.
    low = None if _is_infinite(low) or (family == "log_normal" and _is_zero(low)) else low
    high = None if _is_infinite(high) else high
    declared = Declaration(name, role, _tuple(shape), _dtype(dtype), family, numbers, low, high, start, unit, site)
    refuse_bad_numbers(declared)
    return send(Message("parameter", name, declared, site))


def refuse_bad_numbers(declared: Declaration) -> None:
    """Raises for numbers that make no prior, bounds that do not rise, a start outside them; skips traced ones.

    Raises:
        DeclarationError: Names the number and the line.
    """
    known = {
        key: value
        for key, value in declared.traced().items()
        if not (_is_traced(value) or isinstance(value, Differing))
    }
    name, error = declared.name, declared.site.error
    for key, value in known.items():
        what = key.removeprefix("numbers.")
        try:
            finite = bool(np.isfinite(np.asarray(value, dtype=np.float64)).all())
        except (TypeError, ValueError):
            raise error(f"{what} of {name!r} is no number: {value!r}") from None
        if not finite:
            raise error(f"{what} of {name!r} must be a finite number, got {_short(value)}")
        if what in ("sd", "median") and not np.all(np.asarray(value) > 0):
            raise error(f"{what} of {name!r} must be above 0, got {_short(value)}")
        if np.shape(value) not in ((), declared.shape):
            raise error(f"{what} of {name!r} has the shape {np.shape(value)}, {name!r} itself {declared.shape}")
    low, high, start = known.get("low"), known.get("high"), known.get("start")
    if low is not None and high is not None and not np.all(np.asarray(low) < np.asarray(high)):
        raise error(f"the support of {name!r} is empty: low {_short(low)} is not below high {_short(high)}")
    if declared.family == "log_normal" and low is not None and not np.all(np.asarray(low) >= 0):
        raise error(f"low of {name!r} must be 0 or more, as a lognormal value is, got {_short(low)}")
    if start is not None and not (
        (low is None or np.all(np.asarray(start) >= low)) and (high is None or np.all(np.asarray(start) <= high))
    ):
        raise error(f"start of {name!r}, {_short(start)}, lies outside its support")


def default_start(declared: Declaration) -> Any:
    """Where a search begins if the declaration does not say: the prior's middle, within the support."""
    numbers, (low, high) = declared.numbers, declared.support
    centre = {"normal": lambda: numbers["mean"], "log_normal": lambda: numbers["median"]}.get(declared.family)
    if centre is None:
        finite_low, finite_high = np.isfinite(low), np.isfinite(high)
        found = np.where(
            finite_low & finite_high,
            (np.where(finite_low, low, 0) + np.where(finite_high, high, 0)) / 2,
            np.where(finite_low, np.where(finite_low, low, 0) + 1, np.where(finite_high, high, 1) - 1),
        )
    else:
        found = np.clip(centre(), low, high)
    return np.broadcast_to(found, declared.shape).astype(np.float64)


def _checked(name: Any, site: Site) -> str:
    if not isinstance(name, str) or not name:
        raise site.error(f"a declaration needs a name, a text that is not empty, got {name!r}")
    return name


def _tuple(shape: Shape) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(size) for size in shape)


def _dtype(dtype: Any) -> Any:
    import jax.numpy as jnp

    return jnp.result_type(float if dtype is None else dtype)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isinf(value))


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and value == 0


def _is_traced(value: Any) -> bool:
    import jax

    return isinstance(value, jax.core.Tracer)


def _short(value: Any) -> str:
    if isinstance(value, Differing):
        return value
    return f"{float(value):.6g}" if np.ndim(value) == 0 else str(np.asarray(value).tolist())
