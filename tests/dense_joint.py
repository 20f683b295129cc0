"""Traits together by dense algebra: tips x traits, missing cells dropped. Nothing here is shared with hxcli."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.reference import shared_paths


@dataclass
class Dense:
    """Cells y with mean X theta and covariance V; all states with mean F theta and covariances with the cells.

    Attributes:
        likelihood: Log density of the cells, restricted or at the best means.
        means, variances: (N * D,) of all states given the cells, node by node.
        left_out: (cells, 2) mean and variance of every cell given the others.
        integrated: Log density of the cells, the unknowns of the mean integrated out over their priors.
    """

    likelihood: float
    means: Any
    variances: Any
    left_out: Any
    integrated: float = np.nan


def dense(
    parents: Any,
    lengths: Any,
    nodes: Any,
    values: Any,
    errors: Any,
    rate: Any,
    *,
    within: Any = None,
    restricted: bool = True,
    paths: Any = None,
    likelihood_only: bool = False,
) -> Dense:
    """Conditions everything on the cells.

    Args:
        parents, lengths: (N,).
        nodes, values, errors: (M,), (M, D), (M, D) rows with nan where a cell is missing.
        rate: (D, D) per unit of length.
        within: (D, D) covariance of the rows of one tip.
        restricted: Whether the means are integrated out.
        paths: (N, N) covariances for a rate of 1, where these are not the shared paths.
        likelihood_only: Leaves the rest empty.
    """
    size, traits = len(parents), values.shape[1]
    paths = shared_paths(list(parents), lengths) if paths is None else paths
    cells = [(m, d) for m in range(len(nodes)) for d in range(traits) if not np.isnan(values[m, d])]
    y = np.array([values[cell] for cell in cells])
    row, trait = np.array(cells).T
    node = np.asarray(nodes)[row]
    v = paths[np.ix_(node, node)] * rate[np.ix_(trait, trait)]
    if within is not None:
        v = v + (row[:, None] == row) * within[np.ix_(trait, trait)]
    v = v + np.diag(errors[row, trait] ** 2)
    x = (trait[:, None] == np.arange(traits)).astype(float)
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    theta = np.linalg.solve(information, x.T @ inverse @ y)
    residual = y - x @ theta
    log_density = -(len(y) * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + residual @ inverse @ residual) / 2
    if restricted:
        log_density += (traits * np.log(2 * np.pi) - np.linalg.slogdet(information)[1]) / 2
    if likelihood_only:
        return Dense(float(log_density), None, None, None)
    every_node, every_trait = (a.ravel() for a in np.indices((size, traits)))
    cross = paths[np.ix_(every_node, node)] * rate[np.ix_(every_trait, trait)]
    f = (every_trait[:, None] == np.arange(traits)).astype(float)
    means = f @ theta + cross @ inverse @ residual
    left = f - cross @ inverse @ x
    own = paths[every_node, every_node] * rate[every_trait, every_trait]
    variances = own - ((cross @ inverse) * cross).sum(1)
    variances = variances + ((left @ np.linalg.inv(information)) * left).sum(1)
    projected = inverse - inverse @ x @ np.linalg.solve(information, x.T @ inverse)
    diagonal = np.diag(projected)
    left_out = np.stack([y - projected @ y / diagonal, 1 / diagonal], 1)
    return Dense(float(log_density), means, variances, left_out)


def dense_linear(
    parents: Any,
    edges: Any,
    nodes: Any,
    values: Any,
    errors: Any,
    *,
    free_root: bool,
    unknowns: Any,
    noise: Any = None,
    priors: Any = None,
) -> Dense:
    """Traits that act on each other along edges, all states and cells as one large Gaussian; at the best means.

    Args:
        parents: (N,) every node after its parent, the root first.
        edges: `transition`, `variance` (N, D, D), `shift` (N, D, P), `root_mean` (D, P), `root_variance` (D, D).
        nodes, values, errors: As in `dense`.
        free_root: Whether the root's state is unknown.
        unknowns: (P,) values of those of the mean, nan for those that are to be found.
        noise: (N, D, D) covariance of the errors of a row at a node.
        priors: (2, P) means and precisions of the unknowns that are to be found, 0 of flat ones; None for flat ones.
    """
    size, traits = len(parents), values.shape[1]
    known = np.nan_to_num(unknowns)
    searched = np.flatnonzero(np.isnan(unknowns))
    columns = (traits if free_root else 0) + len(searched)
    covariance = np.zeros((size * traits, size * traits))
    mean, design = np.zeros(size * traits), np.zeros((size * traits, columns))
    for node in range(size):
        own, above = (slice(n * traits, (n + 1) * traits) for n in (node, parents[node]))
        if node == 0:
            covariance[own, own], mean[own] = edges.root_variance, edges.root_mean @ known
            design[own, columns - len(searched) :] = edges.root_mean[:, searched]
            design[own, : columns - len(searched)] = np.eye(traits)[:, : columns - len(searched)]
            continue
        a, before = edges.transition[node], slice(0, node * traits)
        covariance[own, before] = a @ covariance[above, before]
        covariance[before, own] = covariance[own, before].T
        covariance[own, own] = a @ covariance[above, above] @ a.T + edges.variance[node]
        mean[own] = a @ mean[above] + edges.shift[node] @ known
        design[own] = a @ design[above]
        design[own, columns - len(searched) :] += edges.shift[node][:, searched]
    row, trait = np.nonzero(~np.isnan(values))
    node = np.asarray(nodes)[row]
    place = node * traits + trait
    v = covariance[np.ix_(place, place)] + np.diag(errors[row, trait] ** 2)
    if noise is not None:
        v = v + (row[:, None] == row) * noise[node[:, None], trait[:, None], trait]
    inverse, x, y = np.linalg.inv(v), design[place], values[row, trait] - mean[place]
    centre, precision = np.zeros((2, columns)) if priors is None else priors
    information = x.T @ inverse @ x + np.diag(precision)
    best = np.linalg.solve(information, x.T @ inverse @ y + precision * centre)
    residual = y - x @ best
    value = -(len(y) * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + residual @ inverse @ residual) / 2
    off = best - centre
    proper = precision > 0
    integrated = value - (precision * off) @ off / 2 + np.log(precision[proper] / (2 * np.pi)).sum() / 2
    integrated += (columns * np.log(2 * np.pi) - np.linalg.slogdet(information)[1]) / 2
    cross = covariance[:, place]
    left = design - cross @ inverse @ x
    variances = np.diag(covariance) - ((cross @ inverse) * cross).sum(1)
    variances = variances + ((left @ np.linalg.inv(information)) * left).sum(1)
    return Dense(float(value), mean + design @ best + cross @ inverse @ residual, variances, None, float(integrated))
