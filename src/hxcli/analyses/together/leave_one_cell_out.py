"""How often the interval of a cell, given all other cells, holds what was observed in it."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from hxcli.inference.joint_problem import JointProblem, JointStates

# Of the information of a tip's own edge; less is rounding, and the cell is all there is to know of it.
_NOTHING = 1e-9


class Coverage(NamedTuple):
    """Cells left out one after the other.

    Attributes:
        level: Probability of the intervals.
        cells: How many cells could be predicted by the others.
        covered: How many of them lie in their interval.
        mean_square: Mean squared error over its predicted variance; 1 where the errors are as large as stated.
    """

    level: float
    cells: int
    covered: int
    mean_square: float

    def sentence(self) -> str:
        """For a person."""
        share = 100 * self.covered / self.cells
        return (
            f"leaving out one cell at a time: {self.covered} of {self.cells} intervals of {100 * self.level:g} % hold "
            f"the observed value ({share:.1f} %)"
        )

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return self._asdict()


def leave_one_cell_out(problem: JointProblem, states: JointStates, level: float) -> Coverage | None:
    """The prediction of every observed cell by all others, at the parameters given all; None where there is none.

    A cell less what the others predict of it is u / M, with variance 1 / M, u the cell's part of what the residuals
    weigh and M its diagonal element of the projected inverse covariance (Cook and Weisberg 1982, 2.2; here both come
    from the sweeps). A cell with several rows is left out with all of them, one with `phenotypic` row by row.
    """
    pull, information = states.pull, np.diagonal(states.information, axis1=1, axis2=2)
    nodes = problem.observed_nodes
    own = np.abs(information[nodes]).max(0, initial=0.0)
    usable = information[nodes] > _NOTHING * own
    squares = pull[nodes][usable] ** 2 / information[nodes][usable]
    if not len(squares):
        return None
    far = NormalDist().inv_cdf((1 + level) / 2) ** 2
    return Coverage(level, len(squares), int((squares <= far).sum()), float(squares.mean()))
