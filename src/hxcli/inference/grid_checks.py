"""What a grid does not take, said before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import InputError, ModelError, OptionError
from hxcli.inference.grid_program import Given
from hxcli.model import Edge, Sde, evaluate, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel
from hxcli.models.gaussian_model import line_of
from hxcli.prebuilt.grid_generator import AXES, ENDS


def checked_sde(bound: BoundModel, values: Mapping[str, Any], edge: Mapping[str, Any]) -> Sde:
    """The diffusion at its parameters' usual values, which must be the same on every edge.

    Args:
        bound: The model, with the trait's own numbers among the fields of its edges.
        values: Every parameter's usual or given value.
        edge: Fields of one edge.

    Raises:
        ModelError: A diffusion that differs from edge to edge, is no number, or has ends with no room between them.
    """
    x = jnp.linspace(*_observed_range(bound), 7)

    def tabulated(edge: Any) -> Any:
        sde = bound.model.edge(Edge(edge))
        drift, factor = (jax.vmap(p)(x) if callable(p) else jnp.full(7, p) for p in (sde.drift, sde.diffusion))
        return jnp.stack([jnp.broadcast_to(each, (7,)) for each in (drift, factor)])

    columns = bound.fields.columns
    axes = {name: None if name in OF_THE_TREE else 0 for name in columns}
    per_edge = jax.vmap(lambda edge: evaluate(tabulated, values, edge).returned, in_axes=(axes,))
    found = np.asarray(jax.jit(per_edge)({name: jnp.asarray(value) for name, value in columns.items()}))
    name = bound.model.name
    if not np.isfinite(found).all():
        raise ModelError(f"model {name}: its drift or diffusion is no number somewhere between the observed values")
    if np.ptp(found[1:], axis=0).max(initial=0) > 0:
        raise ModelError(
            f"model {name}: its drift or diffusion differs from edge to edge, which a grid does not allow "
            "(return a Gaussian, or leave the edge out of both)"
        )
    if not found[:, 1].any():
        raise ModelError(f"model {name}: its diffusion is 0 at all states between the observed values")
    sde = evaluate(lambda: bound.model.edge(Edge(edge)), values).returned
    _refuse_bad_walls(bound, sde)
    if sde.axis not in AXES or sde.ends not in ENDS:
        raise ModelError(
            f"model {name}: axis {sde.axis!r}, ends {sde.ends!r} (axis is one of {', '.join(AXES)}; ends one of "
            f"{', '.join(ENDS)})"
        )
    return sde


def _refuse_bad_walls(bound: BoundModel, sde: Sde) -> None:
    """Raises where the walls, at the parameters' usual values, have nothing between them, or not the values."""
    low, high = (-np.inf if sde.low is None else float(sde.low), np.inf if sde.high is None else float(sde.high))
    first, last = _observed_range(bound)
    slack = 1e-9 * (last - first)
    if low < high and low <= first + slack and high >= last - slack:
        return
    raise ModelError(
        f"model {bound.model.name}: its ends are {low:g} and {high:g}, and the values go from {first:g} to "
        f"{last:g} (the ends lie around all values; edge.trait_low and edge.trait_high are theirs)"
    )


def _observed_range(bound: BoundModel) -> tuple[float, float]:
    columns = bound.fields.columns
    return float(columns["trait_low"]), float(columns["trait_high"])


def refuse_bad_noise(bound: BoundModel, given: Given, count: int) -> None:
    """Raises where the variance of what is observed is none at the parameters' usual values.

    Args:
        bound: The model.
        given: What its programs are given.
        count: Number of the observed nodes, which come first.

    Raises:
        InputError: With the line of the file.
    """
    noise = bound.model.noise
    if noise is None or not count:
        return
    found = np.asarray(over_edges(noise, given.values, given.tips).returned, float)
    found = np.broadcast_to(found, np.shape(given.observed["length"]))[:count]
    if not (found >= 0).all():
        raise InputError(
            f"noise(tip) is negative or no number: {found[np.flatnonzero(~(found >= 0))[0]]:.6g}",
            "a variance is 0 or more",
            file=bound.model.source,
            line=line_of(noise),
        )


def refuse_unknown(bound: BoundModel, held: Mapping[str, float]) -> None:
    """Raises where a parameter is given that the model does not have, or outside its support."""
    known = {each.name: (each.low, each.high) for each in bound.coordinates}
    known |= dict.fromkeys(bound.fixed, (-np.inf, np.inf))
    for name, value in held.items():
        if name not in known:
            raise OptionError(f"--set {name}: model {bound.name} has no such parameter (it has {', '.join(known)})")
        low, high = known[name]
        if not low <= value <= high:
            raise OptionError(f"--set {name}={value:g}: outside its support, {low:.6g} to {high:.6g}")
