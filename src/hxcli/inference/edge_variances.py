"""Whether the edges of a model of one's own have variances: of negative ones a likelihood means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.errors import InputError
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.models.gaussian_model import line_of_return
from hxcli.phylogeny import FloatArray


def refuse_negative_variances(likelihood: TraitLikelihood, x: FloatArray) -> Any:
    """The edges at one point of a search, (S,), if all have a variance of 0 or more.

    Raises:
        InputError: Some have not; with the line of the file that returns it.
    """
    edges = likelihood.edges(x)
    variance, model = edges.variance[:, 0], likelihood.bound.model
    bad = np.flatnonzero(~(variance >= 0) & (np.arange(len(variance)) > 0))
    if len(bad):
        length = likelihood.bound.fields.phylogeny.lengths[bad[0]]
        raise InputError(
            f"{len(bad)} of {len(variance) - 1} edges have a variance that is negative or no number: "
            f"{variance[bad[0]]:.6g} on an edge of length {length:.6g}",
            "a variance is 0 or more: give its parameter low=0, or write it as log_normal",
            file=model.source,
            line=line_of_return(model.edge),
        )
    return edges
