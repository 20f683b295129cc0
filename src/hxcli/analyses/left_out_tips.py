"""What all other tips predict of every observed tip, from what is known of all nodes given all tips.

The far end of a tip's edge, before anything happens on it, is a multiple of its parent's state and a shift by the
unknowns of the mean. Given all observations it is a normal variable; less what the tip itself says about it, it is that
variable given the others, and the edge lies beyond it. Nothing is fitted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.left_out_table import Predicted, predicted
from hxcli.engine.topology import Topology
from hxcli.phylogeny import FloatArray

# Tips whose predictions are in memory at once, times components.
_MOST_NUMBERS = 2**21
# Less than this of the information about the far end is rounding.
_NOTHING = 1e-11


class LeftOut(NamedTuple):
    """Of T observed tips, in one unit.

    Attributes:
        tips: (T,) their nodes.
        observed: (T,) means of their observations.
        predicted: What the other tips predict of them.
    """

    tips: NDArray[np.intp]
    observed: FloatArray
    predicted: Predicted


class ObservedTips(NamedTuple):
    """T observed tips, whose replicates with equal standard errors are one of G groups.

    Attributes:
        nodes, parents: (T,).
        number, value, error2: (T, G) numbers of rows, their means, and squares of their standard errors.
    """

    nodes: NDArray[np.intp]
    parents: NDArray[np.intp]
    number: FloatArray
    value: FloatArray
    error2: FloatArray

    @classmethod
    def of(cls, fields: Mapping[str, Any], topology: Topology) -> ObservedTips:
        """Of the fields of `seen_fields` on a tree of N nodes, padded or not."""
        number, value, error2 = (
            np.asarray(fields[name], np.float64)[: topology.size] for name in ("number", "value", "error2")
        )
        nodes = np.flatnonzero(number.sum(1) > 0)
        parents = topology.parents[nodes].astype(np.intp)
        return cls(nodes, parents, number[nodes], value[nodes], error2[nodes])

    @property
    def observed(self) -> FloatArray:
        """(T,) means of all rows."""
        return np.asarray((self.number * self.value).sum(1) / self.number.sum(1))

    def some(self, which: slice) -> ObservedTips:
        """Some of the tips."""
        return ObservedTips(
            self.nodes[which], self.parents[which], self.number[which], self.value[which], self.error2[which]
        )


class FarEnds(NamedTuple):
    """The far ends of the edges of T tips given all observations, at J sets of parameters.

    Attributes:
        mean, variance: (T, J).
        edge: (T, J) variance that the edge adds.
        noise: (T, J) or (J,) of every row, besides its standard error.
    """

    mean: FloatArray
    variance: FloatArray
    edge: FloatArray
    noise: FloatArray


def far_ends(
    scale: FloatArray,
    shift: FloatArray,
    beta: FloatArray,
    at_parents: tuple[FloatArray, FloatArray, FloatArray],
    free: Sequence[int] | slice,
    covariance: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance, (T, J) each, of the far ends of edges.

    Args:
        scale: (T, J) what a parent's state is multiplied by.
        shift: (T, J, P) what the edge adds to the mean for each of P unknowns.
        beta: (J, P) the unknowns.
        at_parents: Of the parents' states the means, the variances given the unknowns, (T, J) each, and how much the
            means move with those F unknowns that are free, (T, J, F).
        free: Which of the P unknowns are free.
        covariance: (J, F, F) of those.
    """
    mean, alone, rest = at_parents
    moved = shift[:, :, free] + scale[:, :, None] * rest
    uncertain = np.einsum("tjp,jpq,tjq->tj", moved, covariance, moved)
    return scale * mean + np.einsum("tjp,jp->tj", shift, beta), scale**2 * alone + uncertain


def predictions(tips: ObservedTips, ends: FarEnds, weights: FloatArray) -> Predicted:
    """The predictions of T tips, nan where the others say nothing.

    Args:
        tips: The tips.
        ends: Of their edges, at J sets of parameters.
        weights: (J,) of those, adding up to 1.
    """
    step, found = max(1, _MOST_NUMBERS // len(weights)), []
    for start in range(0, len(tips.nodes), step):
        some = slice(start, start + step)
        noise = ends.noise if ends.noise.ndim == 1 else ends.noise[some]
        part = FarEnds(ends.mean[some], ends.variance[some], ends.edge[some], noise)
        own = tips.some(some)
        found.append(predicted(own.observed, *_without(own, part), weights))
    return Predicted(*(np.concatenate(each) for each in zip(*found, strict=True)))


def mixed(parts: Sequence[Predicted], weights: FloatArray) -> Predicted:
    """Predictions of several models as one, with weights that add up to 1."""
    means, deviations, logs = (np.stack(each, 1) for each in zip(*parts, strict=True))
    mean = means @ weights
    deviation = np.sqrt((deviations**2 + (means - mean[:, None]) ** 2) @ weights)
    top = logs.max(1)
    return Predicted(mean, deviation, top + np.log(np.exp(logs - top[:, None]) @ weights))


def left_out_in_unit(found: LeftOut, scale: float, location: float) -> LeftOut:
    """The same where a state x is `x * scale + location`."""
    mean, deviation, log_density = found.predicted
    own = Predicted(mean * scale + location, deviation * scale, log_density - np.log(scale))
    return found._replace(observed=found.observed * scale + location, predicted=own)


def _without(tips: ObservedTips, ends: FarEnds) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of every tip's mean observation without itself, (T, J) each."""
    number, value, error2 = (each[:, :, None] for each in tips[2:])
    noise = error2 + (ends.noise[None, None] if ends.noise.ndim == 1 else ends.noise[:, None])
    exact = (number > 0) & (noise == 0)
    precision = np.where((number > 0) & ~exact, number / np.where(noise > 0, noise, 1), 0)
    known = exact.any(1)
    own = np.where(known[:, None], exact * number, precision)
    said = (own * value).sum(1) / own.sum(1)
    total, edge = precision.sum(1), ends.edge
    # What the tip says about the far end: a normal density around `said` with this precision.
    weight = np.where(known, 1 / np.where(edge > 0, edge, 1), total / (1 + total * edge))
    left = 1 - ends.variance * weight
    # An error-free tip without an edge is its parent, whatever the others say; alone, it leaves nothing.
    nothing = (known & (edge == 0)) | (left < _NOTHING) | (tips.nodes == tips.parents)[:, None]
    safe = np.where(nothing, 1, left)
    centre = np.where(nothing, np.nan, (ends.mean - ends.variance * weight * said) / safe)
    return centre, ends.variance / safe + edge + (number * noise).sum(1) / number.sum(1) ** 2


def in_places(nodes: NDArray[np.intp], places: NDArray[Any]) -> NDArray[np.intp]:
    """(T,) nodes of the tree as it was, of nodes of one whose edges were cut; `places` (N,) is where they are there."""
    back = np.zeros(int(places.max()) + 1, np.intp)
    back[places] = np.arange(len(places))
    return back[nodes]
