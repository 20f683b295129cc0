"""Analyses: what a user asks of a tree and a table, one file or folder each.

An analysis is a function `analysis(phylogeny, observations, **options) -> Reconstruction`. To add one, write a file
beside these and give it a line in `ANALYSES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from hxcli.reconstruction import Reconstruction

# Name -> where its function is; imported on use, because it imports jax.
ANALYSES = {
    "ancestral": "hxcli.analyses.ancestral:ancestral",
    "mean": "hxcli.analyses.mean:mean",
    "posterior": "hxcli.analyses.posterior.posterior:posterior",
}
# Analyses that take every trait by itself and draw no random numbers: their traits may be computed in chunks.
TRAIT_BY_TRAIT = ("ancestral", "mean")


def load(name: str) -> Callable[..., Reconstruction]:
    """The function of an analysis.

    Raises:
        KeyError: There is no analysis of that name.
    """
    module, function = ANALYSES[name].split(":")
    return getattr(importlib.import_module(module), function)
