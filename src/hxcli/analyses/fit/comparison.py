"""What a picture of a comparison shows: weights of the models, and profiles of their likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hxcli.analyses.fit.fitted import FittedModel
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.likelihood_profiles import Profile, profiles


@dataclass(frozen=True, eq=False)
class ShownProfile:
    """One profile.

    Attributes:
        model: Its name.
        profile: Of one of its shape parameters.
        value: The estimate.
        lower, upper: Ends of the interval; nan for one that is never reached.
    """

    model: str
    profile: Profile
    value: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """The models of one trait.

    Attributes:
        trait: Its name.
        models: Names, the best first.
        weights: Akaike weights of them.
        profiles: Of all shape parameters of the models, in the same order.
        level: Probability of the intervals.
    """

    trait: str
    models: tuple[str, ...]
    weights: tuple[float, ...]
    profiles: tuple[ShownProfile, ...]
    level: float


def comparison(ranked: Sequence[tuple[FittedModel, float, float]], level: float) -> Comparison:
    """What to show of the models of a trait, the best first, each with its difference and weight."""
    shown = []
    for each, _, _ in ranked:
        if not isinstance(each.likelihood, TraitLikelihood):
            continue
        for found in profiles(each.likelihood, each.optimum):
            estimate = each.parameters[found.parameter]
            shown.append(ShownProfile(each.name, found, estimate.value, estimate.lower, estimate.upper))
    names, weights = (tuple(each) for each in zip(*((each.name, weight) for each, _, weight in ranked), strict=True))
    return Comparison(ranked[0][0].trait, names, weights, tuple(shown), level)
