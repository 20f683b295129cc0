"""Simulation of a trait of states under a user's own rates with given parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import OptionError
from hxcli.model import abstract_edge, discover
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.file_rates import FileRates
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import Phylogeny, canonical_order
from hxcli.prebuilt.discrete.edge_likelihood import edge_matrices


def draw_states(
    phylogeny: Phylogeny,
    model: GaussianModel,
    fields: EdgeFields,
    given: Mapping[str, float],
    count: int,
    seed: int,
    states: tuple[str, ...] = (),
) -> NDArray[np.object_]:
    """(N, count) states of all nodes, the root's drawn with equal chances.

    The random numbers of a node depend on the seed and on its place among the tips' names only.

    Args:
        phylogeny: N nodes.
        model: Of a file; it returns `Rates`.
        fields: Its edges.
        given: Name -> value of every parameter.
        count: How many draws.
        seed: Of the random numbers.
        states: Their names; none for 0, 1, and so on.

    Raises:
        OptionError: A parameter that is not given, or that the file does not declare.
    """
    size = int(discover(model.edge, abstract_edge(fields.columns)).returned.Q.shape[0])
    names = states or tuple(map(str, range(size)))
    rates = FileRates(model, fields, names, given, {})
    values = rates.held(given)
    if lacking := [each.name for each, value in zip(rates.coordinates, values, strict=True) if np.isnan(value)]:
        raise OptionError(f"model {model.name} needs {', '.join(lacking)} (--set {lacking[0]}=VALUE)")
    topology, matrix = phylogeny.topology, rates.rates(values[None])[0]
    of_edges = np.broadcast_to(matrix, (topology.size, size, size))
    reached = np.asarray(edge_matrices(np.array(of_edges), phylogeny.lengths)).cumsum(2)
    random = np.random.default_rng(seed)
    chances = np.empty((topology.size, count))
    chances[canonical_order(phylogeny)] = random.random((topology.size, count))
    found = np.empty((topology.size, count), np.intp)
    found[0] = np.minimum((chances[0] * size).astype(np.intp), size - 1)
    starts = topology.level_starts
    for first, last in pairwise(starts[1:]):
        nodes = np.arange(first, last)
        rows = reached[nodes[:, None], found[topology.parents[nodes]]]
        found[nodes] = (rows <= chances[nodes, :, None] * rows[..., -1:]).sum(-1)
    return np.array(names, object)[found]
