"""What all other tips predict of every observed tip under a diffusion on a grid."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.left_out_table import Predicted
from hxcli.analyses.left_out_tips import LeftOut
from hxcli.inference.grid_left_out import at_no_width, mean_rows, tip_predictions
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.phylogeny import FloatArray


def left_out_on_grid(likelihood: GridLikelihood, points: FloatArray, weights: FloatArray) -> tuple[LeftOut, float]:
    """The predictions in the trait's units, and the largest change of one of them by twice as many cells.

    Args:
        likelihood: Of one trait, S coordinates.
        points: (M, S) sets of parameters, as the search has them.
        weights: (M,) of those, adding up to 1.
    """
    cells = likelihood.cells
    fine, half, quarter = (tip_predictions(likelihood, points, weights, cells // by) for by in (1, 2, 4))
    found, coarser = at_no_width(fine, half), at_no_width(half, quarter)
    observed = np.asarray(mean_rows(likelihood.given(cells)).observed["value"], float)[: likelihood.count, 0]
    moved = np.nanmax([abs(one - other) for one, other in zip(found[:2], coarser[:2], strict=True)], initial=0.0)
    return LeftOut(likelihood.observed_nodes, observed, Predicted(*found)), float(moved)
