"""Ancestral states of a discrete trait: the probability of every state at every node given all tips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import counted, listed
from hxcli.edge_data import EdgeTable, edge_columns
from hxcli.errors import Doubt, ModelError, Note, OptionError
from hxcli.inference.state_objective import RootKind, RootPrior
from hxcli.inference.state_rate_intervals import profile_intervals
from hxcli.inference.state_rates import RateFit, fit_rates
from hxcli.models import is_model_file
from hxcli.models.edge_fields import edge_fields
from hxcli.models.file_rates import FileRates, StateModel
from hxcli.models.model_file import load_model_file
from hxcli.models.rate_patterns import is_state_model, pattern_of_table, rate_pattern
from hxcli.models.recorded import Recorded
from hxcli.models.searched_rates import SearchedRates
from hxcli.painting import unpainted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.discrete.likelihood import joint_states, marginals, state_tree
from hxcli.prebuilt.tip_states import SeenStates, seen_states
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings, TraitStates
from hxcli.traits import Observations

# States, and the texts of the cells of a model.
RateTable = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class StateOptions:
    """How a trait of states is modelled.

    Attributes:
        model: A name in `PATTERNS`, that of `table`, or a user's file.
        table: A user's model: its states, and (S, S) texts.
        hidden: Number of hidden classes of rates.
        root_prior: `flat`, `stationary`, `fitzjohn`, or `given` with `root_shares`.
        root_shares: State -> share.
        states: All states in order; empty for those that tips have.
        held: Label of a rate -> its value.
        start: Name -> value at which a search for a parameter of a user's file begins.
        edge_data: Further columns of the edges, for a user's file.
        level: Probability of the intervals of rates.
        joint: Whether to find the most probable states of all nodes together.
        sets: Whether to find the sets of marginal posterior probabilities approximation.
    """

    model: str = "er"
    table: RateTable | None = None
    hidden: int = 1
    root_prior: RootKind = "flat"
    root_shares: Mapping[str, float] | None = None
    states: tuple[str, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    edge_data: EdgeTable | None = None
    level: float = 0.95
    joint: bool = False
    sets: bool = False


def pattern_for(
    options: StateOptions, states: tuple[str, ...], phylogeny: Phylogeny, moved: tuple[Phylogeny, Any] | None = None
) -> StateModel:
    """The model that the options ask for.

    Args:
        options: How the trait is modelled.
        states: Names of its states.
        phylogeny: N nodes, which the columns of edges are of.
        moved: The tree with its nodes in another order, in which the model is wanted, and which node every one of
            them was, (N,).

    Raises:
        InputError: A user's file is refused.
        OptionError: There is no such model, or its table has other states.
    """
    if is_model_file(options.model):
        if options.hidden > 1:
            raise OptionError("--hidden goes with the built-in models: a file's Q has the states that it has")
        fields = edge_fields(phylogeny, edge_columns(unpainted(phylogeny), options.edge_data))
        fields = fields if moved is None else fields.moved(*moved)
        return FileRates(load_model_file(options.model), fields, states, options.held, options.start)
    if options.table is None:
        return rate_pattern(options.model, states).hidden(options.hidden)
    named, cells = options.table
    if missing := [state for state in states if state not in named]:
        raise OptionError(
            f"--model {options.model}: the table has no state {listed(missing)} (give it a row and a column)"
        )
    order = [named.index(state) for state in states]
    table = [[cells[a][b] for b in order] for a in order]
    return pattern_of_table(options.model, states, table).hidden(options.hidden)


def root_prior(options: StateOptions, pattern: StateModel, states: tuple[str, ...]) -> RootPrior:
    """The prior of the root over the model's states, hidden classes equally likely.

    Raises:
        OptionError: Shares that are none, or of other states.
    """
    if options.root_prior == "stationary" and isinstance(pattern, FileRates) and pattern.by_edge:
        raise OptionError("--root-prior stationary: the rates differ from edge to edge (use another one)")
    if options.root_prior != "given":
        return RootPrior(options.root_prior)
    shares = options.root_shares or {}
    if unknown := [state for state in shares if state not in states]:
        raise OptionError(f"--root-prior: no tip has the state {listed(unknown)} (--states adds states)")
    values = np.array([shares.get(state, 0.0) for state in states])
    if not (values >= 0).all() or abs(values.sum() - 1) > 1e-6:
        raise OptionError(
            f"--root-prior: the shares are not probabilities with the sum 1 (their sum is {values.sum():g})"
        )
    return RootPrior("given", (values / values.sum())[pattern.observed] / options.hidden)


def refuse_ambiguous_stationary(fit_root: RootPrior, rates: FloatArray, name: str) -> None:
    """Raises where the rates keep more than one distribution and the root's is theirs."""
    if fit_root.kind == "stationary" and keeps_several(rates):
        raise ModelError(f"trait {name!r}: the stationary distribution is not unique (use another --root-prior)")


def keeps_several(rates: FloatArray) -> bool:
    """Whether a rate matrix, (S, S), keeps more than one distribution."""
    scale = abs(rates).max()
    return bool((np.linalg.svd(rates / (scale or 1.0), compute_uv=False) < 1e-12).sum() > 1)


def ancestral_states(
    phylogeny: Phylogeny,
    observations: Observations,
    numbers: Reconstruction | None,
    *,
    models: Sequence[str] = (),
    tables: Mapping[str, RateTable] = MappingProxyType({}),
    pairs: bool = False,
    loo: bool = False,
    **options: Any,
) -> StateFindings:
    """States of all nodes, for every trait of states.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: With traits of states.
        numbers: What was found about the traits of numbers of the same run.
        models: Name of the model, er for none; with traits of numbers, those of their models too.
        tables: Name -> table of a user's model.
        pairs: Whether pairs of nodes are to be told together, of traits of numbers.
        loo: Whether tips are to be predicted from the others, of traits of numbers.
        options: The other fields of `StateOptions`.

    Raises:
        ModelError: What was seen is impossible.
        OptionError: Options that do not fit the states.
    """
    if pairs and numbers is None:
        raise OptionError("--pairs tells traits of numbers, and there are none (leave it out, or --column a number)")
    if loo and numbers is None:
        raise OptionError("--loo predicts traits of numbers, and there are none (leave it out, or --column a number)")
    chosen = chosen_options(models, tables, options, numbers is not None)
    said: list[str] = []
    of_states = tuple(
        states_of_trait(
            phylogeny, seen_states(phylogeny, observations.nodes, column, chosen.states), chosen, said.append
        )
        for column in observations.states
    )
    prior = of_states[0].root_prior[0]
    method = f"probabilities of states given all tips, rates by ML, {prior} root"
    if numbers is not None:
        method = f"{numbers.method}; {method}"
    return StateFindings(
        phylogeny, of_states, numbers, method, {"parameter table": parameter_table(of_states)},
        (*(numbers.warnings if numbers else ()), *said),
    )  # fmt: skip


def chosen_options(
    models: Sequence[str], tables: Mapping[str, RateTable], options: Mapping[str, Any], mixed: bool
) -> StateOptions:
    """How traits of states are modelled, by one model.

    Args:
        models: Names, with those of models of numbers where there are such traits too (`mixed`); none for er.
        tables: Name -> table of a user's model.
        options: The other fields of `StateOptions`.
        mixed: Whether there are traits of numbers too.

    Raises:
        OptionError: Several models of states.
    """
    names = own_models(models, mixed)
    if len(names) > 1:
        raise OptionError(f"--model: {listed(names)} are several models of states (give one; hx fit compares them)")
    model = names[0] if names else StateOptions.model
    return StateOptions(model, tables.get(model), **own_options(options, mixed))


def own_models(models: Sequence[str], mixed: bool) -> list[str]:
    """The models of states among all that a run with traits of numbers too (`mixed`) was asked for."""
    return [name for name in models if is_state_model(name) or not mixed]


def own_options(options: Mapping[str, Any], mixed: bool) -> dict[str, Any]:
    """The options with, of the held parameters of a run with traits of numbers too, those that are rates of states."""
    held = {label: value for label, value in options.get("held", {}).items() if label.startswith("q(") or not mixed}
    return {**options, "held": held}


def parameter_table(of_states: Sequence[TraitStates]) -> dict[str, Any]:
    """`trait,model,parameter,value,lower,upper,how`, one row for every rate."""
    rows = [(trait.name, trait.model, *row) for trait in of_states for row in trait.rates]
    names = ("trait", "model", "parameter", "value", "lower", "upper", "how")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def states_of_trait(
    phylogeny: Phylogeny,
    seen: SeenStates,
    options: StateOptions,
    tell: Callable[[str], None] = lambda text: None,
    *,
    start: FloatArray | None = None,
    intervals: bool = True,
) -> TraitStates:
    """States of all nodes given all tips, at the rates of highest likelihood.

    Args:
        phylogeny: N nodes.
        seen: What was seen.
        options: How it is modelled.
        tell: Told what the user should know, a sentence each.
        start: Rates near which the best ones are known to be.
        intervals: Whether to find profile likelihood intervals of the rates.
    """
    pattern = pattern_for(options, seen.states, phylogeny)
    root = root_prior(options, pattern, seen.states)
    tree = state_tree(phylogeny, seen.likelihoods[:, pattern.observed])
    fit = fit_rates(tree, pattern, root, options.held, start)
    refuse_ambiguous_stationary(root, fit.rates, seen.name)
    prior = root.columns(fit.rates[None])
    found = marginals(tree, fit.rates, None if prior is None else prior[0])
    probabilities = observed_shares(found.probabilities, pattern, len(seen.states))
    joint = None
    if options.joint:
        best, _ = joint_states(tree, fit.rates, found.root)
        joint = pattern.observed[best.astype(np.intp)]
    ends = profile_intervals(tree, fit, options.level) if intervals else np.full((pattern.count, 2), np.nan)
    rows, told = rate_rows(fit, ends), Recorded({}, {})
    if isinstance(pattern, FileRates):
        told = pattern.recorded({label: value for label, value, *_ in rows})
    flags = (*fit.flags, *state_flags(seen, pattern, len(fit.free)))
    for sentence in warnings(seen, fit, flags):
        tell(sentence)
    return TraitStates(
        name=seen.name,
        states=seen.states,
        observed=seen.texts,
        probabilities=probabilities,
        model=pattern.name if options.hidden == 1 else f"{pattern.name}, {options.hidden} hidden classes",
        log_likelihood=fit.log_likelihood,
        rates=rows,
        count=len(fit.free),
        root_prior=(root.kind, found.root),
        tips_used=seen.tips_used,
        joint=joint,
        sets=best_sets(probabilities) if options.sets else None,
        facts={
            "certificate": certificate(fit),
            **({"file": pattern.about_file} if isinstance(pattern, FileRates) else {}),
            "tips_by_state": dict(zip(seen.states, map(int, seen.counts), strict=True)),
            **told.details,
        },
        flags=flags,
        columns=told.columns,
    )


def observed_shares(probabilities: FloatArray, pattern: StateModel, states: int) -> FloatArray:
    """(N, S) the sums over hidden classes."""
    if len(pattern.states) == states:
        return probabilities
    return probabilities @ np.eye(states)[pattern.observed]


def rate_rows(fit: RateFit, intervals: FloatArray) -> tuple[tuple[str, float, float, float, str], ...]:
    """(label, value, lower, upper, how) of every transition.

    Args:
        fit: The rates.
        intervals: (P, 2) of profile likelihood.
    """
    rows = []
    for label, place in fit.pattern.transitions:
        how = (fit.at_end(place) or "ML") if place in fit.free else "given"
        figures = [float(fit.pattern.reported(place, each)) for each in (fit.values[place], *intervals[place])]
        rows.append((label, figures[0], figures[1], figures[2], how))
    return tuple(rows)


def state_flags(seen: SeenStates, pattern: StateModel, unknown: int) -> tuple[str, ...]:
    """What the data are too few for, of so many unknown rates."""
    flags = []
    if unknown > seen.tips_used / 10:
        flags.append("many_parameters")
    if (seen.counts == 1).any() and pattern.count > 1:
        flags.append("states_of_one_tip")
    if (seen.counts == 0).any():
        flags.append("states_without_tips")
    return tuple(flags)


def warnings(seen: SeenStates, fit: RateFit, flags: Sequence[str], *, compared: bool = False) -> list[Note]:
    """A sentence for every flag; of one model, or of one that is compared with others."""
    fewer = "" if compared or len(fit.free) < 2 else "; hx fit compares models with fewer"
    ends = {
        end: [label for label, place in fit.pattern.transitions if fit.at_end(place) == end]
        for end in ("at_lower_bound", "at_upper_bound")
    }
    own = isinstance(fit.pattern, SearchedRates)
    lowest = "the lower end" if own else "0, the lower end"
    rising = "run to infinity: the tips look as if their states were drawn anew on every edge"
    if own:
        rising = "rise to the upper end of the support"
    alone = [state for state, count in zip(seen.states, seen.counts, strict=True) if count == 1]
    none = [state for state, count in zip(seen.states, seen.counts, strict=True) if count == 0]
    texts = {
        "at_lower_bound": Note(f"{listed(ends['at_lower_bound'])} fall to {lowest} of the support"),
        "at_upper_bound": Note(f"{listed(ends['at_upper_bound'])} {rising}"),
        "rates_not_identified": Note("the tips do not determine all rates: other rates have the same likelihood"),
        "many_parameters": Note(
            f"{counted(len(fit.free), 'rate')} for {counted(seen.tips_used, 'tip')}, more than one for ten{fewer}"
        ),
        "states_of_one_tip": Note(f"only one tip has {listed(alone)}: rates from and to it are hardly determined"),
        "states_without_tips": Note(f"no tip has {listed(none)} alone"),
        "optimum_not_certain": Doubt(
            f"the search ended on a slope ({fit.gradient:.2g}): the rates may not be the best"
        ),
    }
    return [texts[flag].about(f"trait {seen.name!r}: ") for flag in flags]


def certificate(fit: RateFit) -> dict[str, Any]:
    """How sure it is that these are the best rates, as JSON values."""
    return {
        "gradient": fit.gradient,
        "eigenvalues": [float(value) for value in fit.eigenvalues],
        "starts": fit.starts,
        "starts_that_agree": fit.agree,
        **({} if isinstance(fit.pattern, SearchedRates) else {"support": [fit.low, fit.high]}),
    }


def best_sets(probabilities: FloatArray) -> NDArray[np.bool_]:
    """(N, S) for every node the states of the marginal posterior probabilities approximation.

    The k most probable states whose equal shares 1/k are nearest to the probabilities in squared distance (Ishikawa,
    Zhukova, Iwasaki and Gascuel 2019, Mol. Biol. Evol. 36:2069).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, 1)
    squares = np.cumsum(ranked**2, axis=1)
    total, sums = squares[:, -1:], np.cumsum(ranked, axis=1)
    sizes = np.arange(1, probabilities.shape[1] + 1)
    # Sum over the chosen of (p - 1/k)^2, and over the others of p^2.
    distance = total - 2 * sums / sizes + 1 / sizes
    chosen = np.arange(probabilities.shape[1]) <= distance.argmin(1)[:, None]
    sets = np.zeros(probabilities.shape, bool)
    np.put_along_axis(sets, order, chosen, 1)
    return sets
