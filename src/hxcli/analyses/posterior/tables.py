"""What a posterior's further products hold: joint draws, and what all other tips predict of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.pairs import PAIRS, PairFigures, pair_details, pair_figures, pair_table
from hxcli.analyses.posterior.joint_draws import Draws
from hxcli.analyses.posterior.solution import Solved, unit_of
from hxcli.close_names import listed
from hxcli.errors import Note
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.units import Units

# Standard deviations from its prediction beyond which a tip is suspected of a mistake.
_SUSPECT = 3.0


class Further(NamedTuple):
    """Tables by kind of product; per trait what the run record says of them; what the user should know."""

    tables: dict[str, dict[str, Any]]
    details: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]


def further_tables(
    phylogeny: Phylogeny,
    names: Sequence[str],
    units: Units,
    solved: Sequence[Solved | None],
    pairs: NodePairs | None,
    level: float,
) -> Further:
    """The tables of all traits, in their own units."""
    tables: dict[str, dict[str, Any]] = {}
    drawn = [(i, one.draws) for i, one in enumerate(solved) if one is not None and one.draws is not None]
    if drawn:
        count = len(drawn[0][1].sigma2)
        scales = [float(units.scale[i]) for i, _ in drawn]
        tables["draws"] = {
            "draw": np.tile(np.arange(1, count + 1), len(drawn)),
            "trait": np.repeat([names[i] for i, _ in drawn], count).tolist(),
            "sigma2": np.concatenate(
                [d.sigma2 * s / units.length * s for (_, d), s in zip(drawn, scales, strict=True)]
            ),
            "tau2": np.concatenate([d.tau2 * s * s for (_, d), s in zip(drawn, scales, strict=True)]),
            **_further_columns(units, solved, drawn),
            "states": np.concatenate([d.states * units.scale[i] + units.location[i] for i, d in drawn]),
        }
    rows: list[dict[str, Any]] = []
    details: dict[str, dict[str, Any]] = {}
    warnings: list[str] = []
    for i, one in enumerate(solved):
        if one is None or one.left_out is None:
            continue
        mine, details[names[i]], said = _left_out(phylogeny, names[i], units, i, one)
        rows.append(mine)
        warnings += said
    if pairs is not None:
        told = [_pairs(one, float(units.scale[i]), float(units.location[i]), level) for i, one in enumerate(solved)]
        tables[PAIRS] = pair_table(pairs, names, told, shortest=True)
        for trait, about in pair_details(tables[PAIRS]).items():
            details[trait] = {**details.get(trait, {}), **about}
    if rows:
        tables["leave-one-out table"] = {key: [v for row in rows for v in row[key]] for key in rows[0]}
    return Further(tables, details, tuple(warnings))


def _further_columns(
    units: Units, solved: Sequence[Solved | None], drawn: Sequence[tuple[int, Draws]]
) -> dict[str, Any]:
    """The models of draws and their further parameters, in the traits' own units; nan where a trait has none."""
    found: dict[str, Any] = {}
    if drawn[0][1].model:
        found["model"] = [name for _, each in drawn for name in each.model]
    for name in dict.fromkeys(name for _, each in drawn for name in each.more):
        columns = []
        for trait, each in drawn:
            one = solved[trait]
            kind = "" if one is None else one.kinds.get(name, "")
            factor, plus = unit_of(kind, float(units.scale[trait]), float(units.location[trait]), units.length)
            columns.append(each.more.get(name, np.full(len(each.sigma2), np.nan)) * factor + plus)
        found[name] = np.concatenate(columns)
    return found


def _pairs(one: Solved | None, scale: float, location: float, level: float) -> PairFigures | None:
    if one is None or one.pairs is None:
        return None
    states, weights = one.pairs
    return pair_figures(states.in_unit(scale, location), weights, level)


def _left_out(
    phylogeny: Phylogeny, name: str, units: Units, trait: int, one: Solved
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Columns, record and warnings of one trait."""
    found = one.left_out
    assert found is not None
    scale, location = float(units.scale[trait]), float(units.location[trait])
    tips = phylogeny.labels[found.tips].tolist()
    z = (found.observed - found.mean) / found.deviation
    log_density = found.log_density - np.log(scale)
    columns = {
        "node": tips,
        "trait": [name] * len(tips),
        "observed": (found.observed * scale + location).tolist(),
        "mean": (found.mean * scale + location).tolist(),
        "sd": (found.deviation * scale).tolist(),
        "z": z.tolist(),
        "log_density": log_density.tolist(),
    }
    known = np.isfinite(z)
    given = one.asked.prior_sigma2 is None and one.asked.prior_tau2 is None
    order = np.argsort(-np.abs(np.where(known, z, 0)))
    suspects = [int(i) for i in order if known[i] and abs(z[i]) > _SUSPECT]
    record = {
        "leave_one_out": {
            "parameters": "given" if given else "held at their posterior given all tips",
            "log_predictive_density": float(log_density[known].sum()),
            "tips": int(known.sum()),
            "suspects": [{"tip": tips[i], "z": float(z[i])} for i in suspects],
        }
    }
    warnings: list[str] = []
    if suspects:
        count = f"{len(suspects)} tip{'s' * (len(suspects) > 1)}"
        shown = listed([f"{tips[i]} ({z[i]:+.1f} sd)" for i in suspects])
        warnings.append(Note(f"trait {name!r}: {count} beyond 3 sd of what all other tips predict: {shown}"))
    if not known.all():
        unknown = [tips[i] for i in np.flatnonzero(~known)]
        warnings.append(Note(f"trait {name!r}: nothing is predicted by the others for {listed(unknown)}"))
    return columns, record, warnings
