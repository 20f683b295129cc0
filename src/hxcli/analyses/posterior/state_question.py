"""What is asked of the posterior of a trait of states: its model on the tree, and priors of the rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hxcli.analyses.ancestral_states import StateOptions, pattern_for, root_prior
from hxcli.analyses.canonical import tree_in_canonical_order
from hxcli.close_names import counted, listed
from hxcli.errors import ModelError, OptionError
from hxcli.inference.priors import Prior, default_prior, parse_prior
from hxcli.inference.state_density import RateDensity
from hxcli.inference.state_rates import refuse_impossible
from hxcli.models import is_model_file
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

    def refuse_nonsense(self, phylogeny: Phylogeny, traits: int, mixed: bool) -> None:
        """Raises unless the options make sense, whatever the model.

        Args:
            phylogeny: N nodes.
            traits: Number of traits of states.
            mixed: Whether there are traits of numbers too.

        Raises:
            OptionError: Names the option.
        """
        if self.of_numbers and not mixed:
            raise OptionError(
                f"{self.of_numbers[0]} is for traits of numbers, and there are none (leave it out, or --column one)"
            )
        if 2 * self.draws * phylogeny.topology.size * traits > _MOST_BYTES:
            raise OptionError(f"{self.draws} draws of all nodes are too many to keep (fewer draws, or one --column)")


@dataclass(frozen=True, eq=False)
class RateQuestion:
    """One trait of states on a tree whose order of siblings is that of their names.

    Attributes:
        seen: What was seen, in the tree's own order.
        phylogeny: The reordered tree.
        order: (N,) which node of the tree every one of the reordered tree is.
        density: The posterior density of the free rates.
        exchangeable: Whether hidden classes are alike before anything is seen.
    """

    seen: SeenStates
    phylogeny: Phylogeny
    order: Any
    density: RateDensity
    exchangeable: bool

    def on_tree(self, values: Any) -> Any:
        """The values (N, ...) in the tree's own order."""
        found = np.empty_like(values)
        found[self.order] = values
        return found

    def prior_of(self, place: int) -> Prior | None:
        """The prior of one of the P rates; None for one that is given."""
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
        ModelError: What was seen is impossible under the model.
        OptionError: Options that do not fit the states, or a file's own rates.
    """
    if is_model_file(options.model):
        raise OptionError(
            f"--model {options.model}: a file's own Rates have no posterior here (hx fit and hx ancestral take them)"
        )
    pattern = pattern_for(options, seen.states, phylogeny)
    assert not isinstance(pattern, FileRates)
    root = root_prior(options, pattern, seen.states)
    tree, order = tree_in_canonical_order(phylogeny)
    held = pattern.held(options.held)
    free = np.flatnonzero(np.isnan(held)).tolist()
    priors = rate_priors(pattern, held, wanted.priors, float(phylogeny.lengths.sum()))
    likelihoods = seen.likelihoods[order][:, pattern.observed]
    density = RateDensity(state_tree(tree, likelihoods), pattern, root, held, tuple(priors[place] for place in free))
    middle = np.array([[sum(start) / 2 for start in density.starts]]).reshape(1, -1)
    refuse_impossible(float(density(middle)[0]))
    alike = options.hidden > 1 and not options.held and len(set(map(str, density.priors))) == 1
    return RateQuestion(seen, tree, order, density, alike)


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
            raise OptionError("all rates are given: nothing is left to sample (leave --method nuts out)")
        return "given"
    method = wanted.method or ("quadrature" if unknown <= MOST_INTEGRATED else "sampling")
    if method == "quadrature" and unknown > MOST_INTEGRATED:
        raise OptionError(
            f"--method quadrature takes two unknown rates, and --model {model} has {counted(unknown, 'rate')} here "
            "(leave --method out, or hold rates with --set)"
        )
    method = "sampling" if method == "nuts" else method
    if method == "sampling" and wanted.draws > wanted.chains * wanted.samples:
        raise OptionError(f"--draws {wanted.draws} is more than the sampler makes (give more --samples)")
    return method
