"""Analyses: what a user asks of a tree and a table, one file or folder each.

An analysis is a function `analysis(phylogeny, observations, **options) -> Findings`. To add one, write a file beside
these and give it an entry in `ANALYSES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hxcli.errors import OptionError
from hxcli.findings import STATES, Findings


@dataclass(frozen=True)
class Analysis:
    """An entry of `ANALYSES`.

    Attributes:
        place: `module:function`, imported on use, because it imports jax.
        gives: What of its findings becomes products: `STATES` of all nodes, and names of tables.
        by_trait: Whether it takes every trait by itself and draws no random numbers, so that traits may be computed in
            chunks.
        of_states: `module:function` for traits of states, called with the phylogeny, the observations, what was found
            about traits of numbers (None without any) and options; "" where the analysis has none.
        states_give: Names of the tables that only runs with traits of states have.
        of_samples: What of many trees becomes products; empty where the analysis is about one tree.
        of_one_kind: Options that a run with traits of numbers and of states has no answer to.
    """

    place: str
    gives: tuple[str, ...] = (STATES,)
    by_trait: bool = False
    of_states: str = ""
    states_give: tuple[str, ...] = ()
    of_samples: tuple[str, ...] = ()
    of_one_kind: tuple[str, ...] = ()


# What analyses that find states of nodes give of many trees.
_POOLED = (STATES, "trees table", "node ages")

ANALYSES: dict[str, Analysis] = {
    "ancestral": Analysis(
        "hxcli.analyses.ancestral:ancestral",
        (STATES, "leave-one-out table", "pairs table"),
        by_trait=True,
        of_states="hxcli.analyses.ancestral_states:ancestral_states",
        states_give=("parameter table",),
        of_samples=_POOLED,
    ),
    "fit": Analysis(
        "hxcli.analyses.fit.fit:fit",
        ("fits table", "parameter table", "bootstrap table", "adequacy table", "comparison picture"),
        of_states="hxcli.analyses.fit.states:fit_states",
        of_samples=("fits table", "parameter table", "trees table"),
    ),
    "simulate": Analysis("hxcli.analyses.simulate:simulate", ("simulation",)),
    "together": Analysis(
        "hxcli.analyses.together.ancestral:ancestral_together",
        (STATES, "covariance table", "within table", "leave-one-out table", "pairs table"),
        of_samples=_POOLED,
    ),
    "together under a file": Analysis(
        "hxcli.analyses.together.under_file:ancestral_under_file", (STATES, "parameter table"), of_samples=_POOLED
    ),
    "fit together": Analysis("hxcli.analyses.together.fit:fit_together", ("fits table", "parameter table")),
    "maps": Analysis(
        "hxcli.analyses.maps.maps:refuse_numbers",
        ("maps", "expected table", "first times table", "maps picture", "parameter table"),
        of_states="hxcli.analyses.maps.maps:maps",
    ),
    "pca": Analysis(
        "hxcli.analyses.pca.pca:pca",
        ("scores table", "ancestors table", "loadings table", "explained table", "ordination"),
    ),
    "mean": Analysis("hxcli.analyses.mean:mean", by_trait=True, of_samples=_POOLED),
    "posterior": Analysis(
        "hxcli.analyses.posterior.posterior:posterior",
        (STATES, "parameter table", "leave-one-out table", "draws", "pairs table"),
        of_states="hxcli.analyses.posterior.state_posterior:posterior_states",
        of_samples=_POOLED,
        of_one_kind=("draws",),
    ),
    "posterior together": Analysis(
        "hxcli.analyses.together.posterior:posterior_together",
        (STATES, "parameter table", "covariance table", "within table", "leave-one-out table", "draws", "pairs table"),
    ),
    "posterior together under a file": Analysis(
        "hxcli.analyses.together.file_posterior:posterior_under_file", (STATES, "parameter table", "draws")
    ),
    "contrasts": Analysis("hxcli.analyses.contrasts:contrasts", ("contrasts table",)),
    "regress": Analysis(
        "hxcli.analyses.regress.regress:regress",
        ("coefficients table", "regression table", "residuals table", "comparison table", "regression picture"),
        of_samples=("coefficients table", "regression table", "trees table"),
    ),
    "signal": Analysis(
        "hxcli.analyses.signal.signal:signal", ("signal table",), of_samples=("signal table", "trees table")
    ),
}


def load(name: str) -> Callable[..., Any]:
    """The function of an analysis, which returns `Findings`.

    Raises:
        KeyError: There is no analysis of that name.
    """
    return _imported(ANALYSES[name].place)


def load_of_states(name: str) -> Callable[..., Any]:
    """The function of an analysis for traits of states, which returns `Findings`."""
    return _imported(ANALYSES[name].of_states)


def refuse_both_kinds(name: str, options: Mapping[str, Any]) -> None:
    """Raises where options of a run with traits of numbers and of states are for one kind.

    Raises:
        OptionError: Names the option.
    """
    for option in ANALYSES[name].of_one_kind:
        if options.get(option):
            raise OptionError(f"--{option} is of traits of one kind, numbers or states (choose them with --column)")


def options_for_numbers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of the options of a run with traits of both kinds, those for traits of numbers."""
    from hxcli.models.rate_patterns import is_state_model

    found = dict(options)
    if "models" in found:
        found["models"] = tuple(name for name in found["models"] if not is_state_model(name))
    for name in ("held", "priors"):
        if name in found:
            found[name] = {
                label: value for label, value in found[name].items() if label != "q" and not label.startswith("q(")
            }
    return found


def _imported(place: str) -> Callable[..., Any]:
    module, function = place.split(":")
    found: Callable[..., Findings] = getattr(importlib.import_module(module), function)
    return found
