"""Indices beyond what they are of: JAX takes the last entry for them, and a model would be another one in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify

from hxcli.errors import InputError
from hxcli.model import Declaration, Sde
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.gaussian_model import GaussianModel, line_of_return

_SAID = re.compile(r"index (-?\d+) is out of bounds for axis \d+ with size (\d+)")


def refuse_far_indices(
    model: GaussianModel, declarations: Mapping[str, Declaration], columns: Mapping[str, Any]
) -> None:
    """Raises where a function of a file takes an entry of an array that has fewer, on any edge.

    Args:
        model: Of a file.
        declarations: Its parameters.
        columns: Of `EdgeFields`.

    Raises:
        InputError: With the line of the function's `return`.
    """
    values = {
        name: np.array(np.broadcast_to(0.0 if one.start is None else one.start, one.shape), float)
        for name, one in declarations.items()
    }
    # The root has no edge.
    below = {name: each if name in OF_THE_TREE else np.asarray(each)[1:] for name, each in columns.items()}
    for part in ("edge", "noise"):
        if getattr(model, part) is None:
            continue
        found = _SAID.search(_checked(model, part, values, below).get() or "")
        if found is not None:
            raise InputError(
                f"an index is {found[1]} on some edge, and there are {found[2]} entries, the first of which is 0",
                "number what --edge-data tells apart from 0 on, or give the array more entries",
                file=model.source,
                line=line_of_return(getattr(model, part)),
            )


@partial(jax.jit, static_argnums=(0, 1))
def _checked(model: GaussianModel, part: str, values: Any, columns: Any) -> Any:
    function = getattr(model, part)

    def at_some_state(edge: Any) -> Any:
        returned = function(edge)
        if not isinstance(returned, Sde):
            return returned
        return [jnp.asarray(each(jnp.ones(()))) if callable(each) else each for each in returned[:2]]

    every = checkify.checkify(
        lambda: model.over_edges(at_some_state, values, columns).returned, errors=checkify.index_checks
    )
    return every()[0]
