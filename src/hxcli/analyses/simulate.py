"""Simulation of traits under a model with given parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from hxcli.analyses.fit.fit import painted_tree
from hxcli.analyses.fit.options import has_roots, needs_regimes, refuse_unread_edges
from hxcli.analyses.simulate_grid import draw_on_grid
from hxcli.analyses.simulate_joint import draw_jointly
from hxcli.analyses.simulate_states import draw_states
from hxcli.edge_data import EdgeTable, edge_columns
from hxcli.errors import InputError, Note, OptionError
from hxcli.findings import TableFindings
from hxcli.inference.likelihood_columns import framed
from hxcli.model import Gaussian, Rates, abstract_edge, discover
from hxcli.models import GRID_MODELS, named_model
from hxcli.models.bound_model import BoundModel
from hxcli.models.by_edge import allowing_edges, refuse_cut_edges, refuse_no_priors
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import FloatArray, Phylogeny, canonical_order
from hxcli.prebuilt.node_draws import NodeEdges, draw
from hxcli.regime_tree import Regimes
from hxcli.traits import Covariance, Observations


def simulate(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    models: tuple[str, ...] = ("bm",),
    held: Mapping[str, float] | None = None,
    number: int = 1,
    seed: int = 1,
    nodes: bool = False,
    ou_root: str | None = None,
    regimes: Regimes | None = None,
    edge_data: EdgeTable | None = None,
    covariance: Covariance | None = None,
    fitted: Mapping[str, Mapping[str, float]] | None = None,
    state_names: tuple[str, ...] = (),
    **further: Any,
) -> TableFindings:
    """Draws traits at all nodes.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: Of no account.
        models: One name.
        held: Reported name -> value of every parameter.
        number: How many draws.
        seed: Of the random numbers.
        nodes: Whether inner nodes are wanted too.
        ou_root, regimes, edge_data: As in `fit`.
        covariance: Rates of several traits together, instead of `sigma2`.
        fitted: Parameters of a fit, by model.
        state_names: Of the states, for a model of states.
        further: Of no account.

    Raises:
        InputError: Regimes that do not fit the tree.
        OptionError: A parameter that is not given, or that the model does not have.
    """
    if len(models) > 1:
        raise OptionError("hx simulate takes one --model (run it once for each)")
    name = models[0] if models else next(iter(fitted)) if fitted else "bm"
    painted = painted_tree(phylogeny, regimes)
    model = named_model(name, ou_root if has_roots(name) else None)
    if needs_regimes(model) and not painted.regimes:
        raise OptionError(f"--model {name}: its parameters differ between regimes (give --regimes)")
    refuse_unread_edges(edge_data, [model])
    fields = edge_fields(painted, edge_columns(painted, edge_data))
    returned = _returned(model, fields)
    kind = type(returned)
    if kind is Gaussian and not returned.variance.ndim:
        model = allowing_edges(model, fields.columns)
    if state_names and kind is not Rates:
        raise OptionError(f"--states: model {model.name} is of numbers (leave it out)")
    # A fit calls a file by its model's name.
    called = model.name if model.text else name
    known = {**(fitted or {}).get(called, {}), **(held or {})}
    if kind is not Gaussian:
        if covariance is not None:
            raise OptionError(f"--covariance: model {name} is of one trait (leave it out)")
        notes: tuple[Note, ...] = ()
        if kind is Rates:
            drawn: Any = draw_states(painted.phylogeny, model, fields, known, number, seed, state_names)
        else:
            drawn, notes = draw_on_grid(painted.phylogeny, model, fields, known, number, seed)
        kept = painted.nodes if nodes else painted.nodes[phylogeny.tips]
        columns = [f"x{draw}" for draw in range(1, number + 1)]
        return _findings(phylogeny, model, number, columns, drawn[kept], nodes, known, seed, notes)
    if returned.variance.ndim:
        if covariance is not None:
            raise OptionError(f"--covariance: model {name} has the covariance of its traits itself (leave it out)")
        size = int(returned.variance.shape[-1])
        bound = model.on(fields, traits=tuple(str(trait) for trait in range(1, size + 1)))
        values = draw_jointly(bound, known, number, seed)[painted.nodes if nodes else painted.nodes[phylogeny.tips]]
        columns = [f"trait{trait}_{draw}" for draw in range(1, number + 1) for trait in bound.traits]
        found = _findings(phylogeny, model, number, columns, values.reshape(len(values), -1), nodes, known, seed)
        return replace(found, method=_method(number, f" of {size} traits together", model, seed))
    bound = model.on(fields)
    given = {**_of_fit(called, fitted, bound), **(held or {})}
    names: tuple[str, ...] = ("",)
    mixing = np.ones((1, 1))
    if covariance is not None:
        if "sigma2" in given:
            raise OptionError("--covariance gives the rates, and so does --set sigma2 (leave one out)")
        given, names, mixing = {**given, "sigma2": 1.0}, covariance.traits, _root_of(covariance.rates)
    kept = painted.nodes if nodes else painted.nodes[phylogeny.tips]
    if bound.by_edge:
        refuse_cut_edges(model, painted)
        refuse_no_priors(bound)
        states = draw_with_edges(bound, given, number, seed)[kept]
        columns = [f"x{draw}" for draw in range(1, number + 1)]
        return _findings(phylogeny, model, number, columns, states, nodes, given, seed)
    edges = edges_at(bound, given)
    deviations, mean = draw(painted.phylogeny, edges, number * len(names), seed)
    states_of = deviations[kept].reshape(len(kept), number, len(names)) @ mixing.T + mean[kept][:, None, None]
    columns = [f"{trait + '_' if trait else 'x'}{number}" for number in range(1, number + 1) for trait in names]
    return _findings(phylogeny, model, number, columns, states_of.reshape(len(kept), -1), nodes, given, seed)


def _returned(model: GaussianModel, fields: EdgeFields) -> Any:
    """What the model returns, arrays as their shapes: a `Gaussian`, `Rates` or `Sde`."""
    if not model.text and model.name not in GRID_MODELS:
        return Gaussian(variance=jax.ShapeDtypeStruct((), float))
    # Any trait's figures: what kind of model it is depends on none.
    columns = trait_fields(fields.columns, np.array([0.5, 1.5, 2.5]))
    try:
        return discover(model.edge, abstract_edge(columns)).returned
    except InputError:
        # Where it is those of traits together that it asks for, what is wrong is that there are no traits here.
        return discover(model.edge, abstract_edge(fields.columns)).returned


def _findings(
    phylogeny: Phylogeny,
    model: GaussianModel,
    number: int,
    columns: list[str],
    values: Any,
    nodes: bool,
    given: Mapping[str, float],
    seed: int,
    notes: tuple[Note, ...] = (),
) -> TableFindings:
    return TableFindings(
        phylogeny=phylogeny,
        traits=(),
        tips_used=(),
        method=_method(number, "", model, seed),
        tables={"simulation": {"names": columns, "values": values, "nodes": nodes}},
        header=(),
        rows=(),
        about_all={"model": model.name, "root": model.root_name, "parameters": dict(given), "seed": seed},
        warnings=notes,
    )


def _method(number: int, of: str, model: GaussianModel, seed: int) -> str:
    draws = "1 draw" if number == 1 else f"{number} draws"
    return f"{draws}{of} simulated under {model.name}, seed {seed}"


def edges_at(bound: BoundModel, given: Mapping[str, float]) -> NodeEdges:
    """The edges with the values of all parameters given.

    Raises:
        OptionError: A parameter that is not given, or that the model does not have.
    """
    values, unknowns = bound.settled(given)
    on = framed(bound.fields.columns, bound.fields.phylogeny)
    return _node_edges(bound, bound.model.edges(bound.layout, dict(on.columns), values), unknowns)


def _node_edges(bound: BoundModel, found: Any, unknowns: FloatArray) -> NodeEdges:
    """The first column of edges, on the host."""
    size = bound.fields.phylogeny.topology.size
    shift = np.asarray(found.shift)[:size, 0] @ unknowns
    scale, variance = (np.asarray(each)[:size, 0] for each in (found.scale, found.variance))
    root = float(np.asarray(found.root_mean)[0] @ unknowns), float(np.asarray(found.root_variance)[0])
    if found.noise is None:
        return NodeEdges(scale, variance, shift, *root)
    noise = np.where(bound.fields.phylogeny.topology.is_leaf, np.asarray(found.noise)[:size, 0], 0.0)
    if not (noise >= 0).all():
        raise OptionError(f"model {bound.name}: noise(tip) is negative or no number at these parameters")
    return NodeEdges(scale, variance, shift, *root, noise)


def draw_with_edges(bound: BoundModel, given: Mapping[str, float], number: int, seed: int) -> FloatArray:
    """(N, number) draws, each with values of every edge of its own, drawn from their priors but where they are set.

    The random numbers of a node do not depend on the order of children.

    Raises:
        OptionError: As `edges_at`.
    """
    set_by_name = {name: given[name] for name, shape in bound.model.by_edge if name in given and not shape}
    values, unknowns = bound.settled({name: value for name, value in given.items() if name not in set_by_name})
    for name, value in set_by_name.items():
        low, high = bound.by_edge[name].support
        if not low <= value <= high:
            raise OptionError(f"--set {name}={value:g}: outside its support, {low:.6g} to {high:.6g}")
    # What is set is one number for all edges.
    model = replace(bound.model, by_edge=tuple(each for each in bound.model.by_edge if each[0] not in set_by_name))
    values |= {name: np.array([value]) for name, value in set_by_name.items()}
    phylogeny, on = bound.fields.phylogeny, framed(bound.fields.columns, bound.fields.phylogeny)
    order, size = canonical_order(phylogeny), phylogeny.topology.size
    found = np.empty((size, number))
    for place in range(number):
        random = np.random.default_rng([seed, 1, place])
        own = {}
        for name, shape in model.by_edge:
            own[name] = np.zeros((1, on.tree.size, *shape))
            own[name][0, order] = random.standard_normal((size, *shape))
        edges = _node_edges(bound, model.edges(bound.layout, dict(on.columns), {**values, **own}), unknowns)
        deviations, mean = draw(phylogeny, edges, 1, [seed, 2, place])
        found[:, place] = deviations[:, 0] + mean
    return found


def _of_fit(name: str, fitted: Mapping[str, Mapping[str, float]] | None, bound: BoundModel) -> dict[str, float]:
    """The parameters of a fit that the model has."""
    if fitted is None:
        return {}
    if name not in fitted:
        raise OptionError(f"--from: the fit has no model {name} (it has {', '.join(fitted)})")
    has = {*bound.rates, *bound.unknowns, *(each.name for each in bound.coordinates)}
    return {parameter: value for parameter, value in fitted[name].items() if parameter in has}


def _root_of(rates: FloatArray) -> FloatArray:
    """(D, D) a matrix whose product with its transpose the rates are."""
    values, vectors = np.linalg.eigh(rates)
    if values.min() < -1e-9 * abs(values).max():
        raise OptionError("--covariance: the table is no covariance (it has a negative eigenvalue)")
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))
