"""What all other tips predict of every observed tip, from the sweeps that are there already.

A tip's parent given all observations, less what the tip itself says about it, is the parent given the others; one
edge further lies the tip's state. Nothing is fitted again: parameters that have a posterior keep the one given all
tips.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.left_out_table import Predicted, predicted
from hxcli.inference.normal_mixture import Mixture, Weighted, normals
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.parameter_columns import SeenTree

# Tips whose mixtures are in memory at once, times components.
_MOST_NUMBERS = 2**21
# Less than this of the information about the parent is rounding.
_NOTHING = 1e-11


class LeftOut(NamedTuple):
    """Of T observed tips, in the unit of computation.

    Attributes:
        tips: (T,) their nodes.
        observed: (T,) means of their observations.
        predicted: What the other tips predict of them.
    """

    tips: Any
    observed: FloatArray
    predicted: Predicted


def leave_one_out(phylogeny: Phylogeny, seen: SeenTree, weighted: Weighted, unit: float) -> LeftOut:
    """The prediction of every observed tip by all others.

    Args:
        phylogeny: N nodes.
        seen: Its observations.
        weighted: All nodes given all observations, J components.
        unit: Edge lengths are divided by it.
    """
    mixture, sigma2, tau2 = weighted[:3]
    number = np.asarray(seen.tree["number"])[: seen.size]
    tips = np.flatnonzero(number.sum(1) > 0)
    step = max(1, _MOST_NUMBERS // len(sigma2))
    parts = [
        _left_out(phylogeny, seen, mixture, sigma2, tau2, unit, tips[i : i + step]) for i in range(0, len(tips), step)
    ]
    found = Predicted(*(np.concatenate(each) for each in zip(*(part.predicted for part in parts), strict=True)))
    observed = np.concatenate([part.observed for part in parts])
    return LeftOut(tips, observed, found)


def _left_out(
    phylogeny: Phylogeny,
    seen: SeenTree,
    mixture: Mixture,
    sigma2: FloatArray,
    tau2: FloatArray,
    unit: float,
    tips: Any,
) -> LeftOut:
    parents = phylogeny.topology.parents[tips]
    fields = [np.asarray(value[parents], np.float64) for value in (mixture.mean, mixture.slope, mixture.variance)]
    mean, variance = normals(Mixture(fields[0], fields[1], fields[2], mixture.components))
    number, value, error2 = (np.asarray(seen.tree[f])[tips][:, :, None] for f in ("number", "value", "error2"))
    noise = error2 + tau2[None, None]
    edge = phylogeny.lengths[tips][:, None] / unit * sigma2[None]
    exact = (number > 0) & (noise == 0)
    precision = np.where((number > 0) & ~exact, number / np.where(noise > 0, noise, 1), 0)
    known = exact.any(1)
    own = np.where(known[:, None], exact * number, precision)
    said = (own * value).sum(1) / own.sum(1)
    total = precision.sum(1)
    # What the tip says about its parent: a normal density around `said` with this precision.
    weight = np.where(known, 1 / np.where(edge > 0, edge, 1), total / (1 + total * edge))
    left = 1 - variance * weight
    # An error-free tip without an edge is its parent, whatever the others say; alone, it leaves nothing.
    nothing = (known & (edge == 0)) | (left < _NOTHING) | (tips == parents)[:, None]
    safe = np.where(nothing, 1, left)
    centre = np.where(nothing, np.nan, (mean - variance * weight * said) / safe)
    count = number.sum(1)
    spread = variance / safe + edge + (number * noise).sum(1) / count**2
    observed = (number * value).sum(1)[:, 0] / count[:, 0]
    return LeftOut(tips, observed, predicted(observed, centre, spread, mixture.components.weight))
