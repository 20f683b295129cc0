"""All nodes of traits together at draws of their parameters: figures of their mixture, and joint draws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.together.leave_one_cell_out import Cells, left_out
from hxcli.analyses.together.pairs import PairedNodes
from hxcli.inference.joint_problem import JointProblem
from hxcli.inference.joint_sampling import JointSampled
from hxcli.inference.normal_mixture import Components, Mixture, NodeFigures, node_figures, quantiles
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray

# Draws that stand for all others at the nodes, at most; and numbers of all their states.
_MOST_COMPONENTS, _LEAST_COMPONENTS, _MOST_NUMBERS = 512, 16, 2**25
# Kinds of random numbers, besides those of the sampler.
_NODES = 3


class SampledStates(NamedTuple):
    """All nodes over the draws that stand for all, in units of computation.

    Attributes:
        nodes: Figures of all nodes, each (N, D).
        root: (D, P) quantiles of the root.
        predictions: (C, J) each, means and variances of every cell given the others; no cells if nobody asks.
        pairs: (6, P, D) of `PairedNodes.states`, J of them; empty if nobody asks.
    """

    nodes: NodeFigures
    root: FloatArray
    predictions: tuple[FloatArray, FloatArray]
    pairs: list[FloatArray]


def spaced(sampled: JointSampled, count: int) -> NDArray[np.intp]:
    """(count,) draws at equal distances in all chains."""
    return np.linspace(0, sampled.total - 1, count).round().astype(np.intp)


def components(problem: JointProblem, sampled: JointSampled) -> NDArray[np.intp]:
    """The draws that stand for all at the nodes."""
    most = max(_LEAST_COMPONENTS, min(_MOST_COMPONENTS, _MOST_NUMBERS // (problem.size * problem.traits)))
    return spaced(sampled, min(most, sampled.total))


def states_over(
    problem: JointProblem,
    sampled: JointSampled,
    level: float,
    probabilities: tuple[float, ...],
    cells: Cells | None,
    pairs: PairedNodes | None,
) -> SampledStates:
    """The nodes over all draws.

    Args:
        problem: What was sampled.
        sampled: Its draws.
        level: Probability of the intervals.
        probabilities: (P,) of the root's quantiles.
        cells, pairs: What else is asked for.
    """

    def states(draw: int) -> tuple[Any, ...]:
        parameters = sampled.at(draw)
        at = problem.states(*parameters)
        variances = np.diagonal(at.covariances[problem.nodes], axis1=1, axis2=2)
        return (
            at.means[problem.nodes].ravel(),
            np.maximum(variances, 0).ravel(),
            *(left_out(problem, cells, at) if cells is not None else (np.zeros(0), np.zeros(0))),
            None if pairs is None else pairs.states(problem, parameters, at),
        )

    *columns, told = zip(*in_threads(states, components(problem, sampled).tolist()), strict=True)
    means, variances, centre, spread = (np.stack(each, 1) for each in columns)
    count = means.shape[1]
    weight = Components(np.arange(count), np.full(count, 1 / count), np.zeros(count), np.zeros(count), np.ones(count))
    mixture = Mixture(means, np.zeros_like(means), variances, weight)
    figures = node_figures(mixture, mixture, level)
    of_root = np.stack([quantiles(mixture, trait, np.array(probabilities)) for trait in range(problem.traits)])
    nodes = NodeFigures(*(each.reshape(-1, problem.traits) for each in figures))
    return SampledStates(nodes, of_root, (centre, spread), [] if pairs is None else list(told))


def drawn_states(problem: JointProblem, sampled: JointSampled, chosen: NDArray[np.intp], seed: int) -> FloatArray:
    """(K, N, D) joint draws of all nodes, one at each of K draws of the parameters."""

    def one(number: int) -> FloatArray:
        generator = np.random.default_rng([seed, _NODES, number])
        numbers = generator.standard_normal((problem.size, 3, problem.traits))
        return problem.draw(*sampled.at(int(chosen[number])), numbers)

    return np.stack(in_threads(one, range(len(chosen))))
