"""Standardised independent contrasts of every node and trait (Felsenstein 1985, Am. Nat. 125:1)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hxcli.engine.program import program
from hxcli.errors import Note
from hxcli.findings import TableFindings
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.device_placement import on_host
from hxcli.prebuilt.gaussian import gaussian_tree, likelihoods
from hxcli.prebuilt.gls import edge_weight
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_coincident, refuse_contradictions, tip_likelihoods
from hxcli.prebuilt.units import units_of
from hxcli.traits import Observations


def contrasts(phylogeny: Phylogeny, observations: Observations) -> TableFindings:
    """The contrasts between the children of every node.

    A node with two observed children has one contrast, the first child less the second over the square root of the
    variance of their difference at unit rate. A polytomy of m children has m - 1; their sum of squares, which does not
    depend on how it is resolved, is what stands in the table. The sum of all squares over the sum of all degrees of
    freedom is sigma2 by REML.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits; known standard errors are left aside.

    Raises:
        ModelError: Observations at no distance from each other.
    """
    ignored = bool(np.any(observations.standard_errors))
    plain = dataclasses.replace(observations, standard_errors=np.zeros(observations.values.shape))
    exact = exact_ones(plain)
    refuse_contradictions(phylogeny, plain, exact)
    refuse_coincident(phylogeny, plain, exact)
    units = units_of(phylogeny, plain)
    units.refuse_extreme()
    topology, size = phylogeny.topology, phylogeny.topology.size
    tips = tip_likelihoods(size, units.observations(plain))
    tree = gaussian_tree(topology, brownian_edges(phylogeny.lengths / units.length), tips)
    known, mean, precision = on_host(_messages(tree), size)
    lengths = (phylogeny.lengths / units.length)[:, None]
    found = _of_nodes(phylogeny, known, mean, precision, lengths)
    parents = np.flatnonzero((found["children"] > 1).any(1))
    traits = len(observations.traits)
    rate_scale = units.scale / units.length**0.5
    table: dict[str, Any] = {
        "node": np.repeat(parents, traits),
        "trait": np.tile(np.array(observations.traits, object), len(parents)).tolist(),
    }
    with np.errstate(over="ignore"):
        rate = rate_scale**2
    scales = {
        "contrast": rate_scale,
        "standard_deviation": np.full(traits, units.length**0.5),
        "sum_of_squares": rate,
        "value": units.scale,
        "variance": np.full(traits, units.length),
    }
    for name in ("children", "contrast", "standard_deviation", "sum_of_squares", "value", "variance"):
        figures = found[name][parents] * scales.get(name, np.ones(traits))
        table[name] = (figures + units.location if name == "value" else figures).ravel()
    squares, freedom = found["sum_of_squares"].sum(0) * rate, np.maximum(found["children"] - 1, 0).sum(0)
    units.refuse_beyond(~np.isfinite(squares))
    used = (~np.isnan(plain.means(0, size))).sum(0)
    table["children"] = table["children"].astype(int)
    return TableFindings(
        phylogeny=phylogeny,
        traits=observations.traits,
        tips_used=tuple(used.tolist()),
        method="independent contrasts, standardised by the square root of their variance at unit rate",
        tables={"contrasts table": table},
        header=("trait", "tips", "contrasts", "sum of squares", "sigma2 (REML)"),
        rows=[
            (name, (name, str(used[d]), str(int(freedom[d])), f"{squares[d]:.6g}", _ratio(squares[d], freedom[d])))
            for d, name in enumerate(observations.traits)
        ],
        about_traits=[
            {"contrasts": int(freedom[d]), "sum_of_squares": float(squares[d])} for d in range(len(observations.traits))
        ],
        warnings=(Note("known standard errors are left aside: contrasts are of the values themselves"),)
        if ignored
        else (),
    )


@program()
def _messages(tree: Any) -> tuple[Any, ...]:
    swept = likelihoods(tree)
    return swept["known"], swept["mean"], swept["precision"]


def _of_nodes(
    phylogeny: Phylogeny, known: FloatArray, mean: FloatArray, precision: FloatArray, lengths: FloatArray
) -> dict[str, FloatArray]:
    """Figures of all nodes, each (N, D), from what the tips below say about every node."""
    topology = phylogeny.topology
    below = np.flatnonzero(~np.asarray(topology.is_root))
    above = topology.parents[below]
    there = ((known > 0) | (precision > 0))[below]
    # Variance between a child's value and its parent.
    spread = np.where(precision > 0, 1 / np.where(precision > 0, precision, 1), 0.0)[below] + lengths[below]
    weight = np.asarray(edge_weight(known, precision, lengths))[below]
    residual = np.where(there, mean[below] - mean[above], 0.0)
    zero = np.zeros_like(mean)
    children, squares, total = zero.copy(), zero.copy(), zero.copy()
    np.add.at(children, above, there)
    np.add.at(squares, above, weight * residual**2)
    np.add.at(total, above, np.where(there, spread, 0.0))
    # Of two children, the first less the second: residuals around their mean, with the sign of the first.
    first, second = zero.copy(), zero.copy()
    rank = _ranks(above, there)
    for values, place in ((first, 0), (second, 1)):
        np.add.at(values, above, np.where(there & (rank == place), residual, 0.0))
    pair = children == 2
    deviation = np.sqrt(np.where(pair, total, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = (first - second) / deviation
    informed = precision > 0
    own = np.where(informed, 1 / np.where(informed, precision, 1), np.nan)
    return {
        "children": children,
        "contrast": contrast,
        "standard_deviation": deviation,
        "sum_of_squares": squares,
        "value": np.where((known > 0) | informed, mean, np.nan),
        "variance": np.where(known > 0, 0.0, own),
    }


def _ranks(above: Any, there: Any) -> Any:
    """Place of every observed child among the observed ones of its parent, in the order of the file."""
    order = np.argsort(above, kind="stable")
    counted = np.cumsum(there[order], 0)
    begins = np.searchsorted(above[order], above[order])
    before = np.where(begins[:, None] > 0, counted[np.maximum(begins - 1, 0)], 0)
    ranks = np.empty_like(counted)
    ranks[order] = counted - before - 1
    return ranks


def _ratio(squares: float, freedom: float) -> str:
    return f"{squares / freedom:.6g}" if freedom > 0 else ""
