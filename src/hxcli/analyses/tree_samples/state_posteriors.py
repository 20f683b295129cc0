"""Posteriors of traits of states on one tree of a sample after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hxcli.analyses.ancestral_states import StateOptions
from hxcli.analyses.posterior.state_posterior import asked_options, posterior_of_trait
from hxcli.analyses.posterior.state_question import RateOptions
from hxcli.errors import Doubt
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_states import SeenStates
from hxcli.state_findings import TraitStates

# What may be wrong on a tree: the quadrature has not settled, or the sampler has not converged.
NOT_SETTLED = "not_settled"


@dataclass(frozen=True, eq=False)
class PosteriorOnOneTree:
    """Nodes averaged over the posterior of the rates, or of a file's parameters.

    Attributes:
        options: How traits of states are modelled.
        wanted: What is asked of their posteriors.
    """

    options: StateOptions
    wanted: RateOptions
    fitted: str = "log_evidence"
    flags: tuple[str, ...] = (NOT_SETTLED,)

    def __call__(
        self, phylogeny: Phylogeny, seen: SeenStates, options: StateOptions, start: FloatArray | None
    ) -> tuple[TraitStates, str]:
        """As `OnOneTree`."""
        found = posterior_of_trait(phylogeny, seen, options, self.wanted)
        doubted = any(isinstance(note, Doubt) for note in found.notes)
        method = f"posterior of states given all tips, {found.how}, {options.root_prior} root"
        return replace(found.states, flags=(*found.states.flags, *([NOT_SETTLED] if doubted else []))), method


def posteriors_of(options: Mapping[str, Any], mixed: bool) -> PosteriorOnOneTree:
    """What is done on every tree.

    Args:
        options: As `posterior_states` takes them.
        mixed: Whether there are traits of numbers too.

    Raises:
        OptionError: Several models of states, or options that are for traits of numbers, of which there are none.
    """
    chosen, wanted = asked_options(mixed, **options)
    wanted.refuse_of_numbers(mixed)
    return PosteriorOnOneTree(chosen, wanted)
