"""Posterior of traits of states: the rates, and the probability of every state at every node, averaged over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

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
from hxcli.models.file_rates import FileRates
from hxcli.models.recorded import Recorded
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.tip_states import SeenStates, seen_states
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import DrawnStates, StateFindings, TraitStates
from hxcli.traits import Observations

# Tails thinner than this have no digits left.
_THINNEST_TAIL = 1e-9
_WORDS = {
    "given rates": "given",
    "quadrature": "integrated out by quadrature",
    "independence": "by the independence sampler",
    "nuts": "by the no-U-turn sampler",
}


class TraitPosterior(NamedTuple):
    """What is known of one trait of states on one tree.

    Attributes:
        states: Of the nodes, and the rates or parameters.
        parameters: Columns of the table of these.
        how: How they were dealt with, in words.
        notes: What the user should know, a sentence each.
        drawn: The question, (K, P) rates or parameters and (K, N) states of the model, if draws are asked for.
    """

    states: TraitStates
    parameters: dict[str, list[Any]]
    how: str
    notes: tuple[Note, ...]
    drawn: tuple[RateQuestion, Any, Any] | None


def posterior_states(
    phylogeny: Phylogeny, observations: Observations, numbers: Reconstruction | None, **options: Any
) -> StateFindings:
    """Posterior of the rates and of all nodes, for every trait of states by itself.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: With traits of states.
        numbers: What was found about the traits of numbers of the same run.
        options: As `asked_options` takes them.

    Raises:
        ModelError: What was seen is impossible, or the posterior has no finite integral.
        OptionError: Options that do not fit the states.
        HxError: NumPyro is needed, and is not installed.
    """
    mixed = numbers is not None
    chosen, wanted = asked_options(mixed, **options)
    wanted.refuse_nonsense(phylogeny, len(observations.states), mixed)
    found = [
        posterior_of_trait(phylogeny, seen_states(phylogeny, observations.nodes, column, chosen.states), chosen, wanted)
        for column in observations.states
    ]
    prior = found[0].states.root_prior[0]
    told = f"posterior of states given all tips, {', '.join(dict.fromkeys(each.how for each in found))}, {prior} root"
    tables_of = [each.parameters for each in found]
    parameters = _joined([*([numbers.tables["parameter table"]] if numbers else []), *tables_of])
    drawn = [each.drawn for each in found if each.drawn is not None]
    return StateFindings(
        phylogeny,
        tuple(each.states for each in found),
        numbers,
        f"{numbers.method}; {told}" if numbers else told,
        {"parameter table": parameters, **({"draws": _draws_table(drawn)} if drawn else {})},
        (*(numbers.warnings if numbers else ()), *(note for each in found for note in each.notes)),
    )


def asked_options(
    mixed: bool,
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
) -> tuple[StateOptions, RateOptions]:
    """How traits of states are modelled, and what is asked of their posteriors.

    Args:
        mixed: Whether there are traits of numbers too.
        models: Name of the model, er for none; with traits of numbers, those of their models too.
        tables: Name -> table of a user's model.
        priors: `q` for all rates, the label of one, or the name of a file's parameter -> prior in words; with traits of
            numbers, theirs too.
        method: `quadrature` or `nuts`; "" for whichever takes so many unknowns.
        draws: Number of joint draws of the rates and all nodes.
        seed: Of the random numbers.
        chains, samples: Of the sampler: number of chains, and of draws of each.
        of_numbers: Options that were given and are for traits of numbers.
        options: The other fields of `StateOptions`.

    Raises:
        OptionError: Several models of states, or a level that no interval has.
    """
    chosen = chosen_options(models, tables, options, mixed)
    if (1 - chosen.level) / 2 < _THINNEST_TAIL:
        raise OptionError(f"the level {chosen.level!r} is too close to 1 (at most 0.99999999)")
    own = {name: prior for name, prior in priors.items() if is_rate(name) or not mixed}
    return chosen, RateOptions(own, method, draws, seed, chains, samples, tuple(of_numbers))


def posterior_of_trait(
    phylogeny: Phylogeny, seen: SeenStates, chosen: StateOptions, wanted: RateOptions
) -> TraitPosterior:
    """The posterior of one trait.

    Args:
        phylogeny: N nodes.
        seen: What was seen.
        chosen: How it is modelled.
        wanted: What is asked.

    Raises:
        ModelError: What was seen is impossible, or the posterior has no finite integral.
        OptionError: Options that do not fit the states.
        HxError: NumPyro is needed, and is not installed.
    """
    question = ask_rates(phylogeny, seen, chosen, wanted)
    found = _found(question, method_for(question, wanted, chosen.model), wanted, chosen.level)
    rates = question.density.pattern.rates(found.mean[None])
    if np.isfinite(rates).all():
        refuse_ambiguous_stationary(question.density.root, rates[0], seen.name)
    states = _trait(question, found, chosen)
    said = [text.about(f"trait {seen.name!r}: ") for text in (*question.notes, *found.notes)]
    if "many_parameters" in states.flags:
        counts = counted(states.count, f"unknown {question.unknown}"), counted(seen.tips_used, "tip")
        few = Note(f"{counts[0]} for {counts[1]}: the priors say what the tips do not (--prior sets them)")
        said.append(few.about(f"trait {seen.name!r}: "))
    how = f"{question.unknown}s {_WORDS[found.details['method']]}"
    drawn = None if found.draws is None else (question, *found.draws)
    return TraitPosterior(states, _parameter_rows(question, found), how, tuple(said), drawn)


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
        how = "given" if prior is None else f"posterior mean, prior {prior.text}"
        rows.append((label, float(found.mean[place]), float(found.ends[place, 0]), float(found.ends[place, 1]), how))
    shares = density.root.columns(pattern.rates(found.mean[None]))
    root = found.probabilities[0] * np.nan if shares is None else shares[0]
    told = Recorded({}, {})
    if isinstance(pattern, FileRates):
        told = pattern.recorded(dict(zip(pattern.labels, found.mean.tolist(), strict=True)))
    priors = {label: prior.text for label, place in pattern.transitions if (prior := question.prior_of(place))}
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
            **({"file": pattern.about_file} if isinstance(pattern, FileRates) else {}),
            "tips_by_state": dict(zip(seen.states, map(int, seen.counts), strict=True)),
            **told.details,
        },
        flags=state_flags(seen, pattern, len(density.priors)),
        columns={name: question.on_tree(column) for name, column in told.columns.items()},
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
            "prior": None if prior is None else prior.text,
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
