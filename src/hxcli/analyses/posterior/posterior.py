"""Bayesian posterior of all nodes, of the rate and of the observation variance, by quadrature or sampling."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from hxcli.analyses.fit.fit import painted_tree
from hxcli.analyses.posterior.assemble import report, with_recorded
from hxcli.analyses.posterior.grid_models import grid_models, posterior_with_grids
from hxcli.analyses.posterior.methods import integrated_posterior, sampled_posterior
from hxcli.analyses.posterior.model_posterior import posterior_under_models
from hxcli.analyses.posterior.model_question import ModelQuestion, given_models, model_questions, refuse_unweighable
from hxcli.analyses.posterior.question import Options, ask
from hxcli.analyses.posterior.solution import Solved
from hxcli.analyses.posterior.whole_files import posterior_with_files, whole_files
from hxcli.errors import OptionError
from hxcli.models import refuse_one_name_twice
from hxcli.node_pairs import PairTable
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_contradictions
from hxcli.prebuilt.units import Units, units_of
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations

# Tails thinner than this have no digits left.
_THINNEST_TAIL = 1e-9
# What all draws together may take.
_MOST_BYTES = 2**33


def posterior(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    level: float = 0.95,
    pairs: PairTable | None = None,
    **options: Any,
) -> Reconstruction:
    """Posterior of all nodes and of the parameters, and the log evidence.

    With both variances given the posterior is normal and exact; else they are integrated out. Every trait is
    analysed on its own.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits.
        level: Probability of the intervals: equal-tailed (`lower`, `upper`) and of highest density.
        pairs: Pairs of nodes to tell together.
        options: The other fields of `question.Options`.

    Raises:
        InputError: Pairs that are none of this tree.
        OptionError: Options that contradict each other, or a prior that is none.
        ModelError: Error-free observations that contradict each other or a given root, or priors with which the
            posterior has no finite integral.
    """
    wanted = Options(**options, pairs=None if pairs is None else pairs.on(phylogeny))
    wanted.refuse_nonsense()
    if (1 - level) / 2 < _THINNEST_TAIL:
        raise OptionError(f"the level {level!r} is too close to 1 (at most 0.99999999)")
    if 8 * wanted.draws * phylogeny.topology.size * len(observations.traits) > _MOST_BYTES:
        raise OptionError(f"{wanted.draws} draws of all nodes are too many to keep (fewer draws, or one --column)")
    refuse_contradictions(
        phylogeny, observations, exact_ones(observations, 1.0 if wanted.tau2 is None else wanted.tau2)
    )
    units = units_of(phylogeny, observations)
    units.refuse_extreme()
    seen = units.observations(observations)
    count = len(observations.traits)
    if given_models(wanted):
        painted = painted_tree(phylogeny, wanted.regimes)
        refuse_one_name_twice(wanted.models)
        on_grids, whole = grid_models(painted, wanted), whole_files(painted, units, wanted)
        if on_grids:
            return posterior_with_grids(phylogeny, observations, painted, units, on_grids, whole, wanted, level)
        if whole:
            found = posterior_with_files(painted, observations, units, whole, wanted, level)
            return report(phylogeny, observations, units, found, wanted, level)
        questions = model_questions(painted, units, wanted)
        wanted = _settled(wanted, questions)
        placed = painted.observations(seen)
        solved: list[Solved | None] = []
        for trait in range(count):
            if np.isnan(seen.values[:, trait]).all():
                solved.append(None)
                continue
            if wanted.method == "nuts":
                # Here, because nothing else needs the sampler's company.
                from hxcli.analyses.posterior.sampled_models import sampled_under_model

                one = sampled_under_model(painted, placed, units, trait, questions[0], wanted, level)
            else:
                one = posterior_under_models(painted, placed, units, trait, questions, wanted, level)
            if len(questions) == 1:
                one = with_recorded(one, questions[0].bound, questions[0].held, painted, units, trait)
            solved.append(one)
    else:
        solved = [_solve(phylogeny, seen, units, trait, wanted, level) for trait in range(count)]
    return report(phylogeny, observations, units, solved, wanted, level)


def _settled(options: Options, questions: Sequence[ModelQuestion]) -> Options:
    """The options with what the models leave open: priors of a file, and sampling where a quadrature does not do.

    Raises:
        OptionError: Several models of which one is sampled, or products that models do not have.
    """
    if len(questions) == 1:
        options = questions[0].options
    sampled = [each for each in questions if len(each.shapes) > 1 or options.method == "nuts"]
    if sampled and len(questions) > 1:
        refuse_unweighable(sampled[0].name, [shape.name for shape in sampled[0].shapes])
    return dataclasses.replace(options, method="nuts") if sampled else options


def _solve(
    phylogeny: Phylogeny, seen: Observations, units: Units, trait: int, options: Options, level: float
) -> Solved | None:
    """One trait; None where no tip has a value and the root is flat, so that there is no posterior."""
    name = seen.traits[trait]
    if np.isnan(seen.values[:, trait]).all() and options.root == "flat root":
        return None
    asked = ask(phylogeny, seen, units, trait, options)
    by_method = sampled_posterior if options.method == "nuts" else integrated_posterior
    return by_method(phylogeny, asked, units, name, options, level)
