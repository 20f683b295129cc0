"""The independence sampler: a Markov chain whose proposals do not depend on where it is: all are weighed at once.

Its draws follow the density exactly, whatever the proposals are (Tierney 1994, Ann. Stat. 22:1701). It forgets where it
began at a geometric rate if proposals are nowhere too rare (Mengersen and Tweedie 1996, Ann. Stat. 24:101), for which a
wide component of the mixture with heavy tails provides. How well they fit shows in the effective number of draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hxcli.inference.fitted_mixture import LogDensity, Mixture, efficiency
from hxcli.phylogeny import FloatArray

# Accepted proposals that are wanted for a draw; proposals for one at least and at most.
_WANTED, _FEWEST, _MOST = 1.5, 2, 16


class Independent(NamedTuple):
    """What the sampler found.

    Attributes:
        places: (C, S, F) draws of C chains.
        proposals: Number of proposals for a draw.
        efficiency: Effective number of proposals as a share of their number.
        log_evidence: Logarithm of the integral of the density.
        evidence_error: Its standard error.
    """

    places: FloatArray
    proposals: int
    efficiency: float
    log_evidence: float
    evidence_error: float


def sample_independently(
    density: LogDensity,
    mixture: Mixture,
    expected: float,
    chains: int,
    samples: int,
    random: np.random.Generator,
    effort: int = 1,
) -> Independent:
    """Runs the sampler.

    Args:
        density: To be sampled.
        mixture: Of the proposals.
        expected: The efficiency that they are expected to have.
        chains, samples: Number of chains, and of draws of each.
        random: Random numbers.
        effort: How many times more proposals for a draw there may be than usual.
    """
    each = int(np.clip(math.ceil(_WANTED / expected), _FEWEST, effort * _MOST))
    drawn = mixture.draw(random, chains * samples * each)
    log_weights = density(drawn) - mixture.log_density(drawn)
    chances = np.log(random.random((chains, samples * each)))
    chosen = np.stack([_walked(*of_chain) for of_chain in zip(log_weights.reshape(chains, -1), chances, strict=True)])[
        :, each - 1 :: each
    ]
    places = drawn.reshape(chains, samples * each, -1)[np.arange(chains)[:, None], chosen]
    top = float(log_weights.max())
    weights = np.exp(log_weights - top)
    error = weights.std() / weights.mean() / math.sqrt(len(weights))
    return Independent(places, each, efficiency(log_weights), top + math.log(weights.mean()), float(error))


def _walked(log_weights: FloatArray, chances: FloatArray) -> list[int]:
    """Where one chain is after every proposal."""
    weights, place, visited = log_weights.tolist(), 0, []
    for number, chance in enumerate(chances.tolist()):
        # The first place is not left for one that is impossible, nor is one that is impossible kept.
        if chance < weights[number] - weights[place] or weights[place] == -math.inf:
            place = number
        visited.append(place)
    return visited
