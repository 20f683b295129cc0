"""A diffusion with numbers in the place of its parameters, and how far it goes: what a simulation draws from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.errors import ModelError, OptionError
from hxcli.inference.edge_kinds import distinct_edges, table_of
from hxcli.inference.grid_checks import refuse_walls_of_edges
from hxcli.model import Edge, Sde, evaluate
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.edge_fields import EdgeFields, trait_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import AXES, coefficients

# Paths and steps that look where a trait goes, of a model without ends.
_PATHS, _STEPS = 400, 400
# How far beyond these paths the grid goes, as a share of what they span.
_MARGIN = 0.5
# Two traits' figures, on which no diffusion may depend where there is no trait.
_FIGURES = ([0.5, 1.5, 2.5], [0.25, 1.0, 4.0])


class SettledDiffusion(NamedTuple):
    """A diffusion with numbers in the place of its parameters.

    Attributes:
        sde: On any edge; axis and ends are the same on all.
        on_kind: From the number of a kind of edges to the diffusion there, while tracing.
        of_edge: (N,) kind of every edge, of C.
        local: From places (M,) and kinds (M,) to drift, half the squared diffusion, and how fast both change along the
            drift, (M,) each, in the coordinate.
        root: Mean and variance of the root's state.
    """

    sde: Sde
    on_kind: Callable[[Any], Sde]
    of_edge: NDArray[np.intp]
    local: Callable[[FloatArray, NDArray[np.intp]], Any]
    root: tuple[float, float]

    @property
    def kinds(self) -> int:
        """C."""
        return int(self.of_edge.max()) + 1


def _local(sde: Sde, z: Any) -> tuple[Any, Any, Any]:
    """() drift, half the squared diffusion, and how fast both change along the drift, at a place of the coordinate."""
    drift, half = coefficients(sde, z)
    drift_slope, half_slope = jax.jacfwd(lambda z: coefficients(sde, z))(z)
    return drift, half, abs(drift_slope) + abs(drift * half_slope) / jnp.where(half > 0, half, 1.0)


def settled_diffusion(model: GaussianModel, fields: EdgeFields, given: Mapping[str, float]) -> SettledDiffusion:
    """The diffusion on all edges and the root's state at the given values of all parameters.

    Raises:
        OptionError: A parameter that is not given, or that the model does not have; a diffusion that depends on the
            observed values.
        ModelError: Ends that differ from edge to edge.
    """
    bound = model.on(EdgeFields(fields.phylogeny, trait_fields(fields.columns, np.array(_FIGURES[0])), fields.regimes))
    names = [each.name for each in bound.coordinates]
    wanted = [*names, *(["root"] if model.root is None else [])]
    for name in given:
        if name not in (*wanted, *bound.fixed):
            raise OptionError(
                f"--set {name}: model {model.name} has no such parameter (it has {', '.join([*wanted, *bound.fixed])})"
            )
    # What is fixed to an observed value has no usual value here.
    other = model.on(
        EdgeFields(fields.phylogeny, trait_fields(fields.columns, np.array(_FIGURES[1])), fields.regimes)
    ).fixed
    lacking = [name for name in wanted if name not in given]
    lacking += [name for name, value in bound.fixed.items() if name not in given and value != other[name]]
    if lacking:
        raise OptionError(f"model {model.name} needs {', '.join(lacking)} (--set {lacking[0]}=VALUE)")
    values = {
        name: np.array(np.broadcast_to(0.0 if one.start is None else one.start, one.shape), float)
        for name, one in bound.declarations.items()
    }
    for each in bound.coordinates:
        values[each.parameter].reshape(-1)[each.entry] = given[each.name]
    values |= {name: np.asarray(given.get(name, value), float) for name, value in bound.fixed.items()}
    columns, others = (trait_fields(fields.columns, np.array(each)) for each in _FIGURES)
    told, of_edge = distinct_edges(model.edge, values, columns)

    def on_kind(kind: Any, columns: Mapping[str, Any] = columns) -> Sde:
        own = {name: jnp.asarray(each)[kind] for name, each in told.items()}
        sde: Sde = evaluate(model.edge, values, Edge({**_edge_at(columns, -1), **own})).returned

        def bare(part: Any) -> Any:
            return (lambda x: evaluate(part, values, x).returned) if callable(part) else part

        return sde._replace(drift=bare(sde.drift), diffusion=bare(sde.diffusion))

    sde, root = on_kind(0), _root_at(model, columns, values)
    refuse_walls_of_edges(model, values, columns, sde)
    x = jnp.array([float(np.mean(each)) for each in _FIGURES])
    first, second = (table_of(model.edge, values, each, told, x) for each in (columns, others))
    ends = [_ends(each) for each in (sde, on_kind(0, others))]
    alike = (
        np.allclose(first, second, equal_nan=True) and ends[0] == ends[1] and root == _root_at(model, others, values)
    )
    if not alike:
        raise OptionError(
            f"model {model.name}: what it returns depends on the observed values (edge.trait_...), and none are "
            "observed here"
        )
    local = jax.jit(jax.vmap(lambda z, kind: _local(on_kind(kind), z)))
    return SettledDiffusion(
        sde, on_kind, of_edge, local, root if model.root is not None else (float(given["root"]), 0.0)
    )


def range_of_paths(settled: SettledDiffusion, first: FloatArray, height: float) -> tuple[float, float]:
    """Ends of a grid: the model's own, else beyond where some paths as long as the tree is high have gone.

    Args:
        settled: The diffusion.
        first: Where paths begin, in the coordinate.
        height: Of the tree.

    Raises:
        ModelError: The diffusion runs away.
    """
    sde = settled.sde
    to_coordinate, to_state = AXES[sde.axis]
    own = [None if end is None else float(to_coordinate(jnp.asarray(float(end)))) for end in (sde.low, sde.high)]
    z = np.resize(first, _PATHS)
    random, step = np.random.default_rng(0), height / _STEPS
    low, high = float(z.min()), float(z.max())
    # A path stays on edges of one kind.
    kind = np.linspace(0, settled.kinds - 1, _PATHS).round().astype(np.intp)
    for _ in range(_STEPS):
        drift, half, _ = (np.asarray(each, float) for each in settled.local(z, kind))
        z = z + drift * step + np.sqrt(2 * half * step) * random.standard_normal(_PATHS)
        z = z if own[0] is None else own[0] + abs(z - own[0])
        z = z if own[1] is None else own[1] - abs(own[1] - z)
        if not np.isfinite(z).all():
            raise ModelError("the diffusion runs away: after a time its states are no numbers")
        low, high = min(low, float(z.min())), max(high, float(z.max()))
    margin = _MARGIN * max(high - low, 1e-12)
    ends = [low - margin if own[0] is None else own[0], high + margin if own[1] is None else own[1]]
    if sde.axis == "sqrt":
        ends[0] = max(ends[0], 0.0)
    return float(to_state(jnp.asarray(ends[0]))), float(to_state(jnp.asarray(ends[1])))


def _ends(sde: Sde) -> list[float | None]:
    return [None if end is None else float(end) for end in (sde.low, sde.high)]


def _edge_at(columns: Mapping[str, Any], node: int) -> dict[str, Any]:
    return {name: each if name in OF_THE_TREE else jnp.asarray(each)[node] for name, each in columns.items()}


def _root_at(model: GaussianModel, columns: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[float, float]:
    if model.root is None:
        return 0.0, 0.0
    takes = bool(inspect.signature(model.root).parameters)
    found = evaluate(model.root, values, *([Edge(_edge_at(columns, 0))] if takes else [])).returned
    return float(found.mean), float(found.variance)
