"""The no-U-turn sampler over all parameters of a Gaussian model, its means integrated out.

What is sampled are the coordinates of the priors: of shape parameters, of the first rate, of the ratios of the other
rates to it, and of the observation variance. At every place the unknowns of the mean are solved for and their
uncertainty is in the density, which is that of the observations themselves or, with flat priors, of their contrasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.likelihood_programs import swept_columns
from hxcli.inference.no_u_turn import diagnose, walk
from hxcli.inference.nuts import TRANSITIONS, WARM_UP
from hxcli.inference.priors import Prior
from hxcli.inference.state_columns import StateColumns, state_columns
from hxcli.models.gaussian_model import Edges
from hxcli.phylogeny import FloatArray


class Unknown(NamedTuple):
    """A parameter with its prior, or a given value.

    Attributes:
        name: As it is reported.
        prior: Of `value - offset`; None for a given value.
        offset: Where the prior begins, or the given value.
    """

    name: str
    prior: Prior | None
    offset: float = 0.0


class Chains(NamedTuple):
    """What the sampler found.

    Attributes:
        values: Unknown -> (C, S) draws of C chains, of those with a prior.
        divergences: Number of transitions that diverged.
        diagnostics: Unknown -> `rhat`, `ess_bulk`, `ess_tail`.
    """

    values: Mapping[str, FloatArray]
    divergences: int
    diagnostics: Mapping[str, Mapping[str, float]]


class ModelDensity:
    """The posterior density of one trait's parameters under one model.

    Args:
        likelihood: The observations, whose rates are no profiled ones.
        columns: The edges' columns on the device.
        shapes: The shape parameters.
        rates: The first rate, and the ratios of the others to it.
        tau2: The observation variance.
        means: (2, P) priors of the unknowns of the mean, as `gls_solution.solve` has them.
    """

    def __init__(
        self,
        likelihood: TraitLikelihood,
        columns: Mapping[str, Any],
        shapes: Sequence[Unknown],
        rates: Sequence[Unknown],
        tau2: Unknown,
        means: FloatArray,
    ) -> None:
        self._likelihood, self._columns, self._means = likelihood, dict(columns), means
        self.unknowns = (*shapes, *rates, tau2)
        self.free = tuple(each for each in self.unknowns if each.prior is not None)
        self._rates, self._tau2 = tuple(rates), tau2
        bound = likelihood.bound
        rate_names = iter(bound.rates)
        entry_of = {each.name: (each.parameter, each.entry) for each in bound.coordinates}
        for name, declared in bound.declarations.items():
            if name in bound.model.rates:
                for entry in range(max(1, int(np.prod(declared.shape, dtype=int)))):
                    entry_of[next(rate_names)] = (name, entry)
        self._entry_of = entry_of

    @property
    def tree(self) -> Tree:
        """The tree with the observations as fields."""
        return self._likelihood.tree

    def sample(self, chains: int, samples: int, seed: list[int]) -> Chains:
        """Runs the sampler.

        Raises:
            HxError: NumPyro is not installed.
        """
        middles = np.array([sum(each.prior.start()) / 2 for each in self.free if each.prior is not None])
        starts = middles + np.random.default_rng([*seed, 2]).uniform(-1, 1, (chains, len(middles)))
        walked = walk(
            self._potential, starts, WARM_UP, samples * TRANSITIONS, seed, "--model with several shape parameters"
        )
        places = walked.places[:, TRANSITIONS - 1 :: TRANSITIONS]
        numbers, _ = self._numbers(places.reshape(-1, places.shape[2]), np)
        values = {each.name: np.asarray(numbers[each.name]).reshape(places.shape[:2]) for each in self.free}
        return Chains(values, walked.divergences, {name: diagnose(draws) for name, draws in values.items()})

    def states(self, values: Mapping[str, FloatArray], *, joint: bool = False) -> StateColumns:
        """All nodes at K sets of the unknowns, (K,) each, given ones too; `joint` for what nodes owe to each other."""
        names = [each.name for each in self.unknowns]

        def edges_of(part: Any) -> tuple[Edges, Any]:
            numbers = {name: part[:, place] for place, name in enumerate(names)}
            return self._edges(numbers, self._likelihood.bound.model.edges), numbers[self._tau2.name]

        table = np.stack([values[name] for name in names], 1)
        return state_columns(self._likelihood, table, edges_of, self._means, joint=joint)

    def _numbers(self, w: Any, xp: Any) -> tuple[dict[str, Any], Any]:
        """The unknowns at K places, (K, W), and the log density of their priors, (K,)."""
        numbers: dict[str, Any] = {}
        density, place = xp.zeros(w.shape[0]), 0
        for each in self.unknowns:
            if each.prior is None:
                numbers[each.name] = xp.full(w.shape[0], each.offset)
                continue
            at = each.prior.coordinate(w[:, place], xp)
            density = density + each.prior.log_density(at.log_value, xp) + at.log_slope
            numbers[each.name] = xp.exp(at.log_value) + each.offset
            place += 1
        return numbers, density

    def _edges(self, numbers: Mapping[str, Any], evaluate: Any) -> Edges:
        """The edges at K sets of the unknowns."""
        bound = self._likelihood.bound
        first = numbers[self._rates[0].name]
        ratios = {each.name: numbers[each.name] * first for each in self._rates[1:]}
        entries = {
            self._entry_of[name]: value for name, value in {**numbers, **ratios}.items() if name in self._entry_of
        }
        values = {}
        of_mean = {name for name, _ in bound.layout}
        for name, declared in bound.declarations.items():
            if name in of_mean:
                continue
            start = np.broadcast_to(declared.start, declared.shape).ravel().astype(float)
            parts = [entries.get((name, i), jnp.full(first.shape, value)) for i, value in enumerate(start)]
            values[name] = jnp.stack(parts, -1).reshape(*first.shape, *declared.shape)
        found: Edges = evaluate(bound.layout, self._columns, values)
        return found

    def _potential(self, w: Any) -> Any:
        numbers, density = self._numbers(w[None], jnp)
        likelihood = self._likelihood
        edges = self._edges(numbers, likelihood.bound.model._edges)
        given = jnp.asarray(likelihood.given_beta)
        _, solution, _, _ = swept_columns(
            likelihood.tree, edges, numbers[self._tau2.name], given, likelihood.shape, jnp.asarray(self._means)
        )
        return -(solution.log_likelihood(restricted=True) + density)[0]
