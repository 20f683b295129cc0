"""Comparison of models of states by their corrected information criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hxcli.analyses.ancestral_states import (
    StateOptions,
    certificate,
    keeps_several,
    own_models,
    own_options,
    pattern_for,
    rate_rows,
    refuse_ambiguous_stationary,
    root_prior,
    state_flags,
    warnings,
)
from hxcli.analyses.fit.comparison import Comparison
from hxcli.errors import Note, OptionError
from hxcli.findings import TableFindings
from hxcli.inference.akaike import aic, aicc
from hxcli.inference.state_objective import RootPrior
from hxcli.inference.state_rate_intervals import profile_intervals
from hxcli.inference.state_rates import RateFit, fit_rates
from hxcli.models import refuse_one_name_twice
from hxcli.models.file_rates import StateModel
from hxcli.models.rate_patterns import RatePattern
from hxcli.models.searched_rates import SearchedRates
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.discrete.likelihood import StateTree, marginals, state_tree
from hxcli.prebuilt.tip_states import SeenStates, seen_states
from hxcli.traits import Observations

# Models that are tried where none is named, and with how many rates at most, or one for ten tips.
USUAL = ("er", "ard", "sym", "f81", "ordered")
_MOST_RATES = 20
# A state that is behind the best by no more is as good as that.
_AS_PROBABLE = 0.01


@dataclass(frozen=True, eq=False)
class FittedRates:
    """One model of one trait.

    Attributes:
        seen: What was seen.
        fit: Its rates.
        name: Of the model.
        flags: Codes.
        rows: (label, value, lower, upper, how) of every rate.
    """

    seen: SeenStates
    fit: RateFit
    name: str
    flags: tuple[str, ...]
    rows: tuple[tuple[str, float, float, float, str], ...]

    @property
    def n(self) -> int:
        """Tips with a state."""
        return self.seen.tips_used

    @property
    def k(self) -> int:
        """Rates that were estimated."""
        return len(self.fit.free)

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return aic(self.fit.log_likelihood, self.k)

    @property
    def aicc(self) -> float:
        """The same corrected for few tips."""
        return aicc(self.fit.log_likelihood, self.k, self.n)


def fit_states(
    phylogeny: Phylogeny,
    observations: Observations,
    numbers: TableFindings | None,
    *,
    models: Sequence[str] = (),
    tables: Mapping[str, Any] | None = None,
    intervals: bool = True,
    numbers_only: str = "",
    picture: bool = False,
    **options: Any,
) -> TableFindings:
    """Fits models to every trait of states and compares them.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: With traits of states.
        numbers: What was found about the traits of numbers of the same run.
        models: Names; none for the usual ones.
        tables: Name -> table of a user's model.
        intervals: Whether to find profile likelihood intervals.
        numbers_only: An option that was given and has a meaning for traits of numbers only; "" for none.
        picture: Whether what a picture shows is wanted.
        options: Further fields of `StateOptions`.

    Raises:
        ModelError: What was seen is impossible.
        OptionError: There is no such model; `numbers_only`, and no traits of numbers.
    """
    if numbers_only and numbers is None:
        raise OptionError(f"{numbers_only} is of traits of numbers only (leave it out)")
    models = own_models(models, numbers is not None)
    chosen = StateOptions(**own_options(options, numbers is not None))
    said: list[str] = []
    ordered = []
    for column in observations.states:
        seen = seen_states(phylogeny, observations.nodes, column, chosen.states)
        fitted = _fits(phylogeny, seen, models, tables or {}, chosen, intervals, said)
        ordered.append(_ranked(fitted))
        said += _root_notes(phylogeny, seen, ordered[-1][0][0], chosen)
    found = _findings(phylogeny, ordered, chosen, tuple(said))
    if picture:
        compared = [_comparison(ranked, chosen.level) for ranked in ordered]
        found = replace(found, tables={**found.tables, "comparison picture": {"comparisons": compared}})
    return found if numbers is None else _together(numbers, found)


def _fits(
    phylogeny: Phylogeny,
    seen: SeenStates,
    models: Sequence[str],
    tables: Mapping[str, Any],
    options: StateOptions,
    intervals: bool,
    said: list[str],
) -> list[FittedRates]:
    refuse_one_name_twice(models)
    patterns: dict[str, StateModel] = {}
    for name in models or USUAL:
        pattern = pattern_for(replace(options, model=name, table=tables.get(name)), seen.states, phylogeny)
        if models or _is_another(pattern, patterns.values(), seen):
            patterns[name] = pattern
    _refuse_unknown(list(patterns.values()), options.held)
    fitted = []
    for pattern in patterns.values():
        name = pattern.name
        tree = state_tree(phylogeny, seen.likelihoods[:, pattern.observed])
        fit = fit_rates(tree, pattern, root_prior(options, pattern, seen.states), _held_by(pattern, options.held))
        refuse_ambiguous_stationary(fit.root, fit.rates, seen.name)
        flags = (*fit.flags, *state_flags(seen, pattern, len(fit.free)))
        ends = profile_intervals(tree, fit, options.level) if intervals else np.full((pattern.count, 2), np.nan)
        said += [sentence.about("", f" ({name})") for sentence in warnings(seen, fit, flags, compared=True)]
        fitted.append(FittedRates(seen, fit, name, flags, rate_rows(fit, ends)))
    return fitted


def _held_by(pattern: StateModel, held: Mapping[str, float]) -> Mapping[str, float]:
    """The given rates that one of several models has; all rates of transitions, of a built-in one."""
    if isinstance(pattern, RatePattern):
        return {label: value for label, value in held.items() if label.startswith("q(")}
    return {name: value for name, value in held.items() if name in pattern.labels}


def _refuse_unknown(patterns: Sequence[StateModel], held: Mapping[str, float]) -> None:
    """Raises for a given rate that none of several models has."""
    known = {name for pattern in patterns for name, _ in pattern.transitions}
    for name in held:
        if name not in known:
            patterns[0].held({name: held[name]})


def _is_another(pattern: StateModel, others: Iterable[StateModel], seen: SeenStates) -> bool:
    """Whether a built-in model is one that these states are usually compared by, and no other under another name."""
    tables = [other.cells for other in others if isinstance(other, RatePattern)]
    if not isinstance(pattern, RatePattern) or any(np.array_equal(table, pattern.cells) for table in tables):
        return False
    if pattern.name == "ordered":
        return all(_is_number(state) for state in seen.states)
    return pattern.count <= max(_MOST_RATES, seen.tips_used // 10)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Ranked = list[tuple[FittedRates, float, float]]


def _ranked(fitted: list[FittedRates]) -> Ranked:
    """Models with difference and Akaike weight, the best first; ties in the order of their names."""
    aicc = np.array([each.aicc for each in fitted])
    best = aicc.min()
    delta = np.where(np.isfinite(aicc), aicc - best, np.inf) if np.isfinite(best) else np.full(len(aicc), np.inf)
    weights = np.exp(-delta / 2)
    weights = weights / weights.sum() if weights.sum() > 0 else weights
    order = sorted(range(len(fitted)), key=lambda i: (delta[i], fitted[i].name))
    return [(fitted[i], float(delta[i]), float(weights[i])) for i in order]


def _root_notes(phylogeny: Phylogeny, seen: SeenStates, best: FittedRates, options: StateOptions) -> list[str]:
    """A sentence where the usual priors of the root do not agree on its state, at the rates of the best model."""
    if options.root_prior == "given":
        return []
    pattern, rates = best.fit.pattern, best.fit.rates
    tree: StateTree = state_tree(phylogeny, seen.likelihoods[:, pattern.observed])
    found = {}
    for kind in ("flat", "stationary", "fitzjohn"):
        if kind == "stationary" and keeps_several(rates):
            continue
        prior = RootPrior(kind).columns(rates[None])
        shares = marginals(tree, rates, None if prior is None else prior[0]).probabilities[0]
        found[kind] = np.bincount(pattern.observed, shares, len(seen.states))
    likely = {kind: np.flatnonzero(shares > shares.max() - _AS_PROBABLE).tolist() for kind, shares in found.items()}
    if set.intersection(*map(set, likely.values())):
        return []
    said = ", ".join(
        f"{' or '.join(repr(seen.states[i]) for i in which)} under {kind}" for kind, which in likely.items()
    )
    return [Note(f"trait {seen.name!r}: priors of the root do not agree: its state is {said} ({best.name})")]


def _findings(
    phylogeny: Phylogeny, ordered: list[Ranked], options: StateOptions, said: tuple[str, ...]
) -> TableFindings:
    rows = [row for ranked in ordered for row in ranked]
    fits = {
        "trait": [each.seen.name for each, _, _ in rows],
        "model": [each.name for each, _, _ in rows],
        "n": [each.n for each, _, _ in rows],
        "k": [each.k for each, _, _ in rows],
        "log_likelihood": [each.fit.log_likelihood for each, _, _ in rows],
        "aic": [each.aic for each, _, _ in rows],
        "aicc": [each.aicc for each, _, _ in rows],
        "delta_aicc": [delta for _, delta, _ in rows],
        "weight": [weight for _, _, weight in rows],
        "converged": ["optimum_not_certain" not in each.flags for each, _, _ in rows],
        "flags": [";".join(each.flags) for each, _, _ in rows],
    }
    params = [(each.seen.name, each.name, *row) for each, _, _ in rows for row in each.rows]
    names = ("trait", "model", "parameter", "value", "lower", "upper", "how")
    return TableFindings(
        phylogeny=phylogeny,
        traits=tuple(ranked[0][0].seen.name for ranked in ordered),
        tips_used=tuple(ranked[0][0].n for ranked in ordered),
        method=f"models of states compared by AICc, likelihoods by ML, {options.root_prior} root",
        tables={
            "fits table": fits,
            "parameter table": {name: [row[place] for row in params] for place, name in enumerate(names)},
        },
        header=("trait", "model", "log likelihood", "k", "AICc", "difference", "weight", "parameters", "flags"),
        rows=[(each.seen.name, _summary_row(each, delta, weight)) for each, delta, weight in rows],
        about_traits=[{"models": [_about(*row) for row in ranked]} for ranked in ordered],
        warnings=said,
    )


def _comparison(ranked: Ranked, level: float) -> Comparison:
    """What a picture shows of the models: their weights."""
    names, weights = tuple(each.name for each, _, _ in ranked), tuple(weight for _, _, weight in ranked)
    return Comparison(ranked[0][0].seen.name, names, weights, (), level)


def _summary_row(each: FittedRates, delta: float, weight: float) -> tuple[str, ...]:
    rates = ", ".join(f"{label} {value:.4g}" for label, value, *_ in each.rows[:4])
    more = f" and {len(each.rows) - 4} more" if len(each.rows) > 4 else ""
    figures = (f"{each.fit.log_likelihood:.6g}", str(each.k), f"{each.aicc:.6g}", f"{delta:.4g}", f"{weight:.3f}")
    return (each.seen.name, each.name, *figures, rates + more, ";".join(each.flags))


def _about(each: FittedRates, delta: float, weight: float) -> dict[str, Any]:
    return {
        "model": each.name,
        "n": each.n,
        "k": each.k,
        "estimator": "ML",
        "log_likelihood": each.fit.log_likelihood,
        "aic": each.aic,
        "aicc": each.aicc,
        "delta_aicc": delta,
        "weight": weight,
        "flags": list(each.flags),
        "certificate": certificate(each.fit),
        "root_prior": each.fit.root.kind,
        **({"file": each.fit.pattern.file.about_file} if isinstance(each.fit.pattern, SearchedRates) else {}),
        "parameters": {
            label: {"value": value, "lower": lower, "upper": upper, "how": how}
            for label, value, lower, upper, how in each.rows
        },
    }


def _together(numbers: TableFindings, states: TableFindings) -> TableFindings:
    """Both in one: rows of traits of numbers first, whose columns those of states do not have all."""
    lacking = [""] * (len(numbers.header) - len(states.header))
    return replace(
        numbers,
        traits=numbers.traits + states.traits,
        tips_used=numbers.tips_used + states.tips_used,
        method=f"{numbers.method}; {states.method}",
        tables={
            **numbers.tables,
            **{
                kind: {name: [*numbers.tables[kind][name], *states.tables[kind][name]] for name in states.tables[kind]}
                for kind in states.tables
            },
        },
        rows=[*numbers.rows, *((trait, (*row[:-1], *lacking, row[-1])) for trait, row in states.rows)],
        about_traits=[*numbers.about_traits, *states.about_traits],
        warnings=(*numbers.warnings, *states.warnings),
    )
