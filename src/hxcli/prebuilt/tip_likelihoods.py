"""From observations to what every tip says about its own state, on the host, and what no model can answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.errors import ModelError, OptionError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations


def tip_likelihoods(size: int, observations: Observations, tau2: Any = 0.0) -> dict[str, FloatArray]:
    """The fields of `gaussian.LIKELIHOOD` at the tips, each (N, D): replicates combined, missing ones silent.

    Args:
        size: Number of nodes N.
        observations: M observations of D traits that do not contradict each other.
        tau2: () or (D,) observation variance, added to the squares of the known standard errors.
    """
    shape = (size, len(observations.traits))
    nodes = observations.nodes
    once = _is_ascending(nodes)

    def total(per_observation: Any) -> FloatArray:
        sums = np.zeros(shape)
        if once:
            sums[nodes] = per_observation
        else:
            np.add.at(sums, nodes, per_observation)
        return sums

    there = ~np.isnan(observations.values)
    exact = exact_ones(observations, tau2)
    number_exact = total(exact)
    known = number_exact > 0
    if np.array_equal(exact, there):
        mean = total(np.where(exact, observations.values, 0.0))
        if not once:
            mean /= np.maximum(number_exact, 1)
            number_exact = known.astype(float)
        # One array, so that it is handed to JAX once.
        nothing = dict.fromkeys(("count", "log_det", "precision", "quadratic"), np.zeros(shape))
        return {"known": number_exact, "mean": mean, **nothing}
    values = np.where(there, observations.values, 0.0)
    variance = np.where(there, observations.standard_errors**2 + tau2, 1.0)
    weight = np.where(there & ~exact, 1 / np.where(variance > 0, variance, 1.0), 0.0)
    precision = total(weight)
    soft_mean = total(weight * values) / np.where(precision > 0, precision, 1.0)
    mean = np.where(known, total(np.where(exact, values, 0.0)) / np.maximum(number_exact, 1), soft_mean)
    return {
        "count": total(there & ~exact),
        "known": known.astype(float),
        "log_det": total(np.where(there & ~exact, np.log(np.where(variance > 0, variance, 1.0)), 0.0)),
        "mean": mean,
        "precision": np.where(known, 0.0, precision),
        "quadratic": total(weight * (values - mean[nodes]) ** 2),
    }


def exact_values(phylogeny: Phylogeny, observations: Observations, tau2: Any = 0.0) -> FloatArray:
    """(N, D) the value of every tip that has an observation without any error; nan elsewhere.

    Args:
        phylogeny: N nodes.
        observations: M observations of D traits that do not contradict each other.
        tau2: () or (D,) observation variance.
    """
    found = np.full((phylogeny.topology.size, len(observations.traits)), np.nan)
    exact = exact_ones(observations, tau2)
    if _is_ascending(observations.nodes):
        found[observations.nodes] = np.where(exact, observations.values, np.nan)
        return found
    for trait in np.flatnonzero(exact.any(0)):
        chosen = exact[:, trait]
        found[observations.nodes[chosen], trait] = observations.values[chosen, trait]
    return found


def _is_ascending(nodes: NDArray[np.intp]) -> bool:
    """Whether no node has two observations."""
    return bool(np.all(nodes[1:] > nodes[:-1]))


def exact_ones(observations: Observations, tau2: Any = 0.0) -> BoolArray:
    """(M, D) mask of the observations without any error."""
    return ~np.isnan(observations.values) & (observations.standard_errors == 0) & (np.asarray(tau2) == 0)


def refuse_bad_variance(name: str, value: float) -> None:
    """Raises unless a variance is 0 or a positive number.

    Raises:
        OptionError: Names the option and its value.
    """
    if not (np.isfinite(value) and value >= 0):
        raise OptionError(f"{name} must be 0 or a positive number, got {value:g}")


def refuse_contradictions(phylogeny: Phylogeny, observations: Observations, exact: Any) -> None:
    """Raises where error-free observations joined by edges of length zero differ.

    Args:
        phylogeny: N nodes.
        observations: M observations.
        exact: (M, D) which of them have no error.

    Raises:
        ModelError: Names the trait, the tips and the values.
    """
    group = _top_at_no_distance(phylogeny)[observations.nodes]
    if np.bincount(group).max(initial=0) <= 1:
        return
    order = np.argsort(group, kind="stable")
    same = group[order][1:] == group[order][:-1]
    for trait, name in enumerate(observations.traits):
        # Among the error-free observations of this trait only, neighbours of one group must agree.
        chosen = order if exact[:, trait].all() else order[exact[order, trait]]
        together = same if len(chosen) == len(order) else group[chosen][1:] == group[chosen][:-1]
        values = observations.values[chosen, trait]
        clash = np.flatnonzero(together & (values[1:] != values[:-1]))
        if clash.size:
            a, b = chosen[clash[0]], chosen[clash[0] + 1]
            first, second = (phylogeny.labels[observations.nodes[i]] for i in (a, b))
            where = (
                f"tip {first!r} has"
                if first == second
                else f"tips {first!r} and {second!r}, joined by edges of length 0, have"
            )
            raise ModelError(
                f"trait {name!r}: {where} different values {observations.values[a, trait]:g} and "
                f"{observations.values[b, trait]:g} without any error (give standard errors or an observation "
                "variance, drop one of them, or give the edge a length)"
            )


def refuse_coincident(phylogeny: Phylogeny, observations: Observations, exact: Any) -> None:
    """Raises where two tips at no distance from each other both have observations without any error.

    Args:
        phylogeny: N nodes.
        observations: M observations.
        exact: (M, D) which of them have no error.

    Raises:
        ModelError: Names the trait and the tips.
    """
    top = _top_at_no_distance(phylogeny)
    if len(np.unique(top[phylogeny.tips])) == len(phylogeny.tips):
        return
    for trait, name in enumerate(observations.traits):
        nodes = np.unique(observations.nodes[exact[:, trait]])
        order = np.argsort(top[nodes], kind="stable")
        same = np.flatnonzero(np.diff(top[nodes[order]]) == 0)
        if same.size:
            first, second = (phylogeny.labels[nodes[order[same[0] + i]]] for i in (0, 1))
            raise ModelError(
                f"trait {name!r}: tips {first!r} and {second!r} are joined by edges of length 0, so that their "
                "covariance has no inverse (drop one of them, give standard errors, or give the edge a length)"
            )


def _top_at_no_distance(phylogeny: Phylogeny) -> NDArray[np.intp]:
    """(N,) the highest node that only edges of length zero separate from every node."""
    top: NDArray[np.intp] = np.where(
        (phylogeny.lengths > 0) | phylogeny.topology.is_root,
        np.arange(phylogeny.topology.size),
        phylogeny.topology.parents,
    )
    # Pointer doubling.
    while True:
        higher = top[top]
        if np.array_equal(higher, top):
            return top
        top = higher
