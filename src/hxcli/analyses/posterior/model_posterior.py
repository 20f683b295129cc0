"""Posteriors under models: shape parameters integrated over, several models weighed by their evidence.

At every value of a shape parameter the process is Gaussian with given edges; its rate, observation variance and mean
are integrated over as under Brownian motion. Around that goes one more trapezoidal rule, over the prior's own
coordinate, whose error is measured in the same way: every other point must agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.fit.fitted import file_of, with_all
from hxcli.analyses.left_out_tips import LeftOut, in_places
from hxcli.analyses.pairs import PairStates
from hxcli.analyses.posterior.integrated_posterior import mixture_of
from hxcli.analyses.posterior.joint_draws import Draws, trait_seed
from hxcli.analyses.posterior.joint_pairs import mixed_pairs, side_by_side
from hxcli.analyses.posterior.leave_one_out import leave_one_out
from hxcli.analyses.posterior.model_density import TAU2, density_of
from hxcli.analyses.posterior.model_draws import PlaneAt, draw_plane_parameters, draws_of
from hxcli.analyses.posterior.model_question import ModelQuestion
from hxcli.analyses.posterior.question import Asked, Options, ask
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
from hxcli.analyses.posterior.states import nodes_and_root
from hxcli.errors import Doubt, ModelError, Note
from hxcli.inference.marginal_density import Marginals
from hxcli.inference.normal_mixture import (
    Components,
    Mixture,
    Weighted,
    at_nodes,
    joined_mixtures,
    node_figures,
    quantiles,
)
from hxcli.inference.parameter_plane import Plane, plane_of
from hxcli.inference.quadrature import Integrated, integrate
from hxcli.inference.threads import in_threads
from hxcli.node_pairs import NodePairs
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.units import Units
from hxcli.traits import Observations

# Points while looking for the mass, at first for the integral, and at most.
_SCAN, _FIRST, _MOST = 17, 17, 65
# How far below its top, in logs, the density over a shape parameter is cut off.
_DEPTH = 18.0
# How far it has to have fallen at the ends of its prior.
_FALLEN = 6.0
# Points with less weight than this are left out at the nodes; points of the plane for each that is not.
_NEGLIGIBLE = 1e-7
_COARSE, _FINE = (6, 6), (12, 10)
# Largest errors wanted, and of which the user is told.
_TOLERANCE, _TOLD = 1e-5, 1e-4


class Point(NamedTuple):
    """One model at one value of its shape parameter.

    Attributes:
        model: Number of the model.
        place: Of its shape parameter in the prior's coordinate; nan where it has none that is free.
        log_weight: Log of prior density times step times evidence.
        asked, plane, found: The posterior there.
    """

    model: int
    place: float
    log_weight: float
    asked: Asked
    plane: Plane
    found: Integrated


def posterior_under_models(
    painted: Painted,
    seen: Observations,
    units: Units,
    trait: int,
    questions: Sequence[ModelQuestion],
    options: Options,
    level: float,
) -> Solved:
    """The posterior of one trait under one model, or averaged over several.

    Args:
        painted: The tree.
        seen: Observations at its nodes, in the unit of computation.
        units: That unit.
        trait: Its number.
        questions: The models.
        options: What the user wants.
        level: Probability of the intervals.
    """
    points: list[Point] = []
    errors, evidences = [], []
    priors = model_priors([each.asked_as for each in questions], options)
    for number, (question, prior) in enumerate(zip(questions, priors, strict=True)):
        found, error = _points_of(number, question, painted.phylogeny, seen, units, trait)
        errors.append(error)
        evidences.append(_log_sum([each.log_weight for each in found]))
        points += [each._replace(log_weight=each.log_weight + math.log(prior)) for each in found]
    logs = np.array([each.log_weight for each in points])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    probabilities = [float(weights[[p.model == m for p in points]].sum()) for m in range(len(questions))]
    used = [(point, weight) for point, weight in zip(points, weights, strict=True) if weight > _NEGLIGIBLE]
    mixtures = _mixtures(used, _FINE)
    shares = [weight for _, weight in used]
    fine, coarse = (
        joined_mixtures([(each.mixture, weight) for each, weight in zip(found, shares, strict=True)])
        for found in (mixtures, _mixtures(used, _COARSE))
    )
    nodes, root = nodes_and_root(fine, coarse, painted.nodes, level)
    error = max(max(errors), float(nodes.error.max()), *(point.found.error for point, _ in used))
    asked = points[0].asked
    figures = {"sigma2": _pooled(used, "log_sigma2"), "tau2": _pooled(used, "log_tau2"), "root": root}
    kinds: dict[str, str] = {}
    for number, question in enumerate(questions):
        mine = [(point, mixture) for (point, _), mixture in zip(used, mixtures, strict=True) if point.model == number]
        told = _figures_of(question, mine, [weight for point, weight in used if point.model == number], level)
        for name, (found_figures, kind) in told.items():
            label = name if len(questions) == 1 else f"{question.name}:{name}"
            figures[label] = found_figures
            kinds |= {label: kind} if kind else {}
    figures |= _shape_figures(questions, points, weights)
    warnings: list[Note] = []
    if error > _TOLD:
        warnings.append(Doubt(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations"))
    files = [file_of(each.bound.model)["file"] for each in questions if each.bound.model.text]
    first = points[0].found.cells.root
    count, known = float(first["count"][0]), float(first["known"][0])
    return Solved(
        given_to(asked),
        nodes,
        figures,
        _log_sum([math.log(prior) + each for prior, each in zip(priors, evidences, strict=True)]),
        count + known if asked.question.root is not None else count - (1 - known),
        all(point.found.moments for point, _ in used),
        {
            "method": "quadrature",
            "error_bound": error,
            "components": len(fine.components.weight),
            "shape_points": len(points),
            "shape_priors": priors_in_words(questions),
            **({"files": files} if files else {}),
        },
        tuple(warnings),
        _draws(painted, seen, units, trait, questions, points, weights, options) if options.draws else None,
        _left_out(painted, used, mixtures) if options.loo else None,
        None if options.pairs is None else _pairs(painted, used, mixtures, options.pairs),
        models=[
            WeighedModel(question.name, prior, probability, evidence)
            for question, prior, probability, evidence in zip(questions, priors, probabilities, evidences, strict=True)
        ],
        kinds=kinds,
        rate=questions[0].rates[0] if len(questions) == 1 else "sigma2",
        priors=priors_in_words(questions),
        mixture=at_nodes(fine, painted.nodes),
    )


def _draws(
    painted: Painted,
    seen: Observations,
    units: Units,
    trait: int,
    questions: Sequence[ModelQuestion],
    points: Sequence[Point],
    weights: FloatArray,
    options: Options,
) -> Draws:
    """Independent joint draws: a model by its probability, its parameters, and all nodes."""
    seed = trait_seed(options.seed, seen.traits[trait])
    generator = np.random.default_rng([*seed, 3])
    shares = [weights[[point.model == m for point in points]].sum() for m in range(len(questions))]
    which = generator.choice(len(questions), options.draws, p=np.array(shares) / sum(shares))
    parts: list[tuple[NDArray[np.intp], Draws]] = []
    for number, question in enumerate(questions):
        mine = np.flatnonzero(which == number)
        if not mine.size:
            continue
        planes = [
            PlaneAt(point.place, weight, point.asked.question, point.plane, point.found)
            for point, weight in zip(points, weights.tolist(), strict=True)
            if point.model == number
        ]
        own_seed = [*seed, number]
        w, log_sigma2, log_tau2 = draw_plane_parameters(planes, mine.size, np.random.default_rng(own_seed))
        values = {question.rates[0]: np.exp(log_sigma2) / units.length, TAU2: np.exp(log_tau2)}
        values |= {name: np.full(mine.size, value) for name, value in question.held.items()}
        values |= {shape.name: np.array([shape.value(each) for each in w]) for shape in question.shapes}
        asked = next(point.asked for point in points if point.model == number)
        density = density_of(question, asked, seen, units, trait)
        topology = painted.phylogeny.topology
        parts.append((mine, draws_of(question, density, topology, painted.nodes, values, units, own_seed)))
    if len(questions) == 1:
        return parts[0][1]
    return _in_order(parts, options.draws, [questions[m].name for m in which])


def _in_order(parts: Sequence[tuple[NDArray[np.intp], Draws]], count: int, names: Sequence[str]) -> Draws:
    """Draws of several models, each in its places."""
    order = np.argsort(np.concatenate([mine for mine, _ in parts]))
    sigma2, tau2, states = (np.concatenate([each[i] for _, each in parts])[order] for i in (0, 1, 2))
    more: dict[str, FloatArray] = {}
    for mine, each in parts:
        for name, value in each.more.items():
            label = f"{names[int(mine[0])]}:{name}"
            more[label] = np.full(count, np.nan)
            more[label][mine] = value
    return Draws(sigma2, tau2, states, more, names)


def priors_in_words(questions: Sequence[ModelQuestion]) -> dict[str, str]:
    """Parameter, with its model's name where there are several -> its prior."""
    return {
        name if len(questions) == 1 else f"{each.name}:{name}": prior
        for each in questions
        for name, prior in each.priors_in_words().items()
    }


def model_priors(names: Sequence[str], options: Options) -> list[float]:
    """The models' probabilities before the data."""
    given = [options.model_priors.get(name, 1.0) for name in names]
    return [each / sum(given) for each in given]


def _figures_of(
    question: ModelQuestion, mine: Sequence[tuple[Point, Weighted]], weights: Sequence[float], level: float
) -> dict[str, tuple[Figures, str]]:
    """Figures of the unknowns of the mean and of all rates but the first, given the model, and of what kind each is."""
    if not mine:
        return {}
    found: dict[str, tuple[Figures, str]] = {}
    share = np.concatenate(
        [np.asarray(each.mixture.components.weight) * weight for (_, each), weight in zip(mine, weights, strict=True)]
    )
    means, variances = (
        np.concatenate([getattr(each, name) for _, each in mine]) for name in ("means", "mean_variances")
    )
    for place, name in enumerate(question.means):
        if name != "root":
            figures = mean_figures(means[:, place], variances[:, place], share / share.sum(), level)
            found[name] = figures, STATE if with_all(name) else CHANGE
    ratios = [shape for shape in question.shapes if shape.name in question.rates]
    held = {name: value for name, value in question.held.items() if name in question.rates}
    for name in question.rates[1:]:
        logs, cells = [], []
        for (point, _), weight in zip(mine, weights, strict=True):
            ratio = held[name] if name in held else ratios[0].value(point.place)
            logs.append(point.found.cells.log_sigma2.ravel() + math.log(ratio))
            cells.append(point.found.weights.ravel() * weight)
        found[name] = _weighted(np.exp(np.concatenate(logs)), np.concatenate(cells)), RATE
    return found


def mean_figures(means: FloatArray, variances: FloatArray, weights: FloatArray, level: float) -> Figures:
    """Figures of a mixture of J normals."""
    zeros = np.zeros(len(means))
    components = Components(np.arange(len(means)), weights, zeros, zeros, zeros + 1)
    mixture = Mixture(means[None], zeros[None], variances[None], components)
    figures = node_figures(mixture, mixture, level)
    found = quantiles(mixture, 0, np.array(PROBABILITIES))
    return Figures(float(figures.mean[0]), float(figures.deviation[0]), found)


def scaled_mean_figures(means: FloatArray, variances: FloatArray, weights: FloatArray, level: float) -> Figures:
    """`mean_figures` of a mixture that is not of order one."""
    middle = float(weights @ means)
    spread = float(np.sqrt(weights @ (variances + (means - middle) ** 2))) or 1.0
    return mean_figures((means - middle) / spread, variances / spread / spread, weights, level).times(spread, middle)


def _points_of(
    number: int,
    question: ModelQuestion,
    phylogeny: Phylogeny,
    seen: Observations,
    units: Units,
    trait: int,
) -> tuple[list[Point], float]:
    """The points of one model with their weights, and the error of the rule over its shape parameter."""
    name = seen.traits[trait]
    shape = question.shapes[0] if question.shapes else None

    def at(value: float) -> tuple[Asked, Plane, Integrated]:
        values = {shape.name: value} if shape is not None else {}
        asked = ask(phylogeny, seen, units, trait, question.options, question.edges(values, trait))
        plane = plane_of(asked.question)
        return asked, plane, integrate(plane, asked.question.root, _TOLERANCE, name)

    if shape is None:
        solved = at(np.nan)
        return [Point(number, np.nan, solved[2].log_evidence, *solved)], 0.0
    known: dict[float, Point] = {}

    def point(w: float) -> Point:
        if w not in known:
            solved = at(shape.value(w))
            known[w] = Point(number, w, solved[2].log_evidence + shape.log_density(w), *solved)
        return known[w]

    low, high = shape.prior.start()
    grid = np.linspace(low, high, _SCAN)
    heights = np.array([each.log_weight for each in in_threads(point, grid.tolist())])
    if not shape.prior.bounded and max(heights[0], heights[-1]) > heights.max() - _FALLEN:
        raise ModelError(
            f"trait {name!r}, model {question.name}: the posterior of {shape.name} does not fall off where its prior "
            f"{shape.text} ends: it has no finite integral, or prior and observations disagree (give --prior "
            f"'{question.means[-1]}=normal(MEAN,SD)', or another prior of {shape.name})"
        )
    inside = np.flatnonzero(heights > heights.max() - _DEPTH)
    step = grid[1] - grid[0]
    low, high = max(low, grid[inside[0]] - step), min(high, grid[inside[-1]] + step)
    count, before = _FIRST, np.nan
    while True:
        grid = np.linspace(low, high, count)
        found = in_threads(point, grid.tolist())
        log_step = float(np.log(grid[1] - grid[0]))
        total = _log_sum([each.log_weight for each in found]) + log_step
        error = abs(total - before)
        if error < _TOLERANCE or count >= _MOST:
            break
        before, count = total, 2 * count - 1
    return [each._replace(log_weight=each.log_weight + log_step) for each in found], float(error)


def _mixtures(used: Sequence[tuple[Point, float]], orders: tuple[int, int]) -> list[Weighted]:
    """The mixture at every point."""
    return in_threads(
        lambda point: mixture_of(point.asked.question, point.plane, point.found, orders), [p for p, _ in used]
    )


def _pairs(
    painted: Painted, used: Sequence[tuple[Point, float]], mixtures: Sequence[Weighted], pairs: NodePairs
) -> tuple[PairStates, FloatArray]:
    """Pairs of nodes of the tree as it was, over all points."""
    topology = painted.phylogeny.topology
    here = pairs._replace(first=painted.nodes[pairs.first], second=painted.nodes[pairs.second])
    return side_by_side(
        [
            (
                mixed_pairs(topology, point.asked.question.seen, weighted, here),
                np.asarray(weighted.mixture.components.weight) * weight,
            )
            for (point, weight), weighted in zip(used, mixtures, strict=True)
        ]
    )


def _left_out(painted: Painted, used: Sequence[tuple[Point, float]], mixtures: Sequence[Weighted]) -> LeftOut:
    """Every observed tip of the tree as it was by all others, over all points."""
    parts = zip(used, mixtures, strict=True)
    over = [(point.asked.question.seen, weighted, weight) for (point, weight), weighted in parts]
    found = leave_one_out(painted.phylogeny.topology, over)
    return found._replace(tips=in_places(found.tips, painted.nodes))


def _pooled(used: Sequence[tuple[Point, float]], which: str) -> Figures:
    """Figures of a variance over the cells of all points."""
    logs = np.concatenate([getattr(each.found.cells, which).ravel() for each, _ in used])
    weights = np.concatenate([(each.found.weights * weight).ravel() for each, weight in used])
    return _weighted(np.exp(logs), weights)


def _shape_figures(
    questions: Sequence[ModelQuestion], points: Sequence[Point], weights: FloatArray
) -> dict[str, Figures]:
    """Figures of the shape parameters, each given its model."""
    figures = {}
    for number, question in enumerate(questions):
        mine = [i for i, point in enumerate(points) if point.model == number]
        shape = question.shapes[0] if question.shapes else None
        if shape is None or shape.name in question.rates or not weights[mine].sum() > 0:
            continue
        places = np.array([points[i].place for i in mine])
        share = weights[mine] / weights[mine].sum()
        values = np.array([shape.value(w) for w in places])
        mean = float(share @ values)
        found = Marginals(places, share[None]).quantiles(np.array(PROBABILITIES)[None])[0]
        label = shape.name if len(questions) == 1 else f"{question.name}:{shape.name}"
        deviation = float(np.sqrt(share @ (values - mean) ** 2))
        figures[label] = Figures(mean, deviation, np.array([shape.value(w) for w in found]))
    return figures


def _weighted(values: FloatArray, weights: FloatArray) -> Figures:
    """Mean, deviation and quantiles of weighted points; half of a point's weight lies on either side of it."""
    # Equal values are one point, or its weight would lie in steps.
    values, place = np.unique(values, return_inverse=True)
    weights = np.bincount(place.ravel(), weights) / weights.sum()
    mean = float(weights @ values)
    middle = np.cumsum(weights) - weights / 2
    found = np.interp(PROBABILITIES, middle, values)
    return Figures(mean, float(np.sqrt(weights @ (values - mean) ** 2)), found)


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return float(top + np.log(np.exp(np.array(logs) - top).sum()))
