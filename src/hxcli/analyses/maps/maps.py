"""Stochastic maps of a trait of states: histories of changes along the tree, drawn given all tips (Nielsen 2002)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hxcli.analyses.ancestral_states import (
    RateTable,
    StateOptions,
    observed_shares,
    pattern_for,
    rate_rows,
    refuse_ambiguous_stationary,
    root_prior,
    state_flags,
    warnings,
)
from hxcli.analyses.maps.along_edges import edge_shares
from hxcli.analyses.maps.first_times import first_times, too_long
from hxcli.analyses.maps.moments import moments, too_many
from hxcli.analyses.maps.paths import draw_changes, draw_states
from hxcli.analyses.maps.tables import expected_table, first_times_table
from hxcli.close_names import listed
from hxcli.errors import OptionError
from hxcli.findings import Findings, TableFindings
from hxcli.inference.state_rate_intervals import profile_intervals
from hxcli.inference.state_rates import fit_rates
from hxcli.models.file_rates import FileRates
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.discrete.likelihood import log_likelihood_slopes, marginals, messages, state_tree
from hxcli.prebuilt.tip_states import seen_states
from hxcli.state_findings import TraitStates
from hxcli.state_maps import EdgeShares, StateMaps
from hxcli.traits import Observations

# States of nodes, on all maps, that are held at a time.
_MOST_NODES = 20_000_000


def refuse_numbers(phylogeny: Phylogeny, observations: Observations, **options: Any) -> Findings:
    """Maps are of states.

    Raises:
        OptionError: Always.
    """
    raise OptionError("hx maps draws histories of states: name a column of text with --column, or any with --discrete")


def maps(
    phylogeny: Phylogeny,
    observations: Observations,
    numbers: Findings | None,
    *,
    models: Sequence[str] = (),
    tables: Mapping[str, RateTable] | None = None,
    count: int = 100,
    seed: int = 1,
    **options: Any,
) -> TableFindings:
    """Draws stochastic maps at the rates of highest likelihood, and gives exact expectations beside their means.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: With one trait of states.
        numbers: None.
        models: Name of the model; er for none.
        tables: Name -> table of a user's model.
        count: Number of maps, M.
        seed: Of the random numbers.
        options: The other fields of `StateOptions`.

    Raises:
        ModelError: What was seen is impossible, or the rates have no end.
        OptionError: Several traits or models.
    """
    if len(observations.states) != 1 or numbers is not None:
        names = [*observations.traits, *(column.name for column in observations.states)]
        raise OptionError(f"hx maps draws one trait of states at a time, not {listed(names)} (name it with --column)")
    if len(models) > 1:
        raise OptionError(f"--model: {listed(list(models))} are several models (give one; hx fit compares them)")
    model = models[0] if models else StateOptions.model
    chosen = StateOptions(model, (tables or {}).get(model), **options)
    seen = seen_states(phylogeny, observations.nodes, observations.states[0], chosen.states)
    pattern = pattern_for(chosen, seen.states, phylogeny)
    if isinstance(pattern, FileRates) and pattern.by_edge:
        raise OptionError(f"--model {model}: its rates differ from edge to edge, and maps are drawn under one matrix")
    tree = state_tree(phylogeny, seen.likelihoods[:, pattern.observed])
    fit = fit_rates(tree, pattern, root_prior(chosen, pattern, seen.states), chosen.held)
    refuse_ambiguous_stationary(fit.root, fit.rates, seen.name)
    prior = fit.root.columns(fit.rates[None])
    found = marginals(tree, fit.rates, None if prior is None else prior[0])
    root = found.root
    partials, matrices = messages(tree, fit.rates)
    size = len(pattern.states)
    parts, times, changes, firsts = [], [], [], []
    lengths, parents, distances = phylogeny.lengths, phylogeny.topology.parents, phylogeny.root_distances
    random = np.random.default_rng(seed)
    step = max(1, _MOST_NODES // phylogeny.topology.size)
    for first in range(0, count, step):
        number = min(step, count - first)
        states = draw_states(phylogeny.topology, partials, matrices, root, number, random)
        drawn = draw_changes(states, parents, lengths, fit.rates, random)
        parts.append(StateMaps(pattern.states, states, drawn))
        times.append(parts[-1].dwell_times(parents, lengths))
        changes.append(parts[-1].change_counts())
        firsts.append(parts[-1].first_times(parents, distances))
    flags = (*fit.flags, *state_flags(seen, pattern, len(fit.free)))
    dwell, counted = np.concatenate(times), np.concatenate(changes)
    slopes = log_likelihood_slopes(tree, fit.rates[None], root[None]).by_rates[0]
    told: list[str] = [*warnings(seen, fit, flags)]
    spread = None
    if too_many(phylogeny.topology.size, fit.rates):
        told.append("expected_sd is left out: exact variances of so many states on so many nodes take too long")
    else:
        spread = moments(phylogeny.topology, lengths, fit.rates, partials, root)
    expected = expected_table(pattern.states, dwell, counted, fit.rates, slopes, spread)
    since = None
    if too_long(phylogeny.topology.size, size):
        told.append("expected first times are left out: so many states on so many nodes take too long")
    else:
        since = first_times(phylogeny, fit.rates, partials, found.probabilities[0])
    figures = rate_rows(fit, profile_intervals(tree, fit, chosen.level))
    rates = [(seen.name, pattern.name, *row) for row in figures]

    def along() -> EdgeShares:
        shares = edge_shares(phylogeny, fit.rates, partials, found.probabilities)
        return replace(shares, shares=observed_shares(shares.shares, pattern, len(seen.states)))

    nodes = TraitStates(
        name=seen.name,
        states=seen.states,
        observed=seen.texts,
        probabilities=observed_shares(found.probabilities, pattern, len(seen.states)),
        model=pattern.name,
        log_likelihood=fit.log_likelihood,
        rates=figures,
        count=len(fit.free),
        root_prior=(fit.root.kind, root),
        tips_used=seen.tips_used,
    )
    titles = ("trait", "model", "parameter", "value", "lower", "upper", "how")
    changes_in_all = counted.sum((1, 2))
    return TableFindings(
        phylogeny=phylogeny,
        traits=(seen.name,),
        tips_used=(seen.tips_used,),
        method=f"{count} stochastic maps by uniformisation, rates by ML, {chosen.root_prior} root",
        tables={
            "maps": {"parts": parts},
            "expected table": expected,
            "first times table": first_times_table(pattern.states, np.concatenate(firsts), chosen.level, since),
            "maps picture": {"nodes": nodes, "along": along},
            "parameter table": {name: [row[place] for row in rates] for place, name in enumerate(titles)},
        },
        header=("trait", "model", "log likelihood", "maps", "changes a map", "expected"),
        rows=[
            (
                seen.name,
                (
                    seen.name,
                    pattern.name,
                    f"{fit.log_likelihood:.6g}",
                    str(count),
                    f"{changes_in_all.mean():.4g}",
                    f"{(fit.rates * slopes)[~np.eye(size, dtype=bool)].sum():.4g}",
                ),
            )
        ],
        about_traits=[{"model": pattern.name, "log_likelihood": fit.log_likelihood, "flags": list(flags)}],
        warnings=tuple(told),
    )
