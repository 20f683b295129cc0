"""Parameters of a user's file of which every edge has a value of its own: where they are allowed, and their priors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hxcli.close_names import listed
from hxcli.engine.program import program
from hxcli.errors import OptionError
from hxcli.model import Declaration, Gaussian, abstract_edge, discover, merged
from hxcli.models.gaussian_model import GaussianModel, Layout
from hxcli.painting import Painted

if TYPE_CHECKING:
    from hxcli.models.bound_model import BoundModel

# Where a prior is looked at, in unit normal variables.
_LOOKED_AT = (-1.0, 0.0, 1.0)


def allowing_edges(model: GaussianModel, columns: Mapping[str, Any]) -> GaussianModel:
    """The model with the parameters allowed of which every edge has a value; itself where it declares none.

    Args:
        model: Any model.
        columns: Of `EdgeFields`, with the trait's own numbers.
    """
    if not model.text or model.by_edge:
        return model
    edge = abstract_edge(columns)
    functions = [each for each in (model.edge, model.noise) if each is not None]
    found = merged(*(discover(function, edge).declarations for function in functions))
    own = tuple((name, each.shape) for name, each in found.items() if each.role == "per-edge")
    return _with_own(model, own) if own else model


@lru_cache(64)
def _with_own(model: GaussianModel, own: Layout) -> GaussianModel:
    # One model for all traits and trees, so that one program serves them.
    return dataclasses.replace(model, by_edge=own)


def refuse_of_every_edge(bound: BoundModel, declared: Declaration, function: str) -> None:
    """Raises where a parameter of every edge is not allowed.

    Args:
        bound: The model on the tree.
        declared: The parameter.
        function: `model`, `root` or `noise`, where it is declared.

    Raises:
        DeclarationError: With the line.
    """
    model = bound.model
    said = f"{declared.name!r} is one of every edge (per='edge')"
    if not isinstance(bound.returned, Gaussian) or bound.traits:
        raise declared.site.error(
            f"{said}, which hx posterior and hx simulate take in files that return a Gaussian of one trait",
            "leave per out, or read one number an edge with --edge-data",
        )
    if function == "root":
        raise declared.site.error(f"{said}, and root() is of none", "declare it in model, or leave per out")
    if not declared.family:
        raise declared.site.error(f"{said} and has no prior", "write normal, log_normal or uniform")
    for kind, told in (("RATES", model.rates), ("MEANS", model.means)):
        if declared.name in told:
            raise declared.site.error(f"{said}, and {kind} names what all edges share", f"take it out of {kind}")
    if declared.name not in dict(model.by_edge):
        raise declared.site.error(
            f"{said}: as many unknowns as edges, for which maximum likelihood has no answer",
            f"hx posterior --model {model.source} draws them; or leave per out",
        )


def refuse_cut_edges(model: GaussianModel, painted: Painted) -> None:
    """Raises where every edge has a value of its own, and regimes cut edges in pieces.

    Raises:
        OptionError: Names the parameters.
    """
    if model.by_edge and len(painted.nodes) < painted.phylogeny.topology.size:
        names = listed([name for name, _ in model.by_edge])
        raise OptionError(
            f"--regimes with --model {model.source}: {names} is one of every edge, and an edge whose regime changes is "
            "several (leave --regimes out, or let it change at nodes)"
        )


def refuse_no_priors(bound: BoundModel) -> None:
    """Raises where the prior of a parameter of every edge is none on some edge, or another in `noise`.

    At the usual values of all other parameters.

    Raises:
        DeclarationError: With the line.
    """
    for name, declared in bound.by_edge.items():
        of_functions = [
            np.stack([found[name] for found in every]) for every in _over_functions(bound, {}) if name in every[0]
        ]
        for values in of_functions:
            rises = np.isfinite(values).all(0) & (np.diff(values, axis=0) > 0).all(0)
            bad = np.flatnonzero(~rises.reshape(len(rises), -1).all(1)[1:])
            if bad.size:
                raise declared.site.error(
                    f"the prior of {name!r} is none on {bad.size} of {len(rises) - 1} edges, at usual values of "
                    "the other parameters",
                    "its numbers must be finite, and a standard deviation or a median above 0, on every edge",
                )
        if len(of_functions) > 1 and not np.allclose(of_functions[0], of_functions[1], rtol=1e-9, atol=0):
            raise declared.site.error(
                f"{name!r} is declared differently in model and noise", "one name is one parameter"
            )


def follows(bound: BoundModel, name: str) -> bool:
    """Whether the prior of a parameter of every edge depends on another parameter, `name`."""
    shape = bound.declarations[name].shape
    apart = [_over_functions(bound, {name: np.full(shape, value)}) for value in (0.0, 1.0)]
    return any(
        not np.array_equal(one[each], other[each], equal_nan=True)
        for every, others in zip(*apart, strict=True)
        for one, other in zip(every, others, strict=True)
        for each in one
    )


def _over_functions(bound: BoundModel, moved: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """For `model` and `noise` the values that every edge has at three points of the unit normal variables."""
    columns, size = dict(bound.fields.columns), bound.fields.phylogeny.topology.size
    usual = {
        name: np.array(np.broadcast_to(0.0 if one.start is None else one.start, one.shape), float)
        for name, one in bound.declarations.items()
    }
    found = []
    for z in _LOOKED_AT:
        own = {name: np.full((size, *shape), z) for name, shape in bound.model.by_edge}
        found.append(jax.tree.map(np.asarray, _variables(bound.model, {**usual, **moved, **own}, columns)))
    return [list(of_function) for of_function in zip(*found, strict=True)]


@program(static_argnums=0)
def _variables(model: GaussianModel, values: Any, columns: Any) -> list[dict[str, Any]]:
    """What every edge has in natural units, for `model` and for `noise` if there is one."""
    functions = [each for each in (model.edge, model.noise) if each is not None]
    found = [model.over_edges(function, values, columns).variables for function in functions]
    return [{name: each[name] for name, _ in model.by_edge if name in each} for each in found]
