"""Posteriors of one trait under several models as one: each model by its evidence, and what it says of all nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.analyses.left_out_tips import LeftOut, mixed
from hxcli.analyses.pairs import PairStates
from hxcli.analyses.posterior.assemble import evidence_of, own_parameters
from hxcli.analyses.posterior.joint_draws import Draws, trait_seed
from hxcli.analyses.posterior.joint_pairs import side_by_side
from hxcli.analyses.posterior.model_posterior import model_priors
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import Solved, WeighedModel
from hxcli.analyses.posterior.states import nodes_and_root
from hxcli.analyses.posterior.tables import own_draws
from hxcli.errors import Doubt
from hxcli.inference.normal_mixture import joined_mixtures
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.units import Units

# Standard error of a sampled log evidence of which the user is told.
_UNCERTAIN = 0.1


def averaged_models(solved: Sequence[Solved], units: Units, trait: int, options: Options, level: float) -> Solved:
    """The posterior of one trait, averaged.

    Args:
        solved: Under every model alone, with its mixtures.
        units: Of the computation.
        trait: Number of the trait.
        options: What the user wants.
        level: Probability of the intervals.
    """
    priors = np.array(model_priors(options.models, options))
    evidences = np.array([evidence_of(each, units, trait) for each in solved])
    logs = np.log(priors) + evidences
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    names = [each.models[0].name for each in solved]
    parts = [(each.mixture, float(share)) for each, share in zip(solved, shares, strict=True) if each.mixture]
    mixture = joined_mixtures(parts)
    nodes, root = nodes_and_root(mixture, mixture, np.arange(mixture.mean.shape[0]), level)
    scale, location = float(units.scale[trait]), float(units.location[trait])
    told = [
        (f"{name}:{parameter}", prior, figures)
        for name, each in zip(names, solved, strict=True)
        for parameter, prior, figures in own_parameters(units, trait, each)
        if parameter != "root"
    ]
    notes = [note.about(f"model {name}: ") for name, each in zip(names, solved, strict=True) for note in each.warnings]
    for name, each in zip(names, solved, strict=True):
        error = each.details.get("log_evidence_error", 0.0)
        if error > _UNCERTAIN:
            advice = "give more --samples, or hold parameters with --set"
            notes.append(Doubt(f"model {name}: the standard error of its log evidence is {error:.2g} ({advice})"))
    methods = [each.details["method"] for each in solved]
    details = {
        "method": "independence" if "independence" in methods else "quadrature",
        "components": len(mixture.components.weight),
        "under_models": {name: dict(each.details) for name, each in zip(names, solved, strict=True)},
    }
    return Solved(
        solved[0].given,
        nodes,
        {},
        float(logs.max() + np.log(np.exp(logs - logs.max()).sum())),
        0.0,
        all(each.moments for each in solved),
        details,
        tuple(notes),
        _draws(solved, names, shares, units, trait, options) if options.draws else None,
        _left_out(solved, shares),
        _pairs(solved, shares),
        models=[
            WeighedModel(name, prior, share, evidence)
            for name, prior, share, evidence in zip(
                names, priors.tolist(), shares.tolist(), evidences.tolist(), strict=True
            )
        ],
        mixture=mixture,
        told=[*told, ("root", None, root.times(scale, location))],
    )


def _draws(
    solved: Sequence[Solved], names: Sequence[str], shares: FloatArray, units: Units, trait: int, options: Options
) -> Draws:
    """Of every draw the model by its probability, and all else as it is drawn under it."""
    seed = trait_seed(options.seed, units.traits[trait])
    which = np.random.default_rng([*seed, 5]).choice(len(solved), options.draws, p=shares)
    more: dict[str, FloatArray] = {}
    states = np.empty((0, 0))
    for number, (name, each) in enumerate(zip(names, solved, strict=True)):
        assert each.draws is not None
        mine = which == number
        for parameter, values in own_draws(units, trait, each).items():
            more[f"{name}:{parameter}"] = np.where(mine, values, np.nan)
        states = np.where(mine[:, None], each.draws.states, states if number else 0.0)
    return Draws(None, None, states, more, [names[number] for number in which])


def _left_out(solved: Sequence[Solved], shares: FloatArray) -> LeftOut | None:
    parts = [each.left_out for each in solved if each.left_out is not None]
    if not parts:
        return None
    return parts[0]._replace(predicted=mixed([each.predicted for each in parts], shares))


def _pairs(solved: Sequence[Solved], shares: FloatArray) -> tuple[PairStates, FloatArray] | None:
    parts = [
        (states, weights * share)
        for (states, weights), share in zip((each.pairs for each in solved if each.pairs), shares, strict=False)
    ]
    return side_by_side(parts) if parts else None
