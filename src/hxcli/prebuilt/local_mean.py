"""The local mean: children averaged with weights 1 / edge length, nothing accumulated (Hyperiax's phylo_mean)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from hxcli.engine.sweep import up
from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.device_placement import on_host
from hxcli.prebuilt.units import length_unit, power_of_two


@up(reads=(), reads_children=("length", "there", "value"), writes=("there", "value"))
def local_mean(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """Weighted mean of the children that have a value; those at length 0 outweigh all others."""

    def weigh(child: Any) -> dict[str, Any]:
        near = child.there * (child.length == 0)
        far = child.there * (child.length > 0) / jnp.where(child.length > 0, child.length, 1)
        return {"near": near, "far": far, "near_value": near * child.value, "far_value": far * child.value}

    sums = children.map(weigh)
    near, far = sums.near.sum(0), sums.far.sum(0)
    touching = near > 0
    weight = jnp.where(touching, near, far)
    total = jnp.where(touching, sums.near_value.sum(0), sums.far_value.sum(0))
    return {
        "there": (weight > 0).astype(near.dtype),
        "value": jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), 0),
    }


def local_means(phylogeny: Phylogeny, observed: FloatArray) -> FloatArray:
    """(N, D) local means of all nodes; nan where no tip below has a value.

    Args:
        phylogeny: N nodes.
        observed: (N, D) observed values of the tips; nan elsewhere.

    Raises:
        ModelError: Edge lengths that no unit fits.
    """
    there = ~np.isnan(observed)
    # In a unit of their own, because the reciprocal of the smallest lengths is no double.
    lengths = phylogeny.lengths / length_unit(phylogeny)
    # Processors take numbers near the smallest double for 0.
    scale = power_of_two(np.abs(np.where(there, observed, 0.0)).max(0, initial=0.0))
    values = np.where(there, observed, 0.0) / scale
    data = {"length": lengths, "there": there.astype(float), "value": values}
    swept = local_mean(Tree.from_data(phylogeny.topology, data))
    values, known = on_host([swept["value"], swept["there"]], phylogeny.topology.size)
    return np.where(known > 0, values * scale, np.nan)
