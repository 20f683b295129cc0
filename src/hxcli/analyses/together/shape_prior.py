"""The prior of the parameter that all traits together share: as in the posterior of one trait under the model."""

from __future__ import annotations

from collections.abc import Mapping

from hxcli.analyses.fit.fit import painted_tree
from hxcli.analyses.posterior.model_question import ModelQuestion
from hxcli.analyses.posterior.question import Options
from hxcli.inference.joint_problem import JointModel
from hxcli.inference.priors import Prior
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.units import Units

# What the shape parameter of a model is called.
SHAPES: Mapping[JointModel, str] = {"lambda": "lambda", "ou": "alpha"}


def shape_prior(
    model: JointModel, phylogeny: Phylogeny, units: Units, given: Mapping[str, str]
) -> tuple[str, Prior] | None:
    """Name and prior, in the users' unit, of a model's shape parameter; None for Brownian motion.

    Args:
        model: The model.
        phylogeny: The tree.
        units: Of its observations.
        given: Parameter -> its prior in words.

    Raises:
        OptionError: A prior that is none, or a model that this tree does not allow.
    """
    if model == "bm":
        return None
    own = {name: text for name, text in given.items() if name == SHAPES[model]}
    question = ModelQuestion(model, painted_tree(phylogeny, None), units, Options(models=(model,), priors=own))
    shape = question.shapes[0]
    return shape.name, shape.prior
