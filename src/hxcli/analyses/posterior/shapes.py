"""Posteriors under models: shape parameters integrated over, several models weighed by their evidence.

At every value of a shape parameter the process is Gaussian with given edges; its rate, observation variance and mean
are integrated over as under Brownian motion. Around that goes one more trapezoidal rule, over the prior's own
coordinate, whose error is measured in the same way: every other point must agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hxcli.analyses.fit.fit import painted_tree
from hxcli.analyses.fit.fitted import file_of, largest_lambda
from hxcli.analyses.fit.options import has_roots, height_spread, refuse_unidentified
from hxcli.analyses.pairs import PairStates
from hxcli.analyses.posterior.integrated_posterior import mixture_of
from hxcli.analyses.posterior.joint_pairs import mixed_pairs, side_by_side
from hxcli.analyses.posterior.own_priors import own_priors, prior_fits
from hxcli.analyses.posterior.question import Asked, Options, ask
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures, Solved
from hxcli.edge_data import edge_columns
from hxcli.errors import Note, OptionError
from hxcli.inference.likelihood_columns import framed
from hxcli.inference.marginal_density import Marginals
from hxcli.inference.normal_mixture import Components, Mixture, NodeFigures, Weighted, node_figures, quantiles
from hxcli.inference.parameter_plane import Plane, plane_of
from hxcli.inference.priors import Prior, parse_prior
from hxcli.inference.quadrature import Integrated, integrate
from hxcli.model import Sde
from hxcli.models import GRID_MODELS, named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.models.gaussian_model import OFFSET, BoundModel
from hxcli.node_pairs import NodePairs
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.gls import sweep_design
from hxcli.prebuilt.parameter_columns import ModelEdges
from hxcli.prebuilt.units import Units
from hxcli.traits import Observations

# Points while looking for the mass, at first for the integral, and at most.
_SCAN, _FIRST, _MOST = 17, 17, 65
# How far below its top, in logs, the density over a shape parameter is cut off.
_DEPTH = 18.0
# Points with less weight than this are left out at the nodes; points of the plane for each that is not.
_NEGLIGIBLE = 1e-7
_COARSE, _FINE = (6, 6), (12, 10)
# Largest errors wanted, and of which the user is told.
_TOLERANCE, _TOLD = 1e-5, 1e-4


class Shape(NamedTuple):
    """A shape parameter's prior.

    Attributes:
        name: Of the parameter.
        prior: Of `value - offset`.
        offset: Where the prior begins.
        text: The prior as a user would write it.
    """

    name: str
    prior: Prior
    offset: float
    text: str

    def value(self, w: float) -> float:
        """The value at a point of the prior's coordinate."""
        return float(np.exp(self.prior.coordinate(np.array([w])).log_value[0])) + self.offset

    def log_density(self, w: float) -> float:
        """Log density of the prior over its coordinate."""
        at = self.prior.coordinate(np.array([w]))
        return float((self.prior.log_density(at.log_value) + at.log_slope)[0])


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


class ModelQuestion:
    """A model on a tree, whose shape parameter is to be integrated over."""

    def __init__(self, name: str, painted: Painted, units: Units, options: Options) -> None:
        """Finds the model and the prior of its shape parameter.

        Raises:
            OptionError: A model that this tree or these options do not allow.
        """
        if name in GRID_MODELS:
            raise _of_grid(name)
        fields = edge_fields(painted, edge_columns(painted, options.edge_data))
        model = named_model(name, options.ou_root if has_roots(name) else None)
        refuse_unidentified(model, fields, height_spread(painted.phylogeny))
        self.bound: BoundModel = model.on(fields)
        if options.lambda_max:
            self.bound.widen("lambda", largest_lambda(fields))
        if isinstance(self.bound.returned, Sde):
            raise _of_grid(name)
        unknowns = [each for each in self.bound.unknowns if each != OFFSET]
        if len(unknowns) != 1:
            raise OptionError(
                f"hx posterior --model {name}: the model has {len(unknowns)} means, and posteriors are of models with "
                f"one ({'hx ancestral --model estimates the others' if unknowns else 'MEANS names it in the file'})"
            )
        self.options = own_priors(self.bound, options) if model.text else options
        free = [each for each in self.bound.coordinates if each.name not in options.held]
        if len(free) > 1:
            names = ", ".join(each.name for each in free)
            raise OptionError(
                f"hx posterior --model {name}: {names} are free, and one is integrated over (hold others with --set)"
            )
        self.held = {
            name: value for name, value in options.held.items() if name in {c.name for c in self.bound.coordinates}
        }
        for each in self.bound.coordinates:
            if each.name in self.held and not each.low <= self.held[each.name] <= each.high:
                raise OptionError(
                    f"--set {each.name}={self.held[each.name]:g}: outside its support, "
                    f"{each.low:.6g} to {each.high:.6g}"
                )
        self.shape = self._prior(free[0].name, options) if free else None
        self._framed = framed(fields.columns, painted.phylogeny)
        self._units = units

    def edges(self, value: float) -> ModelEdges:
        """The edges at a value of the shape parameter, in the unit of computation."""
        values = {**self.held, **({self.shape.name: value} if self.shape else {})}
        x = np.array([[float(each.to_search(values[each.name])) for each in self.bound.coordinates]])
        found = self.bound.edges(x, dict(self._framed.columns))
        if len(self.bound.unknowns) > 1 and (np.any(found.shift[..., 1]) or np.any(found.root_mean[..., 1])):
            raise OptionError(
                f"hx posterior --model {self.bound.model.source}: its means have a part that no mean in MEANS "
                "multiplies, and posteriors are of models without one (hx ancestral --model takes it)"
            )
        design = sweep_design(self._framed.tree.topology, found.scale, found.shift, found.root_mean)
        size, unit = self._framed.size, self._units.length
        scale, variance = (np.asarray(each)[:size, 0] for each in (found.scale, found.variance))
        # Of no meaning at the root.
        scale = np.where(np.arange(size) == 0, 1.0, scale)
        root_variance = float(np.asarray(found.root_variance)[0]) / unit
        return ModelEdges(variance / unit, scale, np.asarray(design)[:size, 0, 0], root_variance)

    def _prior(self, name: str, options: Options) -> Shape:
        coordinate = next(each for each in self.bound.coordinates if each.name == name)
        declared = self.bound.declarations[coordinate.parameter]
        if name in options.priors:
            if coordinate.low < 0:
                raise OptionError(f"--prior {name}: its prior is uniform over its support (leave the option out)")
            prior = parse_prior(options.priors[name])
            return Shape(name, prior, 0.0, str(prior))
        if self.bound.model.text and not prior_fits(declared, coordinate):
            raise OptionError(
                f"hx posterior --model {self.bound.model.source}: the prior of {name} is {declared.prior or 'none'} "
                f"over {coordinate.low:.6g} to {coordinate.high:.6g} (take log_normal, or uniform between its ends)"
            )
        if declared.family == "log_normal":
            prior = Prior(
                "lognormal", (float(f"{np.log(declared.numbers['median']):.6g}"), float(declared.numbers["sd"]))
            )
            return Shape(name, prior, 0.0, str(prior))
        low, high = coordinate.low, coordinate.high
        return Shape(name, Prior("uniform", (0.0, high - low)), low, f"uniform({low:.6g},{high:.6g})")


def _of_grid(name: str) -> OptionError:
    return OptionError(
        f"hx posterior --model {name}: posteriors are of Gaussian models, and this one is a diffusion on a grid (hx "
        "ancestral --model gives every node's density at the most likely parameters)"
    )


def model_questions(phylogeny: Phylogeny, units: Units, options: Options) -> tuple[Painted, list[ModelQuestion]]:
    """The tree with its regimes, and every model on it.

    Raises:
        InputError: Regimes that do not fit the tree.
        OptionError: Models or options that this tree does not allow; a prior of no free parameter.
    """
    for given, option in (
        (options.method == "nuts", "--method nuts"),
        (options.loo, "--loo"),
        (options.draws, "--draws"),
    ):
        if given:
            raise OptionError(f"{option} goes with Brownian motion only (leave it or --model out)")
    names = options.models or ("bm",)
    if len(set(names)) < len(names):
        raise OptionError("--model names one model twice (give each once)")
    painted = painted_tree(phylogeny, options.regimes)
    questions = [ModelQuestion(name, painted, units, options) for name in names]
    free = {each.shape.name for each in questions if each.shape}
    for name in options.priors:
        if name not in free:
            raise OptionError(f"--prior {name}: no model here has it as a free parameter")
    if len(questions) > 1 and len({each.options.root for each in questions}) > 1:
        raise OptionError("the models have priors of the root or mean of their own (one --model at a time)")
    known = {each.name for question in questions for each in question.bound.coordinates}
    for name in options.held:
        if name not in known:
            raise OptionError(f"--set {name}: no model here has such a shape parameter")
    return painted, questions


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
    for number, question in enumerate(questions):
        found, error = _points_of(number, question, painted.phylogeny, seen, units, trait)
        points += found
        errors.append(error)
        evidences.append(_log_sum([each.log_weight for each in found]))
    logs = np.array([each.log_weight for each in points])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    probabilities = np.array([weights[[p.model == m for p in points]].sum() for m in range(len(questions))])
    used = [(point, weight) for point, weight in zip(points, weights, strict=True) if weight > _NEGLIGIBLE]
    mixtures = _mixtures(used, _FINE)
    fine, coarse = _combined(used, mixtures), _combined(used, _mixtures(used, _COARSE))
    nodes = node_figures(fine, coarse, level)
    nodes = NodeFigures(*(value[painted.nodes] for value in nodes))
    error = max(max(errors), float(nodes.error.max()), *(point.found.error for point, _ in used))
    asked = points[0].asked
    levels = np.array(PROBABILITIES)
    root = Figures(float(nodes.mean[0]), float(nodes.deviation[0]), quantiles(fine, int(painted.nodes[0]), levels))
    figures = {"sigma2": _pooled(used, "log_sigma2"), "tau2": _pooled(used, "log_tau2"), "root": root}
    figures |= _shape_figures(questions, points, weights)
    warnings = []
    if error > _TOLD:
        warnings.append(Note(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations"))
    files = [file_of(each.bound.model)["file"] for each in questions if each.bound.model.text]
    first = points[0].found.cells.root
    count, known = float(first["count"][0]), float(first["known"][0])
    return Solved(
        asked,
        nodes,
        figures,
        _log_sum(evidences) - np.log(len(questions)),
        count + known if asked.question.root is not None else count - (1 - known),
        all(point.found.moments for point, _ in used),
        {
            "method": "quadrature",
            "error_bound": error,
            "components": len(fine.components.weight),
            "shape_points": len(points),
            "shape_priors": {each.shape.name: each.shape.text for each in questions if each.shape},
            **({"files": files} if files else {}),
        },
        tuple(warnings),
        pairs=None if options.pairs is None else _pairs(painted, used, mixtures, options.pairs),
        models=[
            (question.bound.name, float(probability), evidence)
            for question, probability, evidence in zip(questions, probabilities, evidences, strict=True)
        ],
    )


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

    def at(value: float) -> tuple[Asked, Plane, Integrated]:
        asked = ask(phylogeny, seen, units, trait, question.options, question.edges(value))
        plane = plane_of(asked.question)
        return asked, plane, integrate(plane, asked.question.root, _TOLERANCE, name)

    shape = question.shape
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
    heights = np.array([point(float(w)).log_weight for w in grid])
    inside = np.flatnonzero(heights > heights.max() - _DEPTH)
    step = grid[1] - grid[0]
    low, high = max(low, grid[inside[0]] - step), min(high, grid[inside[-1]] + step)
    count, before = _FIRST, np.nan
    while True:
        grid = np.linspace(low, high, count)
        found = [point(float(w)) for w in grid]
        log_step = float(np.log(grid[1] - grid[0]))
        total = _log_sum([each.log_weight for each in found]) + log_step
        error = abs(total - before)
        if error < _TOLERANCE or count >= _MOST:
            break
        before, count = total, 2 * count - 1
    return [each._replace(log_weight=each.log_weight + log_step) for each in found], float(error)


def _mixtures(used: Sequence[tuple[Point, float]], orders: tuple[int, int]) -> list[Weighted]:
    """The mixture at every point."""
    return [mixture_of(each.asked.question, each.plane, each.found, orders) for each, _ in used]


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


def _combined(used: Sequence[tuple[Point, float]], mixtures: Sequence[Weighted]) -> Mixture:
    """One mixture of the mixtures at all points."""
    parts = [(each.mixture, weight) for each, (_, weight) in zip(mixtures, used, strict=True)]
    starts = np.cumsum([0, *(part.mean.shape[1] for part, _ in parts)])
    components = [
        part.components._replace(column=part.components.column + start, weight=part.components.weight * weight)
        for (part, weight), start in zip(parts, starts, strict=False)
    ]
    joined = Components(*(np.concatenate(values) for values in zip(*components, strict=True)))
    fields = [
        np.concatenate([np.asarray(getattr(part, name)) for part, _ in parts], 1)
        for name in ("mean", "slope", "variance")
    ]
    return Mixture(fields[0], fields[1], fields[2], joined._replace(weight=joined.weight / joined.weight.sum()))


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
        shape = question.shape
        mine = [i for i, point in enumerate(points) if point.model == number]
        if shape is None or not weights[mine].sum() > 0:
            continue
        places = np.array([points[i].place for i in mine])
        share = weights[mine] / weights[mine].sum()
        values = np.array([shape.value(w) for w in places])
        mean = float(share @ values)
        found = Marginals(places, share[None]).quantiles(np.array(PROBABILITIES)[None])[0]
        label = shape.name if len(questions) == 1 else f"{question.bound.name}:{shape.name}"
        deviation = float(np.sqrt(share @ (values - mean) ** 2))
        figures[label] = Figures(mean, deviation, np.array([shape.value(w) for w in found]))
    return figures


def _weighted(values: FloatArray, weights: FloatArray) -> Figures:
    """Mean, deviation and quantiles of weighted points; half of a point's weight lies on either side of it."""
    weights = weights / weights.sum()
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    mean = float(weights @ values)
    middle = np.cumsum(weights) - weights / 2
    found = np.interp(PROBABILITIES, middle, values)
    return Figures(mean, float(np.sqrt(weights @ (values - mean) ** 2)), found)


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return float(top + np.log(np.exp(np.array(logs) - top).sum()))


def given_models(options: Options) -> bool:
    """Whether another process than plain Brownian motion is asked for."""
    return options.models not in ((), ("bm",)) or bool(options.held or options.priors or options.regimes)
