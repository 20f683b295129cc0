"""Adequacy of fitted models: six statistics of the contrasts on the unit tree, with p by simulation.

On the unit tree the fitted model is Brownian motion at rate 1: with the factor f of a node, what is left of its state
at the deepest tips, an edge's length is f^2 times its variance and a tip's value f times its deviation from its mean.
The contrasts are then independent and standard normal where the model is true (Pennell, FitzJohn, Cornwell and Harmon
2015, Am. Nat. 186:E33). Statistics, of the M contrasts:

    m_sig  mean of the squares
    c_var  coefficient of variation of their sizes
    s_var  slope of the sizes on the contrasts' standard deviations
    s_asr  slope of the sizes on the states at the nodes, as the tips below tell them
    s_hgt  slope of the sizes on the distances of the nodes from the root
    d_cdf  largest distance between their distribution and the normal one with mean 0 and variance m_sig

Traits are drawn under the fitted model, and p is two-sided: twice the smaller share of draws, the data among them, that
are at least as large, or at least as small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.fit.drawing import drawn, model_edges
from hxcli.analyses.fit.fitted import FittedModel
from hxcli.inference.simulated_traits import observed
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.node_draws import NodeEdges, draw
from hxcli.prebuilt.unit_contrasts import Merging, merging

STATISTICS = ("m_sig", "c_var", "s_var", "s_asr", "s_hgt", "d_cdf")
COLUMNS = ("trait", "model", "statistic", "value", "lower", "upper", "p", "contrasts", "replicates")
REPLICATES = 999
# Numbers in the contrasts of the traits that are looked at together.
_MOST_NUMBERS = 1 << 22
# A spread of heights or deviations that is smaller, as a share of their size, is rounding.
_ROUNDING = 1e-9


class Adequacy(NamedTuple):
    """The statistics of one fitted model.

    Attributes:
        fitted: The model.
        contrasts: Their number.
        values: (6,) in the order of `STATISTICS`; nan where there is none.
        lower, upper: (6,) quantiles of the draws.
        p: (6,) two-sided.
    """

    fitted: FittedModel
    contrasts: int
    values: FloatArray
    lower: FloatArray
    upper: FloatArray
    p: FloatArray

    def rows(self) -> list[tuple[Any, ...]]:
        """Rows of the table, in the order of `COLUMNS`."""
        figures = zip(STATISTICS, *(each.tolist() for each in self[2:]), strict=True)
        return [(self.fitted.trait, self.fitted.name, *each, self.contrasts, REPLICATES) for each in figures]

    def about(self) -> dict[str, Any]:
        """For the run record, as JSON values."""
        return {
            "contrasts": self.contrasts,
            "replicates": REPLICATES,
            **{name: {"value": value, "p": p} for name, value, p in zip(STATISTICS, self.values, self.p, strict=True)},
        }


def adequacy(fitted: Sequence[FittedModel], seed: int, level: float) -> list[Adequacy]:
    """The statistics of all fitted models of one trait that have a likelihood.

    Args:
        fitted: The models.
        seed: Of the random numbers, which do not depend on the other models and traits.
        level: Probability between the quantiles of the draws.
    """
    return [_adequacy(each, seed, level) for each in fitted if np.isfinite(each.log_likelihood)]


def _adequacy(fitted: FittedModel, seed: int, level: float) -> Adequacy:
    likelihood = fitted.likelihood
    phylogeny = likelihood.bound.fields.phylogeny
    edges = model_edges(fitted)
    mean = draw(phylogeny, edges, 0, 0)[1]
    values, noise, seen = observed(likelihood)
    factor, heights = unit_tree(phylogeny, edges)
    on = merging(phylogeny, factor**2 * edges.variance, seen, factor**2 * noise)
    scale, shift = factor[on.tips, None], mean[on.tips, None]
    data = statistics(on, heights, scale * (values[on.tips, None] - shift))[:, 0]
    traits = drawn(fitted, REPLICATES, seed).means[on.tips]
    step = max(1, _MOST_NUMBERS // max(1, len(on.pairs)))
    parts = [
        statistics(on, heights, scale * (traits[:, start : start + step] - shift))
        for start in range(0, REPLICATES, step)
    ]
    draws = np.concatenate(parts, 1)
    # Slopes are changes for a unit of the trait, or of its square.
    unit = float(fitted.units.scale[0])
    units = np.array([1.0, 1.0, 1 / unit, 1 / unit, 1 / unit**2, 1.0])
    data, draws = data * units, draws * units[:, None]
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=1)
    shares = [(1 + sides.sum(1)) / (REPLICATES + 1) for sides in (draws >= data[:, None], draws <= data[:, None])]
    p = np.where(np.isnan(data), np.nan, np.minimum(1, 2 * np.minimum(*shares)))
    return Adequacy(fitted, len(on.pairs), data, lower, upper, p)


def unit_tree(phylogeny: Phylogeny, edges: NodeEdges) -> tuple[FloatArray, FloatArray]:
    """Factors of the nodes, and their distances from the root on the unit tree, (N,) each."""
    topology = phylogeny.topology
    starts, parents = topology.level_starts, topology.parents
    with np.errstate(divide="ignore"):
        step = np.log(edges.scale)
    step[0] = 0.0
    left = np.zeros(topology.size)
    for level in range(1, len(starts) - 1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        left[nodes] = left[parents[nodes]] + step[nodes]
    factor: FloatArray = np.exp(left[phylogeny.tips].min() - left)
    heights = np.zeros(topology.size)
    lengths = factor**2 * edges.variance
    for level in range(1, len(starts) - 1):
        nodes = slice(int(starts[level]), int(starts[level + 1]))
        heights[nodes] = heights[parents[nodes]] + lengths[nodes]
    return factor, heights


def statistics(on: Merging, heights: FloatArray, values: FloatArray) -> FloatArray:
    """(6, B) the statistics of B columns, in the order of `STATISTICS`; nan where there are too few contrasts.

    Args:
        on: The merges on the unit tree.
        heights: (N,) distances of the nodes from the root.
        values: (n, B) of the tips there.
    """
    from scipy.special import ndtr

    count = len(on.pairs)
    if count < 2:
        return np.full((len(STATISTICS), values.shape[1]), np.nan)
    contrasts, states = on.contrasts(values)
    sizes = abs(contrasts)
    squares = (contrasts**2).mean(0)
    ranked = np.sort(contrasts, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = ndtr(ranked / np.sqrt(squares))
        variation = sizes.std(0, ddof=1) / sizes.mean(0)
    steps = np.arange(count + 1)[:, None] / count
    apart = np.maximum(steps[1:] - expected, expected - steps[:-1]).max(0)
    return np.stack(
        [
            squares,
            variation,
            _slopes(on.deviation[:, None], sizes),
            _slopes(states, sizes),
            _slopes(heights[on.node][:, None], sizes),
            apart,
        ]
    )


def _slopes(x: FloatArray, y: FloatArray) -> FloatArray:
    """(B,) slopes of least squares lines of the columns of y; nan where x does not differ."""
    apart = x - x.mean(0)
    spread = (apart**2).sum(0)
    differs = spread > (_ROUNDING * abs(x).max(0)) ** 2 * len(x)
    return np.where(differs, (apart * y).sum(0) / np.where(differs, spread, 1), np.nan)
