"""Maps between a unit normal variable and a parameter, and the density of the parameter that they make.

A parameter of any prior is a function of a unit normal variable z, so that every model has one space without
bounds. With F the prior's distribution function and bounds a < b, the value is the quantile of
F(a) + (F(b) - F(a)) Phi(z): the prior cut off at the bounds. A parameter without a prior is mapped onto its support.
"""

from __future__ import annotations

from typing import Any

# Names of the numbers of every family. The standard deviation of a log_normal is that of the logarithm.
FAMILIES = {"": (), "normal": ("mean", "sd"), "log_normal": ("median", "sd"), "uniform": ("low", "high")}


def from_unit(family: str, numbers: dict[str, Any], low: Any, high: Any, z: Any) -> Any:
    """The value at the point z of the unit normal variable.

    Args:
        family: A key of `FAMILIES`.
        numbers: What `FAMILIES` names.
        low, high: Bounds; None for the ones that the family has anyway.
        z: Any shape.
    """
    import jax.numpy as jnp

    if family == "uniform" or (family == "" and low is not None and high is not None):
        return _between(low, high, z)
    if family == "":
        if low is None and high is None:
            return z
        return low + jnp.exp(z) if high is None else high - jnp.exp(z)
    centre, spread = _location(family, numbers)
    if low is not None or high is not None:
        below, above = ((_logged(family, end) - centre) / spread if end is not None else None for end in (low, high))
        z = _cut_off(below, above, z)
    value = centre + spread * z
    return jnp.exp(value) if family == "log_normal" else value


def to_unit(family: str, numbers: dict[str, Any], low: Any, high: Any, value: Any) -> Any:
    """The point of the unit normal variable at which the parameter has a value: the inverse of `from_unit`."""
    import jax.numpy as jnp
    from jax.scipy.special import ndtr, ndtri

    if family == "uniform" or (family == "" and low is not None and high is not None):
        share = (value - low) / (high - low)
        return jnp.where(share < 0.5, ndtri(share), -ndtri((high - value) / (high - low)))
    if family == "":
        if low is None and high is None:
            return jnp.asarray(value)
        return jnp.log(value - low) if high is None else jnp.log(high - value)
    centre, spread = _location(family, numbers)
    z = (_logged(family, value) - centre) / spread
    if low is None and high is None:
        return z
    below, above = (
        (-jnp.inf if low is None else (_logged(family, low) - centre) / spread),
        (jnp.inf if high is None else (_logged(family, high) - centre) / spread),
    )
    width = ndtr(above) - ndtr(below)
    return jnp.where(z < 0, ndtri((ndtr(z) - ndtr(below)) / width), -ndtri((ndtr(-z) - ndtr(-above)) / width))


def log_density(family: str, numbers: dict[str, Any], low: Any, high: Any, value: Any) -> Any:
    """Log density of the value; -inf outside the bounds. Not for a parameter without a prior."""
    import jax.numpy as jnp
    from jax.scipy.special import ndtr
    from jax.scipy.stats import norm

    inside = jnp.ones(jnp.shape(value), bool)
    if low is not None:
        inside &= value >= low
    if high is not None:
        inside &= value <= high
    if family == "uniform":
        return jnp.where(inside, -jnp.log(high - low), -jnp.inf)
    centre, spread = _location(family, numbers)
    if family == "log_normal":
        inside &= value > 0
        value = jnp.where(inside, value, 1.0)
        found = norm.logpdf(jnp.log(value), centre, spread) - jnp.log(value)
    else:
        found = norm.logpdf(value, centre, spread)
    if low is not None or high is not None:
        mass = 1.0 if high is None else ndtr((_logged(family, high) - centre) / spread)
        found = found - jnp.log(mass - (0.0 if low is None else ndtr((_logged(family, low) - centre) / spread)))
    return jnp.where(inside, found, -jnp.inf)


def _location(family: str, numbers: dict[str, Any]) -> tuple[Any, Any]:
    import jax.numpy as jnp

    centre = jnp.log(numbers["median"]) if family == "log_normal" else numbers["mean"]
    return centre, numbers["sd"]


def _logged(family: str, value: Any) -> Any:
    import jax.numpy as jnp

    return jnp.log(value) if family == "log_normal" else value


def _between(low: Any, high: Any, z: Any) -> Any:
    import jax.numpy as jnp
    from jax.scipy.special import ndtr

    # From the nearer end: the other one's share would round to 1.
    return jnp.where(z < 0, low + (high - low) * ndtr(z), high - (high - low) * ndtr(-z))


def _cut_off(below: Any, above: Any, z: Any) -> Any:
    """The unit normal variable z squeezed between two bounds, None for none, from the nearer one of its tails."""
    import jax.numpy as jnp
    from jax.scipy.special import ndtr, ndtri

    left = 0.0 if below is None else ndtr(below)
    right = 0.0 if above is None else ndtr(-above)
    width = 1.0 - left - right
    # Each side is finite where the other one is chosen, so that derivatives stay finite too.
    lower = ndtri(left + width * ndtr(jnp.minimum(z, 0.0)))
    upper = -ndtri(right + width * ndtr(-jnp.maximum(z, 0.0)))
    return jnp.where(z < 0, lower, upper)
