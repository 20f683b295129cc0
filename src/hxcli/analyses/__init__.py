"""Analyses: what a user asks of a tree and a table, one file or folder each.

An analysis is a function `analysis(phylogeny, observations, **options) -> Findings`. To add one, write a file beside
these and give it an entry in `ANALYSES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hxcli.findings import STATES, Findings


@dataclass(frozen=True)
class Analysis:
    """An entry of `ANALYSES`.

    Attributes:
        place: `module:function`, imported on use, because it imports jax.
        gives: What of its findings becomes products: `STATES` of all nodes, and names of tables.
        by_trait: Whether it takes every trait by itself and draws no random numbers, so that traits may be computed in
            chunks.
    """

    place: str
    gives: tuple[str, ...] = (STATES,)
    by_trait: bool = False


ANALYSES: dict[str, Analysis] = {
    "ancestral": Analysis("hxcli.analyses.ancestral:ancestral", by_trait=True),
    "fit": Analysis("hxcli.analyses.fit.fit:fit", ("fits table", "parameter table")),
    "simulate": Analysis("hxcli.analyses.simulate:simulate", ("simulation",)),
    "together": Analysis(
        "hxcli.analyses.together.ancestral:ancestral_together", (STATES, "covariance table", "within table")
    ),
    "mean": Analysis("hxcli.analyses.mean:mean", by_trait=True),
    "posterior": Analysis(
        "hxcli.analyses.posterior.posterior:posterior", (STATES, "parameter table", "leave-one-out table", "draws")
    ),
    "contrasts": Analysis("hxcli.analyses.contrasts:contrasts", ("contrasts table",)),
    "regress": Analysis(
        "hxcli.analyses.regress.regress:regress",
        ("coefficients table", "regression table", "residuals table", "comparison table"),
    ),
    "signal": Analysis("hxcli.analyses.signal.signal:signal", ("signal table",)),
}


def load(name: str) -> Callable[..., Any]:
    """The function of an analysis, which returns `Findings`.

    Raises:
        KeyError: There is no analysis of that name.
    """
    module, function = ANALYSES[name].place.split(":")
    found: Callable[..., Findings] = getattr(importlib.import_module(module), function)
    return found
