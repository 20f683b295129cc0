"""Paths of states along the edges of a tree, drawn given all tips by uniformisation.

Between a state at an edge's beginning and one at its end, the number of events of a Poisson process whose rate is the
fastest rate of leaving a state is drawn first, then the states at these events, then their times; events that change
nothing are left out (Fearnhead and Sherlock 2006, J. R. Stat. Soc. B 68:767; Hobolth and Stone 2009, Ann. Appl. Stat.
3:1204). Nothing is rejected, so that no edge is too short.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from hxcli.engine.topology import Topology
from hxcli.errors import ModelError
from hxcli.phylogeny import FloatArray
from hxcli.state_maps import Changes

# Events drawn in all, at most; more would be a rate without an end.
_MOST_EVENTS = 100_000_000


def draw_states(
    topology: Topology,
    partials: FloatArray,
    matrices: FloatArray,
    root: FloatArray,
    maps: int,
    random: np.random.Generator,
) -> NDArray[np.int16]:
    """(M, N) states of all nodes given all tips, drawn jointly.

    Args:
        topology: N nodes.
        partials: (N, S) likelihood of what is below every node, given its state.
        matrices: (N, S, S) transition matrices of the edges.
        root: (S,) prior of the root.
        maps: M.
        random: Gives the numbers.
    """
    states = np.zeros((maps, topology.size), np.int16)
    weights = matrices * partials[:, None, :]
    total = weights.cumsum(2)
    given = (root * partials[0]).cumsum()
    states[:, 0] = np.searchsorted(given, random.random(maps) * given[-1], side="right")
    for first, last in zip(topology.level_starts[1:-1], topology.level_starts[2:], strict=True):
        nodes = np.arange(first, last)
        ranked = total[nodes, states[:, topology.parents[nodes]]]
        drawn = random.random((maps, len(nodes), 1)) * ranked[..., -1:]
        states[:, nodes] = (ranked <= drawn).sum(2)
    return states


def draw_changes(
    states: NDArray[np.int16],
    parents: NDArray[np.integer],
    lengths: FloatArray,
    rates: FloatArray,
    random: np.random.Generator,
) -> Changes:
    """The changes along all edges, given the states at their ends.

    Args:
        states: (M, N) states of the nodes.
        parents: (N,) parents of the nodes.
        lengths: (N,) edge lengths.
        rates: (S, S) rate matrix.
        random: Gives the numbers.

    Raises:
        ModelError: So many changes that they cannot be held.
    """
    fastest = float(-np.diagonal(rates).min())
    maps, size = states.shape
    expected = fastest * float(lengths.sum()) * maps
    if expected > _MOST_EVENTS:
        raise ModelError(
            f"at these rates {expected:.2g} changes are expected on all maps (draw fewer, or hold rates that run to "
            "infinity with --set)"
        )
    mean = fastest * lengths[1:]
    start, end = states[:, parents[1:]].ravel().astype(np.intp), states[:, 1:].ravel().astype(np.intp)
    most = int(mean.max(initial=0) + 12 * np.sqrt(mean.max(initial=0)) + 24)
    steps = np.maximum(np.eye(len(rates)) + (rates / fastest if fastest > 0 else 0 * rates), 0)
    powers = np.empty((most + 1, *rates.shape))
    powers[0] = np.eye(len(rates))
    for number in range(most):
        powers[number + 1] = powers[number] @ steps
    counts = _event_counts(mean, np.tile(np.arange(size - 1), maps), start, end, powers, random)
    busy = np.flatnonzero(counts)
    counts, start, end = (each[busy] for each in (counts, start, end))
    pair_map, pair_edge = np.divmod(busy, max(size - 1, 1))
    pair_edge = pair_edge + 1
    offsets = np.concatenate([[0], np.cumsum(counts)])
    after = _event_states(counts, offsets, start, end, steps, powers, random)
    owner = np.repeat(np.arange(len(counts)), counts)
    times = random.random(offsets[-1]) * lengths[pair_edge[owner]]
    times = times[np.lexsort((times, owner))]
    before = np.empty_like(after)
    before[1:] = after[:-1]
    before[offsets[:-1]] = start
    real = before != after
    owner = owner[real]
    return Changes(pair_map[owner], pair_edge[owner], times[real], before[real], after[real])


def _event_counts(
    mean: FloatArray,
    edge: NDArray[np.intp],
    start: NDArray[np.intp],
    end: NDArray[np.intp],
    powers: FloatArray,
    random: np.random.Generator,
) -> NDArray[np.intp]:
    """Number of events on every edge of every map, given the states at its ends.

    Args:
        mean: (E,) of the events on an edge, whatever its ends.
        edge, start, end: (M E,) which edge, and the states at its ends.
        powers: (K, S, S) of the matrix of one event.
        random: Gives the numbers.
    """
    numbers = np.arange(len(powers))[:, None]
    logs = numbers * np.log(np.where(mean > 0, mean, 1.0)) - mean - gammaln(numbers + 1)
    weights = np.where(mean > 0, np.exp(logs), numbers == 0)
    states = powers.shape[1]
    # What is to be known of an edge and the states at its ends is known once, for all maps.
    cell = (edge * states + start) * states + end
    total = np.einsum("ke,kab->eab", weights, powers).ravel()
    left = random.random(len(cell)) * total[cell]
    counts = np.zeros(len(cell), np.intp)
    active = np.flatnonzero(mean[edge] > 0)
    for number in range(len(powers)):
        part = (weights[number][:, None, None] * powers[number]).ravel()
        left[active] -= part[cell[active]]
        counts[active] = number
        active = active[left[active] > 0]
        if not len(active):
            break
    return counts


def _event_states(
    counts: NDArray[np.intp],
    offsets: NDArray[np.intp],
    start: NDArray[np.intp],
    end: NDArray[np.intp],
    steps: FloatArray,
    powers: FloatArray,
    random: np.random.Generator,
) -> NDArray[np.intp]:
    """The state after every event, edge by edge."""
    after = np.empty(offsets[-1], np.intp)
    after[offsets[1:] - 1] = end
    state, active = start.copy(), np.flatnonzero(counts > 1)
    place = 0
    while len(active):
        left = counts[active] - place - 1
        weights = steps[state[active]] * powers[left, :, end[active]]
        ranked = weights.cumsum(1)
        drawn = random.random(len(active)) * ranked[:, -1]
        state[active] = (ranked <= drawn[:, None]).sum(1)
        after[offsets[active] + place] = state[active]
        place += 1
        active = active[counts[active] > place + 1]
    return after
