"""Posterior of traits of states: the rates, and the probability of every state at every node, averaged over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from hxcli.analyses.ancestral_states import (
    RateTable,
    StateOptions,
    chosen_options,
    observed_shares,
    refuse_ambiguous_stationary,
    state_flags,
)
from hxcli.analyses.posterior.joint_draws import trait_seed
from hxcli.analyses.posterior.rate_posterior import RatesFound, integrated_rates, posterior_at_given, sampled_rates
from hxcli.analyses.posterior.solution import PROBABILITIES
from hxcli.analyses.posterior.state_question import RateOptions, RateQuestion, ask_rates, method_for
from hxcli.close_names import counted
from hxcli.errors import Note, OptionError
from hxcli.findings import number
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.tip_states import seen_states
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import DrawnStates, StateFindings, TraitStates
from hxcli.traits import Observations

# Tails thinner than this have no digits left.
_THINNEST_TAIL = 1e-9
_WORDS = {
    "given rates": "rates given",
    "quadrature": "rates integrated out by quadrature",
    "independence": "rates by the independence sampler",
    "nuts": "rates by the no-U-turn sampler",
}


def posterior_states(
    phylogeny: Phylogeny,
    observations: Observations,
    numbers: Reconstruction | None,
    *,
    models: Sequence[str] = (),
    tables: Mapping[str, RateTable] = MappingProxyType({}),
    priors: Mapping[str, str] = MappingProxyType({}),
    method: str = "",
    draws: int = 0,
    seed: int = 0,
    chains: int = 4,
    samples: int = 1000,
    of_numbers: Sequence[str] = (),
    **options: Any,
) -> StateFindings:
    """Posterior of the rates and of all nodes, for every trait of states by itself.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: With traits of states.
        numbers: What was found about the traits of numbers of the same run.
        models: Name of the model, er for none; with traits of numbers, those of their models too.
        tables: Name -> table of a user's model.
        priors: `q` for all rates, or the label of one -> prior in words; with traits of numbers, theirs too.
        method: `quadrature` or `nuts`; "" for whichever takes so many unknown rates.
        draws: Number of joint draws of the rates and all nodes.
        seed: Of the random numbers.
        chains, samples: Of the sampler: number of chains, and of draws of each.
        of_numbers: Options that were given and are for traits of numbers.
        options: The other fields of `StateOptions`.

    Raises:
        ModelError: What was seen is impossible, or the posterior has no finite integral.
        OptionError: Options that do not fit the states.
        HxError: NumPyro is needed, and is not installed.
    """
    mixed = numbers is not None
    chosen = chosen_options(models, tables, options, mixed)
    if (1 - chosen.level) / 2 < _THINNEST_TAIL:
        raise OptionError(f"the level {chosen.level!r} is too close to 1 (at most 0.99999999)")
    own = {name: prior for name, prior in priors.items() if is_rate(name) or not mixed}
    wanted = RateOptions(own, method, draws, seed, chains, samples, tuple(of_numbers))
    wanted.refuse_nonsense(phylogeny, len(observations.states), mixed)
    traits, tables_of, said, drawn, methods = [], [], [], [], []
    for column in observations.states:
        seen = seen_states(phylogeny, observations.nodes, column, chosen.states)
        question = ask_rates(phylogeny, seen, chosen, wanted)
        how = method_for(question, wanted, chosen.model)
        found = _found(question, how, wanted, chosen.level)
        rates, _ = question.density.rates_and_root(found.mean[None])
        if np.isfinite(rates).all():
            refuse_ambiguous_stationary(question.density.root, rates[0], seen.name)
        traits.append(_trait(question, found, chosen))
        tables_of.append(_parameter_rows(question, found))
        if found.draws is not None:
            drawn.append((question, *found.draws))
        said += [text.about(f"trait {seen.name!r}: ") for text in found.notes]
        if "many_parameters" in traits[-1].flags:
            counts = counted(traits[-1].count, "unknown rate"), counted(seen.tips_used, "tip")
            few = Note(f"{counts[0]} for {counts[1]}: the priors say what the tips do not (--prior sets them)")
            said.append(few.about(f"trait {seen.name!r}: "))
        methods.append(_WORDS[found.details["method"]])
    prior = traits[0].root_prior[0]
    told = f"posterior of states given all tips, {', '.join(dict.fromkeys(methods))}, {prior} root"
    parameters = _joined([*([numbers.tables["parameter table"]] if numbers else []), *tables_of])
    return StateFindings(
        phylogeny,
        tuple(traits),
        numbers,
        f"{numbers.method}; {told}" if numbers else told,
        {"parameter table": parameters, **({"draws": _draws_table(drawn)} if drawn else {})},
        (*(numbers.warnings if numbers else ()), *said),
    )


def is_rate(name: str) -> bool:
    """Whether a prior is of rates of states."""
    return name == "q" or name.startswith("q(")


def _found(question: RateQuestion, method: str, wanted: RateOptions, level: float) -> RatesFound:
    seed = trait_seed(wanted.seed, question.seen.name)
    if method == "given":
        return posterior_at_given(question, wanted, seed)
    if method == "quadrature":
        return integrated_rates(question, wanted, level, seed)
    return sampled_rates(question, wanted, level, seed)


def _trait(question: RateQuestion, found: RatesFound, options: StateOptions) -> TraitStates:
    density, seen = question.density, question.seen
    pattern = density.pattern
    rows = []
    for label, place in pattern.transitions:
        prior = question.prior_of(place)
        how = "given" if prior is None else f"posterior mean, prior {prior}"
        rows.append((label, float(found.mean[place]), float(found.ends[place, 0]), float(found.ends[place, 1]), how))
    shares = density.root.columns(pattern.rates(found.mean[None]))
    root = found.probabilities[0] * np.nan if shares is None else shares[0]
    priors = {label: str(question.prior_of(place)) for label, place in pattern.transitions if question.prior_of(place)}
    return TraitStates(
        name=seen.name,
        states=seen.states,
        observed=seen.texts,
        probabilities=observed_shares(found.probabilities, pattern, len(seen.states)),
        model=pattern.name if options.hidden == 1 else f"{pattern.name}, {options.hidden} hidden classes",
        log_likelihood=found.log_evidence,
        rates=tuple(rows),
        count=len(density.priors),
        root_prior=(density.root.kind, root),
        tips_used=seen.tips_used,
        facts={
            "posterior": {"priors": priors, **found.details, "log_evidence": number(found.log_evidence)},
            "tips_by_state": dict(zip(seen.states, map(int, seen.counts), strict=True)),
        },
        flags=state_flags(seen, pattern, len(density.priors)),
        fitted="log_evidence",
    )


def _parameter_rows(question: RateQuestion, found: RatesFound) -> dict[str, list[Any]]:
    """One row for every transition, with the columns that posteriors of numbers have."""
    rows: list[dict[str, Any]] = []
    for label, place in question.density.pattern.transitions:
        figures, prior = found.figures[place], question.prior_of(place)
        given = float(found.mean[place])
        row: dict[str, Any] = {
            "trait": question.seen.name,
            "parameter": label,
            "prior": None if prior is None else str(prior),
            "mean": given,
            "sd": 0.0 if figures is None else figures.deviation,
        }
        for rank, probability in enumerate(PROBABILITIES):
            row[f"q{probability:g}"] = given if figures is None else float(figures.quantiles[rank])
        for diagnostic in ("rhat", "ess_bulk", "ess_tail"):
            row[diagnostic] = np.nan if figures is None else figures.diagnostics.get(diagnostic, np.nan)
        rows.append(row)
    return {key: [row[key] for row in rows] for key in rows[0]}


def _joined(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}


def _draws_table(drawn: Sequence[tuple[RateQuestion, Any, Any]]) -> dict[str, Any]:
    """`draw,trait`, a column for every unknown rate, and the states; nan where a trait has no such rate."""
    count = len(drawn[0][1])
    labels = dict.fromkeys(
        question.density.pattern.labels[place] for question, *_ in drawn for place in question.density.free
    )
    columns: dict[str, Any] = {label: [] for label in labels}
    for question, values, _ in drawn:
        places = {question.density.pattern.labels[place]: place for place in question.density.free}
        for label, parts in columns.items():
            parts.append(values[:, places[label]] if label in places else np.full(count, np.nan))
    parts = []
    for question, _, states in drawn:
        parts.append(DrawnStates(question.density.pattern.states, states))
    return {
        "draw": np.tile(np.arange(1, count + 1), len(drawn)),
        "trait": np.repeat([question.seen.name for question, *_ in drawn], count).tolist(),
        **{label: np.concatenate(parts_of) for label, parts_of in columns.items()},
        "states": parts,
    }
