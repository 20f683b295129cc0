"""The posterior of one trait under one diffusion on a grid: its parameters, and the densities of all nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hxcli.analyses.posterior.grid_question import GridQuestion
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import Figures
from hxcli.engine.topology import BoolArray
from hxcli.errors import Doubt, Note
from hxcli.findings import number
from hxcli.inference.box_quadrature import SHALLOW, integrate_box, places_at
from hxcli.inference.grid_density import GridDensity
from hxcli.inference.grid_likelihood import CELLS, GridDensities, GridLikelihood
from hxcli.inference.grid_mixture import mixed_densities
from hxcli.inference.threads import SETS, in_threads
from hxcli.phylogeny import FloatArray, canonical_order
from hxcli.prebuilt.grid_densities import DensityFigures, density_figures, extrapolated_figures

if TYPE_CHECKING:
    from hxcli.inference.grid_chains import GridChains

# Unknown parameters that are integrated out rather than sampled.
MOST_INTEGRATED = 2
# Largest error wanted of the quadrature, and what the user is told of.
_TOLERANCE, _TOLD = 3e-4, 3e-3
# Changes of the log evidence by twice as many cells: above the first so many are taken, up to a number of them; above
# the second, the user is told.
_CLOSE, _COARSE, _MOST_CELLS = 0.01, 0.1, 400
# Weight of all the points of the integral together that do not count at the nodes.
_NEGLIGIBLE = 1e-6
# Points, by their weights, at which the grid's error is measured.
_MEASURED = 8
# Draws that stand for all others at the nodes.
_MOST_COMPONENTS = 256
# Sets of parameters above which a coarser rule does for further products.
_MOST_SETS = 256
# What the density of a flat root may be at an end of a grid, as a share of its top.
_FALLEN = 1e-3
# Shift of a parameter's mean, in its standard deviations, by the cells of the sampler, of which the user is told.
_SHIFTED = 0.1
# Standard error of the log evidence of which the user is told.
_UNSURE = 0.1


class SetsOnGrid(NamedTuple):
    """What further products are computed with.

    Attributes:
        likelihood: Of the trait, S coordinates.
        points: (M, S) sets of parameters, as the search has them.
        weights: (M,) that add up to 1.
    """

    likelihood: GridLikelihood
    points: FloatArray
    weights: FloatArray


class GridFound(NamedTuple):
    """What is known of one trait under one diffusion, in the trait's units.

    Attributes:
        densities: Of all nodes.
        nodes: Their figures, cells of no width.
        figures: Free parameter -> figures.
        log_evidence: Log density of the observations; nan where it was not computed.
        details: For the run record.
        open_root: How high a flat root's density is at the ends of the grid, as a share of its top.
        notes: What the user should know, a sentence each.
        sets: Of parameters, that stand for their posterior.
        draws: (K, F) free parameters and (K, N) states of joint draws; None where nobody asked.
    """

    densities: GridDensities
    nodes: DensityFigures
    figures: Mapping[str, Figures]
    log_evidence: float
    details: Mapping[str, Any]
    open_root: float
    notes: tuple[Note, ...]
    sets: SetsOnGrid
    draws: tuple[FloatArray, FloatArray] | None = None


class _Weighed(NamedTuple):
    """Sets of parameters and their weights.

    Attributes:
        points: (M, S) as the search has them.
        weights: (W, M): those that count; others that should give the same.
        error: How far apart these are.
        figures, log_evidence, details: As in `GridFound`.
        draw: From K and random numbers to places of K draws, (K, F).
        notes: As in `GridFound`.
    """

    points: FloatArray
    weights: FloatArray
    error: float
    figures: Mapping[str, Figures]
    log_evidence: float
    details: dict[str, Any]
    draw: Callable[[int, np.random.Generator], FloatArray]
    notes: tuple[Note, ...] = ()


def method_for(question: GridQuestion, method: str) -> str:
    """`given`, `quadrature`, `independence` or `nuts`; a method of sampling that is asked for is taken."""
    if not question.priors:
        return "given"
    if method in ("nuts", "independence"):
        return method
    return "independence" if len(question.priors) > MOST_INTEGRATED else "quadrature"


def posterior_on_grid(
    question: GridQuestion, options: Options, seed: list[int], level: float, trait: str, free: BoolArray
) -> GridFound:
    """The posterior by the method that so many unknown parameters take.

    Args:
        question: The model.
        options: What the user wants.
        seed: Of the random numbers.
        level: Probability of the intervals of the nodes.
        trait: Its name, for messages.
        free: (N,) the nodes whose state is not known.

    Raises:
        ModelError: The posterior has no finite integral.
        HxError: NumPyro is needed, and is not installed.
    """
    how, cells, drawn = method_for(question, options.method), CELLS, None
    while True:
        density = question.density(cells)
        if how == "given":
            weighed = _given(density)
        elif how == "quadrature":
            weighed = _integrated(question, density, trait)
        else:
            drawn, weighed = _well_drawn(question, density, drawn, options, seed, how)
        by_cells, by_range, moved = _grid_errors(density.likelihood, weighed, free)
        error = max(by_cells, by_range)
        if not (by_cells > _CLOSE and 2 * cells <= _MOST_CELLS):
            break
        cells *= 2
    found = _found(question, density.likelihood, weighed, (error, moved), level, free)
    return found._replace(draws=_draws(density, weighed, options.draws, seed)) if options.draws else found


def _draws(density: GridDensity, weighed: _Weighed, count: int, seed: list[int]) -> tuple[FloatArray, FloatArray]:
    """(K, F) free parameters and (K, N) states; the random numbers of a node are those of its place among the names."""
    phylogeny = density.likelihood.bound.fields.phylogeny
    size = phylogeny.topology.size
    places = weighed.draw(count, np.random.default_rng([*seed, 5]))
    # Draw by draw and by name, so that a draw depends neither on how many there are nor on the order of children.
    uniform = np.empty((count, 2, size))
    uniform[..., canonical_order(phylogeny)] = np.random.default_rng([*seed, 1]).random((count, 2, size))
    different, which = np.unique(places, axis=0, return_inverse=True)
    which = which.ravel()
    points = density.search(different)

    def at(place: int) -> FloatArray:
        mine = uniform[which == place]
        return density.likelihood.drawn(points[place], mine[:, 0], mine[:, 1])

    states = np.empty((count, size))
    for place, found in enumerate(in_threads(at, range(len(points)), SETS)):
        states[which == place] = found
    return density.values(places), states


def _given(density: GridDensity) -> _Weighed:
    nothing = np.zeros((1, 0))
    details = {"method": "given parameters"}
    return _Weighed(
        nothing, np.ones((2, 1)), 0.0, {}, float(density(nothing)[0]), details, lambda count, _: np.zeros((count, 0))
    )


def _integrated(question: GridQuestion, density: GridDensity, trait: str) -> _Weighed:
    names = ", ".join(question.names)
    endless = (
        f"trait {trait!r}: the posterior of {names} has no finite integral with these priors (give --prior "
        f"'{question.names[0]}=PRIOR' that falls off on both sides, or --root normal:MEAN,VARIANCE)"
    )
    box = integrate_box(density, density.sizes, density.starts, _TOLERANCE, endless, density.nearly, SHALLOW)
    places = box.places
    both = np.stack([box.weights.ravel(), box.coarse.ravel()])
    order = np.argsort(-both[0], kind="stable")
    kept = np.sort(order[: np.searchsorted(np.cumsum(both[0][order]), 1 - _NEGLIGIBLE) + 1])
    weights = both[:, kept] / both[:, kept].sum(1, keepdims=True)
    values = density.values(places)
    figures = {
        name: Figures.of_box(box, axis, values[:, axis], density.priors[axis])
        for axis, name in enumerate(question.names)
    }
    notes = () if box.moments else (Note("with these priors the parameters have no finite mean and variance: empty"),)
    details = {"method": "quadrature", "grid": [len(axis) for axis in box.axes]}

    def draw(count: int, random: np.random.Generator) -> FloatArray:
        return places_at(box, random.random((count, 2)).T)

    return _Weighed(density.search(places[kept]), weights, box.error, figures, box.log_evidence, details, draw, notes)


def _well_drawn(
    question: GridQuestion,
    density: GridDensity,
    drawn: GridChains | None,
    options: Options,
    seed: list[int],
    method: str,
) -> tuple[GridChains, _Weighed]:
    """Draws on few cells, or on twice as many where these are too wide, and what they come to on many.

    Args:
        question: The model.
        density: On many cells.
        drawn: Draws that are there already; None for none.
        options: What the user wants.
        seed: Of the random numbers.
        method: `nuts`, which takes too long to begin again, or `independence`.
    """
    # Here, because nothing else needs NumPyro's company.
    from hxcli.inference.grid_chains import SAMPLED_CELLS, sample_on_grid

    sample = partial(sample_on_grid, density, options.chains, options.samples, seed, method)
    drawn = drawn or sample(SAMPLED_CELLS)
    weighed = _sampled(question, density, drawn, options)
    shift = weighed.details["shift_by_the_cells_of_the_sampler"]
    if not shift <= _SHIFTED and method != "nuts" and drawn.density.cells == SAMPLED_CELLS:
        drawn = sample(2 * SAMPLED_CELLS)
        weighed = _sampled(question, density, drawn, options)
    return drawn, weighed


def _sampled(question: GridQuestion, density: GridDensity, drawn: GridChains, options: Options) -> _Weighed:
    """Draws on few cells, some of them weighed by what they are on many."""
    from hxcli.inference.no_u_turn import unhealthy

    chains = drawn.chains
    all_values = density.values(chains.places.reshape(-1, len(question.priors)))
    figures = {
        name: Figures.of_draws(all_values[:, i], chains.diagnostics[name]) for i, name in enumerate(question.names)
    }
    components = chains.spaced(_MOST_COMPONENTS)
    count = len(components)
    logs = density(components) - drawn.density(components)
    weights = np.exp(logs - logs.max())
    # The mean weight is the evidence on many cells over that on few.
    log_evidence = chains.log_evidence + float(logs.max() + np.log(weights.mean()))
    error = math.hypot(chains.evidence_error, float(weights.std() / weights.mean()) / math.sqrt(count))
    weights /= weights.sum()
    values = density.values(components)
    shift = float((abs(weights @ values - values.mean(0)) / all_values.std(0)).max())
    halves = np.stack([weights * (np.arange(count) < count // 2), weights * (np.arange(count) >= count // 2)])
    details = {
        **chains.details,
        "chains": options.chains,
        "samples_per_chain": options.samples,
        "diagnostics": chains.diagnostics,
        "components": count,
        "cells_of_the_sampler": drawn.density.cells,
        "shift_by_the_cells_of_the_sampler": shift,
        "effective_components": float(1 / (weights**2).sum()),
        "log_evidence_error": number(error),
    }
    notes: list[Note] = []
    if wrong := unhealthy(chains.divergences, chains.diagnostics):
        advice = "give more --samples, narrower --prior, or hold parameters with --set"
        notes.append(Doubt(f"the sampler has not converged: {wrong} ({advice})"))
    if not shift <= _SHIFTED:
        notes.append(
            Doubt(
                f"the cells of the sampler are too wide: means of parameters are off by up to {shift:.2g} standard "
                "deviations (hold parameters with --set until two are left)"
            )
        )
    if error > _UNSURE:
        notes.append(Doubt(f"the log evidence has a standard error of {error:.2g} (give more --samples)"))
    both = np.concatenate([weights[None], halves / halves.sum(1, keepdims=True)])

    def draw(count: int, random: np.random.Generator) -> FloatArray:
        return random.permutation(chains.spaced(count))

    return _Weighed(density.search(components), both, 0.0, figures, log_evidence, details, draw, tuple(notes))


def _grid_errors(likelihood: GridLikelihood, weighed: _Weighed, free: BoolArray) -> tuple[float, float, float]:
    """Largest changes of the log evidence by twice as many cells and by a wider range; of estimates by the latter.

    At a few sets of parameters that stand for all.
    """
    below = np.cumsum(weighed.weights[0])
    count = min(_MEASURED, len(below))
    chosen = np.searchsorted(below, (np.arange(count) + 0.5) / count * below[-1])
    points, cells = weighed.points[np.minimum(chosen, len(below) - 1)], likelihood.cells
    values = np.array([likelihood.value(x) for x in points])

    def change(other: GridLikelihood) -> float:
        logs = np.array([other.value(x) for x in points]) - values
        return abs(float(np.log(np.exp(logs).mean())))

    by_cells = change(likelihood.on_cells(2 * cells))
    wider = likelihood.wider()
    if wider is None:
        return by_cells, 0.0, 0.0
    even = np.full((1, len(points)), 1 / len(points))
    means = [
        found.chances @ found.states
        for each in (likelihood, wider)
        for found in mixed_densities(each, points, even, each.cells)
    ]
    return by_cells, change(wider), float(abs(means[1] - means[0])[free].max(initial=0.0))


def _found(
    question: GridQuestion,
    likelihood: GridLikelihood,
    weighed: _Weighed,
    grid: tuple[float, float],
    level: float,
    free: BoolArray,
) -> GridFound:
    """The nodes, and all together."""
    cells = likelihood.cells
    fine, *others = mixed_densities(likelihood, weighed.points, weighed.weights, cells)
    half, quarter = (mixed_densities(likelihood, weighed.points, weighed.weights[:1], cells // by)[0] for by in (2, 4))
    told = [density_figures(each.chances, each.states, each.walls, level) for each in (fine, half, quarter)]
    nodes = extrapolated_figures(told[0], told[1], fine.walls)
    coarser = extrapolated_figures(told[1], told[2], fine.walls)
    spread = np.where(free & (nodes.standard_error > 0), nodes.standard_error, np.inf)
    by_weights = max(float((abs((each.chances - fine.chances) @ fine.states) / spread).max()) for each in others)
    details, notes = dict(weighed.details), list(weighed.notes)
    if details["method"] == "quadrature":
        error = max(weighed.error, by_weights)
        details["error_bound"] = error
        if error > _TOLD:
            notes.append(
                Doubt(
                    f"the quadrature over the parameters has not settled: its two finest grids differ by {error:.1g} "
                    "standard deviations"
                )
            )
    elif details["method"] in ("independence", "nuts"):
        details["half_to_half"] = by_weights
    error, moved = grid
    details |= {
        "engine": "grid",
        "cells": cells,
        "grid_error": max(moved, float(abs(coarser.estimate - nodes.estimate)[free].max(initial=0.0))),
        "log_evidence_grid_error": error,
    }
    if not error <= _COARSE:
        notes.append(
            Doubt(f"coarse_grid: more cells, or a wider range of them, change the log evidence by {error:.2g}")
        )
    return GridFound(
        fine,
        nodes,
        weighed.figures,
        weighed.log_evidence,
        details,
        _open_root(question, likelihood, fine),
        tuple(notes),
        _few_sets(likelihood, weighed),
    )


def _few_sets(likelihood: GridLikelihood, weighed: _Weighed) -> SetsOnGrid:
    """All sets of parameters, or where they are many those of an integral that should give the same."""
    weights = weighed.weights[0 if weighed.weights.shape[1] <= _MOST_SETS else 1]
    kept = weights > 0
    return SetsOnGrid(likelihood, weighed.points[kept], weights[kept] / weights[kept].sum())


def _open_root(question: GridQuestion, likelihood: GridLikelihood, found: GridDensities) -> float:
    """How high a flat root's density is at the ends of the grid that the model does not have, as a share of its top."""
    if not question.flat_root:
        return 0.0
    density = found.chances[0] / np.diff(found.walls)
    ends = [density[place] for place, there in zip((0, -1), likelihood.open_ends, strict=True) if there]
    return float(max(ends, default=0.0) / density.max())


def is_open(found: GridFound) -> bool:
    """Whether a flat root is where the grid's range puts it, and not where the tips do."""
    return found.open_root > _FALLEN
