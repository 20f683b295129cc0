"""What is asked of the posterior of a trait of states: its model on the tree, and priors of the rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hxcli.analyses.ancestral_states import StateOptions, pattern_for, root_prior
from hxcli.analyses.canonical import tree_in_canonical_order
from hxcli.analyses.posterior.coordinate_priors import coordinate_prior
from hxcli.close_names import counted, listed
from hxcli.errors import ModelError, Note, OptionError
from hxcli.inference.parameter_priors import ParameterPrior, PositivePrior
from hxcli.inference.priors import Prior, default_prior, parse_prior
from hxcli.inference.state_density import RateDensity
from hxcli.inference.state_rates import refuse_impossible
from hxcli.models.file_rates import FileRates
from hxcli.models.rate_patterns import RatePattern
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.discrete.likelihood import state_tree
from hxcli.prebuilt.tip_states import SeenStates

# Changes that are expected on the whole tree at the middle of the default priors.
CHANGES = 10.0
# What all rates are called together.
ALL = "q"
# Unknown rates that are integrated out rather than sampled.
MOST_INTEGRATED = 2
# Sets of parameters at which a file is looked at, and standard deviations of a prior that its range of starts holds.
_LOOKED_AT, _REACH = 64, 5.0
# What all draws together may take.
_MOST_BYTES = 2**33


@dataclass(frozen=True)
class RateOptions:
    """What a user may ask of the posterior of rates.

    Attributes:
        priors: `q` for all rates, or the label of one -> its prior, as `parse_prior` reads it.
        method: `quadrature`, or `nuts` for the no-U-turn sampler alone; "" for whichever does.
        draws: Number of joint draws of the rates and all nodes.
        seed: Of the random numbers.
        chains, samples: Of a sampler: number of chains, and of draws of each.
        of_numbers: Options that were given and are for traits of numbers.
    """

    priors: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    draws: int = 0
    seed: int = 0
    chains: int = 4
    samples: int = 1000
    of_numbers: tuple[str, ...] = ()

    def refuse_of_numbers(self, mixed: bool) -> None:
        """Raises for options of traits of numbers where there are none.

        Raises:
            OptionError: Names the option.
        """
        if self.of_numbers and not mixed:
            raise OptionError(
                f"{self.of_numbers[0]} is for traits of numbers, and there are none (leave it out, or --column one)"
            )

    def refuse_nonsense(self, phylogeny: Phylogeny, traits: int, mixed: bool) -> None:
        """Raises unless the options make sense, whatever the model.

        Args:
            phylogeny: N nodes.
            traits: Number of traits of states.
            mixed: Whether there are traits of numbers too.

        Raises:
            OptionError: Names the option.
        """
        self.refuse_of_numbers(mixed)
        if 2 * self.draws * phylogeny.topology.size * traits > _MOST_BYTES:
            raise OptionError(f"{self.draws} draws of all nodes are too many to keep (fewer draws, or one --column)")


@dataclass(frozen=True, eq=False)
class RateQuestion:
    """One trait of states on a tree whose order of siblings is that of their names.

    Its unknowns are rates, or the parameters of a file.

    Attributes:
        seen: What was seen, in the tree's own order.
        phylogeny: The reordered tree.
        order: (N,) which node of the tree every one of the reordered tree is.
        density: The posterior density of the free rates.
        exchangeable: Whether hidden classes are alike before anything is seen.
        notes: What the user should know of it, a sentence each.
    """

    seen: SeenStates
    phylogeny: Phylogeny
    order: Any
    density: RateDensity
    exchangeable: bool
    notes: tuple[Note, ...] = ()

    @property
    def unknown(self) -> str:
        """What each unknown is called: `rate` or `parameter`."""
        return "parameter" if isinstance(self.density.pattern, FileRates) else "rate"

    @property
    def endless(self) -> str:
        """What to say where the posterior has no finite integral."""
        label = ALL if self.unknown == "rate" else self.density.names[0]
        ways = "towards 0 and beyond, such as lognormal" if self.unknown == "rate" else "on both sides"
        return (
            f"trait {self.seen.name!r}: the posterior of the {self.unknown}s has no finite integral with these priors "
            f"(give --prior '{label}=PRIOR' that falls off {ways})"
        )

    def on_tree(self, values: Any) -> Any:
        """The values (N, ...) in the tree's own order."""
        found = np.empty_like(values)
        found[self.order] = values
        return found

    def prior_of(self, place: int) -> ParameterPrior | None:
        """The prior of one of the P rates or parameters; None for one that is given."""
        where = np.flatnonzero(self.density.free == place)
        return self.density.priors[int(where[0])] if len(where) else None


def ask_rates(phylogeny: Phylogeny, seen: SeenStates, options: StateOptions, wanted: RateOptions) -> RateQuestion:
    """The question of one trait.

    Args:
        phylogeny: N nodes.
        seen: What was seen at them.
        options: The model.
        wanted: The priors.

    Raises:
        ModelError: What was seen is impossible under the model, or its posterior has no finite integral.
        InputError: A file that is refused, or whose parameter has no prior and one end only.
        OptionError: Options that do not fit the states, or the model.
    """
    tree, order = tree_in_canonical_order(phylogeny)
    pattern = pattern_for(options, seen.states, phylogeny, (tree, order))
    root = root_prior(options, pattern, seen.states)
    held = pattern.held(options.held)
    free = np.flatnonzero(np.isnan(held)).tolist()
    priors: Mapping[int, ParameterPrior]
    if isinstance(pattern, FileRates):
        priors = file_priors(pattern, held, wanted.priors, options.held)
    else:
        of_rates = rate_priors(pattern, held, wanted.priors, float(phylogeny.lengths.sum()))
        priors = {place: PositivePrior(prior) for place, prior in of_rates.items()}
    likelihoods = seen.likelihoods[order][:, pattern.observed]
    density = RateDensity(state_tree(tree, likelihoods), pattern, root, held, tuple(priors[place] for place in free))
    middle = np.array([[sum(start) / 2 for start in density.starts]]).reshape(1, -1)
    if isinstance(pattern, FileRates) and density.impossible(middle)[0]:
        values = zip(pattern.labels, density.values(middle)[0].tolist(), strict=True)
        at = ", ".join(f"{label}={value:.6g}" for label, value in values)
        where = "in the middle of the priors" if density.priors else "at what is given"
        raise pattern.error(
            f"Q has a rate that is below 0 or no number {where} ({at})", "give parameters at which it has none"
        )
    refuse_impossible(float(density(middle)[0]))
    alike = options.hidden > 1 and not options.held and len({prior.text for prior in density.priors}) == 1
    found = RateQuestion(seen, tree, order, density, alike, _notes(density))
    if density.endless:
        raise ModelError(found.endless)
    return found


def _notes(density: RateDensity) -> tuple[Note, ...]:
    """That a file gives what are no rates in a part of what its priors hold."""
    if not isinstance(density.pattern, FileRates) or not density.priors:
        return ()
    low, high = np.array(density.starts).T
    around = np.random.default_rng(0).normal(0, 1 / _REACH, (_LOOKED_AT, len(low)))
    if not density.impossible((low + high) / 2 + around * (high - low) / 2).any():
        return ()
    return (
        Note(
            "where the priors allow it, Q has rates below 0 or that are no numbers: such parameters count as "
            "impossible (low= and high= of a declaration, or log_normal, keep them out)"
        ),
    )


def file_priors(
    pattern: FileRates, held: FloatArray, given: Mapping[str, str], settings: Mapping[str, float]
) -> dict[int, ParameterPrior]:
    """Place of a free parameter of a file -> its prior: the file's, or what a user gives in its place.

    Args:
        pattern: P parameters.
        held: (P,) those that are given, nan for free ones.
        given: Name of a parameter -> prior in words.
        settings: Name -> value of those that a user holds.

    Raises:
        InputError: A parameter has no prior and one end only.
        OptionError: A name of no parameter, or of one that is given and has a prior.
    """
    places = dict(pattern.transitions)
    for name in given:
        if name not in places:
            known = listed([*places]) if places else "none"
            raise OptionError(f"--prior {name}: model {pattern.name} has no such parameter (it has {known})")
        if not np.isnan(held[places[name]]):
            how = "is given by --set, so it has no prior (leave one of them out)"
            if name not in settings:
                how = "is fixed in the file, so it has no prior (leave --prior out)"
            raise OptionError(f"--prior {name}: the parameter {how}")
    free = np.flatnonzero(np.isnan(held)).tolist()
    return {
        place: coordinate_prior(each, pattern.declarations[each.parameter], given.get(each.name))
        for place, each in ((place, pattern.coordinates[place]) for place in free)
    }


def rate_priors(
    pattern: RatePattern, held: FloatArray, given: Mapping[str, str], total_length: float
) -> dict[int, Prior]:
    """Place of a free rate -> its prior.

    The default is lognormal, with a factor of 50 either way around the rate at which `CHANGES` changes are expected on
    the whole tree, shared by the ways out of a state.

    Args:
        pattern: P rates.
        held: (P,) rates that are given, nan for free ones.
        given: `q` or a transition's label -> prior in words.
        total_length: Of all edges.

    Raises:
        ModelError: The tree has no length to scale a prior to.
        OptionError: A label of no rate, a rate that is given and has a prior, or two priors of one rate.
    """
    places = dict(pattern.transitions)
    found: dict[int, Prior] = {}
    for label, text in given.items():
        if label == ALL:
            continue
        if label not in places:
            known = listed([ALL, *places])
            raise OptionError(f"--prior {label}: --model {pattern.name} has no such rate (it has {known})")
        place = places[label]
        if not np.isnan(held[place]):
            raise OptionError(
                f"--prior {label}: the rate is given by --set, so it has no prior (leave one of them out)"
            )
        if place in found and str(found[place]) != str(parse_prior(text)):
            raise OptionError(
                f"--prior {label}: --model {pattern.name} has this rate elsewhere too, with another prior"
            )
        found[place] = parse_prior(text)
    if ALL in given:
        usual = parse_prior(given[ALL])
    else:
        if not total_length > 0:
            raise ModelError("no edge has any length: rates of change are not defined")
        ways = (pattern.cells > 0).sum() / len(pattern.states)
        usual = default_prior(math.log(CHANGES / total_length / max(ways, 1.0)))
    return {place: found.get(place, usual) for place in np.flatnonzero(np.isnan(held)).tolist()}


def method_for(question: RateQuestion, wanted: RateOptions, model: str) -> str:
    """`given`, `quadrature`, or `sampling`.

    Raises:
        OptionError: The method that was asked for does not take so many or few unknown rates.
    """
    unknown = len(question.density.priors)
    if not unknown:
        if wanted.method == "nuts":
            raise OptionError(f"all {question.unknown}s are given: nothing is left to sample (leave --method nuts out)")
        return "given"
    method = wanted.method or ("quadrature" if unknown <= MOST_INTEGRATED else "sampling")
    if method == "quadrature" and unknown > MOST_INTEGRATED:
        raise OptionError(
            f"--method quadrature takes two unknown {question.unknown}s, and --model {model} has "
            f"{counted(unknown, question.unknown)} here (leave --method out, or hold {question.unknown}s with --set)"
        )
    method = "sampling" if method == "nuts" else method
    if method == "sampling" and wanted.draws > wanted.chains * wanted.samples:
        raise OptionError(f"--draws {wanted.draws} is more than the sampler makes (give more --samples)")
    return method
