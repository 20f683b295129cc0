"""The posterior density of a model's parameters for one trait, as samplers and joint draws ask for it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from hxcli.analyses.posterior.model_question import ModelQuestion
from hxcli.analyses.posterior.question import Asked
from hxcli.errors import OptionError
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.model_chains import ModelDensity, Unknown
from hxcli.inference.priors import Prior
from hxcli.prebuilt.units import Units
from hxcli.traits import Observations

TAU2 = "tau2"


def density_of(question: ModelQuestion, asked: Asked, seen: Observations, units: Units, trait: int) -> ModelDensity:
    """The density of the parameters; rates are in the unit of computation, but per unit of the files' edge lengths.

    Args:
        question: The model.
        asked: The question of the trait, with its priors.
        seen: Observations of D traits, in the unit of computation.
        units: That unit.
        trait: Which of them.

    Raises:
        OptionError: The root's state is given.
    """
    if question.options.root_state is not None:
        raise OptionError(
            f"--root fixed with --model {question.name}: draws are made of models whose mean has a prior (give --root "
            "normal)"
        )
    likelihood = TraitLikelihood(
        question.bound,
        question.framed,
        dataclasses.replace(
            seen,
            values=seen.values[:, [trait]],
            standard_errors=seen.standard_errors[:, [trait]],
            traits=seen.traits[trait : trait + 1],
        ),
        0,
        restricted=True,
        # Any value that is not 0: rates are then no profiled ones.
        tau2=1.0,
    )
    fixed = {name: Unknown(name, None, value) for name, value in question.held.items()}
    free = {shape.name: Unknown(shape.name, shape.prior, shape.offset) for shape in question.shapes}
    known = {**fixed, **free}
    shapes = [unknown for name, unknown in known.items() if name not in question.rates]
    rate, noise = asked.question.sigma2, asked.question.tau2
    first = Unknown(question.rates[0], None, 0.0)
    if isinstance(rate, Prior):
        first = first._replace(prior=dataclasses.replace(rate, log_unit=rate.log_unit - math.log(units.length)))
    else:
        first = first._replace(offset=rate / units.length)
    tau2 = Unknown(TAU2, noise) if isinstance(noise, Prior) else Unknown(TAU2, None, noise)
    means = question.mean_priors(trait)
    if means is None:
        prior = asked.question.root
        means = np.array([[0.0], [0.0]]) if prior is None else np.array([[prior[0]], [1 / prior[1]]])
    rates = [first, *(known[name] for name in question.rates[1:])]
    return ModelDensity(likelihood, question.framed.columns, shapes, rates, tau2, means)
