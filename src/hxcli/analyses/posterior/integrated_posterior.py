"""From the posterior over the plane to figures: of the parameters, and of all nodes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hxcli.analyses.posterior.solution import Figures
from hxcli.inference.marginal_density import Marginals, between_points, gauss_rules, interpolated
from hxcli.inference.normal_mixture import Components, Mixture, NodeFigures, Weighted, at_nodes, node_figures
from hxcli.inference.parameter_plane import Cells, Plane, Question, SharedScale, root_posterior
from hxcli.inference.priors import Prior
from hxcli.inference.quadrature import Integrated
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.parameter_columns import given_root

# Points with less weight than this, all together, are left out at the nodes.
_NEGLIGIBLE = 1e-9
# Numbers of points that stand for the plane at the nodes, tried in this order.
_ORDERS = ((8, 8), (16, 16), (30, 20), (44, 20))
# So many nodes tell first whether more points are needed.
_SOME = 256
# Points of a parameter's density.
_POINTS = 129
# Distance of its rows in standard deviations of the scale given the ratio; rows with less of the largest row's weight
# do not count; and most rows for one.
_STEP, _LIGHT, _MOST_FINER = 0.5, 1e-8, 64

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
        finer = _finer(plane, found)
        columns = finer.sigma2 if name == "sigma2" else finer.tau2
        heights = plane.at_scale(finer, points[None] - np.log(columns)[:, None]).heights
        density = np.exp(heights - found.cells.heights.max()).sum(0)
        return Figures(mean, deviation, np.exp(Marginals(points, density[None]).quantiles(probabilities[None])[0]))
    axis, points = (1, found.first) if name == "sigma2" else (0, found.second)
    places = Marginals(points, found.weights.sum(axis)[None]).quantiles(probabilities[None])[0]
    return Figures(mean, deviation, np.exp(parameter.coordinate(places).log_value))


def _finer(plane: SharedScale, found: Integrated) -> Cells:
    """The plane with rows between its rows, so near each other that a line of equal sigma2 or tau2 meets the mass.

    Across rows the scale that the observations want moves; where it is known much better than the ratio of both
    variances is, such a line would pass between the rows. What the observations say about the root is smooth along
    the ratio, so that polynomials of high degree give it between the rows.
    """
    noise, rows = found.first, found.weights.sum(1)
    logs = found.cells.log_sigma2
    share = found.weights / np.where(rows > 0, rows, 1)[:, None]
    middle = (share * logs).sum(1, keepdims=True)
    spread = np.sqrt((share * (logs - middle) ** 2).sum(1))[rows > _LIGHT * rows.max()].min()
    step = noise[1] - noise[0] if len(noise) > 1 else 0.0
    times = int(np.clip(np.ceil(step / (_STEP * spread)), 1, _MOST_FINER))
    if times == 1:
        return found.cells
    between = np.linspace(noise[0], noise[-1], times * (len(noise) - 1) + 1)
    root = {}
    for name, values in found.cells.root.items():
        positive = name in ("precision", "quadratic") and bool((values > 0).all())
        moved = between_points(noise, np.log(values) if positive else values, between)
        root[name] = np.exp(moved) if positive else moved
    return plane.laid_out(between, root)


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
    conditional = interpolated(found.first, found.weights, first)
    # Where the plane is too coarse, which its error says, nothing may be left between its rows.
    there &= conditional.sum(1) > 0
    first, first_weight, conditional = first[there], first_weight[there], conditional[there]
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
    means, variances = mean.ravel()[:, None], np.broadcast_to(variance, mean.shape).ravel()[:, None]
    if given.unknowns is not None:
        means, variances = (each[components.column] for each in given.unknowns)
        variances = variances * components.scale[:, None]
    mixture = Mixture(given.mean, given.slope, given.variance, components)
    return Weighted(mixture, sigma2, tau2, means, variances)


def figures_of(
    question: Question, plane: Plane, found: Integrated, level: float, tolerance: float
) -> tuple[NodeFigures, Weighted]:
    """Figures of all nodes with more and more points until one step more changes nothing; and the finer mixture."""
    coarse = mixture_of(question, plane, found, _ORDERS[0])
    size = coarse.mixture.mean.shape[0]
    some = np.linspace(0, size - 1, _SOME, dtype=int)
    for orders in _ORDERS[1:]:
        fine = mixture_of(question, plane, found, orders)
        if size > 2 * _SOME and orders != _ORDERS[-1] and len(fine.sigma2) > len(coarse.sigma2):
            # What fails at some of the nodes is not asked of all.
            tried = node_figures(at_nodes(fine.mixture, some), at_nodes(coarse.mixture, some), level)
            if tried.error.max() > tolerance:
                coarse = fine
                continue
        figures = node_figures(fine.mixture, coarse.mixture, level)
        if figures.error.max() <= tolerance or len(fine.sigma2) == len(coarse.sigma2):
            break
        coarse = fine
    return figures, fine
