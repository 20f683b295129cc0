"""Phylogenetic signal of every trait: Blomberg's K and Pagel's lambda, with their tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses.signal.draws import name_ranks
from hxcli.analyses.signal.k_statistic import tested_k
from hxcli.analyses.signal.known_errors import tested_k_with_errors
from hxcli.analyses.signal.pagel_lambda import estimate_lambda
from hxcli.engine.topology import BoolArray
from hxcli.errors import Note
from hxcli.findings import TableFindings
from hxcli.phylogeny import FloatArray, Phylogeny, relabel
from hxcli.prebuilt.contrast_matrices import contrast_matrices
from hxcli.prebuilt.merges import merges_of
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_coincident, refuse_contradictions, tip_likelihoods
from hxcli.prebuilt.units import units_of
from hxcli.traits import Observations

_FEWEST = 3
_COLUMNS = (
    "k_statistic", "k_p", "k_one_p", "lambda", "lambda_lower", "lambda_upper", "log_likelihood", "log_likelihood_zero",
    "lambda_p",
)  # fmt: skip


def signal(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    permutations: int = 9999,
    level: float = 0.95,
    seed: int = 0,
) -> TableFindings:
    """How much alike relatives are.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits.
        permutations: Number of permutations, and of simulations.
        level: Probability of lambda's interval.
        seed: Of the permutations and simulations.

    Raises:
        ModelError: Error-free observations at no distance from each other.
    """
    refuse_contradictions(phylogeny, observations, exact_ones(observations))
    refuse_coincident(phylogeny, observations, exact_ones(observations))
    units = units_of(phylogeny, observations)
    tree = relabel(phylogeny, edge_lengths=phylogeny.edge_lengths / units.length)
    tips = tip_likelihoods(tree.topology.size, units.observations(observations))
    there = (tips["known"] > 0) | (tips["precision"] > 0)
    names = observations.traits
    found = {name: np.full(len(names), np.nan) for name in _COLUMNS}
    ranks = name_ranks(phylogeny)
    for traits, with_errors in _groups(there, tips["precision"] > 0):
        seen = np.flatnonzero(there[:, traits[0]])
        values = tips["mean"][np.ix_(seen, traits)]
        varies = np.ptp(values, 0) > 0 if len(seen) >= _FEWEST else np.zeros(len(traits), bool)
        traits, values = traits[varies], values[:, varies]
        if not len(traits):
            continue
        merges = merges_of(tree, seen)
        noise = _noise(tips["precision"][np.ix_(seen, traits)]) if with_errors else None
        if noise is None:
            contrasts = contrast_matrices(merges)
            k = tested_k(tree, contrasts, values, ranks, permutations, seed)
        else:
            parts = [
                tested_k_with_errors(tree, merges, values[:, d : d + 1], noise[:, d : d + 1], ranks, permutations, seed)
                for d in range(len(traits))
            ]
            k = type(parts[0])(*(np.concatenate(field) for field in zip(*parts, strict=True)))
        estimated = estimate_lambda(merges, values, noise, level)
        for name, figures in zip(_COLUMNS, (*k, *estimated), strict=True):
            found[name][traits] = figures
    apart = _replicates(tips)
    densities = np.where(tips["known"] > 0, 1, tips["count"]).sum(0)
    for name in ("log_likelihood", "log_likelihood_zero"):
        found[name] = units.log_likelihoods(found[name] + apart, densities)
    number = there.sum(0)
    table: dict[str, Any] = {"trait": list(names), "n": number, **found}
    return TableFindings(
        phylogeny=phylogeny,
        traits=names,
        tips_used=tuple(number.tolist()),
        method=method_of(permutations),
        tables={"signal table": table},
        header=("trait", "n", *(name.replace("_", " ") for name in _COLUMNS)),
        rows=[
            (
                name,
                (
                    name,
                    str(number[d]),
                    *("" if np.isnan(found[key][d]) else f"{found[key][d]:.6g}" for key in _COLUMNS),
                ),
            )
            for d, name in enumerate(names)
        ],
        about_traits=[{key: float(found[key][d]) for key in _COLUMNS} for d in range(len(names))],
        warnings=tuple(
            Note(f"trait {name!r}: {_reason(int(n))}, so it has no signal to speak of: its figures are empty")
            for name, n, k in zip(names, number, found["k_statistic"], strict=True)
            if np.isnan(k)
        )
        + tuple(
            Note(f"trait {name!r}: on this tree its likelihood is the same for every lambda, which is empty")
            for name, k, share in zip(names, found["k_statistic"], found["lambda"], strict=True)
            if np.isnan(share) and not np.isnan(k)
        ),
    )


def method_of(permutations: int) -> str:
    """What is done, in words."""
    return f"phylogenetic signal: Blomberg's K ({permutations} permutations, simulations), Pagel's lambda (ML)"


def _reason(count: int) -> str:
    return "all values are equal" if count >= _FEWEST else f"{count} of at least {_FEWEST} tips have a value"


def _groups(there: BoolArray, soft: BoolArray) -> list[tuple[Any, bool]]:
    """Numbers of the traits with values at the same tips, those with errors apart."""
    groups: dict[tuple[bytes, bool], list[int]] = {}
    for trait in range(there.shape[1]):
        groups.setdefault((np.packbits(there[:, trait]).tobytes(), bool(soft[:, trait].any())), []).append(trait)
    return [(np.array(traits), with_errors) for (_, with_errors), traits in groups.items()]


def _noise(precision: FloatArray) -> FloatArray:
    """Error variance of every tip's mean; 0 where it has none."""
    return np.where(precision > 0, 1 / np.where(precision > 0, precision, 1), 0.0)


def _replicates(tips: Mapping[str, FloatArray]) -> FloatArray:
    """(D,) log density of the replicates given the mean of each tip."""
    soft = tips["precision"] > 0
    further = np.where(soft, tips["count"] - 1, 0) * np.log(2 * np.pi) + tips["quadratic"]
    further += np.where(soft, tips["log_det"] + np.log(np.where(soft, tips["precision"], 1)), 0)
    total: FloatArray = -further.sum(0) / 2
    return total
