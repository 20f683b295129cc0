"""Principal components of an evolutionary covariance (Revell 2009, Evolution 63:3258)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hxcli.phylogeny import FloatArray


class Components(NamedTuple):
    """Components, the largest first.

    Attributes:
        variances: (D,) eigenvalues of the covariance, or of the correlation matrix.
        axes: (D, D) a component a column, of length 1; what has the largest loading is positive.
        scale: (D,) what every trait is divided by: 1, or the root of its variance.
        loadings: (D, D) correlations of the traits (rows) with the scores (columns).
    """

    variances: FloatArray
    axes: FloatArray
    scale: FloatArray
    loadings: FloatArray

    @property
    def shares(self) -> FloatArray:
        """(D,) of the variance of all."""
        return self.variances / self.variances.sum()

    def scores(self, states: FloatArray, root: FloatArray) -> FloatArray:
        """(N, D) of states (N, D), from the root's (D,)."""
        return (states - root) / self.scale @ self.axes


def principal_components(covariance: FloatArray, correlation: bool) -> Components:
    """The components of a covariance.

    Args:
        covariance: (D, D).
        correlation: Whether every trait is first divided by the root of its variance.
    """
    deviation = np.sqrt(np.diag(covariance))
    scale = deviation if correlation else np.ones_like(deviation)
    values, vectors = np.linalg.eigh(covariance / scale / scale[:, None])
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    loadings = vectors * np.sqrt(values) * (scale / deviation)[:, None]
    # An eigenvector has no sign: the same one however the traits are ordered.
    largest = np.abs(np.round(loadings, 10)).argmax(0)
    sign = np.where(loadings[largest, np.arange(len(values))] < 0, -1.0, 1.0)
    return Components(values, vectors * sign, scale, loadings * sign)
