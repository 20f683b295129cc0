"""The data of a report's table and hover: one list a column, in the order of the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.findings import Findings
from hxcli.formats.exchange.states import best_states
from hxcli.formats.trees.node_identifiers import mrca_tips, node_names
from hxcli.phylogeny import FloatArray
from hxcli.pictures.labels import printable
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import TraitStates, numbers_of, states_of

# Rows (nodes times traits) with which a page still opens fast, and states with a column of their own.
_MOST_ROWS = 60_000
_MOST_STATES = 12


def traits_shown(found: Findings) -> int:
    """How many traits, from the first on, a page has room for; at least one where there is one."""
    room = max(1, _MOST_ROWS // found.phylogeny.topology.size)
    return min(len(found.traits), room)


def report_names(found: Findings) -> list[str]:
    """(N,) the names that the table of results has too."""
    return [printable(name) for name in node_names(found.phylogeny).to_list()]


def page_data(found: Findings, names: list[str], points: FloatArray) -> dict[str, Any]:
    """Everything that the page's script needs.

    Args:
        found: About N nodes.
        names: (N,) of `report_names`.
        points: (N, 2) places in the picture.
    """
    phylogeny, numbers = found.phylogeny, numbers_of(found)
    traits = (
        []
        if numbers is None
        else [_trait(numbers, column) for column in range(min(len(numbers.traits), traits_shown(found)))]
    )
    traits += [_state_trait(trait) for trait in states_of(found)]
    tip_a, tip_b = mrca_tips(phylogeny)
    return {
        "names": names,
        "parents": phylogeny.topology.parents.tolist(),
        "tip_a": tip_a.tolist(),
        "tip_b": tip_b.tolist(),
        "n_tips": phylogeny.tip_counts.tolist(),
        "x": np.round(points[:, 0], 1).tolist(),
        "y": np.round(points[:, 1], 1).tolist(),
        "interval": "" if numbers is None else interval_name(numbers),
        "traits": traits,
    }


def interval_name(reconstruction: Reconstruction) -> str:
    """Such as `95% CI`."""
    return f"{100 * reconstruction.level:.10g}% {reconstruction.interval}"


def _trait(reconstruction: Reconstruction, column: int) -> dict[str, Any]:
    lower, upper = reconstruction.ends
    further = {name: values for name, values in reconstruction.columns.items() if not name.startswith("hpd_")}
    columns = {
        "observed": reconstruction.observed,
        "estimate": reconstruction.estimates,
        "se": reconstruction.standard_errors,
        "lower": lower,
        "upper": upper,
        **further,
    }
    return {
        "name": printable(reconstruction.traits[column]),
        "columns": {name: _numbers(values[:, column]) for name, values in columns.items()},
    }


def _state_trait(trait: TraitStates) -> dict[str, Any]:
    """The most probable state and its probability, then the probability of every state where these are not many."""
    columns: dict[str, Any] = {
        "observed": [printable(text) or None for text in trait.observed.tolist()],
        "state": [printable(state) or None for state in best_states(trait)],
        "probability": _numbers(trait.probabilities.max(1)),
    }
    if len(trait.states) <= _MOST_STATES:
        for place, state in enumerate(trait.states):
            columns[f"P({printable(state)})"] = _numbers(trait.probabilities[:, place])
    return {"name": printable(trait.name), "kind": "states", "columns": columns}


def _numbers(values: FloatArray) -> list[float | None]:
    """The figures in full, so that the page rounds them as the table does; null for what is not a number."""
    return [value if there else None for value, there in zip(values.tolist(), np.isfinite(values), strict=True)]
