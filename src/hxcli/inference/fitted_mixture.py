"""Mixtures of multivariate t distributions that are fitted to a density by weighted draws."""

from __future__ import annotations

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
# Draws of a round, and rounds at most; the efficiency at which there are no more.
_DRAWS, _ROUNDS, _ENOUGH = 1500, 14, 0.5
# Places to which components are fitted, how often in a round, and components at most.
_PLACES, _STEPS, _MOST = 3000, 5, 20
# Components that a round begins where draws are too rare, and draws around such a place that give its shape.
_NEW, _NEAR = 2, 100
# Draws whose weights are cut back to the least of them.
_HEAVIEST = 20
# Share of a component, of the usual number of places, below which it is given up; draws that its shape takes from all
# together; its least variance.
_LEAST, _SHARED, _FLOOR = 1e-3, 3, 1e-6


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
        found: FloatArray = logsumexp(self.log_parts(self.distances(w)), axis=0)
        return found


def efficiency(log_weights: FloatArray) -> float:
    """Effective number of weighted draws (K,) as a share of K (Kong et al. 1994, J. Am. Stat. Assoc. 89:278)."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def fitted_mixture(
    density: LogDensity,
    centres: FloatArray,
    scale: FloatArray,
    wide: tuple[FloatArray, FloatArray],
    random: np.random.Generator,
    effort: int = 1,
) -> tuple[Mixture, float]:
    """Fits a mixture round by round, and tells the efficiency of its last round.

    All draws so far are weighted by the mixture of the rounds that they come from (Cornuet et al. 2012, Scand. J. Stat.
    39:798). Components are moved to them by the EM steps of Cappé et al. (2008, Stat. Comput. 18:447), and new ones
    begin where the weights are highest (Raftery and Bao 2010, Biometrics 66:1162).

    Args:
        density: To be fitted.
        centres: (M, F) where components begin.
        scale: (F, F) their matrix of scale.
        wide: Centre and scales, (F,) each, of a component that covers all of the density; it is never moved.
        random: Random numbers.
        effort: How many times more draws and components than usual.
    """
    widest = Mixture(np.ones(1), wide[0][None], np.diag(wide[1])[None])
    own = Mixture(
        np.full(len(centres), 1 / len(centres)), centres, np.repeat(np.linalg.cholesky(scale)[None], len(centres), 0)
    )
    rounds: list[Mixture] = []
    places, heights, below = np.zeros((0, centres.shape[1])), np.zeros(0), np.zeros(0)
    while True:
        mixture = _joined(widest, own)
        drawn = mixture.draw(random, effort * _DRAWS)
        found = density(drawn)
        reached = efficiency(found - mixture.log_density(drawn))
        if reached >= _ENOUGH or len(rounds) == _ROUNDS - 1:
            return mixture, reached
        rounds.append(mixture)
        # Logarithms of the sums of the densities of all rounds.
        of_drawn = logsumexp([each.log_density(drawn) for each in rounds], axis=0)
        below = np.concatenate([np.logaddexp(below, mixture.log_density(places)) if len(places) else below, of_drawn])
        places, heights = np.concatenate([places, drawn]), np.concatenate([heights, found])
        log_weights = heights - below
        # The few heaviest draws say where there are too few; alone they say nothing of the shape.
        cut = np.minimum(log_weights, np.sort(log_weights)[-effort * _HEAVIEST])
        weights = np.exp(cut - cut.max())
        weights /= weights.sum()
        own = _with_new(own, places, log_weights, weights, effort)
        chosen = random.choice(len(places), effort * _PLACES, p=weights)
        own = _moved(own, places[chosen])


def _joined(widest: Mixture, own: Mixture) -> Mixture:
    shares = np.concatenate([[_WIDEST], (1 - _WIDEST) * own.shares])
    return Mixture(shares, *(np.concatenate(pair) for pair in zip(widest[1:], own[1:], strict=True)))


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
