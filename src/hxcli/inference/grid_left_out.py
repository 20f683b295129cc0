"""What all other tips say of every observed tip of a grid, from two sweeps: nothing is computed again without the tip.

The likelihood of the observations is linear in that of a tip's own. So its slopes by the latter, (k,) of the cells at
the end of the tip's edge, are the chances that all others give these cells, over the likelihood.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_program import Given, Parts, noise_at, parts_at
from hxcli.inference.threads import SETS, in_threads
from hxcli.phylogeny import FloatArray

# Below it a chance counts as this, so that its logarithm is finite.
_TINY = 1e-300
# Change of a log density by half as many cells, above which the extrapolation to cells of no width fades.
_MOST_CHANGE = 0.1


class TipPredictions(NamedTuple):
    """Of the means of the rows of T tips, (T,) each; nan where the others say nothing.

    Attributes:
        mean, deviation: Of the prediction.
        log_density: Log density in it of what was observed.
    """

    mean: FloatArray
    deviation: FloatArray
    log_density: FloatArray


def tip_predictions(likelihood: GridLikelihood, points: FloatArray, weights: FloatArray, cells: int) -> TipPredictions:
    """The predictions of all observed tips, mixed over sets of parameters.

    Args:
        likelihood: Of one trait, S coordinates.
        points: (M, S) sets of parameters, as the search has them.
        weights: (M,) of those, adding up to 1.
        cells: k.
    """
    found = in_threads(lambda x: predictions_at(likelihood, x, cells), points, SETS)
    means, deviations, logs = (np.stack(each, 1) for each in zip(*found, strict=True))
    mean = means @ weights
    deviation = np.sqrt((deviations**2 + (means - mean[:, None]) ** 2) @ weights)
    top = logs.max(1)
    return TipPredictions(mean, deviation, top + np.log(np.exp(logs - top[:, None]) @ weights))


def predictions_at(likelihood: GridLikelihood, x: FloatArray, cells: int) -> TipPredictions:
    """The same at one set of parameters, (S,)."""
    parts, found = likelihood.swept(x, cells)
    nodes, given = likelihood.observed_nodes, likelihood.given(cells)
    count = len(nodes)
    assert found.slopes is not None
    arriving = found.slopes.likelihood[nodes]
    length = np.asarray(given.observed["length"], float)[:count]
    number = np.asarray(given.observed["number"], float)[:count].sum(1)
    noise = np.asarray(noise_at(likelihood.program(cells), x, given), float)[:count]
    as_one = mean_rows(given)
    own = parts_at(likelihood.program(cells), x, as_one).own
    variance = np.asarray(as_one.observed["error2"])[:count, 0] + noise
    exact = variance == 0
    # A known value's edge is shortened by what its likelihood stands for.
    whole = likelihood.on_edges(parts.own._replace(time=given.observed["length"]), parts.speed)[0][nodes]
    rest = np.maximum(whole - likelihood.on_edges(parts.own, parts.speed)[0][nodes], 0.0)
    reached = likelihood.engine.later(parts.generator, nodes, rest, arriving)
    for tip in np.flatnonzero(~arriving.any(1)):
        reached[tip] = _without(likelihood, parts, int(nodes[tip]), float(whole[tip]))
    total = reached.sum(1)
    likelihoods = np.asarray(own.likelihood, float)[:count]
    seen = np.where(exact, (arriving * likelihoods).sum(1), (reached * likelihoods).sum(1)) / total
    states = np.asarray(parts.cells.x, float)
    mean = reached @ states / total
    spread = np.einsum("tk,tk->t", reached, (states - mean[:, None]) ** 2) / total
    log_density = np.log(np.maximum(seen, _TINY)) + np.asarray(own.log_scale, float)[:count]
    # That of all rows, of which only their mean is of interest.
    safe = np.where(exact, 1.0, variance)
    further = (number - 1) * np.log(2 * np.pi * safe) + np.log(number)
    log_density += np.where(exact, 0.0, further / 2)
    # An error-free tip without an edge is its parent, whatever the others say.
    nothing = exact & (length == 0)
    told = mean, np.sqrt(spread + variance / number), log_density
    return TipPredictions(*(np.where(nothing, np.nan, each) for each in told))


def at_no_width(fine: TipPredictions, coarse: TipPredictions) -> TipPredictions:
    """The predictions at cells of no width, from those on a grid and on one of half as many cells (Richardson 1911)."""
    mean, deviation, change = (one + (one - other) / 3 for one, other in zip(fine, coarse, strict=True))
    change -= fine.log_density
    log_density = fine.log_density + change / (1 + (change / _MOST_CHANGE) ** 4)
    return TipPredictions(mean, np.maximum(deviation, 0.0), log_density)


def mean_rows(given: Given) -> Given:
    """The same with as many equal rows of every tip as it has: their mean is what is known of it."""
    number, value, error2 = (np.asarray(given.observed[name], float) for name in ("number", "value", "error2"))
    total = number.sum(1)
    safe = np.where(total > 0, total, 1.0)
    fields = {"number": total, "value": (number * value).sum(1) / safe, "error2": (number * error2).sum(1) / safe}
    observed = {**given.observed, "misfit": np.zeros_like(number)}
    for name, first in fields.items():
        observed[name] = np.zeros_like(number)
        observed[name][:, 0] = first
    return given._replace(observed=observed)


def _without(likelihood: GridLikelihood, parts: Parts, node: int, time: float) -> FloatArray:
    """(k,) chances of a tip's cells given all others, where its value is so far away that its slopes are no numbers."""
    times, likelihoods = likelihood.on_edges(parts.own, parts.speed)
    times[node], likelihoods[node] = time, 1.0
    root = np.ones(likelihoods.shape[1]) if parts.root is None else np.asarray(parts.root, float)
    found = likelihood.engine.swept(parts.generator, times, likelihoods, root, densities=True)
    return np.asarray(found.density[node])
