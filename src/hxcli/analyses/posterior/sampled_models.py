"""The posterior of one trait under a model with more parameters than a quadrature takes, by sampling.

Shape parameters, rates and observation variance are drawn by the no-U-turn sampler from their exact marginal
posterior; the states are the mixture of their exact normal distributions at some hundred of the draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hxcli.analyses.fit.fitted import file_of, with_all
from hxcli.analyses.posterior.column_products import left_out_of_columns, mixture_of_columns, pairs_of_columns
from hxcli.analyses.posterior.joint_draws import trait_seed
from hxcli.analyses.posterior.model_density import TAU2, density_of
from hxcli.analyses.posterior.model_draws import draws_of
from hxcli.analyses.posterior.model_posterior import mean_figures, priors_in_words
from hxcli.analyses.posterior.model_question import ModelQuestion
from hxcli.analyses.posterior.question import Options, ask
from hxcli.analyses.posterior.solution import (
    CHANGE,
    PROBABILITIES,
    RATE,
    STATE,
    Figures,
    Solved,
    WeighedModel,
    given_to,
)
from hxcli.analyses.posterior.states import nodes_and_root, sampling_record
from hxcli.errors import Doubt
from hxcli.inference.model_chains import Chains, ModelDensity
from hxcli.inference.no_u_turn import unhealthy
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.units import Units
from hxcli.traits import Observations

# Draws that stand for all others at the nodes, at most; and numbers in one of their fields.
_MOST_COMPONENTS, _MOST_NUMBERS = 512, 2**25


def sampled_under_model(
    painted: Painted,
    seen: Observations,
    units: Units,
    trait: int,
    question: ModelQuestion,
    options: Options,
    level: float,
) -> Solved:
    """The posterior by the no-U-turn sampler.

    Args:
        painted: The tree.
        seen: Observations at its nodes, in the unit of computation.
        units: That unit.
        trait: Its number.
        question: The model.
        options: What the user wants.
        level: Probability of the intervals.

    Raises:
        HxError: NumPyro is not installed.
        OptionError: What sampling does not take.
    """
    usual = {each.name: each.start for each in question.bound.coordinates}
    starts = {shape.name: usual[shape.name] for shape in question.shapes}
    asked = ask(painted.phylogeny, seen, units, trait, question.options, question.edges(starts, trait))
    density = density_of(question, asked, seen, units, trait)
    seed = trait_seed(options.seed, seen.traits[trait])
    found = density.sample(options.chains, options.samples, seed)
    topology = painted.phylogeny.topology
    most = max(16, min(_MOST_COMPONENTS, _MOST_NUMBERS // topology.size))
    values = _spaced(density, found, most)
    states = density.states(values, joint=options.pairs is not None or options.loo)
    count = states.mean.shape[1]
    weights = np.full(count, 1 / count)
    mixture = mixture_of_columns(states, weights)
    nodes, root = nodes_and_root(mixture, mixture, painted.nodes, level)
    figures, kinds = _figures(question, density, found, units)
    for place, name in enumerate(question.means):
        if name != "root":
            variances = states.covariance[:, place, place]
            figures[name] = mean_figures(states.unknowns[:, place], variances, weights, level)
            kinds[name] = STATE if with_all(name) else CHANGE
    draws = None
    if options.draws:
        drawn = _spaced(density, found, options.draws)
        draws = draws_of(question, density, topology, painted.nodes, drawn, units, seed)
    files = [file_of(question.bound.model)["file"]] if question.bound.model.text else []
    return Solved(
        given_to(asked),
        nodes,
        {"sigma2": figures.pop("sigma2"), "tau2": figures.pop(TAU2), "root": root, **figures},
        float("nan"),
        0.0,
        True,
        {
            **sampling_record(options, found.divergences, found.diagnostics, count),
            "shape_priors": priors_in_words([question]),
            **({"files": files} if files else {}),
        },
        _complaints(found),
        draws,
        left_out_of_columns(painted, density.tree, states, weights) if options.loo else None,
        None if options.pairs is None else (pairs_of_columns(painted, states, options.pairs), weights),
        models=[WeighedModel(question.name, 1.0, 1.0, float("nan"))],
        kinds=kinds,
        rate=question.rates[0],
        priors=priors_in_words([question]),
    )


def _complaints(found: Chains) -> tuple[Doubt, ...]:
    """What is not healthy about the run, a sentence; empty if nothing is."""
    wrong = unhealthy(found.divergences, found.diagnostics)
    advice = "give more --samples, narrower --prior, or hold parameters with --set"
    return (Doubt(f"the sampler has not converged: {wrong} ({advice})"),) if wrong else ()


def _spaced(density: ModelDensity, found: Chains, most: int) -> dict[str, FloatArray]:
    """Unknown -> its value in draws at equal distances in all chains, (K,)."""
    total = next(iter(found.values.values())).size
    count = min(total, most)
    places = np.linspace(0, total - 1, count).round().astype(int)
    return {
        each.name: found.values[each.name].ravel()[places] if each.prior is not None else np.full(count, each.offset)
        for each in density.unknowns
    }


def _figures(
    question: ModelQuestion, density: ModelDensity, found: Chains, units: Units
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Figures of the sampled parameters, the first rate as `sigma2`, and the kinds of those with a unit."""
    figures: dict[str, Figures] = {}
    kinds: dict[str, str] = {}
    given = {each.name: each.offset for each in density.unknowns if each.prior is None}

    def draws(name: str) -> FloatArray:
        return found.values[name].ravel() if name in found.values else np.full(1, given[name])

    def told(values: FloatArray, diagnostics: Mapping[str, float]) -> Figures:
        deviation = 0.0 if values.size == 1 else float(values.std())
        return Figures(float(values.mean()), deviation, np.quantile(values, PROBABILITIES), diagnostics)

    first = question.rates[0]
    for each in density.unknowns:
        name, values = each.name, draws(each.name)
        if name in question.rates:
            own = values if name == first else values * draws(first)
            figures["sigma2" if name == first else name] = told(own * units.length, found.diagnostics.get(name, {}))
            kinds |= {name: RATE} if name != first else {}
        elif each.prior is not None or name == TAU2:
            figures[name] = told(values, found.diagnostics.get(name, {}))
    return figures, kinds
