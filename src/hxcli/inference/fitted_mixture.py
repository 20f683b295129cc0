"""Mixtures of multivariate t distributions that are fitted to a density by weighted draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from hxcli.phylogeny import FloatArray

# From (K, F) places to (K,) logarithms of a density, up to a constant; -inf where there is none.
LogDensity = Callable[[FloatArray], FloatArray]
# Degrees of freedom: tails that fall as a power of the distance, as no prior's do in its coordinate.
_FREEDOM = 5.0
# Share of the widest component, which stays as it is.
_WIDEST = 0.1
# Places to which components are fitted, how often in a round, and components at most.
_PLACES, _STEPS, _MOST = 3000, 5, 20
# Components that a round begins where draws are too rare, and draws around such a place that give its shape.
_NEW, _NEAR = 2, 100
# Of the draws of a round, the share whose weights are cut back to the least of them.
_HEAVIEST = 1 / 75
# Places whose density is computed at a time: of many components that takes much room.
_BLOCK = 4096
# Share of a component, of the usual number of places, below which it is given up; draws that its shape takes from all
# together; its least variance.
_LEAST, _SHARED, _FLOOR = 1e-3, 3, 1e-6


class Budget(NamedTuple):
    """How often a density may be computed, which takes microseconds of one and milliseconds of another.

    Attributes:
        draws: Of a round of the fit.
        rounds: At most.
        enough: The efficiency at which there are no more rounds.
        wanted: Accepted proposals for a draw of the sampler.
        fewest, most: Proposals for one at least and at most.
        more: How many times more draws and components there are where that did not do.
        effort: How many times more components than usual there may be.
    """

    draws: int = 1500
    rounds: int = 14
    enough: float = 0.5
    wanted: float = 1.5
    fewest: int = 2
    most: int = 16
    more: int = 4
    effort: int = 1

    def times(self, effort: int) -> Budget:
        """The same with so many times more draws, proposals and components."""
        return self._replace(draws=effort * self.draws, most=effort * self.most, effort=effort * self.effort)


# Of a density that takes microseconds.
USUAL = Budget()


class Mixture(NamedTuple):
    """M components over F coordinates.

    Attributes:
        shares: (M,) with the sum 1; the first is of the widest component.
        centres: (M, F).
        roots: (M, F, F) lower triangular roots of the matrices of scale.
    """

    shares: FloatArray
    centres: FloatArray
    roots: FloatArray

    def draw(self, random: np.random.Generator, count: int) -> FloatArray:
        """(K, F) draws."""
        which = random.choice(len(self.shares), count, p=self.shares)
        normal = random.normal(size=(count, self.centres.shape[1], 1))
        spread = np.sqrt(_FREEDOM / random.chisquare(_FREEDOM, count))
        found: FloatArray = self.centres[which] + spread[:, None] * (self.roots[which] @ normal)[..., 0]
        return found

    def distances(self, w: FloatArray) -> FloatArray:
        """(M, K) squared distances of places (K, F) from the components, in their own scale."""
        apart = w.T - self.centres[:, :, None]
        found: FloatArray = ((np.linalg.inv(self.roots) @ apart) ** 2).sum(1)
        return found

    def log_parts(self, distances: FloatArray) -> FloatArray:
        """(M, K) what the components add to the density, in logarithms, at places so far from them."""
        size = self.centres.shape[1]
        constant = gammaln((_FREEDOM + size) / 2) - gammaln(_FREEDOM / 2) - size / 2 * np.log(_FREEDOM * np.pi)
        volume = np.log(np.diagonal(self.roots, axis1=1, axis2=2)).sum(1)
        heights = np.log(self.shares) + constant - volume
        found: FloatArray = heights[:, None] - (_FREEDOM + size) / 2 * np.log1p(distances / _FREEDOM)
        return found

    def log_density(self, w: FloatArray) -> FloatArray:
        """(K,) at places (K, F)."""
        parts = (self.log_parts(self.distances(w[first : first + _BLOCK])) for first in range(0, len(w), _BLOCK))
        return np.concatenate([np.zeros(0), *(logsumexp(each, axis=0) for each in parts)])


class Fit(NamedTuple):
    """A mixture, and the weighted draws that it is fitted to.

    Attributes:
        widest: The component that covers all of the density; it is never moved.
        own: The others, sum of shares 1.
        efficiency: What all together have, as far as the draws so far tell.
        rounds: Numbers of draws so far, and the mixtures that they come from.
        places: (K, F) all these draws.
        heights: (K,) logarithms of the density there.
        below: (K,) logarithms of the sum of the densities of all rounds, each times its number of draws.
    """

    widest: Mixture
    own: Mixture
    efficiency: float
    rounds: tuple[tuple[int, Mixture], ...]
    places: FloatArray
    heights: FloatArray
    below: FloatArray

    @property
    def mixture(self) -> Mixture:
        """All components, the widest first."""
        shares = np.concatenate([[_WIDEST], (1 - _WIDEST) * self.own.shares])
        return Mixture(shares, *(np.concatenate(pair) for pair in zip(self.widest[1:], self.own[1:], strict=True)))

    def told(self, drawn: FloatArray, heights: FloatArray) -> Fit:
        """The same with more draws (K, F) from its mixture, and logarithms of the density there (K,).

        Few draws miss the places that weigh most: earlier ones may have found them.
        """
        places, heights = np.concatenate([self.places, drawn]), np.concatenate([self.heights, heights])
        own = self.mixture.log_density(places)
        earlier = [math.log(count) + each.log_density(drawn) for count, each in self.rounds]
        before = np.concatenate([self.below, logsumexp(earlier, axis=0) if earlier else np.full(len(drawn), -np.inf)])
        below = np.logaddexp(before, math.log(len(drawn)) + own)
        # The mean weight, and the mean squared weight, of the mixture as it is now.
        mean, square = logsumexp(heights - below), logsumexp(2 * heights - own - below)
        rounds = (*self.rounds, (len(drawn), self.mixture))
        return Fit(self.widest, self.own, math.exp(2 * mean - square), rounds, places, heights, below)

    def moved(self, random: np.random.Generator, budget: Budget = USUAL) -> Fit:
        """The same with components moved to the draws so far, and new ones."""
        log_weights = self.heights - self.below
        # The few heaviest draws say where there are too few; alone they say nothing of the shape.
        count, _ = self.rounds[-1]
        cut = np.minimum(log_weights, np.sort(log_weights)[-max(1, round(_HEAVIEST * count))])
        weights = np.exp(cut - cut.max())
        weights /= weights.sum()
        own = _with_new(self.own, self.places, log_weights, weights, budget.effort)
        chosen = random.choice(len(self.places), budget.effort * _PLACES, p=weights)
        return self._replace(own=_moved(own, self.places[chosen]))


def efficiency(log_weights: FloatArray) -> float:
    """Effective number of weighted draws (K,) as a share of K (Kong et al. 1994, J. Am. Stat. Assoc. 89:278)."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def beginning(centres: FloatArray, scale: FloatArray, wide: tuple[FloatArray, FloatArray]) -> Fit:
    """A mixture that is not fitted yet.

    Args:
        centres: (M, F) where components begin.
        scale: (F, F) their matrix of scale.
        wide: Centre and scales, (F,) each, of the widest component.
    """
    widest = Mixture(np.ones(1), wide[0][None], np.diag(wide[1])[None])
    count, size = centres.shape
    own = Mixture(np.full(count, 1 / count), centres, np.repeat(np.linalg.cholesky(scale)[None], count, 0))
    return Fit(widest, own, 0.0, (), np.zeros((0, size)), np.zeros(0), np.zeros(0))


def fitted_mixture(density: LogDensity, begin: Fit, random: np.random.Generator, budget: Budget = USUAL) -> Fit:
    """Goes on with a fit, round by round, until it is efficient or the rounds are over.

    All draws so far are weighted by the mixture of the rounds that they come from (Cornuet et al. 2012, Scand. J. Stat.
    39:798). Components are moved to them by the EM steps of Cappé et al. (2008, Stat. Comput. 18:447), and new ones
    begin where the weights are highest (Raftery and Bao 2010, Biometrics 66:1162).

    Args:
        density: To be fitted.
        begin: `beginning`, or what an earlier call gave.
        random: Random numbers.
        budget: Draws of a round, and how many rounds more.
    """
    fit = begin
    for left in range(budget.rounds, 0, -1):
        drawn = fit.mixture.draw(random, budget.draws)
        fit = fit.told(drawn, density(drawn))
        if fit.efficiency >= budget.enough or left == 1:
            break
        fit = fit.moved(random, budget)
    return fit


def _with_new(own: Mixture, places: FloatArray, log_weights: FloatArray, weights: FloatArray, effort: int) -> Mixture:
    """The same with components where draws weigh most, in place of the smallest where there are too many."""
    size, new, most = places.shape[1], effort * _NEW, effort * _MOST
    root = np.linalg.cholesky(_covariance(places, weights) + _FLOOR * np.eye(size))
    even = np.linalg.solve(root, places.T).T
    kept = np.argsort(-own.shares, kind="stable")[: most - new]
    centres, roots = [*own.centres[kept]], [*own.roots[kept]]
    for heaviest in np.argsort(-log_weights, kind="stable")[:new]:
        near = np.argsort(((even - even[heaviest]) ** 2).sum(1), kind="stable")[: max(_NEAR, 10 * size)]
        shape = _covariance(places[near], weights[near] + 1 / len(places))
        centres.append(places[heaviest])
        roots.append(np.linalg.cholesky(shape + _FLOOR * np.eye(size)))
    shares = np.concatenate([own.shares[kept], np.full(new, 1 / most)])
    return Mixture(shares / shares.sum(), np.array(centres), np.array(roots))


def _moved(own: Mixture, places: FloatArray) -> Mixture:
    """The same after some EM steps towards places of equal weight."""
    size, shared = places.shape[1], np.diag(places.var(0))
    for _ in range(_STEPS):
        distances = own.distances(places)
        parts = own.log_parts(distances)
        of = np.exp(parts - logsumexp(parts, axis=0))
        kept = of.sum(1) > _LEAST * _PLACES
        of, distances = of[kept], distances[kept]
        total = of.sum(1)
        pulls = of * (_FREEDOM + size) / (_FREEDOM + distances)
        centres = pulls @ places / pulls.sum(1, keepdims=True)
        shapes = np.empty((len(total), size, size))
        for number, pull in enumerate(pulls):
            apart = places - centres[number]
            shapes[number] = (pull[:, None] * apart).T @ apart + _SHARED * shared
        shapes /= (total + _SHARED)[:, None, None]
        roots = np.asarray(np.linalg.cholesky(shapes + _FLOOR * np.eye(size)), np.float64)
        own = Mixture(total / total.sum(), centres, roots)
    return own


def _covariance(places: FloatArray, weights: FloatArray) -> FloatArray:
    apart = places - weights @ places / weights.sum()
    found: FloatArray = (weights[:, None] * apart).T @ apart / weights.sum()
    return found
