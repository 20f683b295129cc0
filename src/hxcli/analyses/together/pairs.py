"""Two nodes of traits together: every trait's difference, correlation and order, given all cells of all traits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.pairs import PairStates, pair_figures, pair_table
from hxcli.inference.joint_parameters import JointParameters
from hxcli.inference.joint_problem import JointProblem, JointStates
from hxcli.node_pairs import NodePairs
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.path_gains import Paths, paths_between


class PairedNodes(NamedTuple):
    """P pairs of nodes of a problem.

    Attributes:
        ends: (P,) each, nodes of the problem's phylogeny.
        paths: Between them.
    """

    ends: tuple[NDArray[np.intp], NDArray[np.intp]]
    paths: Paths

    @classmethod
    def of(cls, problem: JointProblem, pairs: NodePairs, place: NDArray[np.intp]) -> PairedNodes:
        """Pairs of nodes whose places in the problem's phylogeny are `place`, (N,)."""
        ends = place[pairs.first], place[pairs.second]
        return cls(ends, paths_between(problem.phylogeny.topology, *ends))

    def states(self, problem: JointProblem, parameters: JointParameters, states: JointStates) -> FloatArray:
        """(6, P, D) the figures of `PairStates`, of every trait, in units of computation."""
        together = problem.pairs(self.paths, self.ends, *parameters)
        nodes = [problem.nodes[each] for each in self.ends]
        variances = [np.maximum(np.diagonal(states.covariances[each], axis1=1, axis2=2), 0) for each in nodes]
        return np.stack([*(states.means[each] for each in nodes), *variances, together.covariance, together.spread])


def joint_pair_table(
    problem: JointProblem, pairs: NodePairs, states: Sequence[FloatArray], level: float, shortest: bool
) -> dict[str, Any]:
    """The columns of PREFIX.pairs.csv.

    Args:
        problem: What was solved.
        pairs: P pairs.
        states: (6, P, D) of `PairedNodes.states`, at equally probable sets of parameters.
        level: Probability of the intervals.
        shortest: Whether to tell the shortest intervals too.
    """
    every, units = np.stack(states, -1), problem.units
    weights = np.full(every.shape[-1], 1 / every.shape[-1])
    told = []
    for trait in range(problem.traits):
        own = PairStates(*every[:, :, trait]).in_unit(float(units.scale[trait]), float(units.location[trait]))
        told.append(pair_figures(own, weights, level))
    return pair_table(pairs, problem.observations.traits, told, shortest)
