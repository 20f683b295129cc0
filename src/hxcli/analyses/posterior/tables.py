"""What a posterior's further products hold: joint draws, and what all other tips predict of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.left_out_table import HELD, LEFT_OUT, LeftOutRows, left_out_rows, left_out_table
from hxcli.analyses.left_out_tips import left_out_in_unit
from hxcli.analyses.pairs import PAIRS, PairFigures, pair_details, pair_figures, pair_table
from hxcli.analyses.posterior.joint_draws import Draws
from hxcli.analyses.posterior.solution import CHANGE, STATE, Solved, unit_of
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.units import Units

# Columns of draws before all others.
_FIRST = ("sigma2", "tau2")


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
        count = len(drawn[0][1].states)
        tables["draws"] = {
            "draw": np.tile(np.arange(1, count + 1), len(drawn)),
            "trait": np.repeat([names[i] for i, _ in drawn], count).tolist(),
            **_parameter_columns(units, solved, drawn),
            "states": np.concatenate([d.states * units.scale[i] + units.location[i] for i, d in drawn]),
        }
    rows: list[LeftOutRows] = []
    details: dict[str, dict[str, Any]] = {}
    warnings: list[str] = []
    for i, one in enumerate(solved):
        if one is None or one.left_out is None:
            continue
        rows.append(_left_out(phylogeny, names[i], units, i, one))
        details[names[i]] = rows[-1].record
        warnings += rows[-1].warnings
    if pairs is not None:
        told = [_pairs(one, float(units.scale[i]), float(units.location[i]), level) for i, one in enumerate(solved)]
        tables[PAIRS] = pair_table(pairs, names, told, shortest=True)
        for trait, about in pair_details(tables[PAIRS]).items():
            details[trait] = {**details.get(trait, {}), **about}
    if rows:
        tables[LEFT_OUT] = left_out_table(rows)
    return Further(tables, details, tuple(warnings))


def own_draws(units: Units, trait: int, one: Solved) -> dict[str, FloatArray]:
    """Parameter -> (K,) its draws in the trait's own units."""
    drawn, found = one.draws, {}
    assert drawn is not None
    scale, location = float(units.scale[trait]), float(units.location[trait])
    if drawn.sigma2 is not None and drawn.tau2 is not None:
        found = {"sigma2": drawn.sigma2 * scale / units.length * scale, "tau2": drawn.tau2 * scale * scale}
    for name, values in drawn.more.items():
        factor, plus = unit_of(one.kinds.get(name, ""), scale, location, units.length)
        found[name] = values * factor + plus
    return found


def _parameter_columns(
    units: Units, solved: Sequence[Solved | None], drawn: Sequence[tuple[int, Draws]]
) -> dict[str, Any]:
    """Variances, models and further parameters of draws, in the traits' own units; nan where a trait has none."""
    own = [own_draws(units, trait, one) for trait, _ in drawn if (one := solved[trait]) is not None]
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for found in own for name in found):
        # Of what every edge has, a column for every node.
        shape = next(found[name] for found in own if name in found).shape[1:]
        parts = [
            found.get(name, np.full((len(each.states), *shape), np.nan))
            for found, (_, each) in zip(own, drawn, strict=True)
        ]
        columns[name] = np.concatenate(parts)
    first = {name: columns[name] for name in _FIRST if name in columns}
    model = {"model": [name for _, each in drawn for name in each.model]} if drawn[0][1].model else {}
    return {**first, **model, **{name: column for name, column in columns.items() if name not in first}}


def _pairs(one: Solved | None, scale: float, location: float, level: float) -> PairFigures | None:
    if one is None or one.pairs is None:
        return None
    states, weights = one.pairs
    return pair_figures(states.in_unit(scale, location), weights, level)


def _left_out(phylogeny: Phylogeny, name: str, units: Units, trait: int, one: Solved) -> LeftOutRows:
    """What is left out of one trait, in its own units."""
    found = one.left_out
    assert found is not None
    own = left_out_in_unit(found, float(units.scale[trait]), float(units.location[trait]))
    given = not one.given.priors and all(one.kinds.get(each) in (STATE, CHANGE) for each in one.priors)
    tips = phylogeny.labels[found.tips].tolist()
    return left_out_rows(tips, name, own.observed, own.predicted, "given" if given else HELD)
