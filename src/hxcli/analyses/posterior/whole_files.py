"""Which models are files all of whose parameters are integrated over, none of them apart from the others."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from hxcli.analyses.fit.options import height_spread, refuse_unidentified, refuse_unread_edges
from hxcli.analyses.posterior.averaged_models import averaged_models
from hxcli.analyses.posterior.declared_question import DeclaredQuestion
from hxcli.analyses.posterior.gaussian_posterior import posterior_of_file
from hxcli.analyses.posterior.gaussian_question import GaussianQuestion
from hxcli.analyses.posterior.model_posterior import posterior_under_models
from hxcli.analyses.posterior.model_question import ModelQuestion, refuse_unweighable, settled_names
from hxcli.analyses.posterior.own_priors import fits_plane
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import Solved
from hxcli.edge_data import edge_columns
from hxcli.errors import OptionError
from hxcli.model import Gaussian
from hxcli.models import is_model_file, named_model
from hxcli.models.by_edge import allowing_edges, refuse_cut_edges
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.painting import Painted
from hxcli.prebuilt.units import Units
from hxcli.traits import Observations

# Two values of a trait, for a model that asks for figures of them.
_FIGURES = np.array([0.0, 2.0])


def whole_files(painted: Painted, units: Units, options: Options) -> dict[str, GaussianModel]:
    """Name -> model of the files whose rate and means are not those of a posterior that integrates over them apart.

    Raises:
        OptionError: There is no such model.
        InputError: A file that is refused.
    """
    fields = edge_fields(painted, edge_columns(painted, options.edge_data))
    return {
        name: model
        for name, model in models_returning(Gaussian, painted, options).items()
        if not (fits_plane(model, fields, options) and ModelQuestion(name, painted, units, options).moves_alike())
    }


def models_returning(
    kind: type, painted: Painted, options: Options, built_in: Container[str] = ()
) -> dict[str, GaussianModel]:
    """Name -> model of the files that return a kind, and of built-in models that do.

    Args:
        kind: `Gaussian` or `Sde`.
        painted: The tree with its regimes.
        options: What the user wants.
        built_in: Names of built-in models that are looked at too.

    Raises:
        OptionError: There is no such model.
        InputError: A file that is refused.
    """
    fields = edge_fields(painted, edge_columns(painted, options.edge_data))
    seen = EdgeFields(fields.phylogeny, trait_fields(fields.columns, _FIGURES), fields.regimes)
    asked = {
        name: allowing_edges(named_model(name), seen.columns)
        for name in options.models
        if name in built_in or is_model_file(name)
    }
    return {name: model for name, model in asked.items() if isinstance(model.on(seen).returned, kind)}


def questions_of_file(
    painted: Painted, observations: Observations, name: str, model: GaussianModel, options: Options
) -> list[GaussianQuestion | None]:
    """What is asked under a file, of every trait; None of one without a value.

    Args:
        painted: The tree.
        observations: As given.
        name: Of the file.
        model: In it.
        options: What the user wants.

    Raises:
        OptionError: Options that the file does not allow.
        ModelError: Values that give no scale for a prior.
    """
    fields = edge_fields(painted, edge_columns(painted, options.edge_data))
    refuse_unread_edges(options.edge_data, [model])
    refuse_unidentified(model, fields, height_spread(painted.phylogeny))
    refuse_cut_edges(model, painted)
    seen = painted.observations(observations)
    there = [not np.isnan(column).all() for column in observations.values.T]
    return [
        GaussianQuestion(name, model, fields, seen, trait, options) if known else None
        for trait, known in enumerate(there)
    ]


def posterior_with_files(
    painted: Painted,
    observations: Observations,
    units: Units,
    whole: Mapping[str, GaussianModel],
    options: Options,
    level: float,
) -> list[Solved | None]:
    """The posterior of every trait under such a file, or averaged over several models; None without a value.

    Args:
        painted: The tree.
        observations: As given.
        units: Of what is handed back.
        whole: Name -> those of the models that are such files.
        options: What the user wants.
        level: Probability of the intervals.

    Raises:
        OptionError: Options that the models do not allow, or models that cannot be weighed.
        ModelError: A posterior without an integral.
    """
    files = {name: questions_of_file(painted, observations, name, model, options) for name, model in whole.items()}
    others = {name: ModelQuestion(name, painted, units, options) for name in options.models if name not in whole}
    placed = painted.observations(units.observations(observations))
    solved: list[Solved | None] = []
    for trait in range(len(observations.traits)):
        asked = {name: files[name][trait] if name in files else others[name] for name in options.models}
        questions = {name: each for name, each in asked.items() if each is not None}
        if len(questions) < len(options.models):
            solved.append(None)
            continue
        refuse_mismatched(questions, options)
        under = [under_gaussian(painted, placed, units, trait, each, options, level) for each in questions.values()]
        for (name, each), found in zip(questions.items(), under, strict=True):
            if len(under) > 1 and not np.isfinite(found.log_evidence):
                refuse_unweighable(name, names_of(each))
        solved.append(under[0] if len(under) == 1 else averaged_models(under, units, trait, options, level))
    return solved


def under_gaussian(
    painted: Painted,
    placed: Observations,
    units: Units,
    trait: int,
    question: ModelQuestion | DeclaredQuestion,
    options: Options,
    level: float,
) -> Solved:
    """The posterior of one trait under one model whose edges are Gaussian; `placed` is in the unit of computation."""
    if isinstance(question, ModelQuestion):
        return posterior_under_models(painted, placed, units, trait, [question], question.options, level)
    assert isinstance(question, GaussianQuestion)
    return posterior_of_file(painted, question, units, options, level)


def names_of(question: ModelQuestion | DeclaredQuestion) -> tuple[str, ...]:
    """The parameters that are integrated over or sampled, but for variances of every model."""
    if isinstance(question, DeclaredQuestion):
        return question.names
    return tuple(shape.name for shape in question.shapes)


def refuse_mismatched(questions: Mapping[str, ModelQuestion | DeclaredQuestion], options: Options) -> None:
    """Raises where names are of no parameter, or models cannot be weighed.

    Raises:
        OptionError: Says which.
    """
    known: set[str] = set()
    free: set[str] = set()
    for each in questions.values():
        if isinstance(each, DeclaredQuestion):
            known |= each.known
            free |= each.prior_names
        else:
            known |= {*(one.name for one in each.bound.coordinates), *each.bound.fixed}
            free |= {*each.means, *names_of(each)}
    settled_names(options, list(questions), known, free)
    if len(questions) == 1:
        return
    for each in questions.values():
        if options.method == "nuts":
            refuse_unweighable(each.name, ())
        if isinstance(each, ModelQuestion) and len(each.shapes) > 1:
            refuse_unweighable(each.name, names_of(each))
        if own := each.bound.by_edge:
            refuse_unweighable(each.name, [f"{name} of every edge" for name in own])
    if len({each.flat_means for each in questions.values()}) > 1:
        counts = ", ".join(f"{each.name} ({each.flat_means})" for each in questions.values())
        raise OptionError(
            f"models with different numbers of unknowns without a proper prior cannot be weighed: {counts} (give the "
            "root --root normal:MEAN,VARIANCE and means --prior 'NAME=normal(MEAN,SD)', or one --model at a time)"
        )
