"""A slow, obvious oracle: generalised least squares with the covariance of all nodes as a dense matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.reference import shared_paths


class Model(NamedTuple):
    """One parameter set, twice: as edges for the sweeps and as matrices.

    Attributes:
        scale, variance: (N,) of every edge.
        shift: (N, P), and `root` (P,), what carries the mean.
        root_variance: Of the root's deviation.
        covariance: (N, N) of the deviations of all nodes.
        design: (N, P) of the means of all nodes.
    """

    scale: np.ndarray
    variance: np.ndarray
    shift: np.ndarray
    root: np.ndarray
    root_variance: float
    covariance: np.ndarray
    design: np.ndarray


def model(name: str, parents: np.ndarray, lengths: np.ndarray, parameter: float = 0.7) -> Model:
    """The models by their textbook covariances, such as those of Ho and Ane (2014)."""
    paths = shared_paths(list(parents), lengths)
    times, size = np.diag(paths), len(parents)
    tip = np.bincount(parents[1:], minlength=size) == 0
    one, none = np.ones((size, 1)), np.zeros((size, 1))
    if name in ("bm", "trend"):
        slope = name == "trend"
        design = np.column_stack([one, times])[:, : 1 + slope]
        shift = np.column_stack([none, lengths])[:, : 1 + slope]
        return Model(one[:, 0], lengths, shift, design[0], 0.0, paths, design)
    if name in ("lambda", "white"):
        # White: lambda = 0.
        share = parameter if name == "lambda" else 0.0
        covariance = share * paths + (1 - share) * np.diag(np.where(tip, times, 0))
        variance = np.where(tip, lengths + (1 - share) * (times - lengths), share * lengths)
        return Model(one[:, 0], variance, none, one[0], 0.0, covariance, one)
    decay = np.exp(-parameter * lengths)[:, None]
    variance = -np.expm1(-2 * parameter * lengths) / (2 * parameter)
    distance = times[:, None] + times - 2 * paths
    stationary = np.exp(-parameter * distance) / (2 * parameter)
    if name == "ou stationary":
        return Model(decay[:, 0], variance, 1 - decay, one[0], 1 / (2 * parameter), stationary, one)
    covariance = stationary * -np.expm1(-2 * parameter * paths)
    if name == "ou":
        return Model(decay[:, 0], variance, 1 - decay, one[0], 0.0, covariance, one)
    reached = np.exp(-parameter * times)[:, None]
    design = np.hstack([1 - reached, reached])
    return Model(decay[:, 0], variance, np.hstack([1 - decay, none]), design[0], 0.0, covariance, design)


def least_squares(
    covariance: np.ndarray, design: np.ndarray, nodes: np.ndarray, y: np.ndarray, noise: np.ndarray
) -> dict[str, np.ndarray]:
    """Solves by the augmented system of Goldberger (1962), which holds for singular covariances too.

    Args:
        covariance: (N, N) of the deviations of all nodes.
        design: (N, P) of their means.
        nodes, y, noise: (M,) the observations, their nodes and error variances.

    Returns:
        `beta`, its `covariance`, `rss`, `restricted` (-2 log restricted likelihood at sigma2 = 1), `full` (likewise, of
        the plain one, nan for a singular covariance), `mean` and `variance` (N,) of all nodes.
    """
    count, unknowns = len(nodes), design.shape[1]
    v = covariance[np.ix_(nodes, nodes)] + np.diag(noise)
    x = design[nodes]
    augmented = np.block([[v, x], [x.T, np.zeros((unknowns, unknowns))]])
    inverse = np.linalg.inv(augmented)
    solved = inverse @ np.concatenate([y, np.zeros(unknowns)])
    weights, beta = solved[:count], solved[count:]
    links = np.hstack([covariance[:, nodes], design])
    rss = weights @ y
    sign, log_det = np.linalg.slogdet(v)
    return {
        "beta": beta,
        "covariance": -inverse[count:, count:],
        "rss": rss,
        "restricted": (count - unknowns) * np.log(2 * np.pi) + np.linalg.slogdet(augmented)[1] + rss,
        "full": count * np.log(2 * np.pi) + log_det + rss if sign > 0 else np.nan,
        "mean": links @ solved,
        "variance": np.diag(covariance) - np.einsum("ij,jk,ik->i", links, inverse, links),
    }
