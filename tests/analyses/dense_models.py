"""A slow, obvious oracle for models of one trait: covariances of all nodes from their definitions, dense algebra.

Definitions: Hansen (1997), Butler and King (2004), Beaulieu et al. (2012, corrected: covariances decay by the
accumulated alpha), Harmon et al. (2010), Pagel (1999).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hxcli.painting import Painted
from hxcli.phylogeny import Phylogeny
from tests.analyses.dense import root_paths


class Dense(NamedTuple):
    """The joint distribution of all nodes: covariance (N, N), and the design (N, P) of the means."""

    covariance: np.ndarray
    design: np.ndarray
    unknowns: tuple[str, ...]


def dense(name: str, phylogeny: Phylogeny, values: Mapping[str, float], root: str = "theta") -> Dense:
    """One of the models without regimes."""
    parents = phylogeny.topology.parents.tolist()
    lengths = phylogeny.lengths.tolist()
    shared = root_paths(parents, lengths)
    depth = np.diag(shared)
    tips = phylogeny.tips
    height = depth[tips].max()
    ones = np.ones((len(depth), 1))
    sigma2 = values["sigma2"]
    if name == "bm":
        return Dense(sigma2 * shared, ones, ("root",))
    if name == "white":
        covariance = np.zeros_like(shared)
        covariance[tips, tips] = sigma2
        return Dense(covariance, ones, ("root",))
    if name == "trend":
        return Dense(sigma2 * shared, np.stack([ones[:, 0], depth], 1), ("root", "slope"))
    if name in ("eb", "acdc"):
        r = values["rate_change"]
        return Dense(sigma2 * (np.expm1(r * shared) / r if r else shared), ones, ("root",))
    if name == "delta":
        return Dense(sigma2 * height * (shared / height) ** values["delta"], ones, ("root",))
    if name == "kappa":
        powers = [length ** values["kappa"] if length > 0 else 0.0 for length in lengths]
        return Dense(sigma2 * root_paths(parents, powers), ones, ("root",))
    if name == "lambda":
        covariance = sigma2 * values["lambda"] * shared
        covariance[tips, tips] = sigma2 * depth[tips]
        return Dense(covariance, ones, ("root",))
    assert name == "ou"
    alpha = values["alpha"]
    apart = depth[:, None] + depth[None] - 2 * shared
    stationary = sigma2 / (2 * alpha) * np.exp(-alpha * apart)
    if root == "stationary":
        return Dense(stationary, ones, ("theta",))
    covariance = stationary * -np.expm1(-2 * alpha * shared)
    if root == "theta":
        return Dense(covariance, ones, ("theta",))
    left = np.exp(-alpha * depth)
    return Dense(covariance, np.stack([1 - left, left], 1), ("theta", "root"))


def dense_regimes(name: str, painted: Painted, values: Mapping[str, float]) -> Dense:
    """One of the models with regimes, segment after segment along every path from the root."""
    tree, regimes = painted.phylogeny, painted.regimes
    parents, lengths = tree.topology.parents, tree.lengths
    size = len(lengths)

    def of(parameter: str, node: int) -> float:
        own = f"{parameter}({regimes[painted.of_edge[node]]})"
        return values[own] if own in values else values[parameter]

    variance, decay = np.zeros(size), np.zeros(size)
    design = np.zeros((size, 1 if name == "bms" else len(regimes)))
    design[0, 0 if name == "bms" else painted.of_edge[0]] = 1
    for node in range(1, size):
        above, t = parents[node], lengths[node]
        if name == "bms":
            variance[node] = variance[above] + of("sigma2", node) * t
            design[node] = design[above]
            continue
        alpha = of("alpha", node)
        left = np.exp(-alpha * t)
        decay[node] = decay[above] + alpha * t
        variance[node] = variance[above] * left**2 + of("sigma2", node) * (1 - left**2) / (2 * alpha)
        design[node] = design[above] * left
        design[node, painted.of_edge[node]] += 1 - left
    ancestors = [_path(parents, node) for node in range(size)]
    covariance = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            meet = max(set(ancestors[i]) & set(ancestors[j]), key=lambda k: tree.topology.node_depths[k])
            covariance[i, j] = np.exp(2 * decay[meet] - decay[i] - decay[j]) * variance[meet]
    unknowns = ("root",) if name == "bms" else tuple(f"theta({regime})" for regime in regimes)
    return Dense(covariance, design, unknowns)


def _path(parents: np.ndarray, node: int) -> list[int]:
    path = [node]
    while parents[node] != node:
        node = int(parents[node])
        path.append(node)
    return path


class Solved(NamedTuple):
    """Generalised least squares by dense algebra."""

    log_likelihood: float
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray


def solved(model: Dense, tips: np.ndarray, y: np.ndarray, noise: np.ndarray, *, restricted: bool) -> Solved:
    """Likelihood at the best means, and all nodes given the observations at some tips."""
    v = model.covariance[np.ix_(tips, tips)] + np.diag(noise)
    x = model.design[tips]
    inverse = np.linalg.pinv(v, hermitian=True)
    information = x.T @ inverse @ x
    spread = np.linalg.inv(information)
    beta = spread @ x.T @ inverse @ y
    rest = y - x @ beta
    values, log_det = np.linalg.eigvalsh(v), 0.0
    count = int((values > 1e-12 * values.max()).sum())
    log_det = float(np.log(values[values > 1e-12 * values.max()]).sum())
    height = -(count * np.log(2 * np.pi) + log_det + rest @ inverse @ rest) / 2
    if restricted:
        height += len(beta) / 2 * np.log(2 * np.pi) - np.linalg.slogdet(information)[1] / 2
    gain = model.covariance[:, tips] @ inverse
    left = model.design - gain @ x
    mean = model.design @ beta + gain @ rest
    covariance = model.covariance - gain @ model.covariance[tips] + left @ spread @ left.T
    return Solved(float(height), beta, mean, np.diag(covariance), covariance)
