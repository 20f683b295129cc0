"""The log likelihoods of many simulated traits under one model, observed as one trait is.

What parameters have to do with a likelihood (precisions, weights, the design) is the same for all traits at one set of
parameters: a sweep finds it once, and the traits are right-hand sides (`hxcli.prebuilt.many_responses`). Where every
trait has a set of its own, they are columns of sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import BoolArray
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.likelihood_programs import Shared, responses_at, shared_at
from hxcli.phylogeny import FloatArray, canonical_order
from hxcli.prebuilt.many_responses import Columns, sums_of_squares
from hxcli.prebuilt.node_draws import NodeEdges, draw

# Numbers in a level of the widest pass over the responses: nodes times columns times responses.
_MOST_NUMBERS = 1 << 18
_FEWEST = 8
# Of `Shared`, what nodes have.
_BY_NODE = ("known", "precision", "weight", "contrast", "given")


class Figures(NamedTuple):
    """What traits have at sets of parameters: (B,) and (B, P), or (K, B) and (K, B, P).

    Attributes:
        log_likelihood: At the best first rate and unknowns; -inf where the observations are impossible.
        rate: The first rate; 1 where rates are coordinates.
        beta: The unknowns that are solved for.
    """

    log_likelihood: FloatArray
    rate: FloatArray
    beta: FloatArray


class Simulated(NamedTuple):
    """B traits as they are observed.

    Attributes:
        means: (N, B) of the observations of every tip, weighted by their errors; 0 where there is none.
        misfit: (B,) weighted squares of the observations of the tips around these means.
    """

    means: FloatArray
    misfit: FloatArray


def simulated(likelihood: TraitLikelihood, edges: NodeEdges, count: int, seed: Sequence[int]) -> Simulated:
    """Draws traits on the likelihood's tree, and observations of them with the errors of its own.

    Args:
        likelihood: Of the trait that is observed.
        edges: Of the model under which to draw, N nodes.
        count: Number B of traits.
        seed: Of the random numbers, which depend on nothing else but the names of the tips.
    """
    phylogeny = likelihood.bound.fields.phylogeny
    deviations, mean = draw(phylogeny, edges, count, [*seed, 0])
    order = canonical_order(phylogeny)
    number, error2 = (np.asarray(likelihood.tree[name])[order] for name in ("number", "error2"))
    seen = number.any(1)
    tips, number, variance = order[seen], number[seen], error2[seen] + likelihood.tau2
    states = deviations[tips] + mean[tips, None]
    means, misfit = np.zeros_like(deviations), np.zeros(count)
    means[tips] = states
    soft: BoolArray = (number > 0) & (variance > 0)
    if not soft.any():
        return Simulated(means, misfit)
    generator = np.random.default_rng([*seed, 1])
    weight = np.where(soft, number / np.where(soft, variance, 1), 0)
    spread = np.where(weight > 0, 1 / np.sqrt(np.where(weight > 0, weight, 1)), 0)
    values = states[:, None] + spread[:, :, None] * generator.standard_normal((*weight.shape, count))
    exact: BoolArray = np.any((number > 0) & ~soft, axis=1)
    total = np.where(exact, 1, weight.sum(1))
    means[tips] = np.where(exact[:, None], states, np.einsum("ng,ngb->nb", weight, values) / total[:, None])
    misfit += np.einsum("ng,ngb->b", weight, (values - means[tips][:, None]) ** 2)
    repeated = number[soft & (number > 1)]
    misfit += generator.chisquare(repeated[:, None] - 1, (len(repeated), count)).sum(0)
    return Simulated(means, misfit)


def observed(likelihood: TraitLikelihood) -> tuple[FloatArray, FloatArray, BoolArray]:
    """What is observed of every node, (N,) each: weighted mean, its error variance, whether there is anything."""
    size = likelihood.bound.fields.phylogeny.topology.size
    number, value, error2 = (np.asarray(likelihood.tree[name])[:size] for name in ("number", "value", "error2"))
    variance = error2 + likelihood.tau2
    exact = np.where(variance == 0, number, 0)
    weight = np.where(variance > 0, number / np.where(variance > 0, variance, 1), 0)
    known: BoolArray = exact.sum(1) > 0
    chosen = np.where(known[:, None], exact, weight)
    total = chosen.sum(1)
    safe = np.where(total > 0, total, 1)
    return (chosen * value).sum(1) / safe, np.where(known | (total == 0), 0, 1 / safe), total > 0


def edges_of(likelihood: TraitLikelihood, x: FloatArray, rate: float, beta: FloatArray) -> NodeEdges:
    """The edges at one point of the search, (S,), with all unknowns of the mean given, (P,)."""
    found = likelihood.edges(x)
    return NodeEdges(
        found.scale[:, 0],
        rate * found.variance[:, 0],
        found.shift[:, 0] @ beta,
        float(np.asarray(found.root_mean)[0] @ beta),
        rate * float(np.asarray(found.root_variance)[0]),
    )


class SimulatedLikelihood:
    """The log likelihoods of B traits under one model.

    Attributes:
        likelihood: Of the trait that is observed, under the model.
        traits: The B traits.
    """

    def __init__(self, likelihood: TraitLikelihood, traits: Simulated) -> None:
        self.likelihood, self.traits = likelihood, traits
        self.count = len(traits.misfit)

    def shared(self, x: FloatArray) -> Figures:
        """All traits at K points of the search, (K, S)."""
        likelihood = self.likelihood
        parts = []
        for start, part in _counted(likelihood.parts(x)):
            there, size = min(len(part), len(x) - start), likelihood.on.size
            edges = likelihood.edges_at(part)
            found = shared_at(likelihood.tree, edges, *likelihood.noise(part), likelihood.shape)
            if np.asarray(found.fixed).any():
                parts.append(self._one_by_one(x[start : start + there]))
                continue
            by_node = {name: np.asarray(getattr(found, name))[:size, :there] for name in _BY_NODE}
            found = Shared(*(np.asarray(each)[:there] for each in found))._replace(**by_node)
            scale, variance = (np.asarray(each)[:size, :there] for each in (edges.scale, edges.variance))
            variance = np.concatenate([np.asarray(edges.root_variance)[None, :there], variance[1:]])
            columns = Columns(scale, variance, found.known, found.precision, found.weight, found.contrast)
            parts.append(self._solved(found, columns))
        return Figures(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def own(self, x: FloatArray, which: NDArray[np.intp] | None = None) -> Figures:
        """Every trait at a point of its own, (B, S); or those of some numbers, (M,) at (M, S)."""
        likelihood, size = self.likelihood, self.likelihood.tree.size
        which = np.arange(self.count) if which is None else which
        parts = []
        for start, part in _counted(likelihood.parts(x)):
            chosen = which[np.minimum(start + np.arange(len(part)), len(x) - 1)]
            responses = np.zeros((size, len(part)))
            responses[: likelihood.on.size] = self.traits.means[:, chosen]
            found = responses_at(
                likelihood.tree,
                jnp.asarray(responses),
                jnp.asarray(self.traits.misfit[chosen]),
                likelihood.edges_at(part),
                *likelihood.noise(part),
                likelihood.shape,
            )
            parts.append([np.asarray(each) for each in (found.log_likelihood, found.rate, found.beta)])
        found = Figures(*(np.concatenate(each)[: len(x)] for each in zip(*parts, strict=True)))
        return found._replace(log_likelihood=_finite(found.log_likelihood))

    def _one_by_one(self, x: FloatArray) -> Figures:
        every = np.arange(self.count)
        found = self.own(np.repeat(x, self.count, 0), np.tile(every, len(x)))
        return Figures(*(each.reshape(len(x), self.count, *each.shape[1:]) for each in found))

    def _solved(self, found: Shared, columns: Columns) -> Figures:
        likelihood, traits = self.likelihood, self.traits
        topology = likelihood.bound.fields.phylogeny.topology
        widest = int(np.diff(topology.level_starts).max()) * columns.scale.shape[1]
        step = max(_FEWEST, _MOST_NUMBERS // widest)
        observed = (np.asarray(likelihood.tree["number"])[: topology.size].sum(1) > 0)[:, None]
        given = np.where(observed, found.given, 0) if found.given.any() else None
        rss = np.empty((columns.scale.shape[1], self.count))
        beta = np.empty((*rss.shape, columns.contrast.shape[2]))
        for start in range(0, self.count, step):
            some = slice(start, start + step)
            responses = traits.means[:, None, some]
            if given is not None:
                responses = responses - given[:, :, None]
            squares, products = sums_of_squares(topology, columns, responses)
            beta[:, some] = np.einsum("kpr,kbr->kbp", found.covariance, products)
            rss[:, some] = np.maximum(squares - (beta[:, some] * products).sum(2), 0) + traits.misfit[some]
        size, spread = found.size[:, None], found.log_det[:, None]
        if likelihood.restricted:
            spread = spread + found.log_information[:, None]
        rate = rss / size if likelihood.profiled else np.ones_like(rss)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_likelihood = -(size * np.log(2 * np.pi * rate) + spread + rss / rate) / 2
        return Figures(_finite(np.where(found.possible[:, None], log_likelihood, -np.inf)), rate, beta)


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, -np.inf)


def _counted(parts: list[Any]) -> list[tuple[int, Any]]:
    """With the number of points before each."""
    return [(number * len(parts[0]), part) for number, part in enumerate(parts)]
