"""The posterior of one trait under a user's file that returns a Gaussian, all of whose parameters have priors."""

from __future__ import annotations

import math

import numpy as np

from hxcli.analyses.fit.fitted import file_of
from hxcli.analyses.left_out_tips import left_out_in_unit
from hxcli.analyses.posterior.assemble import with_recorded
from hxcli.analyses.posterior.column_products import left_out_of_columns, mixture_of_columns, pairs_of_columns
from hxcli.analyses.posterior.declared_question import TAU2
from hxcli.analyses.posterior.gaussian_question import GaussianQuestion
from hxcli.analyses.posterior.joint_draws import Draws, trait_seed
from hxcli.analyses.posterior.model_draws import draw_column_states
from hxcli.analyses.posterior.model_posterior import scaled_mean_figures
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.smoothed_mixture import moved_by_weights, smoothed
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures, Given, Solved, WeighedModel
from hxcli.analyses.posterior.states import nodes_and_root
from hxcli.analyses.posterior.weighed_parameters import (
    MOST_ERROR,
    MOST_INTEGRATED,
    MOST_OF_FAST,
    Weighed,
    drawn_places,
    endless_in_words,
    spaced,
    weighed_parameters,
)
from hxcli.errors import Doubt
from hxcli.inference.column_density import ColumnDensity
from hxcli.inference.normal_mixture import Mixture, at_nodes
from hxcli.inference.state_columns import StateColumns
from hxcli.models.recorded import ENDINGS
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.units import Units

# Error of the quadrature of which the user is told; nodes of a tree on which three parameters are integrated.
_TOLD, _MOST_NODES = 1e-4, 256


def posterior_of_file(
    painted: Painted, question: GaussianQuestion, units: Units, options: Options, level: float
) -> Solved:
    """The posterior of one trait.

    Args:
        painted: The tree.
        question: The file on it, and what was observed, in the trait's own units.
        units: Of what is handed back.
        options: What the user wants.
        level: Probability of the intervals.

    Raises:
        ModelError: The posterior has no finite integral.
        HxError: NumPyro is needed, and is not installed.
    """
    trait, name = question.trait, question.seen.traits[question.trait]
    seed, density = trait_seed(options.seed, name), question.density()
    most = MOST_OF_FAST if density.tree.size <= _MOST_NODES else MOST_INTEGRATED
    weighed = weighed_parameters(density, options, seed, _endless(question, name), most=most)
    values = density.values(weighed.places)
    states = density.states(values, joint=options.pairs is not None or options.loo)
    scale, location = float(units.scale[trait]), float(units.location[trait])
    fine = _in_unit(mixture_of_columns(states, weighed.weights), scale, location)
    smooth = smoothed(fine, weighed.spacing)
    nodes, root = nodes_and_root(smooth, smooth, painted.nodes, level)
    details, notes = dict(weighed.details), list(weighed.notes)
    if details["method"] == "quadrature":
        details["error_bound"] = error = max(weighed.error, moved_by_weights(fine, weighed.coarse))
        if error > (_TOLD if len(question.names) <= MOST_INTEGRATED else MOST_ERROR):
            notes.append(Doubt(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations"))
    words = question.priors_in_words()
    figures = {**weighed.figures, **_mean_figures(question, states, weighed.weights, level)}
    told = [(each, words.get(each), found) for each, found in figures.items()]
    told += [(each, None, _fixed(value)) for each, value in question.given().items()]
    if "root" not in {each for each, _, _ in told}:
        told.append(("root", None, root.times(scale, location)))
    left_out = pairs = None
    if options.loo:
        left_out = left_out_of_columns(painted, density.tree, states, weighed.weights)
        left_out = left_out_in_unit(left_out, 1 / scale, -location / scale)
    if options.pairs is not None:
        found = pairs_of_columns(painted, states, options.pairs).in_unit(1 / scale, -location / scale)
        pairs = found, weighed.weights
    file = file_of(question.bound.model)
    solved = Solved(
        Given({}, (), question.flat_root, question.root_in_words(options)),
        nodes,
        {},
        weighed.log_evidence,
        0.0,
        True,
        {**details, "priors": words, **({"files": [file["file"]]} if file else {})},
        tuple(notes),
        _draws(painted, question, density, weighed, units, options.draws, seed) if options.draws else None,
        left_out,
        pairs,
        models=[WeighedModel(question.name, 1.0, 1.0, weighed.log_evidence)],
        priors=words,
        mixture=at_nodes(smooth, painted.nodes),
        told=told,
        columns={name: column[painted.nodes] for name, column in _edge_columns(weighed, level).items()},
    )
    means = _edge_means(question, weighed)
    return with_recorded(solved, question.bound, question.given(), painted, units, trait, means)


def _edge_columns(weighed: Weighed, level: float) -> dict[str, FloatArray]:
    """Mean, standard deviation, equal-tailed interval and median of what every edge has, (N,) each."""
    found: dict[str, FloatArray] = {}
    for name, draws in weighed.edges.items():
        ends = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2], 0)
        parts = (draws.mean(0), draws.std(0), *ends)
        found |= {f"{name}{ending}": part for ending, part in zip(ENDINGS, parts, strict=True)}
    return found


def _edge_means(question: GaussianQuestion, weighed: Weighed) -> dict[str, FloatArray]:
    """Name -> (N, ...) means of what every edge has."""
    means = iter([draws.mean(0) for draws in weighed.edges.values()])
    found = {}
    for name, shape in question.bound.model.by_edge:
        entries = np.stack([next(means) for _ in range(math.prod(shape))], -1)
        found[name] = entries.reshape(len(entries), *shape)
    return found


def _endless(question: GaussianQuestion, trait: str) -> str:
    """What to say of a posterior that has no finite integral."""
    flat = [name for name, each in question.priors_in_words().items() if each == "flat"]
    advice = [f"--prior '{name}=normal(MEAN,SD)'" for name in flat[:1]]
    if question.flat_root:
        advice, flat = ["--root normal:MEAN,VARIANCE", *advice], ["root", *flat]
    return endless_in_words(f"trait {trait!r}, model {question.name}", flat, advice, question.names)


def _in_unit(mixture: Mixture, scale: float, location: float) -> Mixture:
    """A mixture of the trait's own units, in the unit of computation."""
    return mixture._replace(mean=(mixture.mean - location) / scale, variance=mixture.variance / scale / scale)


def _mean_figures(
    question: GaussianQuestion, states: StateColumns, weights: FloatArray, level: float
) -> dict[str, Figures]:
    """Of the unknowns of the mean; a flat root is told as a node is."""
    found = {}
    for place, name in enumerate(question.means):
        if name == "root" and question.flat_root:
            continue
        means, variances = states.unknowns[:, place], states.covariance[:, place, place]
        found[name] = scaled_mean_figures(means, variances, weights, level)
    return found


def _draws(
    painted: Painted,
    question: GaussianQuestion,
    density: ColumnDensity,
    weighed: Weighed,
    units: Units,
    count: int,
    seed: list[int],
) -> Draws:
    """Joint draws of the parameters and all nodes: parameters first, states exactly given them."""
    values = density.values(drawn_places(weighed, count, seed))
    states, unknowns = draw_column_states(
        lambda some: density.states(some, joint=True), painted.phylogeny.topology, values, seed
    )
    more = {name: values[:, axis] for axis, name in enumerate(density.names)}
    given = question.given()
    more |= {TAU2: np.full(count, given[TAU2])} if TAU2 in given else {}
    more |= {name: draws[spaced(draws, count)][:, painted.nodes] for name, draws in weighed.edges.items()}
    for place, name in enumerate(question.means):
        if not (name == "root" and question.flat_root):
            more[name] = unknowns[:, place]
    scale, location = float(units.scale[question.trait]), float(units.location[question.trait])
    return Draws(None, None, (states[:, painted.nodes] - location) / scale, more)


def _fixed(value: float) -> Figures:
    return Figures(value, 0.0, np.full(len(PROBABILITIES), value))
