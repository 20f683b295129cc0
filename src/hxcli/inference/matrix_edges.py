"""Whether the edges of a user's model of traits together have covariances: of others a likelihood means nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.errors import InputError
from hxcli.inference.matrix_likelihood import MatrixLikelihood
from hxcli.models.gaussian_model import line_of_return
from hxcli.models.joint_edges import JointEdges
from hxcli.phylogeny import FloatArray

# How far, as a share, a matrix may be from symmetric, and an eigenvalue below 0.
_NEAR = 1e-9


def refuse_no_covariances(likelihood: MatrixLikelihood, x: FloatArray) -> JointEdges:
    """The edges at one point of a search, (S,), if all variances, those of root and noise too, are covariances.

    Raises:
        InputError: One is not symmetric, has an eigenvalue below 0, or is no number; with the line that returns it.
    """
    edges, model = likelihood.edges(x), likelihood.bound.model
    phylogeny = likelihood.bound.fields.phylogeny
    lengths = phylogeny.lengths[1:]
    _refuse(likelihood, model.edge, "the variance of model", edges.variance[1:], lengths, "edge")
    if model.root is not None:
        _refuse(likelihood, model.root, "the variance of root", edges.root_variance[None], np.zeros(1), "")
    if edges.noise is not None:
        seen = np.unique(likelihood.observations.nodes)
        _refuse(likelihood, model.noise, "noise(tip)", edges.noise[seen], phylogeny.lengths[seen], "tip")
    _refuse_moving_constants(likelihood, edges)
    return edges


def have_covariances(likelihood: MatrixLikelihood, edges: JointEdges) -> BoolArray:
    """(K,) whether all variances at K points, those of root and noise too, are covariances, but for rounding.

    Args:
        likelihood: Of the model.
        edges: At these points; the first edge is none.
    """
    unit = likelihood.units.scale
    parts = [np.asarray(edges.variance)[:, 1:], np.asarray(edges.root_variance)[:, None]]
    # Of nodes that nobody observed a noise means nothing.
    parts += [] if edges.noise is None else [np.asarray(edges.noise)[:, np.unique(likelihood.observations.nodes)]]
    matrices = np.concatenate(parts, 1) / unit / unit[:, None]
    finite = np.asarray(np.isfinite(matrices).all((1, 2, 3)), bool)
    found = finite.copy()
    diagonal = np.diagonal(matrices, axis1=2, axis2=3)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    with np.errstate(invalid="ignore"):
        scaled = matrices / scale[..., None] / scale[..., None, :] + _NEAR * np.eye(len(unit))
    try:
        np.linalg.cholesky(scaled[finite])
    except np.linalg.LinAlgError:
        # One of them is none; of which numpy does not say.
        for point in np.flatnonzero(finite):
            found[point] = (smallest_eigenvalues(matrices[point]) >= -_NEAR).all()
    return found


def smallest_eigenvalues(matrices: FloatArray) -> FloatArray:
    """(N,) the smallest eigenvalue of each, (N, D, D), were all of its variances 1; nan where it is no number."""
    diagonal = np.abs(np.diagonal(matrices, axis1=1, axis2=2))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, np.abs(matrices).max((1, 2), initial=0.0)[:, None]))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = matrices / scale[:, :, None] / scale[:, None]
    sound = np.isfinite(scaled).all((1, 2))
    found = np.full(len(matrices), np.nan)
    found[sound] = np.linalg.eigvalsh(scaled[sound])[:, 0]
    return found


def _refuse(
    likelihood: MatrixLikelihood,
    function: Callable[..., Any] | None,
    what: str,
    matrices: FloatArray,
    lengths: FloatArray,
    where: str,
) -> None:
    assert function is not None
    # In units in which the traits are of order one: a share is one of all traits alike.
    scale = likelihood.units.scale
    matrices = matrices / scale / scale[:, None]
    size = np.abs(matrices).max((1, 2), initial=0.0)
    apart = np.abs(matrices - np.swapaxes(matrices, 1, 2)).max((1, 2), initial=0.0)
    bad = {
        "not symmetric": np.flatnonzero(apart > _NEAR * size),
        "no covariance": np.flatnonzero(~(smallest_eigenvalues(matrices) >= -_NEAR)),
    }
    for fault, places in bad.items():
        if not len(places):
            continue
        first = int(places[0])
        # What is shown is what the file returned.
        shown = np.array2string(matrices[first] * scale * scale[:, None], precision=6, separator=", ")
        on = f" on {len(places)} of {len(matrices)} {where}s" if where else ""
        of = f" on an edge of length {lengths[first]:.6g}" if where else ""
        advice = {
            "not symmetric": "the covariance of two traits stands in it twice",
            "no covariance": "all its eigenvalues are 0 or more: L @ L.T is such a matrix whatever L is",
        }[fault]
        raise InputError(
            f"{what} is {fault}{on}: {' '.join(shown.split())}{of}",
            advice,
            file=likelihood.bound.model.source,
            line=line_of_return(function),
        )


def _refuse_moving_constants(likelihood: MatrixLikelihood, edges: JointEdges) -> None:
    """Raises where an observed trait changes along a tip's edge without any variance: no density has such a value."""
    bound, seen = likelihood.bound, likelihood.observations
    if bound.model.noise is not None:
        return
    identity = np.eye(len(bound.traits))
    exact = ~np.isnan(seen.values) & (seen.standard_errors == 0) & (likelihood.tau2 == 0)
    moved = (np.abs(edges.transition - identity).sum(2) > 0) | (np.abs(edges.shift).sum(2) > 0)
    still = (np.diagonal(edges.variance, axis1=1, axis2=2) == 0) & moved
    rows, traits = np.nonzero(exact & still[seen.nodes])
    if len(rows):
        length = bound.fields.phylogeny.lengths[seen.nodes[rows[0]]]
        raise InputError(
            f"trait {bound.traits[traits[0]]!r} moves without variance on an edge of length {length:.6g} to a tip "
            "where it is known exactly, which no density allows",
            "give it a variance there, noise(tip), or known errors",
            file=bound.model.source,
            line=line_of_return(bound.model.edge),
        )
