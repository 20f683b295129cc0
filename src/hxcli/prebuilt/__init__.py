"""Prebuilt sweeps: one model a file, all written with `@up` and `@down`.

A model is a function `model(phylogeny, observations, **options) -> Reconstruction`. To add one, write a file
beside this one and give it a line in `MODELS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from hxcli.reconstruction import Reconstruction

# Model name -> where its function is; imported on use, because it imports jax.
MODELS = {
    "ancestral": "hxcli.prebuilt.ancestral:ancestral",
    "mean": "hxcli.prebuilt.mean:mean",
    "posterior": "hxcli.prebuilt.posterior:posterior",
}
# Models that take every trait by itself and draw no random numbers: their traits may be computed in chunks.
TRAIT_BY_TRAIT = ("ancestral", "mean")


def load(name: str) -> Callable[..., Reconstruction]:
    """The function of a model.

    Raises:
        KeyError: There is no model of that name.
    """
    module, function = MODELS[name].split(":")
    return getattr(importlib.import_module(module), function)
