"""Mixtures over sets of parameters, smooth where the parameters determine a state, and how far weights move them."""

from __future__ import annotations

import numpy as np

from hxcli.inference.normal_mixture import Mixture
from hxcli.phylogeny import FloatArray

# Standard deviation of components in distances of their means, at least; and of the variance between them, what is
# made one within them at most. In the unit of computation, a standard deviation that is rounding.
_WIDTH, _MOST_SMOOTHED, _NO_SPREAD = 0.7, 0.25, 1e-12


def smoothed(mixture: Mixture, spacing: float) -> Mixture:
    """The same mixture, of components that are wide beside their distance, with the means and variances that it has.

    A state that the parameters determine, such as that of a root at a parameter, would be one of few numbers. Its
    components are made wider and drawn together (West 1993, J. R. Stat. Soc. B 55:409), which leaves a normal
    distribution what it is.
    """
    weights = np.asarray(mixture.components.weight)
    middle = (mixture.mean @ weights)[:, None]
    apart = ((mixture.mean - middle) ** 2) @ weights
    within = mixture.variance @ weights
    more = np.clip((_WIDTH * spacing) ** 2 * (apart + within) - within, 0, _MOST_SMOOTHED * apart)
    closer = np.sqrt(1 - more / np.where(apart > 0, apart, 1))[:, None]
    return mixture._replace(mean=middle + closer * (mixture.mean - middle), variance=mixture.variance + more[:, None])


def moved_by_weights(mixture: Mixture, weights: FloatArray) -> float:
    """Largest change of means, in standard deviations, and as a share of these, that other weights make."""
    own = np.asarray(mixture.components.weight)

    def moments(of: FloatArray) -> tuple[FloatArray, FloatArray]:
        middle = mixture.mean @ of
        return middle, np.sqrt(mixture.variance @ of + ((mixture.mean - middle[:, None]) ** 2) @ of)

    (mean, deviation), (other, other_deviation) = moments(own), moments(weights)
    there = deviation > _NO_SPREAD
    unit = np.where(there, deviation, 1.0)
    moved = np.maximum(abs(other - mean), abs(other_deviation - deviation)) / unit
    return float(moved[there].max(initial=0.0))
