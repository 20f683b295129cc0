"""From the posterior over the plane to figures: of the parameters, and of all nodes."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.columns import given_root
from hxcli.prebuilt.marginal import Marginals, gauss_rules, interpolated
from hxcli.prebuilt.mixture import Components, Mixture, NodeFigures, node_figures
from hxcli.prebuilt.plane import Plane, Question, SharedScale, root_posterior
from hxcli.prebuilt.priors import Prior
from hxcli.prebuilt.quadrature import Integrated
from hxcli.prebuilt.solved import Figures

# Points with less weight than this, all together, are left out at the nodes.
_NEGLIGIBLE = 1e-9
# Numbers of points that stand for the plane at the nodes, tried in this order.
_ORDERS = ((8, 8), (16, 16), (30, 20), (44, 20))
# Points of a parameter's density.
_POINTS = 129

Name = Literal["sigma2", "tau2"]


def parameter_figures(
    question: Question, plane: Plane, found: Integrated, name: Name, probabilities: FloatArray
) -> Figures:
    """Mean, standard deviation and quantiles of sigma2 or tau2, in the unit of computation."""
    parameter = getattr(question, name)
    if not isinstance(parameter, Prior):
        return Figures(parameter, 0.0, np.full(len(probabilities), parameter))
    logs = found.cells.log_sigma2 if name == "sigma2" else found.cells.log_tau2
    mean = deviation = float("nan")
    if found.moments:
        values = np.exp(logs)
        mean = float((found.weights * values).sum())
        deviation = float(np.sqrt((found.weights * (values - mean) ** 2).sum()))
    if isinstance(plane, SharedScale):
        inside = logs[found.weights > 1e-12 * found.weights.max()]
        points = np.linspace(inside.min(), inside.max(), _POINTS)
        columns = found.cells.sigma2 if name == "sigma2" else found.cells.tau2
        heights = plane.at_scale(found.cells, points[None] - np.log(columns)[:, None]).heights
        density = np.exp(heights - found.cells.heights.max()).sum(0)
        return Figures(mean, deviation, np.exp(Marginals(points, density[None]).quantiles(probabilities[None])[0]))
    axis, points = (1, found.first) if name == "sigma2" else (0, found.second)
    places = Marginals(points, found.weights.sum(axis)[None]).quantiles(probabilities[None])[0]
    return Figures(mean, deviation, np.exp(parameter.coordinate(places).log_value))


class Weighted(NamedTuple):
    """Mixtures at all nodes, with the parameters (J,) of every component, in the unit of computation."""

    mixture: Mixture
    sigma2: FloatArray
    tau2: FloatArray


def mixture_of(question: Question, plane: Plane, found: Integrated, orders: tuple[int, int]) -> Weighted:
    """All nodes' posteriors as mixtures over few points of the plane, chosen for its weights.

    Args:
        question, plane, found: What was asked, and the integral.
        orders: Number of points along the first coordinate, and for each along the second.
    """
    rows, columns = (min(order, len(axis)) for order, axis in zip(orders, (found.first, found.second), strict=True))
    marginal = found.weights.sum(1)
    first, first_weight = (value[0] for value in gauss_rules(found.first, marginal[None], rows))
    there = first_weight > _NEGLIGIBLE / rows
    first, first_weight = first[there], first_weight[there]
    conditional = interpolated(found.first, found.weights, first)
    second, second_weight = gauss_rules(found.second, conditional, columns)
    wanted = plane.columns(first, second)
    given = given_root(question.seen, wanted.sigma2, wanted.tau2)
    log_scale = plane.log_scale(given.root, second)
    weight = first_weight[:, None] * second_weight
    root = {name: value[wanted.column] for name, value in given.root.items()}
    mean, variance = root_posterior(root, log_scale, question.root)
    scale = np.exp(log_scale)
    parts = (wanted.column, weight / weight.sum(), mean - root["mean"], variance, scale)
    components = Components(*(part.ravel() for part in parts))
    sigma2, tau2 = ((value[wanted.column] * scale).ravel() for value in (wanted.sigma2, wanted.tau2))
    return Weighted(Mixture(given.mean, given.slope, given.variance, components), sigma2, tau2)


def figures_of(
    question: Question, plane: Plane, found: Integrated, level: float, tolerance: float
) -> tuple[NodeFigures, Weighted]:
    """Figures of all nodes with more and more points until one step more changes nothing; and the finer mixture."""
    coarse = mixture_of(question, plane, found, _ORDERS[0])
    for orders in _ORDERS[1:]:
        fine = mixture_of(question, plane, found, orders)
        figures = node_figures(fine.mixture, coarse.mixture, level)
        if figures.error.max() <= tolerance or len(fine.sigma2) == len(coarse.sigma2):
            break
        coarse = fine
    return figures, fine
