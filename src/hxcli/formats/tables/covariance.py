"""Tables of a covariance: a square of numbers, with the traits' names in the header and in the first column."""

from __future__ import annotations

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.tables.delimited import read_grid
from hxcli.formats.tables.strict_number import strict_number
from hxcli.traits import Covariance


def read_covariance(source: Source) -> Covariance:
    """Reads a covariance.

    Raises:
        InputError: Rows and columns that are not the same traits in the same order, a cell that is no number, or a
            table that is not symmetric.
    """
    grid = read_grid(source)
    traits = tuple(str(name) for name in grid.header()[0].to_list()[1:])
    rows = tuple(grid.cell(row, 0) for row in range(len(grid.lines)))
    if rows != traits:
        raise InputError("rows and columns are not the same traits in the same order", file=grid.file)
    rates = np.empty((len(traits), len(traits)))
    for row in range(len(traits)):
        for column in range(len(traits)):
            rates[row, column] = strict_number(grid, row, column + 1)
    if not np.allclose(rates, rates.T, rtol=1e-12, atol=0):
        raise InputError("the table is not symmetric", "a covariance is", file=grid.file)
    return Covariance(traits, rates)
