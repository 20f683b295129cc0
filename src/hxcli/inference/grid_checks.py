"""What a grid does not take, said before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.errors import InputError, ModelError, OptionError
from hxcli.inference.edge_kinds import fields_that_matter, tabulated
from hxcli.inference.grid_program import Given
from hxcli.model import Edge, Sde, evaluate, over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel
from hxcli.models.gaussian_model import GaussianModel, line_of
from hxcli.prebuilt.grid_generator import AXES, ENDS


def checked_sde(bound: BoundModel, values: Mapping[str, Any]) -> Sde:
    """The diffusion on any edge at its parameters' usual values.

    Args:
        bound: The model, with the trait's own numbers among the fields of its edges.
        values: Every parameter's usual or given value.

    Raises:
        ModelError: A diffusion that is no number, or is none on an edge that drifts; ends that differ from edge to edge
            or have no room between them.
    """
    x = jnp.linspace(*_observed_range(bound), 7)
    columns = bound.fields.columns
    found = np.asarray(
        jax.jit(lambda edges: over_edges(lambda edge: tabulated(bound.model.edge(edge), x), values, edges).returned)(
            {name: jnp.asarray(value) for name, value in columns.items()}
        )
    )[1:]
    name = bound.model.name
    if not np.isfinite(found).all():
        raise ModelError(f"model {name}: its drift or diffusion is no number somewhere between the observed values")
    drifts, spreads = (found[:, part].any(1) for part in (0, 1))
    if not spreads.any():
        raise ModelError(f"model {name}: its diffusion is 0 at all states between the observed values")
    if (drifts & ~spreads).any():
        raise ModelError(
            f"model {name}: on an edge it has a drift and no diffusion at all states between the observed values, and "
            "a grid has no walk without noise (give it a small one)"
        )
    edge = {field: value if field in OF_THE_TREE else jnp.asarray(value)[-1] for field, value in columns.items()}
    sde: Sde = evaluate(lambda: bound.model.edge(Edge(edge)), values).returned
    refuse_walls_of_edges(bound.model, values, columns, sde)
    _refuse_bad_walls(bound, sde)
    if sde.axis not in AXES or sde.ends not in ENDS:
        raise ModelError(
            f"model {name}: axis {sde.axis!r}, ends {sde.ends!r} (axis is one of {', '.join(AXES)}; ends one of "
            f"{', '.join(ENDS)})"
        )
    return sde


def refuse_walls_of_edges(
    model: GaussianModel, values: Mapping[str, Any], columns: Mapping[str, Any], sde: Sde
) -> None:
    """Raises ModelError where the walls are not the same on all edges: one grid is laid for the tree."""
    walls = [name for name in ("low", "high") if getattr(sde, name) is not None]

    def ends(edge: Any) -> Any:
        found = evaluate(model.edge, values, edge).returned
        return [jnp.asarray(getattr(found, name), float) for name in walls]

    if walls and (fields := fields_that_matter(ends, columns)):
        raise ModelError(
            f"model {model.name}: its ends hang on edge.{fields[0]}, and they must be the same on all edges (leave "
            "the edge out of low and high)"
        )


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
