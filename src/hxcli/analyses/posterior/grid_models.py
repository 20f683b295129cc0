"""Posteriors of which a model at least is a diffusion on a grid: alone, or averaged with others by their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses.fit.fitted import file_of
from hxcli.analyses.fit.options import refuse_unread_edges
from hxcli.analyses.left_out_tips import in_places, left_out_in_unit
from hxcli.analyses.posterior.assemble import evidence_in_words, evidence_of, own_parameters
from hxcli.analyses.posterior.declared_question import DeclaredQuestion
from hxcli.analyses.posterior.gaussian_question import GaussianQuestion
from hxcli.analyses.posterior.grid_left_out import left_out_on_grid
from hxcli.analyses.posterior.grid_pairs import pairs_of_normals, pairs_on_grid
from hxcli.analyses.posterior.grid_posterior import is_open, method_for, posterior_on_grid
from hxcli.analyses.posterior.grid_question import GridQuestion
from hxcli.analyses.posterior.grid_report import AveragedTrait, UnderModel, averaged, grid_report, of_known
from hxcli.analyses.posterior.joint_draws import trait_seed
from hxcli.analyses.posterior.model_question import ModelQuestion, refuse_unweighable
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures, Solved
from hxcli.analyses.posterior.whole_files import models_returning, names_of, refuse_mismatched, under_gaussian
from hxcli.edge_data import edge_columns
from hxcli.errors import Doubt, ModelError, OptionError
from hxcli.findings import number
from hxcli.inference.grid_mixture import rebinned
from hxcli.inference.normal_mixture import Mixture, normals
from hxcli.model import Sde
from hxcli.models import GRID_MODELS
from hxcli.models.edge_fields import edge_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.models.recorded import recorded
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.grid_densities import DensityFigures
from hxcli.prebuilt.tip_likelihoods import exact_values
from hxcli.prebuilt.units import Units
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations

# How far around the means of normal components their states go, in standard deviations.
_REACH = 7.0
# Numbers in one block of nodes times components times walls.
_BLOCK = 1 << 22


def grid_models(painted: Painted, options: Options) -> dict[str, GaussianModel]:
    """Name -> model of those that are diffusions on a grid.

    Raises:
        OptionError: There is no such model.
        InputError: A file that is refused.
    """
    return models_returning(Sde, painted, options, GRID_MODELS)


def posterior_with_grids(
    phylogeny: Phylogeny,
    observations: Observations,
    painted: Painted,
    units: Units,
    models: Mapping[str, GaussianModel],
    whole: Mapping[str, GaussianModel],
    options: Options,
    level: float,
) -> Reconstruction:
    """The posterior of all traits under one diffusion, or averaged over several models.

    Args:
        phylogeny: N nodes.
        observations: As given.
        painted: The tree with its regimes.
        units: Of the computation of the other models.
        models: Name -> the models that are on a grid.
        whole: Name -> files all of whose parameters are integrated over alike.
        options: What the user wants.
        level: Probability of the intervals.

    Raises:
        ModelError: A posterior without an integral, or models that cannot be weighed.
        OptionError: Options that these models do not allow.
    """
    _refuse_products(options, next(iter(models)))
    fields = edge_fields(painted, edge_columns(painted, options.edge_data))
    refuse_unread_edges(options.edge_data, [*models.values(), *whole.values()])
    seen, placed = painted.observations(observations), painted.observations(units.observations(observations))
    declared = {**models, **whole}
    others = {name: ModelQuestion(name, painted, units, options) for name in options.models if name not in declared}
    told: list[AveragedTrait] = []
    for trait in range(len(observations.traits)):
        questions: dict[str, ModelQuestion | DeclaredQuestion] = {}
        for name in options.models:
            of_kind = GridQuestion if name in models else GaussianQuestion
            there = others.get(name)
            questions[name] = there or of_kind(name, declared[name], fields, seen, trait, options)
        if trait == 0:
            refuse_mismatched(questions, options)
            _refuse_many_draws(questions, options)
        under = []
        for question in questions.values():
            if isinstance(question, GridQuestion):
                under.append(_on_grid(painted, observations, trait, question, options, level, len(questions) > 1))
                continue
            solved = under_gaussian(painted, placed, units, trait, question, options, level)
            if not np.isfinite(solved.log_evidence):
                refuse_unweighable(question.name, names_of(question))
            under.append(_gaussian(question.name, solved, units, trait))
        told.append(averaged(under, options, level))
    return grid_report(phylogeny, observations, told, options, level)


def _refuse_products(options: Options, name: str) -> None:
    """Raises where something is asked for that diffusions on a grid do not have, or say otherwise."""
    if options.draws and len(options.models) > 1:
        raise OptionError("--draws with several --model, of which one is a diffusion on a grid (give one at a time)")
    if len(options.models) == 1:
        for option, given in (("--sigma2", options.sigma2), ("--prior-sigma2", options.prior_sigma2)):
            if given is not None:
                raise OptionError(
                    f"{option} with --model {name}: on a grid a rate is a parameter as any other (give --set "
                    "sigma2=VALUE, or --prior sigma2=PRIOR)"
                )


def _refuse_many_draws(questions: Mapping[str, ModelQuestion | DeclaredQuestion], options: Options) -> None:
    """Raises where more draws are asked for than a sampler makes."""
    for each in questions.values():
        sampled = isinstance(each, GridQuestion) and method_for(each, options.method) in ("independence", "nuts")
        if sampled and options.draws > options.chains * options.samples:
            raise OptionError(f"--draws {options.draws} is more than the sampler makes (give more --samples)")


def _on_grid(
    painted: Painted,
    observations: Observations,
    trait: int,
    question: GridQuestion,
    options: Options,
    level: float,
    weighed: bool,
) -> UnderModel:
    """One trait under one diffusion."""
    name, nodes = observations.traits[trait], painted.nodes
    everywhere = np.full(painted.phylogeny.topology.size, np.nan)
    if options.tau2 == 0 and question.bound.model.noise is None:
        everywhere = exact_values(painted.phylogeny, painted.observations(observations))[:, trait]
    known = everywhere[nodes]
    free = np.ones(len(everywhere), bool)
    free[nodes] = np.isnan(known)
    found = posterior_on_grid(question, options, trait_seed(options.seed, name), level, name, free)
    notes = [*found.notes]
    if is_open(found):
        low, high = found.densities.walls[[0, -1]]
        said = (
            f"with a flat root its density at an end of the grid, which goes from {low:.6g} to {high:.6g}, is "
            f"{found.open_root:.2g} of its top"
        )
        if weighed:
            raise ModelError(
                f"trait {name!r}, model {question.name}: {said}: its evidence goes by that range (give --root "
                "normal:MEAN,VARIANCE, or one --model at a time)"
            )
        advice = "give --root normal:MEAN,VARIANCE" if not question.bound.model.text else "write a root() into the file"
        notes.append(Doubt(f"root_by_the_grid: {said}: states and parameters go by that range ({advice})"))
    chances, walls = found.densities.chances[nodes], found.densities.walls
    figures = of_known(found.nodes.at(nodes), known)
    words = question.priors_in_words()
    parameters: list[tuple[str, str | None, Figures | None]] = [
        (each, words[each], found.figures[each]) for each in question.names
    ]
    parameters += [(each, None, _fixed(value)) for each, value in question.given().items()]
    told = recorded(question.bound, {each: figures.mean for each, _, figures in parameters if figures is not None})
    file = file_of(question.bound.model).get("file")
    details = {
        "priors": words,
        "log_evidence": number(found.log_evidence),
        "log_evidence_of": evidence_in_words(question.flat_root),
        **found.details,
        **({"files": [file]} if file else {}),
    }
    left_out = pairs = None
    if options.loo:
        left_out, details["leave_one_out_grid_error"] = left_out_on_grid(*found.sets)
        left_out = left_out._replace(tips=in_places(left_out.tips, nodes))
    if options.pairs is not None:
        here = options.pairs._replace(first=nodes[options.pairs.first], second=nodes[options.pairs.second])
        pairs, details["pairs_grid_error"] = pairs_on_grid(*found.sets, found.densities, here, everywhere)
    return UnderModel(
        question.name,
        found.log_evidence,
        figures,
        walls,
        lambda to: _points(rebinned(chances, walls, to), known, to),
        parameters,
        question.flat_root,
        details,
        tuple(notes),
        None if found.draws is None else _told_draws(question, found.draws, nodes, known),
        left_out,
        pairs,
        told._replace(columns={each: column[nodes] for each, column in told.columns.items()}),
    )


def _told_draws(
    question: GridQuestion, draws: tuple[FloatArray, FloatArray], nodes: Any, known: FloatArray
) -> dict[str, FloatArray]:
    """Free parameter -> (K,) values, and `states`, (K, N), of the tree as it was."""
    values, states = draws
    columns = {name: values[:, place] for place, name in enumerate(question.names)}
    return {**columns, "states": np.where(np.isnan(known), states[:, nodes], known)}


def _points(chances: FloatArray, known: FloatArray, walls: FloatArray) -> FloatArray:
    """The chances, all of a known value's in its cell."""
    there = np.flatnonzero(~np.isnan(known))
    cell = np.clip(np.searchsorted(walls, known[there], "right") - 1, 0, len(walls) - 2)
    chances = chances.copy()
    chances[there] = 0.0
    chances[there, cell] = 1.0
    return chances


def _fixed(value: float) -> Figures:
    return Figures(value, 0.0, np.full(len(PROBABILITIES), value))


def _gaussian(name: str, solved: Solved, units: Units, trait: int) -> UnderModel:
    """One trait under a model whose edges are Gaussian."""
    scale, location = float(units.scale[trait]), float(units.location[trait])
    mixture = solved.mixture
    assert mixture is not None
    means, variances = normals(mixture)
    sds = np.sqrt(np.asarray(variances)) * scale
    means = np.asarray(means) * scale + location
    ends = np.array([(means - _REACH * sds).min(), (means + _REACH * sds).max()])
    own = solved.nodes
    mean, lower, upper = (each * scale + location for each in (own.mean, own.lower, own.upper))
    figures = DensityFigures(mean, own.deviation * scale, lower, upper, np.ones(len(mean), np.int64))
    log_evidence, flat_root = evidence_of(solved, units, trait), solved.given.flat_root
    parameters = [each for each in own_parameters(units, trait, solved) if each[0] != "root"]
    details = {
        "priors": {name: prior for name, prior, _ in parameters if prior is not None},
        "log_evidence": number(log_evidence),
        "log_evidence_of": evidence_in_words(flat_root),
        **solved.details,
    }
    return UnderModel(
        name,
        log_evidence,
        figures,
        ends,
        lambda walls: _mixture_chances(mixture, (walls - location) / scale),
        parameters,
        flat_root,
        details,
        solved.warnings,
        None,
        None if solved.left_out is None else left_out_in_unit(solved.left_out, scale, location),
        None if solved.pairs is None else pairs_of_normals(solved.pairs[0].in_unit(scale, location), solved.pairs[1]),
    )


def _mixture_chances(mixture: Mixture, walls: FloatArray) -> FloatArray:
    """(N, j) chances between walls of the mixtures of N nodes; what lies beyond is in the end ones."""
    from scipy.special import ndtr

    means, variances = (np.asarray(each) for each in normals(mixture))
    sds = np.maximum(np.sqrt(variances), 1e-12)
    weights = np.asarray(mixture.components.weight)
    below = np.empty((len(means), len(walls)))
    step = max(1, _BLOCK // (means.shape[1] * len(walls)))
    for first in range(0, len(means), step):
        some = slice(first, first + step)
        z = (walls[None, :, None] - means[some, None]) / sds[some, None]
        below[some] = ndtr(z) @ weights
    below[:, 0], below[:, -1] = 0.0, 1.0
    return np.maximum(np.diff(below, axis=1), 0.0)
