"""The independence sampler: a Markov chain whose proposals do not depend on where it is: all are weighed at once.

Its draws follow the density exactly, whatever the proposals are (Tierney 1994, Ann. Stat. 22:1701). It forgets where it
began at a geometric rate if proposals are nowhere too rare (Mengersen and Tweedie 1996, Ann. Stat. 24:101), for which a
wide component of the mixture with heavy tails provides. How well they fit shows in the effective number of draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hxcli.inference.fitted_mixture import USUAL, Budget, Fit, LogDensity, efficiency
from hxcli.phylogeny import FloatArray


class Independent(NamedTuple):
    """What the sampler found.

    Attributes:
        places: (C, S, F) draws of C chains.
        proposed: (K, F) all proposals.
        heights: (K,) logarithms of the density there.
        proposals: Number of proposals for a draw.
        efficiency: Effective number of proposals as a share of their number.
        log_evidence: Logarithm of the integral of the density.
        evidence_error: Its standard error.
    """

    places: FloatArray
    proposed: FloatArray
    heights: FloatArray
    proposals: int
    efficiency: float
    log_evidence: float
    evidence_error: float


def sample_independently(
    density: LogDensity,
    fit: Fit,
    chains: int,
    samples: int,
    random: np.random.Generator,
    budget: Budget = USUAL,
) -> Independent:
    """Runs the sampler.

    Args:
        density: To be sampled.
        fit: Of the proposals, with the efficiency that they are expected to have.
        chains, samples: Number of chains, and of draws of each.
        random: Random numbers.
        budget: Proposals for a draw.
    """
    mixture = fit.mixture
    each = int(np.clip(math.ceil(budget.wanted / fit.efficiency), budget.fewest, budget.most))
    drawn = mixture.draw(random, chains * samples * each)
    heights = density(drawn)
    log_weights = heights - mixture.log_density(drawn)
    chances = np.log(random.random((chains, samples * each)))
    chosen = np.stack([_walked(*of_chain) for of_chain in zip(log_weights.reshape(chains, -1), chances, strict=True)])[
        :, each - 1 :: each
    ]
    places = drawn.reshape(chains, samples * each, -1)[np.arange(chains)[:, None], chosen]
    top = float(log_weights.max())
    weights = np.exp(log_weights - top)
    error = weights.std() / weights.mean() / math.sqrt(len(weights))
    log_evidence = top + math.log(weights.mean())
    return Independent(places, drawn, heights, each, efficiency(log_weights), log_evidence, float(error))


def _walked(log_weights: FloatArray, chances: FloatArray) -> list[int]:
    """Where one chain is after every proposal."""
    weights, place, visited = log_weights.tolist(), 0, []
    for number, chance in enumerate(chances.tolist()):
        # The first place is not left for one that is impossible, nor is one that is impossible kept.
        if chance < weights[number] - weights[place] or weights[place] == -math.inf:
            place = number
        visited.append(place)
    return visited
