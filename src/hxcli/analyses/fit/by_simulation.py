"""What is found of fits by simulation: its tables, and its part of the run record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hxcli.analyses.fit.adequacy import COLUMNS as ADEQUACY
from hxcli.analyses.fit.adequacy import STATISTICS, Adequacy, adequacy
from hxcli.analyses.fit.bootstrap import COLUMNS as BOOTSTRAP
from hxcli.analyses.fit.bootstrap import bootstrap
from hxcli.analyses.fit.fitted import FittedModel
from hxcli.findings import TableFindings


def with_bootstrap(
    found: TableFindings,
    fitted: Sequence[Sequence[FittedModel]],
    nulls: Sequence[FittedModel],
    count: int,
    seed: int,
    level: float,
) -> TableFindings:
    """The findings with the bootstrap of every trait's models against bm, `nulls`."""
    results = [
        {each.fitted.name: each for each in bootstrap(one, null, count, seed, level)}
        for one, null in zip(fitted, nulls, strict=True)
    ]
    said = {
        (trait, name): (f"{each.p:.3g}", f"{each.power:.3g}")
        for trait, one in zip(found.traits, results, strict=True)
        for name, each in one.items()
        if not math.isnan(each.p)
    }
    shown = [(trait, (*row[:-1], *said.get((trait, row[1]), ("", "")), row[-1])) for trait, row in found.rows]
    header = (*found.header[:-1], "p against bm", "power", found.header[-1])
    return replace(_with(found, "bootstrap", BOOTSTRAP, results), header=header, rows=shown)


def with_adequacy(
    found: TableFindings, fitted: Sequence[Sequence[FittedModel]], seed: int, level: float
) -> TableFindings:
    """The findings with the adequacy of every trait's models."""
    results = [{each.fitted.name: each for each in adequacy(one, seed, level)} for one in fitted]
    low = {
        (trait, name): _least(each)
        for trait, one in zip(found.traits, results, strict=True)
        for name, each in one.items()
    }
    shown = [(trait, (*row[:-1], low.get((trait, row[1]), ""), row[-1])) for trait, row in found.rows]
    header = (*found.header[:-1], "least adequate (p)", found.header[-1])
    return replace(_with(found, "adequacy", ADEQUACY, results), header=header, rows=shown)


def _least(found: Adequacy) -> str:
    """The statistic with the smallest p, and that."""
    known = {p: name for name, p in zip(STATISTICS, found.p.tolist(), strict=True) if not math.isnan(p)}
    return f"{known[min(known)]} {min(known):.3g}" if known else ""


def _with(
    found: TableFindings, what: str, columns: tuple[str, ...], results: Sequence[Mapping[str, Any]]
) -> TableFindings:
    """The findings with a table of every model's rows, and with what it has to say in the record of the model."""
    rows: list[tuple[Any, ...]] = []
    about = []
    for known, by_name in zip(found.about_traits, results, strict=True):
        models = []
        for model in known["models"]:
            result = by_name.get(model["model"])
            rows += result.rows() if result else []
            models.append({**model, what: result.about()} if result else model)
        about.append({**known, "models": models})
    table = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    return replace(found, tables={**found.tables, f"{what} table": table}, about_traits=about)
