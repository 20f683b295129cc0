"""One trait under one diffusion on a grid: most likely parameters, their intervals, and the density of every node."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.fit.fitted import Estimate, FittedModel
from hxcli.analyses.fit.options import FitOptions
from hxcli.inference.grid_ends import profile_ends
from hxcli.inference.grid_likelihood import CELLS, GridDensities, GridLikelihood
from hxcli.inference.grid_search import GridOptimum, maximise_on_grid
from hxcli.models.bound_model import BoundModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_densities import DensityFigures, density_figures, extrapolated_figures
from hxcli.prebuilt.units import units_of
from hxcli.traits import Observations

# Changes of the log likelihood by twice as many cells: above the first so many are taken, up to a number of them; above
# the second, the user is told.
_CLOSE, _COARSE, MOST_CELLS = 0.01, 0.1, 800
# Numbers of a matrix for every group of edges, beyond which there are not twice as many cells.
_MOST_NUMBERS = 1 << 24
# Change of the root's estimate by a wider range of the grid, in standard deviations of the values, that is one.
_MOVED = 0.05


@dataclass(frozen=True, eq=False)
class GridFittedModel(FittedModel):
    """One trait under one diffusion, in the trait's units.

    Attributes:
        observations: What was observed of the trait.
        exact: (N,) value of the nodes that are known exactly; nan elsewhere.
        level: Probability of the intervals.
        log_likelihood_error: Largest change of the log likelihood by twice as many cells, and by a wider range of them.
    """

    observations: Observations
    exact: FloatArray
    level: float
    log_likelihood_error: float

    @property
    def grid(self) -> tuple[GridLikelihood, GridOptimum]:
        """The likelihood and its maximum."""
        return cast(GridLikelihood, self.likelihood), cast(GridOptimum, self.optimum)

    @cached_property
    def densities(self) -> GridDensities:
        """The densities of all nodes, on twice as many cells as the parameters were found on."""
        likelihood, optimum = self.grid
        return likelihood.densities(optimum.x, 2 * likelihood.cells)

    @cached_property
    def figures(self) -> DensityFigures:
        """Mean, standard error, interval and modes of every node; a known value has no error."""
        found = self._extrapolated[0]
        known = ~np.isnan(self.exact)
        values = [np.where(known, self.exact, part) for part in (found.estimate, found.lower, found.upper)]
        return DensityFigures(
            values[0], np.where(known, 0.0, found.standard_error), values[1], values[2], np.where(known, 1, found.modes)
        )

    @cached_property
    def grid_error(self) -> float:
        """The largest change of an estimate by doubling the number of cells, and by a wider range of them."""
        fine, coarse = self._extrapolated
        free = np.isnan(self.exact)
        changes = [abs(coarse.estimate - fine.estimate)]
        likelihood, optimum = self.grid
        if (wider := likelihood.wider()) is not None:
            of_wider = _figures(wider.densities(optimum.x), self.level).estimate
            changes.append(abs(of_wider - _figures(likelihood.densities(optimum.x), self.level).estimate))
        return float(max(change[free].max(initial=0.0) for change in changes))

    @cached_property
    def _extrapolated(self) -> tuple[DensityFigures, DensityFigures]:
        """Figures extrapolated to cells of no width, from the finest grid and its half, and from half as many cells."""
        likelihood, optimum = self.grid
        halves = [likelihood.densities(optimum.x, cells) for cells in (likelihood.cells, likelihood.cells // 2)]
        fine, middle, coarse = (_figures(each, self.level) for each in (self.densities, *halves))
        walls = self.densities.walls
        return extrapolated_figures(fine, middle, walls), extrapolated_figures(middle, coarse, walls)

    @cached_property
    def states(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard error of every node given all tips, (N,) each."""
        return self.figures.estimate, self.figures.standard_error

    @property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Ends of the central interval of every node, (N,) each."""
        return self.figures.lower, self.figures.upper

    @property
    def modes(self) -> NDArray[np.int64]:
        """(N,) number of modes of every node's density."""
        return self.figures.modes

    def certificate(self) -> dict[str, Any]:
        """How the optimum was found, as JSON values."""
        likelihood, found = self.grid
        return {
            "converged": found.converged,
            "gradient_norm": float(np.linalg.norm(found.gradient)),
            "gradient": found.gradient.tolist(),
            "hessian_eigenvalues": np.linalg.eigvalsh(found.hessian).tolist() if len(found.x) else [],
            "coordinates": [each.name + (" (log)" if each.log else "") for each in likelihood.coordinates],
            "starts": found.starts,
            "starts_agreeing": found.agreeing,
            "at_lower_bound": list(found.at_lower),
            "at_upper_bound": list(found.at_upper),
            "engine": "grid",
            "cells": likelihood.cells,
            "log_likelihood_grid_error": self.log_likelihood_error,
        }


def fit_on_grid(bound: BoundModel, observations: Observations, trait: int, options: FitOptions) -> GridFittedModel:
    """The most likely parameters of one trait under one diffusion, with profile likelihood intervals.

    Raises:
        ModelError: A diffusion or values that a grid does not allow.
        OptionError: A parameter is held that the model does not have.
    """
    own = set(bound.fixed) | {each.name for each in bound.coordinates}
    held = {name: value for name, value in options.held.items() if name in own}

    def on_cells(cells: int) -> GridLikelihood:
        return GridLikelihood(bound, observations, trait, tau2=options.tau2, held=held, cells=cells)

    likelihood = on_cells(CELLS)
    optimum = maximise_on_grid(likelihood)
    error = likelihood.grid_error(optimum.x)
    while error > _CLOSE and _may_double(likelihood) and _too_wide(likelihood, optimum):
        likelihood = on_cells(2 * likelihood.cells)
        optimum = maximise_on_grid(likelihood, optimum)
        error = likelihood.grid_error(optimum.x)
    seen = dataclasses.replace(
        observations,
        values=observations.values[:, [trait]],
        standard_errors=observations.standard_errors[:, [trait]],
        traits=observations.traits[trait : trait + 1],
    )
    size = bound.fields.phylogeny.topology.size
    means = seen.means(0, size)[:, 0]
    there = ~np.isnan(seen.values[:, 0])
    exact = np.zeros(size, bool)
    if bound.model.noise is None:
        exact[seen.nodes[there & (seen.standard_errors[:, 0] ** 2 + options.tau2 == 0)]] = True
    n = int((~np.isnan(means)).sum())
    k = len(likelihood.coordinates) + likelihood.free_root
    sound = math.isfinite(optimum.log_likelihood)
    flags = []
    if optimum.at_lower:
        flags.append("at_lower_bound")
    if optimum.at_upper:
        flags.append("at_upper_bound")
    if k > n / 10:
        flags.append("many_parameters")
    if _root_follows_the_grid(likelihood, optimum):
        flags.append("root_by_the_grid")
    if not error <= _COARSE:
        flags.append("coarse_grid")
    if not optimum.converged:
        flags.append("optimum_not_certain")
    return GridFittedModel(
        bound=bound,
        trait=observations.traits[trait],
        n=n,
        k=k,
        log_likelihood=optimum.log_likelihood if sound else math.nan,
        estimator="ML",
        parameters=_parameters(likelihood, optimum, options) if sound else {},
        flags=tuple(flags),
        likelihood=cast(Any, likelihood),
        optimum=cast(Any, optimum),
        units=units_of(bound.fields.phylogeny, seen),
        observations=seen,
        exact=np.where(exact, means, np.nan),
        level=options.level,
        log_likelihood_error=error,
    )


def _may_double(likelihood: GridLikelihood) -> bool:
    return likelihood.cells < MOST_CELLS and likelihood.groups * likelihood.cells**2 <= _MOST_NUMBERS


def _too_wide(likelihood: GridLikelihood, optimum: GridOptimum) -> bool:
    """Whether more cells would change the log likelihood: they are of no use where a wider range of them would."""
    finer = likelihood.value(optimum.x, 2 * likelihood.cells)
    return not abs(finer - likelihood.value(optimum.x)) <= _CLOSE


def _root_follows_the_grid(likelihood: GridLikelihood, optimum: GridOptimum) -> bool:
    """Whether a flat root is where the grid's range puts it, and not where the tips do."""
    wider = likelihood.wider()
    if wider is None or not likelihood.free_root or not math.isfinite(optimum.log_likelihood):
        return False
    narrow, wide = (each.densities(optimum.x) for each in (likelihood, wider))
    spread = float(likelihood.bound.fields.columns["trait_sd"])
    return bool(abs(narrow.chances[0] @ narrow.states - wide.chances[0] @ wide.states) > _MOVED * spread)


def _figures(found: GridDensities, level: float) -> DensityFigures:
    return density_figures(found.chances, found.states, found.walls, level)


def _parameters(likelihood: GridLikelihood, optimum: GridOptimum, options: FitOptions) -> Mapping[str, Estimate]:
    """Estimates with their intervals."""
    ends = np.full((len(likelihood.coordinates), 2), np.nan)
    if options.intervals and len(ends) and math.isfinite(optimum.log_likelihood):
        ends = profile_ends(likelihood, optimum, options.level)
    found = {}
    for each, x, around in zip(likelihood.coordinates, optimum.x, ends, strict=True):
        lower, upper = (float(each.from_search(end)) for end in around)
        found[each.name] = Estimate(float(each.from_search(x)), lower, upper, "ML")
    for name, value in likelihood.bound.fixed.items():
        found[name] = Estimate(float(likelihood.held.get(name, value)), math.nan, math.nan, "given")
    for name, value in likelihood.held.items():
        found[name] = Estimate(value, math.nan, math.nan, "given")
    return found
