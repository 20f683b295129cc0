"""Whether a user's file is right about `RATES` and `MEANS`, and what else it could have named there.

A search that believed a wrong one would be wrong too.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.errors import InputError
from hxcli.model import Declaration, Edge, abstract_edge, discover, evaluate
from hxcli.model.edges import OF_THE_TREE

if TYPE_CHECKING:
    from hxcli.models.gaussian_model import GaussianModel

# Edges that are looked at; and how far, as a share, a product may be from what it should be.
_EDGES, _NEAR = 8, 1e-9
# Models that were looked at: once is enough, whatever the tree and the trait.
_LOOKED_AT: WeakSet[GaussianModel] = WeakSet()


def refuse_false_claims(
    model: GaussianModel, declarations: Mapping[str, Declaration], columns: Mapping[str, Any]
) -> None:
    """Raises where not all variances are proportional to the rates, or means, scales and variances not as claimed.

    Args:
        model: Of a file; it returns a `Gaussian`.
        declarations: Its parameters.
        columns: Of `EdgeFields`, N nodes.

    Raises:
        InputError: Says which of `RATES` and `MEANS` is wrong, and where.
    """
    if model in _LOOKED_AT:
        return
    rates = [name for name in model.rates if name in declarations]
    means = [name for name in model.means if name in declarations]
    for kind, told in (("RATES", model.rates), ("MEANS", model.means)):
        for name in told:
            if name not in declarations and name != "root":
                has = ", ".join(declarations)
                raise InputError(
                    f"{kind} names {name!r}, which is declared nowhere", f"declared: {has}", file=model.source
                )
    if not rates and not means:
        return
    random = np.random.default_rng(0)
    usual = {name: np.broadcast_to(np.asarray(one.start, float), one.shape) for name, one in declarations.items()}
    usual |= {name: np.zeros(declarations[name].shape) for name in means}
    moved = {name: random.uniform(0.5, 1.5, declarations[name].shape) for name in means}
    ones = {name: np.ones(declarations[name].shape) for name in rates}
    sets = [{**usual, **ones}, {**usual, **{name: 2.0 * one for name, one in ones.items()}}]
    sets += [{**usual, **ones, **{name: by * each for name, each in moved.items()}} for by in (1.0, 2.0)]
    for function, found in zip(("model", "root"), _looked(model, sets, columns), strict=True):
        if found is None:
            continue
        scale, mean, variance = (np.asarray(each) for each in found)
        if rates and not (
            _same(scale[1], scale[0]) and _same(mean[1], mean[0]) and _same(variance[1], 2 * variance[0])
        ):
            raise InputError(
                f"RATES names {', '.join(rates)}, and what {function} returns is not a variance times that and means "
                "without it",
                "take it out of RATES, or multiply every variance by it",
                file=model.source,
            )
        linear = _same(mean[3] - mean[0], 2 * (mean[2] - mean[0]))
        if means and not (linear and _same(scale[2], scale[0]) and _same(variance[2], variance[0])):
            raise InputError(
                f"MEANS names {', '.join(means)}, and what {function} returns is not linear in that, in its means only",
                "take it out of MEANS",
                file=model.source,
            )
    _LOOKED_AT.add(model)


def unnamed_means(
    model: GaussianModel, declarations: Mapping[str, Declaration], columns: Mapping[str, Any]
) -> tuple[str, ...]:
    """Names of parameters that are searched for though they could stand in `MEANS`: they move means only, linearly.

    Args:
        model: Of a file; it returns a `Gaussian`, of one trait or of traits together.
        declarations: Its parameters.
        columns: Of `EdgeFields`, N nodes.
    """
    random = np.random.default_rng(0)
    named = {*model.means, *model.rates}
    if model.noise is not None:
        # What a mean and a variance share is searched for.
        edge = [abstract_edge(columns)] if inspect.signature(model.noise).parameters else []
        named |= discover(model.noise, *edge).declarations.keys()
    free = [name for name, one in declarations.items() if one.role != "fixed" and name not in named]
    base = {name: np.broadcast_to(np.asarray(one.start, float), one.shape) for name, one in declarations.items()}
    known = [name for name in model.means if name in declarations]
    steps = {name: random.uniform(0.5, 1.5, declarations[name].shape) for name in (*free, *known)}

    def are_means(names: list[str]) -> bool:
        moves = False
        moved = [base | {name: base[name] + by * steps[name] for name in names} for by in (1.0, 2.0)]
        for found in _looked(model, [base, *moved], columns):
            if found is not None:
                scale, mean, variance = (np.asarray(each) for each in found)
                linear = _same(mean[2] - mean[0], 2 * (mean[1] - mean[0]))
                if not (linear and _same(scale[1:], scale[:1]) and _same(variance[1:], variance[:1])):
                    return False
                moves |= not _same(mean[1], mean[0])
        return moves

    means = [name for name in free if are_means([name])]
    # Each linear by itself, a product of two is not.
    return tuple(means) if are_means([*means, *known]) else ()


def _looked(model: GaussianModel, sets: list[dict[str, Any]], columns: Mapping[str, Any]) -> tuple[Any, Any]:
    """What `model` returns of some edges and `root` of the tree at K sets, (K, ...) each; None without a root."""
    nodes = len(np.asarray(columns["length"]))
    looked = np.linspace(1, nodes - 1, _EDGES).astype(int)
    fields = {name: each if name in OF_THE_TREE else np.asarray(each)[looked] for name, each in columns.items()}
    edges, root = zip(*(_at(model, each, fields) for each in sets), strict=True)
    return tuple(zip(*edges, strict=True)), None if model.root is None else tuple(zip(*root, strict=True))


@program(static_argnums=0)
def _at(model: GaussianModel, values: Any, fields: Any) -> tuple[Any, Any]:
    edges = model.over_edges(model.edge, values, fields).returned
    whole = tuple(jnp.asarray(each, float) for each in edges)
    if model.root is None:
        return whole, None
    first = {name: each if name in OF_THE_TREE else each[0] for name, each in fields.items()}
    takes_tree = bool(inspect.signature(model.root).parameters)
    root = evaluate(model.root, values, *([Edge(first)] if takes_tree else [])).returned
    return whole, tuple(jnp.asarray(each, float) for each in root)


def _same(one: Any, other: Any) -> bool:
    return bool(np.allclose(one, other, rtol=_NEAR, atol=_NEAR, equal_nan=True))
