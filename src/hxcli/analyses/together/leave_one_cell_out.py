"""What all other cells predict of every observed cell, and how often its interval holds what was observed."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.left_out_table import LeftOutRows, Predicted, left_out_rows, predicted
from hxcli.inference.joint_problem import JointProblem, JointStates
from hxcli.phylogeny import FloatArray, Phylogeny

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


class Cells(NamedTuple):
    """C observed cells, in units of computation.

    Attributes:
        nodes: (C,) their places in the problem's tree; with `phenotypic` every row has one of its own.
        traits: (C,) numbers.
        observed: (C,) means of their rows.
    """

    nodes: NDArray[np.intp]
    traits: NDArray[np.intp]
    observed: FloatArray


def observed_cells(problem: JointProblem) -> Cells:
    """The cells of a problem, by trait and then by node."""
    at_tips = np.asarray(problem.tree["informed"])[problem.observed_nodes] > 0
    traits, tips = np.nonzero(at_tips.T)
    nodes = problem.observed_nodes[tips]
    return Cells(nodes, traits, np.asarray(problem.tree["mean"])[nodes, traits, 0])


def left_out(problem: JointProblem, cells: Cells, states: JointStates) -> tuple[FloatArray, FloatArray]:
    """Mean and variance, (C,) each, of the prediction of every cell by all others; nan where they say nothing.

    A cell less what the others predict of it is u / M, with variance 1 / M, u the cell's part of what the residuals
    weigh and M its diagonal element of the projected inverse covariance (Cook and Weisberg 1982, 2.2; here both come
    from the sweeps). A cell with several rows is left out with all of them, one with `phenotypic` row by row.
    """
    diagonal = np.diagonal(states.information, axis1=1, axis2=2)
    own = np.abs(diagonal[problem.observed_nodes]).max(0, initial=0.0)
    information = diagonal[cells.nodes, cells.traits]
    information = np.where(information > _NOTHING * own[cells.traits], information, np.nan)
    return cells.observed - states.pull[cells.nodes, cells.traits] / information, 1 / information


def leave_one_cell_out(problem: JointProblem, states: JointStates, level: float) -> Coverage | None:
    """How the predictions of all cells do, at the parameters given all; None where there is none."""
    cells = observed_cells(problem)
    centre, spread = left_out(problem, cells, states)
    squares = (cells.observed - centre) ** 2 / spread
    squares = squares[~np.isnan(squares)]
    if not len(squares):
        return None
    far = NormalDist().inv_cdf((1 + level) / 2) ** 2
    return Coverage(level, len(squares), int((squares <= far).sum()), float(squares.mean()))


def left_out_cells(
    problem: JointProblem,
    cells: Cells,
    predictions: tuple[FloatArray, FloatArray],
    phylogeny: Phylogeny,
    order: NDArray[np.intp],
    parameters: str,
) -> dict[str, LeftOutRows]:
    """The rows of every trait, in its own units, by the nodes of the phylogeny.

    Args:
        problem: What was solved.
        cells: Its cells, C of them.
        predictions: (C, J) means and variances of J equally probable predictions.
        phylogeny: As it was given.
        order: (N,) the phylogeny's node that every node of the problem is.
        parameters: Which ones it is predicted with.
    """
    species = np.zeros(problem.size, np.intp)
    species[problem.rows] = order[problem.observations.nodes]
    count = predictions[0].shape[1]
    found = predicted(cells.observed, *predictions, np.full(count, 1 / count))
    rows = {}
    for trait, name in enumerate(problem.observations.traits):
        mine = np.flatnonzero(cells.traits == trait)
        mine = mine[np.argsort(species[cells.nodes[mine]], kind="stable")]
        scale, location = float(problem.units.scale[trait]), float(problem.units.location[trait])
        own = Predicted(
            found.mean[mine] * scale + location, found.deviation[mine] * scale, found.log_density[mine] - np.log(scale)
        )
        tips = phylogeny.labels[species[cells.nodes[mine]]].tolist()
        rows[name] = left_out_rows(tips, name, cells.observed[mine] * scale + location, own, parameters)
    return rows
