"""The tables of stochastic maps: times, changes and first times, over the maps and exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hxcli.analyses.maps.first_times import FirstTimes
from hxcli.analyses.maps.moments import Moments
from hxcli.phylogeny import FloatArray


def expected_table(
    states: Sequence[str],
    dwell: FloatArray,
    changes: Any,
    rates: FloatArray,
    slopes: FloatArray,
    spread: Moments | None,
) -> dict[str, list[Any]]:
    """`quantity,state,to,mean,sd,expected,expected_sd`: time in every state, then changes of every possible kind.

    The exact expectations are derivatives of the log likelihood by the cells of the rate matrix (Fisher's identity;
    Minin and Suchard 2008, J. Math. Biol. 56:391).

    Args:
        states: (S,) their names.
        dwell: (M, S) times on every map.
        changes: (M, S, S) numbers of changes.
        rates: (S, S).
        slopes: (S, S) derivatives of the log likelihood.
        spread: Exact variances; None where there are none.
    """
    free = 1 if len(dwell) > 1 else 0
    rows: list[tuple[Any, ...]] = [
        (
            "dwell",
            state,
            None,
            dwell[:, a].mean(),
            dwell[:, a].std(ddof=free),
            slopes[a, a],
            None if spread is None else np.sqrt(spread.dwell_variance[a]),
        )
        for a, state in enumerate(states)
    ]
    for a, b in np.argwhere(~np.eye(len(states), dtype=bool) & (rates > 0)):
        of_kind = changes[:, a, b]
        expected = rates[a, b] * slopes[a, b]
        exact = None if spread is None else np.sqrt(spread.change_variance[a, b])
        rows.append(("changes", states[a], states[b], of_kind.mean(), of_kind.std(ddof=free), expected, exact))
    names = ("quantity", "state", "to", "mean", "sd", "expected", "expected_sd")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def first_times_table(
    states: Sequence[str], times: FloatArray, level: float, exact: FirstTimes | None
) -> dict[str, list[Any]]:
    """`state,reached,mean,sd,lower,upper,expected_reached,expected,expected_sd`: who has a state, and since when.

    Args:
        states: (S,) their names.
        times: (M, S) distances from the root; inf for never.
        level: Part of the maps that reach the state between `lower` and `upper`.
        exact: The same without maps; None where there is nothing.
    """
    rows: list[tuple[Any, ...]] = []
    for place, state in enumerate(states):
        there = times[np.isfinite(times[:, place]), place]
        figures: list[Any] = [None] * 4
        if len(there):
            ends = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
            figures = [there.mean(), there.std(ddof=1) if len(there) > 1 else 0.0, *map(float, ends)]
        known = [None] * 3 if exact is None else [_known(column[place]) for column in exact]
        rows.append((state, len(there) / len(times), *figures, *known))
    names = ("state", "reached", "mean", "sd", "lower", "upper", "expected_reached", "expected", "expected_sd")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
